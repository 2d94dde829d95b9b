"""Imports of laboratory files through the stub and the job, on a real PostgreSQL."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.labs.confined import Limits
from services.labs.interchange.read_file import LIMITS, read_file
from services.labs.reports import UnreadableReportError
from tests.harness import Running, drain, failure, person, reason
from tests.labs.conftest import As
from tests.labs.interchange.importing import (
    chunks,
    counts,
    imported,
    markers,
    panels,
    read,
    rolled_back,
    upload,
)
from vitalis.labs.v1 import interchange_pb2 as pb
from vitalis.labs.v1 import panels_pb2

HEADER = "Date,Lab,Test,Result,Unit,Range,Specimen\n"
MORNING = "2025-03-04,North Lab,Glucose,5.5,mmol/L,3.9-5.5,serum\n2025-03-04,North Lab,LDL Chol Calc,100,mg dl,<130,\n"


def oru(*results: str, reported: str = "202503051200", collected: str = "20250304080000") -> str:
    lines = [
        rf"MSH|^~\&|LIS|North Lab|APP|ME|{reported}||ORU^R01|7|P|2.5.1",
        f"OBR|1||A-1|24323-8^Metabolic panel^LN|||{collected}",
        *(f"OBX|{number}|NM|{result}|||F" for number, result in enumerate(results, start=1)),
    ]
    return "\r".join(lines)


def glucose(value: str) -> str:
    return f"2345-7^Glucose^LN||{value}|mg/dL|70-99|"


SODIUM = "2951-2^Sodium^LN||140|mmol/L|136-145|"


async def values(who: As) -> dict[str, str]:
    return {marker.biomarker or marker.raw_name: marker.value for marker in await markers(who)}


async def correct(who: As, marker: panels_pb2.BloodMarker, value: str) -> None:
    changed = panels_pb2.BloodMarker(value=value)
    await who.panels("UpdateBloodMarker", id=marker.id, blood_marker=changed, update_mask=FieldMask(paths=["value"]))


async def test_a_file_is_read_matched_converted_and_accounted_for(labs: Running, ada: As) -> None:
    file = (
        HEADER
        + MORNING
        + "2025-03-04,North Lab,Glucose,20,mg/dL,0-15,urine\n"
        + "2025-03-04,North Lab,eGFR,>60,mL/min/1.73m2,>60,\n"
        + "2025-03-04,North Lab,CREA,0.9,mg per dL,0.6-1.2,ser/plas\n"
        + "2025-03-04,North Lab,Platelet Count,152,THOUS/MCL,150-400,\n"
        + "2025-03-04,North Lab,LDL/HDL Ratio,2.0,ratio,1.0-3.5,\n"
        + "2025-03-04,North Lab,Quuxin,12,mg/dL,10-20,serum\n"
        + "2025-03-04,North Lab,GLU,110,mg/dL,70-99,\n"
        + "2025-03-04,North Lab,Sodium,QNS,mmol/L,,\n"
        + "2025-03-04,North Lab,,1,,,\n"
    )
    done = await imported(labs, ada, file)
    assert (done.status, done.format, done.progress_pct, done.records_read) == ("succeeded", "csv", 100, 11)
    assert counts(done.result) == (8, 0, 0, 0, 3)
    told = {(each.place, each.reason) for each in done.result.rejections}
    assert told == {("line 10", "repeated"), ("line 11", "no_result"), ("line 12", "not_readable")}
    assert [(doubt.kind, doubt.place) for doubt in done.result.doubts] == [("marker_unknown", "line 9")]
    assert (done.result.panels_stored, done.result.first_date, done.result.last_date) == (1, "2025-03-04", "2025-03-04")
    stored = {marker.biomarker or marker.raw_name: marker for marker in await markers(ada)}
    assert set(stored) == {
        *("glucose", "urine_glucose", "egfr", "creatinine", "platelets", "ldl_hdl_ratio", "ldl_cholesterol", "Quuxin")
    }
    assert stored["glucose"].value_canonical == pytest.approx(99.0858)
    assert (stored["egfr"].comparator, stored["platelets"].value_canonical) == (">", 152)
    assert stored["glucose"].unit == "mmol/L"
    assert (stored["glucose"].import_id, stored["glucose"].source_place) == (done.id, "line 2")
    assert not stored["Quuxin"].HasField("value_canonical")


async def test_the_same_file_twice_adds_nothing(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, HEADER + MORNING)
    before = await markers(ada)
    again = await imported(labs, ada, HEADER + MORNING)
    assert counts(again.result) == (0, 0, 2, 0, 0)
    assert again.result.panels_stored == 0
    assert await markers(ada) == before
    assert {marker.import_id for marker in before} == {first.id}


async def test_an_overlapping_file_adds_what_is_new_and_updates_what_changed(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, oru(glucose("95")))
    assert counts(first.result) == (1, 0, 0, 0, 0)
    second = await imported(labs, ada, oru(glucose("59"), SODIUM, reported="202503061200"))
    assert counts(second.result) == (1, 1, 0, 0, 0)
    assert await values(ada) == {"glucose": "59", "sodium": "140"}
    (panel,) = await panels(ada)
    assert (panel.source_system, panel.source_id, panel.import_id) == ("LIS", "A-1", second.id)


async def test_what_the_laboratory_reported_earlier_changes_nothing(labs: Running, ada: As) -> None:
    await imported(labs, ada, oru(glucose("59"), reported="202503061200"))
    older = await imported(labs, ada, oru(glucose("95"), reported="202503051200"))
    assert counts(older.result) == (0, 0, 0, 1, 0)
    assert await values(ada) == {"glucose": "59"}


async def test_a_correction_later_in_one_file(labs: Running, ada: As) -> None:
    file = "\r".join([oru(glucose("95")), oru(glucose("59"), reported="202503061200")])
    done = await imported(labs, ada, file)
    assert counts(done.result) == (1, 1, 0, 0, 0)
    assert await values(ada) == {"glucose": "59"}
    await rolled_back(ada, done.id)
    assert await panels(ada) == []


async def test_one_result_twice_in_one_panel_is_one(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, oru(glucose("95"), glucose("95"), glucose("180")))
    assert counts(done.result) == (1, 0, 1, 0, 1)
    assert await values(ada) == {"glucose": "95"}


async def test_what_a_person_corrected_or_entered_stays(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, HEADER + MORNING)
    by_name = {marker.biomarker: marker for marker in await markers(ada)}
    await correct(ada, by_name["glucose"], "5.1")
    (panel,) = await panels(ada)
    mine = panels_pb2.BloodMarker(raw_name="Sodium", value="139", unit="mmol/L")
    await ada.panels("AddBloodMarkers", id=panel.id, markers=[mine])
    again = await imported(labs, ada, HEADER + MORNING + "2025-03-04,North Lab,Sodium,141,mmol/L,,\n")
    assert counts(again.result) == (0, 0, 1, 2, 0)
    assert await values(ada) == {"glucose": "5.1", "ldl_cholesterol": "100", "sodium": "139"}
    await rolled_back(ada, again.id)
    await rolled_back(ada, first.id)
    assert await values(ada) == {"glucose": "5.1", "sodium": "139"}


async def test_what_a_person_overrides_is_theirs(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, HEADER + MORNING)
    (panel,) = await panels(ada)
    mine = [
        panels_pb2.BloodMarker(raw_name="Glucose", value="5.0", unit="mmol/L"),
        panels_pb2.BloodMarker(raw_name="LDL Chol Calc", value="100", unit="mg dl"),
    ]
    await ada.panels("AddBloodMarkers", id=panel.id, markers=mine, override=True)
    await rolled_back(ada, done.id)
    assert await values(ada) == {"glucose": "5.0"}


async def test_judging_again_leaves_a_marker_the_import_s(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, HEADER + MORNING)
    (panel,) = await panels(ada)
    header = panels_pb2.BloodPanel(sex="female")
    await ada.panels("UpdateBloodPanel", id=panel.id, blood_panel=header, update_mask=FieldMask(paths=["sex"]))
    assert {marker.import_id for marker in await markers(ada)} == {done.id}


async def test_a_rolled_back_import_has_never_been(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, oru(glucose("95"), SODIUM))
    before = (await values(ada), [panel.reported_at for panel in await panels(ada)])
    second = await imported(labs, ada, oru(glucose("59"), "2823-3^Potassium^LN||4.2|mmol/L||", reported="202503061200"))
    third = await imported(labs, ada, HEADER + MORNING)
    assert (await rolled_back(ada, second.id)).status == "rolled_back"
    await rolled_back(ada, third.id)
    assert (await values(ada), [panel.reported_at for panel in await panels(ada)]) == before
    await rolled_back(ada, first.id)
    assert (await rolled_back(ada, first.id)).status == "rolled_back"
    assert (await markers(ada), await panels(ada)) == ([], [])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_imports_of_one_panel_roll_back_in_any_order(labs: Running, ada: As, order: tuple[int, int]) -> None:
    both = [
        await imported(labs, ada, oru(glucose("95"))),
        await imported(labs, ada, oru(glucose("59"), SODIUM, reported="202503061200")),
    ]
    first, last = (both[number] for number in order)
    await rolled_back(ada, first.id)
    assert await values(ada) == ({"glucose": "59", "sodium": "140"} if order == (0, 1) else {"glucose": "95"})
    await rolled_back(ada, last.id)
    assert (await markers(ada), await panels(ada)) == ([], [])


async def test_a_panel_that_another_import_added_to_outlives_the_first(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, oru(glucose("95")))
    second = await imported(labs, ada, oru(SODIUM))
    await rolled_back(ada, first.id)
    assert await values(ada) == {"sodium": "140"}
    await rolled_back(ada, second.id)
    assert await panels(ada) == []


async def test_days_and_zones(labs: Running, ada: As) -> None:
    late = oru(glucose("95"), collected="20250304233000")
    await imported(labs, ada, late, time_zone="America/New_York")
    await imported(labs, ada, oru(SODIUM, collected="20250306003000+0200"))
    found = [(panel.collected_date, panel.collected_at.ToJsonString()) for panel in await panels(ada)]
    assert found == [("2025-03-06", "2025-03-05T22:30:00Z"), ("2025-03-04", "2025-03-05T04:30:00Z")]


async def test_a_result_without_its_day_needs_one(labs: Running, ada: As) -> None:
    file = "Test,Result,Unit\nGlucose,95,mg/dL\n"
    without = await imported(labs, ada, file)
    assert (without.status, counts(without.result)) == ("succeeded", (0, 0, 0, 0, 1))
    assert dict(without.result.rejected_by_reason) == {"no_date": 1}
    assert (await panels(ada), without.result.first_date) == ([], "")
    done = await imported(labs, ada, file, collected_date="2025-01-02")
    assert (counts(done.result), done.collected_date) == ((1, 0, 0, 0, 0), "2025-01-02")
    assert [panel.collected_date for panel in await panels(ada)] == ["2025-01-02"]


@pytest.mark.parametrize(("order", "days"), [("", []), ("day_first", ["2025-04-03"]), ("month_first", ["2025-03-04"])])
async def test_a_date_that_could_be_two(labs: Running, ada: As, order: str, days: list[str]) -> None:
    await imported(labs, ada, "Date,Test,Result,Unit\n03/04/2025,Glucose,95,mg/dL\n", date_order=order)
    assert [panel.collected_date for panel in await panels(ada)] == days


async def test_what_the_dates_of_a_file_say_goes_before_the_order(labs: Running, ada: As) -> None:
    file = "Date,Test,Result,Unit\n03/04/2025,Glucose,95,mg/dL\n25/04/2025,Glucose,96,mg/dL\n"
    await imported(labs, ada, file, date_order="month_first")
    assert [panel.collected_date for panel in await panels(ada)] == ["2025-04-25", "2025-04-03"]


@pytest.mark.parametrize("written", ["0001-01-01", "9999-12-31", "1899-12-31", "0001-01-01T00:00:00+14:00"])
async def test_days_on_which_nothing_was_collected(labs: Running, ada: As, written: str) -> None:
    done = await imported(labs, ada, f"Date,Test,Result,Unit\n{written},Glucose,95,mg/dL\n")
    assert dict(done.result.rejected_by_reason) == {"impossible_date": 1}


async def test_an_offset_that_no_zone_has(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, oru(glucose("95"), collected="20250304080000+2000"))
    assert dict(done.result.rejected_by_reason) == {"impossible_date": 1}


async def test_a_code_of_another_marker_than_the_name(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, oru("2951-2^Glucose^LN||95|mmol/L||", glucose("95"), "2345-7^GLU^LN||20|mg/dL||"))
    assert [(doubt.kind, doubt.place) for doubt in done.result.doubts] == [("loinc_disagrees", "message 1, OBX 1")]
    (doubtful,) = [marker for marker in await markers(ada) if not marker.HasField("biomarker")]
    assert (doubtful.raw_name, doubtful.loinc_code, doubtful.value) == ("Glucose", "2951-2", "95")


async def test_a_unit_that_is_none_of_the_marker_s(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, "Test,Result,Unit\nGlucose,95,blorps\n", collected_date="2025-01-02")
    assert dict(done.result.doubts_by_kind) == {"unit_unknown": 1}
    (marker,) = await markers(ada)
    assert (marker.unit, marker.HasField("biomarker"), marker.value_numeric) == ("blorps", False, 95)


async def test_decimal_commas_hold_for_the_whole_file(labs: Running, ada: As) -> None:
    file = "Datum;Untersuchung;Ergebnis;Einheit\n04.03.2025;Glukose;5,5;mmol/l\n05.03.2025;Thrombozyten;1,250;/nl\n"
    await imported(labs, ada, file)
    found = {marker.collected_date: marker.value_numeric for marker in await markers(ada)}
    assert found == {"2025-03-04": 5.5, "2025-03-05": 1.25}


async def test_what_no_column_can_hold(labs: Running, ada: As) -> None:
    bundle = {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "Glu\u0000co\ud800se"},
        "effectiveDateTime": "2025-03-04",
        "interpretation": [{"coding": [{"code": "N"}]}],
        "valueQuantity": {"value": 95, "unit": "mg/dL"},
    }
    long = {**bundle, "code": {"text": "x" * 201}}
    file = "\n".join(json.dumps(resource) for resource in (bundle, long))
    done = await imported(labs, ada, file)
    assert counts(done.result) == (1, 0, 0, 0, 1)
    assert dict(done.result.rejected_by_reason) == {"too_long": 1}
    assert [marker.raw_name for marker in await markers(ada)] == ["Glu co se"]


BOMB = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]><ClinicalDocument>&c;</ClinicalDocument>'


@pytest.mark.parametrize(
    ("file", "options"),
    [
        (b"%PDF-1.7 nothing", {}),
        (b"a,b\n1,2\n", {}),
        ("[" * 100_000, {}),
        (BOMB, {}),
        ('{"resourceType": "Patient"', {}),
        (rb"MSH|^~\&|A|B|C|D|20240101||ADT^A01|1|P|2.5", {}),
        (HEADER + MORNING, {"format": "fhir"}),
        (oru(glucose("95")), {"format": "csv"}),
    ],
    ids=["pdf", "table of something", "nested", "entities", "broken", "no results", "no FHIR", "no CSV"],
)
async def test_a_file_that_is_something_else_is_refused(
    labs: Running, ada: As, tmp_path: Path, file: bytes | str, options: dict[str, Any]
) -> None:
    done = await imported(labs, ada, file, **options)
    assert (done.status, done.HasField("result")) == ("failed", False)
    assert done.error_message
    assert await panels(ada) == []
    assert not [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]


@pytest.mark.parametrize("limits", [LIMITS._replace(memory_bytes=32 << 20), LIMITS._replace(processor_seconds=0)])
async def test_a_file_that_asks_for_too_much_hurts_nobody(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "file"
    path.write_text(json.dumps([[[0] * 100_000] * 20]))
    with pytest.raises(UnreadableReportError, match="time or memory"):
        await read_file(path, "", "", limits)


async def test_an_upload_is_gone_when_its_import_has_ended(labs: Running, ada: As, tmp_path: Path) -> None:
    def files() -> list[Path]:
        return [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]

    queued = await upload(ada, HEADER + MORNING)
    assert len(files()) == 1
    await drain(labs)
    assert ((await read(ada, queued.id)).status, files()) == ("succeeded", [])


async def test_a_cancelled_import_stores_nothing(labs: Running, ada: As, tmp_path: Path) -> None:
    queued = await upload(ada, HEADER + MORNING)
    cancel = pb.CancelLabImportRequest(user_id=ada.id, id=queued.id)
    roll_back = pb.RollBackLabImportRequest(user_id=ada.id, id=queued.id)
    assert await reason(ada.imports("RollBackLabImport", roll_back)) == "IMPORT_NOT_ENDED"
    assert (await ada.imports("CancelLabImport", cancel)).lab_import.status == "cancelled"
    assert await reason(ada.imports("CancelLabImport", cancel)) == "IMPORT_ENDED"
    await drain(labs)
    assert ((await read(ada, queued.id)).status, await panels(ada)) == ("cancelled", [])
    assert not [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]


async def test_an_import_is_watched_to_its_end(labs: Running, ada: As) -> None:
    queued = await upload(ada, HEADER + MORNING)
    watching = ada.imports("WatchLabImport", pb.WatchLabImportRequest(user_id=ada.id, id=queued.id))
    seen = [(await watching.read()).lab_import.status]
    await drain(labs)
    seen += [answer.lab_import.status async for answer in watching]
    assert (seen[0], seen[-1]) == ("queued", "succeeded")


async def test_a_repeated_upload_is_one_import(labs: Running, ada: As, tmp_path: Path) -> None:
    ids = {(await upload(ada, HEADER + MORNING, request_id="r-1")).id for _ in range(2)}
    listed = await ada.imports("ListLabImports", pb.ListLabImportsRequest(user_id=ada.id, status="queued"))
    assert {each.id for each in listed.lab_imports} == ids
    assert len([path for path in (tmp_path / "documents").rglob("*") if path.is_file()]) == len(ids) == 1


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", "FILE_EMPTY"), (b"x" * (2**20 + 1), "FILE_TOO_LARGE")], ids=["empty", "large"]
)
async def test_uploads_that_are_refused(ada: As, data: bytes, expected: str) -> None:
    assert await reason(ada.imports("CreateLabImport", chunks(ada.id, data))) == expected


async def test_an_upload_that_breaks_off_leaves_nothing(ada: As, tmp_path: Path) -> None:
    broken = chunks(ada.id, b"Test,Result\n", complete=False)
    assert await reason(ada.imports("CreateLabImport", broken)) == "CANCELLED"
    assert not [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "UTC\0"])
async def test_a_zone_that_does_not_exist(ada: As, zone: str) -> None:
    error = await failure(upload(ada, HEADER, time_zone=zone))
    assert (error.reason.name, [each.field for each in error.violations]) == ("INVALID_FIELD", ["time_zone"])


async def test_an_import_is_one_row_of_the_audit_trail_for_each_panel(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, HEADER + MORNING)
    await rolled_back(ada, done.id)
    with psycopg.connect(labs.database.migrator_url) as owner:
        rows = owner.execute(
            "SELECT table_name, action, new_values FROM audit_log WHERE user_id = %s", [ada.id]
        ).fetchall()
    told = Counter((table, action) for table, action, _ in rows)
    assert told[("blood_markers", "BATCH")] == told[("blood_panels", "INSERT")] == told[("lab_imports", "INSERT")] == 1
    assert (told[("blood_markers", "DELETE")], told[("blood_panels", "DELETE")]) == (2, 1)
    (batch,) = [values for _, action, values in rows if action == "BATCH"]
    assert (batch["rows"], batch["import_id"]) == (2, done.id)


async def test_somebody_else_s_panels_are_out_of_reach(labs: Running, ada: As) -> None:
    bob = As(labs, person())
    theirs = await imported(labs, ada, oru(glucose("95")))
    await imported(labs, bob, oru(glucose("59"), reported="202503061200"))
    assert (await values(ada), await values(bob)) == ({"glucose": "95"}, {"glucose": "59"})
    roll_back = pb.RollBackLabImportRequest(user_id=bob.id, id=theirs.id)
    assert await reason(bob.imports("RollBackLabImport", roll_back)) == "NOT_FOUND"


@pytest.mark.parametrize("column", ["status", "format", "date_order"])
def test_the_table_s_own_rules(labs: Running, ada: As, column: str) -> None:
    values = {"status": "queued", "format": "csv", "date_order": "day_first", column: "something"}
    with psycopg.connect(labs.database.migrator_url) as owner, pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(
            "INSERT INTO lab_imports (id, user_id, status, format, date_order, file_size_bytes, file_sha256)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), %(status)s, %(format)s, %(date_order)s, 1, '')",
            values,
        )
