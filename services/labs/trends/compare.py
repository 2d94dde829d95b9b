"""Two panels side by side."""

from typing import Any

import sqlalchemy as sa

from services.kit.caller import current
from services.kit.database import Database, Statement
from services.labs.biomarkers.catalogue import catalogue
from services.labs.panels.store import MARKERS, PANELS
from services.labs.panels.tables import blood_markers, blood_panels
from services.labs.trends.change import change_of
from vitalis.labs.v1 import trends_pb2 as pb

_OWNER = sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False))
_BEFORE = Statement(
    sa.select(sa.cast(blood_panels.c.id, sa.Text))
    .where(
        blood_panels.c.user_id == _OWNER,
        blood_panels.c.deleted_at.is_(None),
        sa.tuple_(blood_panels.c.collected_date, blood_panels.c.id)
        < sa.tuple_(
            sa.cast(sa.bindparam("collected_date", type_=sa.Text), sa.Date),
            sa.cast(sa.bindparam("id", type_=sa.Text), sa.Uuid),
        ),
    )
    .order_by(blood_panels.c.collected_date.desc(), blood_panels.c.id.desc())
    .limit(1)
)
_MARKERS = Statement(
    sa.select(blood_markers.c.marker_key, *MARKERS.columns).where(
        blood_markers.c.user_id == _OWNER,
        blood_markers.c.panel_id.in_(
            [sa.cast(sa.bindparam(name, type_=sa.Text), sa.Uuid) for name in ("earlier", "later")]
        ),
        blood_markers.c.deleted_at.is_(None),
    )
)


async def compare(database: Database, request: pb.CompareBloodPanelsRequest) -> pb.CompareBloodPanelsResponse:
    """The panels and their markers. Raises NOT_FOUND for a panel that is not there, or deleted."""
    later = await PANELS.living(database, request.id)
    earlier_id = request.earlier_id or await _before(database, later)
    earlier = await PANELS.living(database, earlier_id) if earlier_id else None
    parameters = {"user_id": current().subject, "earlier": earlier_id or None, "later": later.id}
    pairs: dict[str, dict[str, Any]] = {}
    rows = await database.fetch(_MARKERS, parameters)
    for (key, *_), marker in zip(rows, MARKERS.messages(database, [row[1:] for row in rows]), strict=True):
        side = "later" if marker.panel_id == later.id else "earlier"
        pairs.setdefault(key, {})[side] = marker
    compared = [_compared(pair) for pair in pairs.values()]
    return pb.CompareBloodPanelsResponse(earlier=earlier, later=later, markers=sorted(compared, key=_place))


async def _before(database: Database, panel: Any) -> str:
    parameters = {"user_id": current().subject, "collected_date": panel.collected_date, "id": panel.id}
    rows = await database.fetch(_BEFORE, parameters)
    return rows[0][0] if rows else ""


def _compared(pair: dict[str, Any]) -> pb.MarkerComparison:
    one = pair.get("later") or pair["earlier"]
    marker = catalogue().of(one.biomarker)
    comparison = pb.MarkerComparison(
        biomarker=one.biomarker or None,
        display_name=marker.display_name if marker else one.raw_name,
        unit=marker.canonical_unit if marker and not marker.is_qualitative else "",
        **pair,
    )
    numbers = [
        other.value_canonical
        for side in ("earlier", "later")
        if (other := pair.get(side)) and other.HasField("value_canonical") and not other.comparator
    ]
    if len(numbers) == 2:
        comparison.difference = numbers[1] - numbers[0]
        if change := change_of(marker, *numbers):
            comparison.change.CopyFrom(change)
    return comparison


def _place(comparison: pb.MarkerComparison) -> tuple[int, int, str]:
    marker = catalogue().of(comparison.biomarker)
    categories = list(catalogue().categories)
    if marker is None:
        return len(categories), 0, comparison.display_name
    return categories.index(marker.category), marker.sort_order, marker.slug
