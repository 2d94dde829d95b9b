"""Panels through the stub: entered as printed, read, corrected, taken back, and nobody else's."""

from typing import Any

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.harness import Running, failure, person, reason
from tests.labs.conftest import As
from tests.labs.panels.asking import GLUCOSE, markers_of, update_marker, update_panel
from vitalis.labs.v1 import biomarker_aliases_pb2
from vitalis.labs.v1 import panels_pb2 as pb

NOTES = "Taken after a night shift"


async def test_a_panel_is_kept_as_it_was_told(ada: As) -> None:
    told: dict[str, Any] = {
        "lab_name": "Quest Diagnostics",
        "lab_provider": "Dr. Miriam Vogel",
        "panel_name": "Comprehensive Metabolic Panel",
        "fasting": True,
        "specimen_id": "S-17",
        "sex": "female",
        "age_years": 36,
        "cycle_phase": "luteal",
        "notes": NOTES,
        "collected_at": Timestamp(seconds=1_795_000_000),
        "reported_at": Timestamp(seconds=1_795_090_000),
    }
    answer = await ada.enter("2026-11-18", GLUCOSE, **told)
    assert {name: getattr(answer.blood_panel, name) for name in told} == told
    stored = await ada.panels("GetBloodPanel", id=answer.blood_panel.id)
    assert stored.blood_panel == answer.blood_panel
    listed = (await ada.panels("ListBloodPanels", lab_name="Quest Diagnostics")).blood_panels
    assert [(panel.id, panel.HasField("notes")) for panel in listed] == [(answer.blood_panel.id, False)]
    (marker,) = await markers_of(ada, panel_id=answer.blood_panel.id)
    assert (await ada.panels("GetBloodMarker", id=marker.id)).blood_marker == marker == answer.markers[0]


async def test_notes_are_nowhere_in_clear(labs: Running, ada: As) -> None:
    await ada.enter("2026-11-18", GLUCOSE, notes=NOTES, request_id="r-1")
    with psycopg.connect(labs.database.migrator_url) as owner:
        for table in ("blood_panels", "audit_log", "idempotency_keys"):
            rows = owner.execute(f"SELECT to_jsonb(t)::text FROM {table} AS t").fetchall()
            assert rows
            assert not any("night shift" in row or b"night shift".hex() in row for (row,) in rows)


@pytest.mark.parametrize(
    ("value", "unit", "canonical", "slug"),
    [
        ("99", "mg/dL", 99, "glucose"),
        ("5.5", "mmol/L", 99.0858, "glucose"),
        ("5,5", "mmol/l", 99.0858, "glucose"),
        ("5,5 mmol/l", "", 99.0858, "glucose"),
        ("42", "mmol/mol", 5.99416, "hba1c"),
        ("6.0", "%", 6.0, "hba1c"),
    ],
)
async def test_a_result_is_kept_as_printed_and_in_the_canonical_unit(
    ada: As, value: str, unit: str, canonical: float, slug: str
) -> None:
    name = {"glucose": "Glucose", "hba1c": "HbA1c"}[slug]
    (marker,) = (await ada.enter("2026-11-18", {"raw_name": name, "value": value, "unit": unit})).markers
    assert (marker.biomarker, marker.value) == (slug, value)
    assert marker.value_canonical == pytest.approx(canonical, abs=1e-9)


async def test_serum_and_urine_creatinine_are_two_markers(ada: As) -> None:
    serum = {"raw_name": "Creatinine", "value": "0.9", "unit": "mg/dL", "specimen": "Serum"}
    urine = {"raw_name": "Creatinine", "value": "120", "unit": "mg/dL", "specimen": "Urine"}
    markers = (await ada.enter("2026-11-18", serum, urine)).markers
    assert [marker.biomarker for marker in markers] == ["creatinine", "urine_creatinine"]


async def test_what_the_dictionary_does_not_know_is_kept_as_printed(ada: As) -> None:
    told = {"raw_name": "Unobtainium", "value": "7.5", "unit": "furlongs", "sub_panel": "Exotics", "lab_code": "01"}
    (marker,) = (await ada.enter("2026-11-18", told)).markers
    assert {name: getattr(marker, name) for name in told} == told
    assert marker.value_numeric == 7.5
    assert not marker.HasField("biomarker")
    assert not marker.HasField("value_canonical")


async def test_a_persons_own_name_for_a_biomarker_is_found(ada: As) -> None:
    alias = biomarker_aliases_pb2.BiomarkerAlias(alias="Sugar of the morning", biomarker="glucose")
    await ada.aliases(
        "CreateBiomarkerAlias",
        biomarker_aliases_pb2.CreateBiomarkerAliasRequest(user_id=ada.id, biomarker_alias=alias),
    )
    told = {"raw_name": "Sugar of the Morning", "value": "99", "unit": "mg/dL"}
    (marker,) = (await ada.enter("2026-11-18", told)).markers
    assert marker.biomarker == "glucose"


async def test_a_marker_reported_twice_in_one_panel_is_refused_until_it_is_confirmed(ada: As) -> None:
    again = {"raw_name": "GLUCOSE, SERUM", "value": "101", "unit": "mg/dL"}
    refused = await failure(
        ada.enter("2026-11-18", GLUCOSE, {"raw_name": "Sodium", "value": "140", "unit": "mmol/L"}, again)
    )
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("MARKER_REPEATED", ["markers[2]"])
    assert (await ada.panels("ListBloodPanels")).blood_panels == []
    answer = await ada.enter("2026-11-18", GLUCOSE, again, override=True)
    assert [marker.value for marker in answer.markers] == ["101", "101"]
    assert len(await markers_of(ada)) == 1


async def test_adding_a_marker_that_is_there_needs_a_confirmation(ada: As) -> None:
    panel = (await ada.enter("2026-11-18", GLUCOSE)).blood_panel
    corrected = [pb.BloodMarker(raw_name="Glucose", value="95", unit="mg/dL")]
    sodium = [pb.BloodMarker(raw_name="Sodium", value="140", unit="mmol/L")]
    refused = await failure(ada.panels("AddBloodMarkers", id=panel.id, markers=sodium + corrected))
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("MARKER_REPEATED", ["markers[1]"])
    assert [marker.value for marker in await markers_of(ada)] == ["99"]
    await ada.panels("AddBloodMarkers", id=panel.id, markers=sodium + corrected, override=True)
    assert sorted(marker.value for marker in await markers_of(ada, panel_id=panel.id)) == ["140", "95"]


async def test_the_same_panel_twice_is_refused_until_it_is_confirmed(ada: As) -> None:
    header: dict[str, Any] = {"lab_name": "Quest", "panel_name": "CMP"}
    first = await ada.enter("2026-11-18", GLUCOSE, **header, notes=NOTES)
    assert await reason(ada.enter("2026-11-18", GLUCOSE, **header)) == "PANEL_REPEATED"
    await ada.enter("2026-11-18", GLUCOSE, lab_name="Labcorp", panel_name="CMP")
    again = await ada.enter("2026-11-18", {**GLUCOSE, "value": "98"}, **header, fasting=True, override=True)
    assert again.blood_panel.id == first.blood_panel.id
    assert (again.blood_panel.fasting, again.blood_panel.notes) == (True, NOTES)
    assert (again.markers[0].id, again.markers[0].value) == (first.markers[0].id, "98")
    await ada.panels("DeleteBloodPanel", id=first.blood_panel.id)
    assert (await ada.enter("2026-11-18", GLUCOSE, **header)).blood_panel.id != first.blood_panel.id
    assert await reason(ada.panels("UndeleteBloodPanel", id=first.blood_panel.id)) == "ALREADY_EXISTS"


async def test_a_repeated_request_stores_one_panel(ada: As) -> None:
    first = await ada.enter("2026-11-18", GLUCOSE, request_id="p-1", notes=NOTES)
    assert await ada.enter("2026-11-18", GLUCOSE, request_id="p-1", notes=NOTES) == first
    assert await reason(ada.enter("2026-11-19", GLUCOSE, request_id="p-1")) == "REQUEST_ID_REUSED"
    add = {"id": first.blood_panel.id, "request_id": "p-2"}
    sodium = pb.BloodMarker(raw_name="Sodium", value="140", unit="mmol/L")
    added = await ada.panels("AddBloodMarkers", **add, markers=[sodium])
    assert await ada.panels("AddBloodMarkers", **add, markers=[sodium]) == added
    potassium = pb.BloodMarker(raw_name="Potassium", value="4", unit="mmol/L")
    assert await reason(ada.panels("AddBloodMarkers", **add, markers=[potassium])) == "REQUEST_ID_REUSED"


async def test_every_violation_is_told_at_once_and_nothing_is_stored(ada: As) -> None:
    refused = await failure(
        ada.enter(
            "2026-11-18",
            {**GLUCOSE, "biomarker": "phlogiston"},
            {**GLUCOSE, "biomarker": "glucose", "unit": "furlongs"},
            {**GLUCOSE, "value": "NaN"},
            {**GLUCOSE, "value": "inf", "flag": "purple"},
        )
    )
    assert refused.reason.name == "INVALID_FIELD"
    fields = ["markers[0].biomarker", "markers[1].unit", "markers[2].value", "markers[3].value", "markers[3].flag"]
    assert sorted(v.field for v in refused.violations) == sorted(fields)
    assert "mmol/L" in next(v.description for v in refused.violations if v.field == "markers[1].unit")
    assert "furlongs" not in refused.message
    assert (await ada.panels("ListBloodPanels")).blood_panels == []


async def test_a_corrected_marker_is_judged_again(ada: As) -> None:
    (marker,) = (await ada.enter("2026-11-18", {**GLUCOSE, "value": "990", "ref_range_text": "70-99"})).markers
    changed = await update_marker(ada, marker, value="5,0", unit="mmol/L", ref_range_text="3.9-5.5", etag=marker.etag)
    assert (changed.id, changed.value_numeric, changed.in_range, changed.own_flag) == (marker.id, 5.0, True, "")
    assert changed.value_canonical == pytest.approx(90.078)
    assert await reason(update_marker(ada, marker, value="1", etag=marker.etag)) == "ETAG_MISMATCH"
    assert await reason(update_marker(ada, marker, "value")) == "INVALID_FIELD"
    assert await reason(update_marker(ada, marker, "in_range", in_range=True)) == "INVALID_FIELD"
    refused = await failure(update_marker(ada, marker, unit="furlongs"))
    assert [v.field for v in refused.violations] == ["blood_marker.unit"]
    renamed = await update_marker(ada, marker, raw_name="Glucose, Urine", unit="mg/dL", value="15")
    assert renamed.biomarker != "glucose"


async def test_a_marker_cannot_become_another_of_its_panel(ada: As) -> None:
    sodium = {"raw_name": "Sodium", "value": "140", "unit": "mmol/L"}
    _, marker = (await ada.enter("2026-11-18", GLUCOSE, sodium)).markers
    change = update_marker(ada, marker, raw_name="Glucose", value="5", unit="mmol/L")
    assert await reason(change) == "ALREADY_EXISTS"


async def test_decimal_commas_of_a_report_hold_when_it_is_corrected(ada: As) -> None:
    german = [
        {"raw_name": "TSH", "value": "1,234", "unit": "mU/L"},
        {"raw_name": "Glukose", "value": "5,4", "unit": "mmol/L"},
    ]
    answer = await ada.enter("2026-11-18", *german)
    assert answer.markers[0].value_numeric == 1.234
    await update_panel(ada, answer.blood_panel, sex="male")
    corrected = await update_marker(ada, answer.markers[0], value="1,345")
    assert corrected.value_numeric == 1.345


async def test_another_date_of_the_panel_is_its_markers_too(ada: As) -> None:
    answer = await ada.enter("2026-11-18", GLUCOSE)
    await update_panel(ada, answer.blood_panel, collected_date="2026-10-18")
    assert [marker.collected_date for marker in await markers_of(ada)] == ["2026-10-18"]
    other = (await ada.enter("2026-11-19", GLUCOSE)).blood_panel
    assert await reason(update_panel(ada, other, collected_date="2026-10-18")) == "ALREADY_EXISTS"
    assert await reason(update_panel(ada, other, sex="male", etag="0")) == "ETAG_MISMATCH"


async def test_a_deleted_panel_takes_its_markers_along_and_back(ada: As) -> None:
    answer = await ada.enter("2026-11-18", GLUCOSE, {"raw_name": "Sodium", "value": "140", "unit": "mmol/L"})
    panel, (glucose, sodium) = answer.blood_panel, answer.markers
    assert await reason(ada.panels("DeleteBloodMarker", id=sodium.id, etag="0")) == "ETAG_MISMATCH"
    await ada.panels("DeleteBloodMarker", id=sodium.id)
    assert await reason(ada.panels("DeleteBloodPanel", id=panel.id, etag="0")) == "ETAG_MISMATCH"
    await ada.panels("DeleteBloodPanel", id=panel.id)
    assert await markers_of(ada) == []
    assert await reason(ada.panels("UndeleteBloodMarker", id=glucose.id)) == "NOT_FOUND"
    assert await reason(update_panel(ada, panel, sex="male")) == "NOT_FOUND"
    back = (await ada.panels("UndeleteBloodPanel", id=panel.id)).blood_panel
    assert not back.HasField("deleted_at")
    # What was deleted by itself before stays so.
    assert [marker.id for marker in await markers_of(ada)] == [glucose.id]
    await ada.panels("UndeleteBloodMarker", id=sodium.id)
    assert len(await markers_of(ada)) == 2
    await ada.panels("DeleteBloodMarker", id=sodium.id)
    await ada.panels(
        "AddBloodMarkers", id=panel.id, markers=[pb.BloodMarker(raw_name="Sodium", value="1", unit="mmol/L")]
    )
    assert await reason(ada.panels("UndeleteBloodMarker", id=sodium.id)) == "ALREADY_EXISTS"


async def test_another_persons_panel_takes_no_marker(labs: Running, ada: As) -> None:
    panel = (await ada.enter("2026-11-18", GLUCOSE)).blood_panel
    eve = As(labs, person())
    marker = pb.BloodMarker(raw_name="Glucose", value="1", unit="mg/dL")
    assert await reason(eve.panels("AddBloodMarkers", id=panel.id, markers=[marker])) == "NOT_FOUND"
    assert await reason(eve.panels("ListBloodMarkers", panel_id="x")) == "INVALID_FIELD"
    assert await markers_of(eve, panel_id=panel.id) == []


async def test_sixty_markers_are_one_row_each_in_one_call(ada: As) -> None:
    told = [{"raw_name": f"Assay {number}", "value": str(number), "unit": "mg/dL"} for number in range(60)]
    answer = await ada.enter("2026-11-18", *told)
    assert [marker.raw_name for marker in answer.markers] == [marker["raw_name"] for marker in told]
    assert len(await markers_of(ada, panel_id=answer.blood_panel.id, page_size=100)) == 60


async def test_the_trail_has_a_report_as_one_row_and_every_correction_by_itself(labs: Running, ada: As) -> None:
    sodium = {"raw_name": "Sodium", "value": "140", "unit": "mmol/L"}
    answer = await ada.enter("2026-11-18", GLUCOSE, sodium)
    await update_marker(ada, answer.markers[0], value="95")
    await ada.panels("DeleteBloodPanel", id=answer.blood_panel.id)
    with psycopg.connect(labs.database.migrator_url) as owner:
        trail = owner.execute(
            "SELECT action, record_id, old_values, new_values FROM audit_log"
            " WHERE user_id = %s AND table_name = 'blood_markers' ORDER BY created_at",
            [ada.id],
        ).fetchall()
    batch, correction, *deletions = trail
    dates = {"first_date": "2026-11-18", "last_date": "2026-11-18"}
    assert batch == ("BATCH", None, None, {"operation": "INSERT", "rows": 2, **dates})
    assert correction[:2] == ("UPDATE", answer.markers[0].id)
    assert (correction[2]["value"], correction[3]["value"]) == ("99", "95")
    assert {(action, record) for action, record, _, _ in deletions} == {
        ("UPDATE", marker.id) for marker in answer.markers
    }
