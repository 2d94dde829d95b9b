"""Recovery codes: for when the authenticator app or the passkey is lost.

Ten codes of 120 random bits each, so that a plain SHA-256 may be what is stored
(OWASP ASVS 5, 6.5.2: 112 bits or more). Each works once.
"""

import hashlib
import secrets
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import metadata
from services.kit.database import uuid7

COUNT = 10
# Crockford's base32: no letter that is taken for a digit.
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 24
GROUP = 4
# As people read letters that the alphabet does not have.
_READ_AS = str.maketrans({"i": "1", "l": "1", "o": "0", "-": None, " ": None})

recovery_codes = sa.Table(
    "recovery_codes",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column("code_sha256", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("used_at", sa.DateTime(timezone=True)),
    sa.UniqueConstraint("user_id", "code_sha256"),
    sa.CheckConstraint("octet_length(code_sha256) = 32", name="code_sha256"),
)


def new_code() -> str:
    """A code as it is shown: six groups of four."""
    characters = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    return "-".join(characters[start : start + GROUP] for start in range(0, LENGTH, GROUP))


def fingerprint(code: str) -> bytes:
    """What is stored of a code, however it was typed: 32 bytes."""
    return hashlib.sha256(code.lower().translate(_READ_AS).encode()).digest()


async def replace(connection: AsyncConnection, user_id: UUID) -> list[str]:
    """Ten new codes; the earlier ones stop working."""
    await forget(connection, user_id)
    codes = [new_code() for _ in range(COUNT)]
    rows = [{"id": uuid7(), "user_id": user_id, "code_sha256": fingerprint(code)} for code in codes]
    await connection.execute(sa.insert(recovery_codes), rows)
    return codes


async def replace_if_none(connection: AsyncConnection, user_id: UUID) -> list[str]:
    """Ten codes for somebody who has no unused one, else none."""
    return [] if await left(connection, user_id) else await replace(connection, user_id)


async def left(connection: AsyncConnection, user_id: UUID) -> int:
    """How many are unused."""
    query = sa.select(sa.func.count()).where(recovery_codes.c.user_id == user_id, recovery_codes.c.used_at.is_(None))
    return int((await connection.execute(query)).scalar_one())


async def use(connection: AsyncConnection, user_id: UUID, code: str) -> bool:
    """Uses a code up; whether it was one. Of two at once with one code the second finds it used."""
    used = (
        sa.update(recovery_codes)
        .where(
            recovery_codes.c.user_id == user_id,
            recovery_codes.c.code_sha256 == fingerprint(code),
            recovery_codes.c.used_at.is_(None),
        )
        .values(used_at=sa.func.now())
    )
    return (await connection.execute(used)).rowcount > 0


async def forget(connection: AsyncConnection, user_id: UUID) -> None:
    """Forgets all of a person's codes."""
    await connection.execute(sa.delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
