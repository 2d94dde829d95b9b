"""People: the table of users and who somebody is."""

import string
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp
from psycopg.errors import UniqueViolation
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import metadata
from services.kit.caller import Caller, current
from services.kit.database import Database, Statement, changed_at, now
from services.kit.errors import ServiceError, Violation, etag_mismatch, invalid, not_found
from services.kit.rows import RowMapping
from services.kit.sealed import Sealed
from services.kit.vault import GENERAL
from vitalis.identity.v1 import users_pb2 as pb
from vitalis.identity.v1 import users_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

ROLES = ("user", "coach", "admin")
STATUSES = ("active", "suspended", "deleted")
SEXES = ("male", "female", "other", "prefer_not_to_say")

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, comment="Argon2id in the PHC string format; null without a password"),
    sa.Column("display_name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False, server_default="user"),
    sa.Column("last_login_at", sa.DateTime(timezone=True)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.Column("account_status", sa.Text, nullable=False, server_default="active"),
    sa.Column("suspended_at", sa.DateTime(timezone=True)),
    sa.Column("suspended_reason", sa.Text, comment="why, for other admins"),
    sa.Column("email_verified_at", sa.DateTime(timezone=True)),
    sa.Column("username", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("bio", sa.Text),
    sa.Column("profile_picture_url", sa.Text),
    sa.Column("cycle_enabled", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("date_of_birth", sa.LargeBinary, comment="encrypted, see kit/vault.py"),
    sa.Column("biological_sex", sa.Text),
    sa.Column("onboarding_completed_at", sa.DateTime(timezone=True)),
    sa.Column(
        "onboarding_completed",
        sa.Boolean,
        sa.Computed("onboarding_completed_at IS NOT NULL", persisted=True),
        nullable=False,
    ),
    # Deferred, so that a new person comes before their account, whose policy asks for them.
    sa.Column(
        "account_id",
        sa.Uuid,
        sa.ForeignKey("accounts.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
        index=True,
    ),
    # Unique keys without an owner in front: an address or a name is taken or not.
    # Who has not proved that an address is theirs does not keep it from its owner.
    sa.Index(
        "uq_users_email_verified",
        "email",
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL AND email_verified_at IS NOT NULL"),
    ),
    sa.Index(
        "uq_users_username",
        sa.text('lower(username COLLATE "C")'),
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    ),
    # For administrators, who look for the beginning of an address.
    sa.Index("ix_users_email", "email", postgresql_ops={"email": "text_pattern_ops"}),
    sa.Index("ix_users_administrators", "id", postgresql_where=sa.text("role = 'admin'")),
    # And for those who have not begun.
    sa.Index(
        "ix_users_not_onboarded",
        "id",
        postgresql_where=sa.text("onboarding_completed_at IS NULL AND deleted_at IS NULL"),
    ),
    sa.CheckConstraint('email = lower(email COLLATE "C") AND char_length(email) BETWEEN 3 AND 254', name="email"),
    sa.CheckConstraint("char_length(display_name) BETWEEN 1 AND 100", name="display_name"),
    sa.CheckConstraint(sa.column("role").in_(ROLES), name="role"),
    sa.CheckConstraint(sa.column("account_status").in_(STATUSES), name="account_status"),
    sa.CheckConstraint("(account_status = 'suspended') = (suspended_at IS NOT NULL)", name="suspended"),
    sa.CheckConstraint("username ~ '^[a-zA-Z0-9_]{3,20}$'", name="username"),
    sa.CheckConstraint("char_length(name) <= 100", name="name"),
    sa.CheckConstraint("char_length(bio) <= 2000", name="bio"),
    sa.CheckConstraint("char_length(profile_picture_url) <= 500", name="profile_picture_url"),
    sa.CheckConstraint(sa.column("biological_sex").in_(SEXES), name="biological_sex"),
)

# What somebody who reads a profile through a grant does not see; the proto says so too.
OWN = (
    "email",
    "email_verified_at",
    "last_login_at",
    "role",
    "account_status",
    "date_of_birth",
    "cycle_enabled",
    "onboarding_completed",
    "onboarding_completed_at",
)
HIDDEN = ("password_hash", "deleted_at", "suspended_at", "suspended_reason", "account_id")
ENCRYPTED = ("date_of_birth",)
PROFILE = RowMapping(pb.User, users, heavy=OWN, hidden=HIDDEN, encrypted=ENCRYPTED)
SEALED = Sealed(users, ENCRYPTED, GENERAL)
# What somebody who has just proved who they are is told, without the key of what is encrypted.
_SIGNED_IN = RowMapping(pb.User, users, heavy=ENCRYPTED, hidden=HIDDEN, encrypted=ENCRYPTED)
PUBLIC = _SIGNED_IN.columns(_SIGNED_IN.light_names)
to_message = _SIGNED_IN.read_light
LIVING = (users.c.id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False)), users.c.deleted_at.is_(None))
# Whose address is where they are reached. One that was not proved may be a stranger's: nothing is sent to it
# but the code that proves it, and nothing is said in its name.
REACHABLE = (users.c.deleted_at.is_(None), users.c.email_verified_at.is_not(None))
# A person as they see themselves; their wrapped key comes last.
OWN_PROFILE = (*PROFILE.columns(PROFILE.names), SEALED.wrapped_key)
FIND = Statement(sa.select(*OWN_PROFILE).where(*LIVING))
LOCK = sa.select(*OWN_PROFILE).where(*LIVING).with_for_update()
FIND_SHARED = Statement(sa.select(*PROFILE.columns(PROFILE.light_names)).where(*LIVING))
YOUNGEST, OLDEST = 13, 150
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def normalise_email(email: str) -> str:
    """The address as it is stored and looked up: no blanks around it, A-Z in lower case.

    Nothing else is folded. Addresses are ASCII (the rule of RegisterRequest), and
    folding Unicode (NFKC, or the Kelvin sign in lower case) would turn a stranger's
    address into somebody's own, which is how accounts have been taken over.
    """
    return email.strip().translate(_LOWER)


def timestamp(moment: datetime) -> Timestamp:
    """An aware instant as the protobuf message."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def acting(user_id: UUID) -> Caller:
    """The person as the caller of a transaction, once their credentials have been checked."""
    return replace(current(), actor=str(user_id), subject=str(user_id), role="user", scopes=frozenset())


class UsersServicer(users_pb2_grpc.UsersServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        """The person, as far as the caller may see them. Raises NOT_FOUND once they are deleted."""
        shared = current().is_delegate
        rows = await self._database.fetch(FIND_SHARED if shared else FIND, {"user_id": request.user_id})
        if not rows:
            raise not_found("user")
        if shared:
            return pb.GetUserResponse(user=PROFILE.read_light(rows[0]))
        key = SEALED.open(self._database.vault, rows[0][-1])
        return pb.GetUserResponse(user=PROFILE.read(rows[0], key))

    async def UpdateUser(self, request: pb.UpdateUserRequest, context: Context) -> pb.UpdateUserResponse:
        """The person as changed. Raises NOT_FOUND, ETAG_MISMATCH, USERNAME_TAKEN."""
        async with self._database.transaction() as connection:
            row = (await connection.execute(LOCK, {"user_id": request.user_id})).one_or_none()
            if row is None:
                raise not_found("user")
            user = PROFILE.read(row, SEALED.key_in(connection, row[-1]))
            if request.user.etag and request.user.etag != user.etag:
                raise etag_mismatch("user", user.etag)
            values = PROFILE.changes(request.user, user, list(request.update_mask.paths))
            if values:
                user = await _change(connection, UUID(request.user_id), values)
        return pb.UpdateUserResponse(user=user)


async def _change(connection: AsyncConnection, user_id: UUID, values: dict[str, Any]) -> Any:
    if born := values.get("date_of_birth"):
        check_age(date.fromisoformat(born), now().date())
    values = await SEALED.seal(connection, user_id, values)
    statement = sa.update(users).where(users.c.id == user_id).values(**values, updated_at=changed_at(users))
    try:
        row = (await connection.execute(statement.returning(*OWN_PROFILE))).one()
    except IntegrityError as error:
        # Of all that can change here, the username alone is unique.
        if isinstance(error.orig, UniqueViolation):
            raise username_taken() from None
        raise
    return PROFILE.read(row, SEALED.key_in(connection, row[-1]))


def check_age(born: date, today: date) -> None:
    """Raises INVALID_FIELD for somebody who is younger than 13 years, or older than 150, on the day."""
    if not YOUNGEST <= age_on(born, today) <= OLDEST:
        raise invalid("date_of_birth", f"must be {YOUNGEST} to {OLDEST} years ago")


def age_on(born: date, today: date) -> int:
    """Completed years; in a year without a 29th of February, who was born on one is older on the 1st of March."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def email_unverified() -> ServiceError:
    return ServiceError("EMAIL_UNVERIFIED", "prove your own address first: it stands in the mail that this sends")


def username_taken() -> ServiceError:
    return ServiceError("USERNAME_TAKEN", "username: is taken", violations=[Violation("username", "is taken")])
