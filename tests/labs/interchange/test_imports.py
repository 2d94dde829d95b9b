"""What imports make of laboratory files, through the stub and the job, on a real PostgreSQL."""

import json

import pytest

from tests.harness import Running
from tests.labs.conftest import As
from tests.labs.interchange.importing import (
    HEADER,
    MORNING,
    SODIUM,
    counts,
    glucose,
    imported,
    markers,
    oru,
    panels,
)


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


async def test_vital_signs_are_no_laboratory_s(labs: Running, ada: As) -> None:
    pressure = {
        "resourceType": "Observation",
        "status": "final",
        "effectiveDateTime": "2025-03-04",
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}], "text": "Blood pressure"},
        "component": [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": code}], "text": "Pressure"},
                "valueQuantity": {"value": value, "unit": "mm[Hg]"},
            }
            for code, value in (("8480-6", 120), ("8462-4", 80))
        ],
    }
    labelled = {**pressure, "category": [{"coding": [{"code": "vital-signs"}]}]}
    done = await imported(labs, ada, "\n".join(map(json.dumps, (pressure, labelled))))
    assert dict(done.result.rejected_by_reason) == {"no_lab_result": 3}
    assert await panels(ada) == []
