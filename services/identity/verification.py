"""Single-use tokens that go out by mail: whoever has one reads the mail of the address it went to.

Only their SHA-256 is stored. A person has one of each kind at most; a newer one
replaces the older. A job makes the token when it sends the mail, so that none
ever stands in the queue.
"""

import hashlib
import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import metadata
from services.kit.database import Database, Statement, uuid7
from services.kit.errors import ServiceError

EMAIL_VERIFY = "email_verify"
PASSWORD_RESET = "password_reset"
EMAIL_CHANGE = "email_change"
LIFETIMES = {
    EMAIL_VERIFY: timedelta(days=1),
    PASSWORD_RESET: timedelta(hours=1),
    EMAIL_CHANGE: timedelta(days=1),
}
# A recognisable prefix lets secret scanners find a leaked token.
PREFIX = "vvt_"
TOKEN_BYTES = 32

verification_tokens = sa.Table(
    "verification_tokens",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("token_sha256", sa.LargeBinary, nullable=False),
    sa.Column("email", sa.Text, comment="the address to change to"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_at", sa.DateTime(timezone=True)),
    sa.UniqueConstraint("user_id", "kind"),
    # Looked up before the owner is known, so the owner cannot come first.
    sa.UniqueConstraint("token_sha256"),
    sa.CheckConstraint(sa.column("kind").in_(tuple(LIFETIMES)), name="kind"),
    sa.CheckConstraint("octet_length(token_sha256) = 32", name="token_sha256"),
    sa.CheckConstraint("(email IS NOT NULL) = (kind = 'email_change')", name="email"),
)

# A function of the migrations that runs as the table's owner.
FIND_TOKEN = Statement(
    sa.select(sa.text("user_id")).select_from(
        sa.func.find_verification_token(
            sa.bindparam("token_sha256", type_=sa.LargeBinary), sa.bindparam("kind", type_=sa.Text)
        ).table_valued()
    )
)


async def create_token(connection: AsyncConnection, user_id: UUID, kind: str, email: str | None = None) -> str:
    """A new token, on a transaction of the person; the older one of its kind stops working.

    `email` is the address to change to.
    """
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    fresh = {
        "token_sha256": sha256(token),
        "email": email,
        "created_at": sa.func.now(),
        "expires_at": sa.func.now() + LIFETIMES[kind],
        "used_at": None,
    }
    insert = postgresql.insert(verification_tokens).values(id=uuid7(), user_id=user_id, kind=kind, **fresh)
    await connection.execute(insert.on_conflict_do_update(index_elements=["user_id", "kind"], set_=fresh))
    return token


async def find_owner(database: Database, token: str, kind: str) -> UUID:
    """Whose a token is that can be used. Raises VERIFICATION_TOKEN_INVALID."""
    rows = await database.fetch(FIND_TOKEN, {"token_sha256": sha256(token), "kind": kind})
    if not rows:
        raise token_invalid()
    owner: UUID = rows[0][0]
    return owner


async def use_token(connection: AsyncConnection, token: str, kind: str) -> Any:
    """Uses a token up, on a transaction of its owner; its row. Raises VERIFICATION_TOKEN_INVALID.

    Of two who use it at once one succeeds: the other waits for the row and finds it used.
    """
    update = (
        sa.update(verification_tokens)
        .where(
            verification_tokens.c.token_sha256 == sha256(token),
            verification_tokens.c.kind == kind,
            verification_tokens.c.used_at.is_(None),
            verification_tokens.c.expires_at > sa.func.now(),
        )
        .values(used_at=sa.func.now())
        .returning(verification_tokens.c.user_id, verification_tokens.c.email)
    )
    row = (await connection.execute(update)).one_or_none()
    if row is None:
        raise token_invalid()
    return row


async def withdraw_tokens(connection: AsyncConnection, user_id: UUID, *kinds: str) -> None:
    """Makes a person's unused tokens of these kinds worthless."""
    await connection.execute(
        sa.delete(verification_tokens).where(
            verification_tokens.c.user_id == user_id,
            verification_tokens.c.kind.in_(kinds),
            verification_tokens.c.used_at.is_(None),
        )
    )


def sha256(token: str) -> bytes:
    """What is stored of a token; 256 random bits cannot be guessed offline."""
    return hashlib.sha256(token.encode()).digest()


def token_invalid() -> ServiceError:
    return ServiceError(
        "VERIFICATION_TOKEN_INVALID", "the code is mistyped, was used, or is too old; try again or ask for another"
    )
