"""Codes of authenticator apps: TOTP (RFC 6238) with SHA-1, 6 digits and 30 seconds, which all apps have.

A code counts within one step before and after the server's clock (RFC 6238
section 5.2), and a step counts once. The secret, 160 random bits (RFC 4226
section 4, R6), is stored encrypted.

Six digits can be guessed, so wrong codes in a row cost time, more and more, but
an hour at most: nobody is locked out for good, and recovery codes and passkeys,
which cannot be guessed, are not held up. Only somebody who knows the password
or holds an access token gets as far as entering a code.
"""

import time
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pyotp
import sqlalchemy as sa
from pyotp.exceptions import OTPVerificationError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import metadata
from services.identity.second_factors.notices import CODES_GUESSED
from services.identity.second_factors.verdict import RIGHT, WRONG, Verdict
from services.kit.database import uuid7
from services.kit.vault import ENCRYPTED, GENERAL, Vault

ISSUER = "Vitalis"
STEPS_AROUND = 1
TO_CONFIRM = timedelta(minutes=15)
FREE_FAILURES = 5
FIRST_DELAY = timedelta(seconds=30)
LONGEST_DELAY = timedelta(hours=1)

totp_factors = sa.Table(
    "totp_factors",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column(
        "secret",
        sa.LargeBinary,
        nullable=False,
        info={ENCRYPTED: GENERAL},
        comment="base32, encrypted, see kit/vault.py",
    ),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("confirmed_at", sa.DateTime(timezone=True)),
    sa.Column("last_used_at", sa.DateTime(timezone=True)),
    sa.Column("last_step", sa.BigInteger, comment="the last time step accepted, in 30 s since 1970"),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0", comment="wrong codes in a row"),
    sa.Column("blocked_until", sa.DateTime(timezone=True)),
    # One that counts and one that is not confirmed yet.
    sa.Index(
        "uq_totp_factors_user_id_confirmed",
        "user_id",
        unique=True,
        postgresql_where=sa.text("confirmed_at IS NOT NULL"),
    ),
    sa.Index("uq_totp_factors_user_id_begun", "user_id", unique=True, postgresql_where=sa.text("confirmed_at IS NULL")),
    sa.CheckConstraint("failures >= 0", name="failures"),
)
CONFIRMED = totp_factors.c.confirmed_at.is_not(None)
BEGUN = sa.and_(
    totp_factors.c.confirmed_at.is_(None), totp_factors.c.created_at > sa.func.now() - sa.literal(TO_CONFIRM)
)


class Enrolment(NamedTuple):
    """What an authenticator app is given, once."""

    secret: str
    otpauth_uri: str
    expires_at: datetime


def matching_step(secret: str, code: str, at: float, after: int | None) -> int | None:
    """The time step whose code this is at the Unix time `at`, if it is later than the last one accepted."""
    try:
        step = pyotp.TOTP(secret).verify_and_get_timecode(code, for_time=at, valid_window=STEPS_AROUND)
    except OTPVerificationError:
        return None
    return step if after is None or step > after else None


def delay(failures: int) -> timedelta | None:
    """How long codes are not looked at after that many wrong ones in a row."""
    if failures < FREE_FAILURES:
        return None
    # The exponent is bounded, because a timedelta is.
    doubled: int = 2 ** min(failures - FREE_FAILURES, 10)
    return min(FIRST_DELAY * doubled, LONGEST_DELAY)


async def begin(connection: AsyncConnection, vault: Vault, user_id: UUID, email: str) -> Enrolment:
    """A new secret, which replaces one that was not confirmed."""
    await connection.execute(
        sa.delete(totp_factors).where(totp_factors.c.user_id == user_id, totp_factors.c.confirmed_at.is_(None))
    )
    row_id, secret = uuid7(), pyotp.random_base32()
    key = await vault.key(connection)
    insert = (
        sa.insert(totp_factors)
        .values(id=row_id, user_id=user_id, secret=key.encrypt("totp_factors", "secret", row_id, secret))
        .returning(totp_factors.c.created_at + sa.literal(TO_CONFIRM))
    )
    expires_at = (await connection.execute(insert)).scalar_one()
    return Enrolment(secret, pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER), expires_at)


async def confirm(connection: AsyncConnection, vault: Vault, user_id: UUID, code: str) -> Verdict | None:
    """Makes the secret that was begun the one that counts; None if none was begun."""
    row = await _locked(connection, user_id, BEGUN)
    if row is None:
        return None
    verdict = await _judge(connection, vault, row, code)
    if verdict.right:
        await remove(connection, user_id)
        await connection.execute(
            sa.update(totp_factors).where(totp_factors.c.id == row.id).values(confirmed_at=sa.func.now())
        )
    return verdict


async def verify(connection: AsyncConnection, vault: Vault, user_id: UUID, code: str) -> Verdict:
    """Whether it is a code of the person's app that was not used yet; uses it up."""
    row = await _locked(connection, user_id, CONFIRMED)
    return WRONG if row is None else await _judge(connection, vault, row, code)


async def remove(connection: AsyncConnection, user_id: UUID) -> bool:
    """Forgets the secret that counts; whether there was one."""
    removed = sa.delete(totp_factors).where(totp_factors.c.user_id == user_id, CONFIRMED)
    return (await connection.execute(removed)).rowcount > 0


async def _locked(connection: AsyncConnection, user_id: UUID, state: sa.ColumnElement[bool]) -> Any:
    """The row, locked, so that of many codes at once each sees the failures of those before it."""
    query = sa.select(
        totp_factors.c.id,
        totp_factors.c.secret,
        totp_factors.c.last_step,
        totp_factors.c.failures,
        (totp_factors.c.blocked_until - sa.func.clock_timestamp()).label("wait"),
    )
    return (await connection.execute(query.where(totp_factors.c.user_id == user_id, state).with_for_update())).first()


async def _judge(connection: AsyncConnection, vault: Vault, row: Any, code: str) -> Verdict:
    if row.wait is not None and row.wait > timedelta(0):
        return Verdict(False, wait=row.wait)
    key = await vault.key(connection)
    secret = key.decrypt("totp_factors", "secret", row.id, row.secret)
    step = matching_step(secret, code, time.time(), row.last_step)
    change = sa.update(totp_factors).where(totp_factors.c.id == row.id)
    if step is not None:
        accepted = {"last_step": step, "last_used_at": sa.func.now(), "failures": 0, "blocked_until": None}
        await connection.execute(change.values(accepted))
        return RIGHT
    failures = row.failures + 1
    wait = delay(failures)
    blocked_until = sa.func.clock_timestamp() + sa.literal(wait) if wait else None
    await connection.execute(change.values(failures=failures, blocked_until=blocked_until))
    return Verdict(False, notice=CODES_GUESSED if failures == FREE_FAILURES else None)
