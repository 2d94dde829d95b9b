"""People: the table of users and who somebody is."""

import string
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from google.protobuf.timestamp_pb2 import Timestamp

from services.identity.base import metadata
from services.kit.caller import Caller, current
from services.kit.database import Database, Statement
from services.kit.errors import not_found
from services.kit.vault import ENCRYPTED, GENERAL
from vitalis.identity.v1 import users_pb2, users_pb2_grpc

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
    sa.Column("email_verified_at", sa.DateTime(timezone=True)),
    sa.Column("username", sa.Text),
    sa.Column("name", sa.Text),
    sa.Column("bio", sa.Text),
    sa.Column("profile_picture_url", sa.Text),
    sa.Column("cycle_enabled", sa.Boolean, nullable=False, server_default="false"),
    sa.Column("date_of_birth", sa.LargeBinary, info={ENCRYPTED: GENERAL}, comment="encrypted, see kit/vault.py"),
    sa.Column("biological_sex", sa.Text),
    sa.Column("onboarding_completed_at", sa.DateTime(timezone=True)),
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
        "uq_users_username", sa.text("lower(username)"), unique=True, postgresql_where=sa.text("deleted_at IS NULL")
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

# What leaves the service; the password's hash is not among it.
PUBLIC = (
    users.c.id,
    users.c.email,
    users.c.display_name,
    users.c.role,
    users.c.last_login_at,
    users.c.created_at,
    users.c.updated_at,
)
FIND = Statement(sa.select(*PUBLIC).where(users.c.id == sa.bindparam("user_id"), users.c.deleted_at.is_(None)))
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def normalise_email(email: str) -> str:
    """The address as it is stored and looked up: no blanks around it, A-Z in lower case.

    Nothing else is folded. Addresses are ASCII (the rule of RegisterRequest), and
    folding Unicode (NFKC, or the Kelvin sign in lower case) would turn a stranger's
    address into somebody's own, which is how accounts have been taken over.
    """
    return email.strip().translate(_LOWER)


def to_message(row: Sequence[Any]) -> users_pb2.User:
    """The values of `PUBLIC` as the message."""
    user_id, email, display_name, role, last_login_at, created_at, updated_at = row
    return users_pb2.User(
        id=str(user_id),
        email=email,
        display_name=display_name,
        role=role,
        last_login_at=timestamp(last_login_at) if last_login_at else None,
        created_at=timestamp(created_at),
        updated_at=timestamp(updated_at),
    )


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

    async def GetUser(
        self, request: users_pb2.GetUserRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> users_pb2.GetUserResponse:
        """The person themselves. Raises NOT_FOUND once they are deleted."""
        rows = await self._database.fetch(FIND, {"user_id": UUID(request.user_id)})
        if not rows:
            raise not_found("user")
        return users_pb2.GetUserResponse(user=to_message(rows[0]))
