"""What laboratories say about results and reports: kept with them, and encrypted."""

from typing import Any

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from tests.harness import Running, failure
from tests.labs.conftest import As
from vitalis.labs.v1 import panels_pb2

HAEMOLYSED = "Specimen slightly haemolysed.\nInterpret with care."
POTASSIUM = {"raw_name": "Potassium", "value": "6.1", "unit": "mmol/L", "ref_range_text": "3.5-5.1"}
SODIUM = {"raw_name": "Sodium", "value": "140", "unit": "mmol/L", "ref_range_text": "136-145"}


async def comments(who: As) -> dict[str, str]:
    listed = (await who.panels("ListBloodMarkers")).blood_markers
    return {marker.biomarker: marker.lab_comment for marker in listed}


async def update(who: As, marker: Any, **values: Any) -> None:
    changed = panels_pb2.BloodMarker(**{name: value for name, value in values.items() if value is not None})
    await who.panels("UpdateBloodMarker", id=marker.id, blood_marker=changed, update_mask=FieldMask(paths=list(values)))


async def test_comments_are_there_wherever_the_result_is(labs: Running, ada: As) -> None:
    answer = await ada.enter(
        "2026-01-02", {**POTASSIUM, "lab_comment": HAEMOLYSED}, SODIUM, lab_comment="Checked twice"
    )
    assert [marker.lab_comment for marker in answer.markers] == [HAEMOLYSED, ""]
    assert not answer.markers[1].HasField("lab_comment")
    read = (await ada.panels("GetBloodPanel", id=answer.blood_panel.id)).blood_panel
    assert read.lab_comment == "Checked twice"
    assert await comments(ada) == {"potassium": HAEMOLYSED, "sodium": ""}
    overview = await ada.trends("GetOutOfRangeMarkers")
    assert [marker.lab_comment for marker in overview.blood_markers] == [HAEMOLYSED]
    compared = await ada.trends("CompareBloodPanels", id=answer.blood_panel.id)
    assert {row.later.lab_comment for row in compared.markers} == {HAEMOLYSED, ""}
    with psycopg.connect(labs.database.migrator_url) as owner:
        rows = owner.execute(
            "SELECT p.lab_comment, m.lab_comment FROM blood_panels p JOIN blood_markers m ON m.panel_id = p.id"
            " WHERE m.lab_comment IS NOT NULL"
        ).fetchall()
        trail = str(owner.execute("SELECT new_values FROM audit_log WHERE user_id = %s", [ada.id]).fetchall())
    assert len(rows) == 1
    assert not any(word in stored for stored in rows[0] for word in (b"haemolysed", b"Checked"))
    assert "haemolysed" not in trail
    assert "Checked" not in trail


async def test_a_comment_is_corrected_and_cleared(ada: As) -> None:
    (marker,) = (await ada.enter("2026-01-02", {**POTASSIUM, "lab_comment": HAEMOLYSED})).markers
    await update(ada, marker, value="5.9")
    assert await comments(ada) == {"potassium": HAEMOLYSED}
    await update(ada, marker, lab_comment="Not haemolysed")
    assert await comments(ada) == {"potassium": "Not haemolysed"}
    await update(ada, marker, lab_comment=None)
    assert await comments(ada) == {"potassium": ""}


async def test_a_comment_stays_with_its_result(ada: As) -> None:
    answer = await ada.enter("2026-01-02", {**POTASSIUM, "lab_comment": HAEMOLYSED}, SODIUM)
    panel = panels_pb2.BloodPanel(sex="female")
    await ada.panels(
        "UpdateBloodPanel", id=answer.blood_panel.id, blood_panel=panel, update_mask=FieldMask(paths=["sex"])
    )
    assert await comments(ada) == {"potassium": HAEMOLYSED, "sodium": ""}
    await ada.enter("2026-01-02", POTASSIUM, {**SODIUM, "lab_comment": "Again"}, override=True)
    assert await comments(ada) == {"potassium": HAEMOLYSED, "sodium": "Again"}
    await ada.enter("2026-01-02", {**POTASSIUM, "value": "5.0"}, override=True)
    assert await comments(ada) == {"potassium": "", "sodium": "Again"}


async def test_a_repeated_request_answers_with_its_comments_that_no_table_shows(labs: Running, ada: As) -> None:
    panel = (await ada.enter("2026-01-02", SODIUM)).blood_panel
    told: dict[str, Any] = {**POTASSIUM, "lab_comment": HAEMOLYSED}
    markers = [panels_pb2.BloodMarker(**told)]
    answers = [await ada.panels("AddBloodMarkers", id=panel.id, markers=markers, request_id="r-1") for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0].markers[0].lab_comment == HAEMOLYSED
    with psycopg.connect(labs.database.migrator_url) as owner:
        ((stored,),) = owner.execute("SELECT response FROM idempotency_keys WHERE user_id = %s", [ada.id]).fetchall()
    assert b"haemolysed" not in stored


@pytest.mark.parametrize("field", ["blood_panel", "markers[0]"])
async def test_a_comment_has_a_limit(ada: As, field: str) -> None:
    long: dict[str, Any] = {"lab_comment": "x" * 4001}
    header, marker = (long, SODIUM) if field == "blood_panel" else ({}, {**SODIUM, **long})
    error = await failure(ada.enter("2026-01-02", marker, **header))
    assert (error.reason.name, [each.field for each in error.violations]) == ("INVALID_FIELD", [f"{field}.lab_comment"])
