"""Changing the master key while everything runs: data keys are wrapped anew, values stay as they are.

Whatever finds a data key finds it wrapped by one master key or the other, and
the keyset unwraps both; so readers and writers notice nothing, and a run that
was stopped is simply run again.
"""

from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
import structlog

from services.kit.caller import service_caller
from services.kit.database import Database, Statement
from services.kit.keyset import KeysetError
from services.kit.vault import KEYS, SUBJECT

log = structlog.get_logger()
BATCH = 500
BEFORE_ALL = UUID(int=0)
# The database's own function, since row security shows nobody's rows.
OWNERS = Statement(
    sa.select(
        sa.func.owners_of_old_data_keys(
            sa.bindparam("primary", type_=sa.BigInteger), sa.bindparam("after", type_=sa.Uuid), sa.literal(BATCH)
        )
    )
)
# Writers hold the row too, and are not kept from it: the lock is one that theirs goes with.
OLD = (
    sa.select(KEYS.c.purpose, KEYS.c.wrapped_key)
    .where(KEYS.c.user_id == SUBJECT, KEYS.c.master_key_id != sa.bindparam("primary", type_=sa.BigInteger))
    .with_for_update(key_share=True)
)


class Rotated(NamedTuple):
    """How many data keys were wrapped anew, and how many no master key of the keyset unwraps."""

    rewrapped: int
    failed: int


async def rotate_keys(database: Database, service: str) -> Rotated:
    """Wraps every data key with the keyset's primary key; a transaction for each person whose keys are not."""
    rewrapped, failed, after = 0, 0, BEFORE_ALL
    primary = database.vault.master_keys.primary_id
    while rows := await database.fetch(OWNERS, {"primary": primary, "after": after}):
        for (owner,) in rows:
            done = await _rewrap(database, service, str(owner), primary)
            rewrapped, failed = rewrapped + done.rewrapped, failed + done.failed
        after = rows[-1][0]
    log.info("data keys", rewrapped=rewrapped, failed=failed, master_key=primary)
    return Rotated(rewrapped, failed)


async def _rewrap(database: Database, service: str, owner: str, primary: int) -> Rotated:
    rewrapped, failed = 0, 0
    async with database.transaction(service_caller(service, owner)) as connection:
        for purpose, wrapped in (await connection.execute(OLD, {"primary": primary})).all():
            try:
                new = database.vault.rewrap(owner, purpose, wrapped)
            except KeysetError:
                log.error("a data key is wrapped by no key of the keyset", purpose=purpose)
                failed += 1
                continue
            same = (KEYS.c.user_id == SUBJECT) & (KEYS.c.purpose == purpose)
            await connection.execute(sa.update(KEYS).where(same).values(new))
            rewrapped += 1
    return Rotated(rewrapped, failed)
