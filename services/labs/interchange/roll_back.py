"""Taking an import back, exactly, whatever came later (see kit/roll_back.py).

What somebody changed since is theirs and stays, and so does the panel that such a
marker is in.
"""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.roll_back import LAST_WRITTEN, forget, is_new, take_back
from services.labs.interchange.tables import lab_import_changes
from services.labs.panels.tables import blood_markers, blood_panels

_IN_PANEL = "m.panel_id = stored.id AND m.deleted_at IS NULL"
# The panels first, as by whoever goes from a panel to its markers: in the other order each of two could wait for the
# other.
_HOLD = f"""
    SELECT FROM blood_panels AS stored
    WHERE {LAST_WRITTEN} OR (stored.user_id = CAST(:user_id AS uuid) AND stored.id IN (
      SELECT m.panel_id FROM blood_markers AS m
      WHERE m.user_id = CAST(:user_id AS uuid) AND m.import_id = CAST(:import_id AS uuid)))
    ORDER BY stored.id FOR UPDATE
"""
# A panel with something else in it belongs to who brought that: to a person before another import.
_HAND_OVER = f"""
    UPDATE blood_panels AS stored SET import_id = (
      SELECT m.import_id FROM blood_markers AS m WHERE m.user_id = stored.user_id AND {_IN_PANEL}
      ORDER BY m.import_id DESC NULLS FIRST LIMIT 1)
    WHERE {LAST_WRITTEN}
      AND {is_new(lab_import_changes, blood_panels)}
      AND EXISTS (SELECT FROM blood_markers AS m WHERE m.user_id = stored.user_id AND {_IN_PANEL})
"""
# Of a marker its panel, which may be of another day by now, has the last word.
_ROLL_BACK = (
    sa.text(_HOLD),
    *take_back(lab_import_changes, blood_markers, stays=("panel_id", "collected_date")),
    sa.text(_HAND_OVER),
    *take_back(lab_import_changes, blood_panels, stays=("collected_date",)),
    forget(lab_import_changes),
)


async def roll_back(connection: AsyncConnection, user_id: str, import_id: str) -> None:
    """Takes an import's rows back in the caller's transaction; repeating it changes nothing."""
    for statement in _ROLL_BACK:
        await connection.execute(statement, {"user_id": user_id, "import_id": import_id})
