"""Challenges: what a log-in, a new passkey or a proof by passkey still lacks.

A challenge is an opaque token of 256 random bits, of which the database has the
SHA-256. Its characters are what a passkey signs, so one value, stored once, is
both the handle of a log-in and WebAuthn's challenge. It lasts five minutes.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import metadata
from services.kit.database import Database, Statement, uuid7

PREFIX = "vch_"
TOKEN_BYTES = 32
LIFETIME = timedelta(minutes=5)
# Of one log-in; a person's wrong codes are counted besides (totp.py).
TRIES = 5
LOG_IN = "log_in"
REGISTRATION = "registration"
PROOF = "proof"
PURPOSES = (LOG_IN, REGISTRATION, PROOF)

challenges = sa.Table(
    "challenges",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("token_sha256", sa.LargeBinary, nullable=False),
    sa.Column("tries", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    # Looked up before the owner is known, so the owner cannot come first.
    sa.UniqueConstraint("token_sha256"),
    sa.CheckConstraint(sa.column("purpose").in_(PURPOSES), name="purpose"),
    sa.CheckConstraint("octet_length(token_sha256) = 32", name="token_sha256"),
    sa.CheckConstraint(f"tries BETWEEN 0 AND {TRIES}", name="tries"),
)

# Challenges of people who have not said who they are. The app reaches it through functions only.
passkey_log_ins = sa.Table(
    "passkey_log_ins",
    metadata,
    sa.Column("token_sha256", sa.LargeBinary, primary_key=True),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("octet_length(token_sha256) = 32", name="token_sha256"),
)

# Functions of the migrations that run as the tables' owner.
_TOKEN = sa.bindparam("token_sha256", type_=sa.LargeBinary)
FIND_LOG_IN = Statement(sa.select(sa.text("user_id")).select_from(sa.func.find_log_in(_TOKEN).table_valued()))
TAKE_PASSKEY_LOG_IN = Statement(sa.select(sa.func.take_passkey_log_in(_TOKEN)))
BEGIN_PASSKEY_LOG_IN = Statement(
    sa.select(sa.func.begin_passkey_log_in(_TOKEN, sa.bindparam("lifetime", type_=sa.Interval)))
)
FORGET = Statement(sa.select(sa.func.forget_challenges()))


class Challenge(NamedTuple):
    """A challenge as it is handed out."""

    token: str
    expires_at: datetime

    @property
    def signed(self) -> bytes:
        """What a passkey signs."""
        return self.token.encode()


async def issue(connection: AsyncConnection, user_id: UUID, purpose: str) -> Challenge:
    """A new challenge of a person, for one purpose."""
    token = new_token()
    insert = (
        sa.insert(challenges)
        .values(
            id=uuid7(),
            user_id=user_id,
            purpose=purpose,
            token_sha256=fingerprint(token),
            expires_at=sa.func.now() + LIFETIME,
        )
        .returning(challenges.c.expires_at)
    )
    return Challenge(token, (await connection.execute(insert)).scalar_one())


async def take(connection: AsyncConnection, purpose: str, token: str) -> bool:
    """Uses up a challenge of the transaction's person; whether it held."""
    taken = (
        sa.delete(challenges)
        .where(challenges.c.token_sha256 == fingerprint(token), challenges.c.purpose == purpose)
        .returning(challenges.c.expires_at > sa.func.now())
    )
    return bool((await connection.execute(taken)).scalar_one_or_none())


async def count_try(connection: AsyncConnection, token: str) -> bool:
    """Counts one try of a log-in; whether it was still allowed. Of two at once the second waits for the first."""
    counted = (
        sa.update(challenges)
        .where(
            challenges.c.token_sha256 == fingerprint(token),
            challenges.c.purpose == LOG_IN,
            challenges.c.expires_at > sa.func.now(),
            challenges.c.tries < TRIES,
        )
        .values(tries=challenges.c.tries + 1)
        .returning(challenges.c.id)
    )
    return (await connection.execute(counted)).one_or_none() is not None


async def end_log_ins(connection: AsyncConnection, user_id: UUID) -> None:
    """Ends the log-ins of a person that are not completed, because what began them no longer holds."""
    await connection.execute(
        sa.delete(challenges).where(challenges.c.user_id == user_id, challenges.c.purpose == LOG_IN)
    )


async def whose_log_in(database: Database, token: str) -> UUID | None:
    """Whose log-in a token is a challenge of, whatever its state."""
    rows = await database.fetch(FIND_LOG_IN, {"token_sha256": fingerprint(token)})
    return rows[0][0] if rows else None


async def begin_passkey_log_in(database: Database) -> Challenge:
    """A challenge of nobody yet."""
    token = new_token()
    rows = await database.fetch(BEGIN_PASSKEY_LOG_IN, {"token_sha256": fingerprint(token), "lifetime": LIFETIME})
    return Challenge(token, rows[0][0])


async def take_passkey_log_in(database: Database, token: str) -> bool:
    """Uses up a challenge of nobody; whether it held."""
    rows = await database.fetch(TAKE_PASSKEY_LOG_IN, {"token_sha256": fingerprint(token)})
    return bool(rows[0][0])


async def forget_challenges(database: Database) -> None:
    """Forgets challenges that have expired, and secrets of authenticator apps that were never confirmed."""
    await database.fetch(FORGET, {})


def new_token() -> str:
    """A recognisable prefix lets secret scanners find a leaked token."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def fingerprint(token: str) -> bytes:
    """What is stored of a token: 32 bytes. 256 random bits need no slow hash."""
    return hashlib.sha256(token.encode()).digest()
