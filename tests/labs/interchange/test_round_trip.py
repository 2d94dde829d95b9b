"""Whatever panels somebody has, somebody else who imports their export has the same."""

import json
from datetime import datetime, timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import Running, person
from tests.labs.conftest import As
from tests.labs.interchange.importing import counts, imported, markers, panels
from tests.labs.interchange.test_export import entered_markers, exported, has_idle_unit, headers

HEADER = ("collected_date", "collected_at", "reported_at", "lab_name", "lab_provider", "panel_name", "specimen_id")
MARKER = (
    *("raw_name", "specimen", "sub_panel", "biomarker", "comparator", "value_numeric", "value_text", "unit"),
    *("value_canonical", "ref_range_text", "ref_range_low", "ref_range_high", "flag", "lab_comment"),
    *("in_range", "own_flag", "range_source", "optimal_low", "optimal_high", "in_optimal"),
)
reports = st.lists(
    st.tuples(
        st.dates(datetime(2000, 1, 2).date(), datetime(2026, 1, 1).date()),  # noqa: DTZ001
        st.integers(-12, 14),
        headers,
        st.lists(entered_markers.filter(lambda marker: not has_idle_unit(marker)), min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=4,
)


def stamp(instant: datetime | None) -> Timestamp | None:
    if instant is None:
        return None
    found = Timestamp()
    found.FromDatetime(instant)
    return found


async def held(who: As) -> list[Any]:
    """The person's panels with their markers, without what belongs to the row."""
    read = [(await who.panels("GetBloodPanel", id=panel.id)).blood_panel for panel in await panels(who)]
    of_panel: dict[str, list[Any]] = {panel.id: [] for panel in read}
    for marker in await markers(who):
        told = {field.name: value for field, value in marker.ListFields() if field.name in MARKER}
        of_panel[marker.panel_id].append(json.dumps(told, sort_keys=True))
    return sorted(
        [[str(getattr(panel, name)) for name in (*HEADER, "lab_comment")], sorted(of_panel[panel.id])] for panel in read
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=reports)
async def test_an_export_is_the_same_panels_for_somebody_else(labs: Running, told: list[Any]) -> None:
    ada, bob = As(labs, person()), As(labs, person())
    for day, hours, header, entered in told:
        instant = header["collected_at"]
        if instant is not None:
            # Where it was that day, which need not be the day in Greenwich.
            day = (instant + timedelta(hours=hours)).date()
        said = {name: value for name, value in header.items() if value is not None and not name.endswith("_at")}
        times: dict[str, Any] = {"collected_at": stamp(instant), "reported_at": stamp(header["reported_at"])}
        await ada.enter(day.isoformat(), *entered, override=True, **said, **times)
    bundle = json.dumps(await exported(ada))
    done = await imported(labs, bob, bundle)
    mine = await held(ada)
    assert counts(done.result) == (sum(len(found) for _, found in mine), 0, 0, 0, 0)
    assert await held(bob) == mine
    again = await imported(labs, ada, bundle)
    assert again.result.records_unchanged == again.result.records_read
