"""The overview of what is out of range now."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import distinct_on

from services.kit.caller import current
from services.kit.database import Database, Statement
from services.labs.panels.store import MARKERS
from services.labs.panels.tables import blood_markers

_OWNER = sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False))
_ROWS = blood_markers.alias("newest")
# The newest result counts whether or not it can be judged: an older one says nothing about now.
_NEWEST = (
    sa.select(_ROWS.c.id, _ROWS.c.in_range)
    .ext(distinct_on(_ROWS.c.marker_key))
    .where(_ROWS.c.user_id == _OWNER, _ROWS.c.deleted_at.is_(None))
    .order_by(_ROWS.c.marker_key, _ROWS.c.collected_date.desc(), _ROWS.c.id.desc())
    .subquery()
)
_OUT_OF_RANGE = Statement(
    sa.select(*MARKERS.columns)
    .where(
        blood_markers.c.user_id == _OWNER,
        blood_markers.c.id.in_(sa.select(_NEWEST.c.id).where(_NEWEST.c.in_range.is_(False))),
    )
    .order_by(blood_markers.c.collected_date.desc(), blood_markers.c.id.desc())
)


async def out_of_range(database: Database) -> list[Any]:
    """The newest results of markers that are out of range, the newest first."""
    rows = await database.fetch(_OUT_OF_RANGE, {"user_id": current().subject})
    return MARKERS.messages(database, rows)
