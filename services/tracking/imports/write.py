"""Writing an import's rows, and taking them back.

What an import changes it first copies into `import_changes`; what it adds
carries its id. Rolling import X back is then exact whatever came later: rows
that X wrote last go back to their copy (or go, without one), and later imports'
copies of X's rows are replaced by what was there before X.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

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


def _roll_back_statements(table: sa.Table) -> tuple[sa.TextClause, ...]:
    name = table.name
    names = ", ".join(c.name for c in table.c if c.name not in ("id", "user_id", "updated_at"))
    last_written = "stored.user_id = CAST(:user_id AS uuid) AND stored.import_id = CAST(:import_id AS uuid)"
    copy = f"""c.user_id = CAST(:user_id AS uuid) AND c.import_id = CAST(:import_id AS uuid)
        AND c.table_name = '{name}'"""
    return (
        sa.text(f"""
            DELETE FROM {name} AS stored WHERE {last_written} AND NOT EXISTS (
              SELECT FROM import_changes AS c WHERE {copy} AND c.row_id = stored.id AND c.before IS NOT NULL)
        """),
        sa.text(f"""
            UPDATE {name} AS stored SET ({names}, updated_at) = (
              SELECT {names}, now() FROM jsonb_populate_record(CAST(NULL AS {name}), c.before))
            FROM import_changes AS c WHERE {last_written} AND {copy} AND c.row_id = stored.id
        """),
        sa.text(f"""
            UPDATE import_changes AS later SET before = (
              SELECT c.before FROM import_changes AS c WHERE {copy} AND c.row_id = later.row_id)
            WHERE later.user_id = CAST(:user_id AS uuid) AND later.table_name = '{name}'
              AND later.before ->> 'import_id' = :import_id
        """),
    )


ROLL_BACK = [statement for table in TABLES for statement in _roll_back_statements(table)]
FORGET = sa.text("""
    DELETE FROM import_changes
    WHERE user_id = CAST(:user_id AS uuid) AND import_id = CAST(:import_id AS uuid)
""")


async def roll_back(connection: AsyncConnection, user_id: str, import_id: str) -> None:
    """Takes an import's rows back in the caller's transaction; repeating it changes nothing."""
    parameters = {"user_id": user_id, "import_id": import_id}
    for statement in (*ROLL_BACK, FORGET):
        await connection.execute(statement, parameters)
