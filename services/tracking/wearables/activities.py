"""Writing activities: one is known by its source's id, even when its date has changed.

The table is partitioned by date, so its unique key must hold the date, and the
database alone would take a re-dated activity for a new one. Hence the lock: one
writer of activities at a time for each person.
"""

from collections.abc import Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.errors import ServiceError, invalid
from services.kit.upsert import Counts, Upsert
from services.tracking.wearables.tables import wearable_activities

NATURAL_KEY = ("source", "source_activity_id", "activity_date")
# What the activity is known by among its person's.
SOURCE_KEY = NATURAL_KEY[:2]
UPSERT = Upsert(wearable_activities, NATURAL_KEY, [column.name for column in wearable_activities.c])
LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('activities:' || :user_id, 0))")
MOVE = sa.text("""
    UPDATE wearable_activities AS stored SET
      activity_date = incoming.activity_date,
      source_as_of = coalesce(incoming.source_as_of, stored.source_as_of),
      import_id = incoming.import_id
    FROM json_to_recordset(CAST(:rows AS json))
      AS incoming (
        source text, source_activity_id text, activity_date date, source_as_of timestamptz, import_id uuid)
    WHERE stored.user_id = CAST(:user_id AS uuid)
      AND stored.source = incoming.source AND stored.source_activity_id = incoming.source_activity_id
      AND stored.activity_date <> incoming.activity_date
      AND coalesce(incoming.source_as_of >= stored.source_as_of, true)
    RETURNING stored.id
""")
TOUCH = sa.text("""
    UPDATE wearable_activities SET updated_at = now()
    WHERE user_id = CAST(:user_id AS uuid) AND id = ANY(CAST(:moved AS uuid[])) AND updated_at <> now()
    RETURNING id
""")
KNOWN = sa.text("""
    SELECT FROM wearable_activities
    WHERE user_id = CAST(:user_id AS uuid) AND source = :source AND source_activity_id = :source_activity_id
""")


async def write(connection: AsyncConnection, user_id: str, rows: Sequence[dict[str, Any]]) -> Counts:
    """Upserts activities in the caller's transaction, moving those whose date has changed.

    Raises INVALID_FIELD if two rows are the same activity.
    """
    if len({tuple(row[name] for name in SOURCE_KEY) for row in rows}) != len(rows):
        raise invalid(" + ".join(SOURCE_KEY), "two rows of a batch have the same key")
    await connection.execute(LOCK, {"user_id": user_id})
    keys = [{name: row.get(name) for name in (*NATURAL_KEY, "source_as_of", "import_id")} for row in rows]
    parameters = {"user_id": user_id, "rows": orjson.dumps(keys).decode()}
    moved = list((await connection.execute(MOVE, parameters)).scalars())
    counts = await UPSERT.write(connection, UPSERT.payload(user_id, rows), len(rows))
    if not moved:
        return counts
    # A moved activity has changed, whether or not the upsert found more to change.
    touched = len((await connection.execute(TOUCH, {"user_id": user_id, "moved": moved})).all())
    return Counts(counts.stored, counts.updated + touched, counts.unchanged - touched)


async def refuse_known(connection: AsyncConnection, row: dict[str, Any]) -> None:
    """Raises ALREADY_EXISTS if the person has the activity, on whatever date."""
    user_id = current().subject
    await connection.execute(LOCK, {"user_id": user_id})
    key = {name: row[name] for name in SOURCE_KEY}
    if (await connection.execute(KNOWN, {"user_id": user_id, **key})).first() is not None:
        raise ServiceError("ALREADY_EXISTS", "an activity of this source with this source_activity_id exists")
