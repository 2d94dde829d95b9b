"""Writing an import's rows, and taking them back (see kit/roll_back.py)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.roll_back import forget, take_back
from services.kit.upsert import Upsert
from services.tracking.imports.tables import import_changes
from services.tracking.wearables import DAILY, SLEEP, activities
from services.tracking.wearables.tables import wearable_activities, wearable_daily, wearable_sleep

LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('imports:' || :user_id, 0))")
TABLES = (wearable_daily, wearable_sleep, wearable_activities)


class RowCounts(NamedTuple):
    """What became of the rows of one table; `kept` rows are newer than the file."""

    stored: int
    updated: int
    unchanged: int
    kept: int


class Target:
    """One table that imports write to."""

    def __init__(self, table: sa.Table, upsert: Upsert, known_by: Sequence[str]) -> None:
        self.table = table
        self.upsert = upsert
        incoming: Any = upsert.incoming.c
        stored: Any = table.c
        user = sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False))
        same = sa.and_(stored.user_id == user, *(stored[name] == incoming[name] for name in known_by))
        newer = sa.func.coalesce(stored.source_as_of > incoming.source_as_of, sa.false())
        moved = [stored[n] != incoming[n] for n in upsert.natural_key if n not in known_by]
        changes = sa.or_(upsert.changed(stored, incoming), sa.and_(sa.not_(newer), sa.or_(sa.false(), *moved)))
        before = (
            sa.select(
                stored.user_id,
                sa.cast(sa.bindparam("import_id", type_=sa.Uuid(as_uuid=False)), sa.Uuid),
                sa.literal(table.name),
                stored.id,
                sa.func.to_jsonb(sa.literal_column(table.name)),
            )
            .select_from(table.join(upsert.incoming, same))
            .where(changes)
        )
        names = ["user_id", "import_id", "table_name", "row_id", "before"]
        self.remember = insert(import_changes).from_select(names, before).on_conflict_do_nothing()
        self.newer = sa.select(sa.func.count()).select_from(table.join(upsert.incoming, same)).where(newer)

    async def write(
        self, connection: AsyncConnection, user_id: str, import_id: str, rows: Sequence[dict[str, Any]]
    ) -> RowCounts:
        """Writes a batch in the caller's transaction."""
        rows = [{**row, "import_id": import_id} for row in rows]
        payload = self.upsert.payload(user_id, rows)
        await connection.execute(self.remember, {**payload, "import_id": import_id})
        kept: int = (await connection.execute(self.newer, payload)).scalar_one()
        if self.table is wearable_activities:
            counts = await activities.write(connection, user_id, rows)
        else:
            counts = await self.upsert.write(connection, payload, len(rows))
        return RowCounts(counts.stored, counts.updated, counts.unchanged - kept, kept)


def _target(resource: Any) -> Target:
    return Target(resource.table, resource.upsert, resource.upsert.natural_key)


TARGETS = {
    "wearable_daily": _target(DAILY),
    "wearable_sleep": _target(SLEEP),
    "wearable_activities": Target(wearable_activities, activities.UPSERT, activities.SOURCE_KEY),
}


_ROLL_BACK = (
    *(statement for table in TABLES for statement in take_back(import_changes, table)),
    forget(import_changes),
)


async def roll_back(connection: AsyncConnection, user_id: str, import_id: str) -> None:
    """Takes an import's rows back in the caller's transaction; repeating it changes nothing."""
    parameters = {"user_id": user_id, "import_id": import_id}
    for statement in _ROLL_BACK:
        await connection.execute(statement, parameters)
