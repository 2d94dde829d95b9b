"""Results, units and days at the ends of what can be, and panels that are judged again."""

import asyncio
from typing import Any

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from tests.harness import Running, failure
from tests.labs.conftest import As
from tests.labs.interchange.importing import imported
from vitalis.labs.v1 import biomarker_aliases_pb2, interchange_pb2, panels_pb2

GLUCOSE = {"raw_name": "Glucose", "value": "99", "unit": "mg/dL"}


async def names_of(who: As) -> list[tuple[str, str]]:
    stored = (await who.panels("ListBloodMarkers")).blood_markers
    return sorted((marker.biomarker, marker.raw_name) for marker in stored)


async def test_more_than_there_can_be_is_refused_where_the_biomarker_is_said(ada: As) -> None:
    much = {"raw_name": "Ferritin", "value": "1e20", "unit": "Gg/fL"}
    refused = await failure(ada.enter("2026-11-18", {**much, "biomarker": "ferritin"}))
    assert [violation.field for violation in refused.violations] == ["markers[0].value"]
    kept = await ada.enter("2026-11-18", much)
    assert [(marker.biomarker, marker.value) for marker in kept.markers] == [("", "1e20")]


@pytest.mark.parametrize("unit", ["Tm9/am9.Tm9/am9.g/L", "am9/Tm9.am9/Tm9.g/L", "10*18.10*18.10*18.g/L"])
async def test_a_trend_is_drawn_in_units_that_there_are(ada: As, unit: str) -> None:
    for day in ("2026-11-16", "2026-11-17", "2026-11-18"):
        await ada.enter(day, GLUCOSE)
    refused = await failure(ada.trends("GetBiomarkerTrend", biomarker="glucose", unit=unit))
    assert [violation.field for violation in refused.violations] == ["unit"]


@pytest.mark.parametrize(
    ("day", "instant"),
    [
        # Noon in UTC is when the day after begins twelve hours west of it.
        ("2026-11-18", "2026-11-19T12:00:00Z"),
        ("0001-01-02", "0001-01-01T11:00:00Z"),
        ("9999-12-30", "9999-12-31T11:00:00Z"),
        ("0001-01-01", "0001-01-01T00:00:00Z"),
        ("9999-12-31", "9999-12-31T23:59:59Z"),
    ],
)
async def test_a_panel_of_any_day_goes_out(ada: As, day: str, instant: str) -> None:
    at = Timestamp()
    at.FromJsonString(instant)
    await ada.enter(day, GLUCOSE, collected_at=at)
    answers = ada.exports("ExportLabsFhir", interchange_pb2.ExportLabsFhirRequest(user_id=ada.id))
    bundle = b"".join([answer.file.data async for answer in answers])
    assert f'"effectiveDateTime":"{day}'.encode() in bundle


@pytest.mark.parametrize("told", [{"sex": "female"}, {"fasting": True}])
async def test_what_is_judged_again_is_the_same_marker(labs: Running, ada: As, told: dict[str, Any]) -> None:
    panel = (
        await ada.enter("2026-11-18", GLUCOSE, {"raw_name": "Eisenspeicher", "value": "5.5", "unit": "ng/mL"})
    ).blood_panel
    alias = biomarker_aliases_pb2.BiomarkerAlias(alias="Eisenspeicher", biomarker="ferritin")
    request = biomarker_aliases_pb2.CreateBiomarkerAliasRequest(user_id=ada.id, biomarker_alias=alias)
    await ada.aliases("CreateBiomarkerAlias", request)
    before = await names_of(ada)
    changed = panels_pb2.BloodPanel(**told)
    await ada.panels("UpdateBloodPanel", id=panel.id, blood_panel=changed, update_mask=FieldMask(paths=list(told)))
    assert await names_of(ada) == before == [("", "Eisenspeicher"), ("glucose", "Glucose")]


async def test_a_marker_deleted_while_its_panel_is_judged_again_stays_deleted(labs: Running, ada: As) -> None:
    entered = await ada.enter("2026-11-18", GLUCOSE)
    with psycopg.connect(labs.database.migrator_url) as judging:
        judging.execute("SELECT FROM blood_panels FOR UPDATE")
        deleting = asyncio.ensure_future(ada.panels("DeleteBloodMarker", id=entered.markers[0].id))
        await labs.database.has_waiting()
        # What judging again does with the markers that it has read.
        judging.execute("UPDATE blood_markers SET updated_at = now() WHERE deleted_at IS NULL")
    await deleting
    assert await names_of(ada) == []


async def test_a_panel_of_more_markers_than_are_saved_at_once_is_judged_again_whole(labs: Running, ada: As) -> None:
    rows = "".join(f"2025-03-04,Lab,Quux {number},{number},mg/dL\n" for number in range(600))
    await imported(labs, ada, f"Date,Lab,Test,Result,Unit\n2025-03-04,Lab,Ferritin,200,ng/mL\n{rows}")
    (panel,) = (await ada.panels("ListBloodPanels")).blood_panels
    before = (await ada.panels("ListBloodMarkers", page_size=1000)).blood_markers
    changed = panels_pb2.BloodPanel(sex="female")
    await ada.panels("UpdateBloodPanel", id=panel.id, blood_panel=changed, update_mask=FieldMask(paths=["sex"]))
    after = (await ada.panels("ListBloodMarkers", page_size=1000)).blood_markers
    assert [(marker.id, marker.raw_name, marker.import_id) for marker in after] == [
        (marker.id, marker.raw_name, marker.import_id) for marker in before
    ]
    assert len(after) == 601
    ferritin = next(marker for marker in after if marker.biomarker == "ferritin")
    assert ferritin.range_source == "dictionary"
