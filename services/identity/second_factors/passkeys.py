"""Passkeys: a person's WebAuthn credentials.

A credential is found by the person and its id, never by its id alone: who logs
in with a passkey alone is named by the user handle, which the authenticator
keeps and which is the person's id here. So a credential that somebody else
registers under the same id opens nothing of anybody's.
"""

from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import metadata
from services.identity.second_factors.notices import PASSKEY_COPIED
from services.identity.second_factors.verdict import RIGHT, WRONG, Verdict
from services.identity.second_factors.webauthn_ceremonies import Assertion, Known, Made, Refused, RelyingParty
from services.kit.caller import current
from services.kit.database import owned, uuid7
from services.kit.resources import Resource
from vitalis.identity.v1 import passkeys_pb2 as pb

log = structlog.get_logger()
MOST = 20

passkeys = sa.Table(
    "passkeys",
    metadata,
    *owned(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("credential_id", sa.LargeBinary, nullable=False),
    sa.Column("public_key", sa.LargeBinary, nullable=False, comment="COSE_Key"),
    sa.Column("sign_count", sa.BigInteger, nullable=False),
    sa.Column("transports", postgresql.ARRAY(sa.Text), nullable=False),
    sa.Column("backed_up", sa.Boolean, nullable=False),
    sa.Column("last_used_at", sa.DateTime(timezone=True)),
    sa.Column("copy_suspected_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.UniqueConstraint("user_id", "credential_id"),
    sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name"),
    sa.CheckConstraint("octet_length(credential_id) BETWEEN 1 AND 1023", name="credential_id"),
    sa.CheckConstraint("sign_count BETWEEN 0 AND 4294967295", name="sign_count"),
)
PASSKEYS = Resource(
    pb.Passkey,
    passkeys,
    what="passkey",
    order_by=("created_at", "id"),
    hidden=("credential_id", "public_key", "sign_count", "transports"),
)


async def known(connection: AsyncConnection, user_id: UUID) -> list[Known]:
    """The person's credentials, for a browser to choose from."""
    query = sa.select(passkeys.c.credential_id, passkeys.c.transports).where(passkeys.c.user_id == user_id)
    return [Known(*row) for row in await connection.execute(query.order_by(passkeys.c.id))]


async def keep(connection: AsyncConnection, user_id: UUID, made: Made, name: str) -> pb.Passkey | None:
    """Stores a new passkey; None if the person has it already."""
    insert = (
        postgresql.insert(passkeys)
        .values(
            id=uuid7(),
            user_id=user_id,
            name=name,
            credential_id=made.credential_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            transports=made.transports,
            backed_up=made.backed_up,
        )
        .on_conflict_do_nothing(index_elements=["user_id", "credential_id"])
        .returning(*PASSKEYS.rows.columns(PASSKEYS.rows.names))
    )
    row = (await connection.execute(insert)).one_or_none()
    return None if row is None else PASSKEYS.rows.read(row)


async def verify(
    connection: AsyncConnection,
    relying_party: RelyingParty,
    user_id: UUID,
    assertion: Assertion,
    challenge: str,
    *,
    alone: bool,
) -> Verdict:
    """Whether a passkey of the person signed the challenge.

    A counter that has not gone up since it was last used is refused and
    recorded: two authenticators may hold the same key (WebAuthn level 3,
    section 6.1.1).
    """
    if assertion.user_handle not in (None, b"", user_id.bytes):
        return WRONG
    row = await _locked(connection, user_id, assertion.credential_id)
    if row is None:
        return WRONG
    try:
        sign_count = relying_party.verify_assertion(assertion, challenge, row.public_key, alone=alone)
    except Refused:
        return WRONG
    change = sa.update(passkeys).where(passkeys.c.user_id == user_id, passkeys.c.id == row.id)
    if (sign_count or row.sign_count) and sign_count <= row.sign_count:
        await connection.execute(change.values(copy_suspected_at=sa.func.now()))
        log.warning("a passkey's counter went back; it was refused", request_id=current().request_id)
        return Verdict(False, notice=PASSKEY_COPIED)
    await connection.execute(change.values(sign_count=sign_count, last_used_at=sa.func.now()))
    return RIGHT


async def remove(connection: AsyncConnection, user_id: UUID, passkey_id: UUID) -> bool:
    """Forgets a passkey; whether there was one."""
    removed = sa.delete(passkeys).where(passkeys.c.user_id == user_id, passkeys.c.id == passkey_id)
    return (await connection.execute(removed)).rowcount > 0


async def _locked(connection: AsyncConnection, user_id: UUID, credential_id: bytes) -> Any:
    query = sa.select(passkeys.c.id, passkeys.c.public_key, passkeys.c.sign_count)
    mine = query.where(passkeys.c.user_id == user_id, passkeys.c.credential_id == credential_id)
    return (await connection.execute(mine.with_for_update())).first()
