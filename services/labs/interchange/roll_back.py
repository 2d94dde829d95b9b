"""Taking an import back, exactly, whatever came later.

Rows that it wrote last go back to their copy, or go without one; later imports'
copies of its rows become what was there before it (as tracking's imports do).
What somebody changed since is theirs and stays, and so does the panel that such a
marker is in.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.labs.panels.tables import blood_markers, blood_panels

_LAST_WRITTEN = "stored.user_id = CAST(:user_id AS uuid) AND stored.import_id = CAST(:import_id AS uuid)"
_IN_PANEL = "m.panel_id = stored.id AND m.deleted_at IS NULL"
# Of a marker its panel, which may be of another day by now, has the last word.
_STAYS = ("id", "user_id", "updated_at", "panel_id")


def _copy(table: sa.Table) -> str:
    return f"""c.user_id = CAST(:user_id AS uuid) AND c.import_id = CAST(:import_id AS uuid)
        AND c.table_name = '{table.name}' AND c.row_id = stored.id"""


def _statements(table: sa.Table, *stays: str) -> tuple[str, ...]:
    names = ", ".join(c.name for c in table.c if c.name not in (*_STAYS, *stays))
    return (
        f"""
        DELETE FROM {table.name} AS stored WHERE {_LAST_WRITTEN} AND NOT EXISTS (
          SELECT FROM lab_import_changes AS c WHERE {_copy(table)} AND c.before IS NOT NULL)
        """,
        f"""
        UPDATE {table.name} AS stored SET ({names}, updated_at) = (
          SELECT {names}, now() FROM jsonb_populate_record(CAST(NULL AS {table.name}), c.before))
        FROM lab_import_changes AS c WHERE {_LAST_WRITTEN} AND {_copy(table)}
        """,
        f"""
        UPDATE lab_import_changes AS later SET before = (
          SELECT c.before FROM lab_import_changes AS c
          WHERE c.user_id = CAST(:user_id AS uuid) AND c.import_id = CAST(:import_id AS uuid)
            AND c.table_name = '{table.name}' AND c.row_id = later.row_id)
        WHERE later.user_id = CAST(:user_id AS uuid) AND later.table_name = '{table.name}'
          AND later.before ->> 'import_id' = :import_id
        """,
    )


# The panels first, as by whoever goes from a panel to its markers: in the other order each of two could wait for the
# other.
_HOLD = f"""
    SELECT FROM blood_panels AS stored
    WHERE {_LAST_WRITTEN} OR (stored.user_id = CAST(:user_id AS uuid) AND stored.id IN (
      SELECT m.panel_id FROM blood_markers AS m
      WHERE m.user_id = CAST(:user_id AS uuid) AND m.import_id = CAST(:import_id AS uuid)))
    ORDER BY stored.id FOR UPDATE
"""
# A panel with something else in it belongs to who brought that: to a person before another import.
_HAND_OVER = f"""
    UPDATE blood_panels AS stored SET import_id = (
      SELECT m.import_id FROM blood_markers AS m WHERE m.user_id = stored.user_id AND {_IN_PANEL}
      ORDER BY m.import_id DESC NULLS FIRST LIMIT 1)
    WHERE {_LAST_WRITTEN}
      AND NOT EXISTS (SELECT FROM lab_import_changes AS c WHERE {_copy(blood_panels)} AND c.before IS NOT NULL)
      AND EXISTS (SELECT FROM blood_markers AS m WHERE m.user_id = stored.user_id AND {_IN_PANEL})
"""
_FORGET = """
    DELETE FROM lab_import_changes
    WHERE user_id = CAST(:user_id AS uuid) AND import_id = CAST(:import_id AS uuid)
"""
_ROLL_BACK = tuple(
    sa.text(statement)
    for statement in (
        _HOLD,
        *_statements(blood_markers, "collected_date"),
        _HAND_OVER,
        *_statements(blood_panels, "collected_date"),
        _FORGET,
    )
)


async def roll_back(connection: AsyncConnection, user_id: str, import_id: str) -> None:
    """Takes an import's rows back in the caller's transaction; repeating it changes nothing."""
    for statement in _ROLL_BACK:
        await connection.execute(statement, {"user_id": user_id, "import_id": import_id})
