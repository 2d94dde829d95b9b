"""Files that other people's software wrote, through the import: each field of each record against the file itself."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Running
from tests.labs.conftest import As
from tests.labs.interchange.importing import counts, imported, markers, panels
from vitalis.labs.v1 import panels_pb2

GIVEN = Path(__file__).parents[4] / "shared" / "data" / "labs"
PRINTED = ("raw_name", "value", "unit", "ref_range_text", "loinc_code", "specimen", "sub_panel", "source_id", "flag")
CBC = (
    "wbc rbc hemoglobin hematocrit mcv mch mchc rdw platelets"
    " neutrophils_pct lymphocytes_pct monocytes_pct eosinophils_pct basophils_pct"
)
CMP = (
    "glucose bun creatinine egfr sodium potassium chloride carbon_dioxide calcium protein_total albumin globulin"
    " bilirubin_total alp ast alt"
)

ALIASES = "ldl_cholesterol hdl_cholesterol triglycerides glucose creatinine hba1c urine_glucose ldl_hdl_ratio"


def given(path: str) -> str:
    if not GIVEN.exists():
        pytest.skip("the shared example files are not beside the repository")
    return (GIVEN / path).read_text()


def printed(marker: panels_pb2.BloodMarker) -> dict[str, str]:
    """What of a marker is printed, without what is not."""
    return {name: value for name in PRINTED if (value := getattr(marker, name))}


async def stored(who: As) -> list[panels_pb2.BloodMarker]:
    """The markers in the file's order."""
    return sorted(
        await markers(who), key=lambda marker: [int(part) for part in re.findall(r"\d+", marker.source_place)]
    )


def without_nothing(**fields: Any) -> dict[str, str]:
    return {name: str(value) for name, value in fields.items() if value}


@pytest.mark.parametrize(
    ("name", "slugs", "comments"),
    [("hl7_oru_cbc", CBC, {}), ("hl7_oru_cmp", CMP, {"egfr": "eGFR calculated using CKD-EPI formula"})],
)
async def test_an_hl7_message(labs: Running, ada: As, name: str, slugs: str, comments: dict[str, str]) -> None:
    text = given(f"interop/{name}.hl7")
    done = await imported(labs, ada, text, time_zone="America/New_York")
    segments = [line.split("|") for line in text.splitlines()]
    expected = [
        without_nothing(
            raw_name=obx[3].split("^")[1],
            loinc_code=obx[3].split("^")[0],
            value=obx[5],
            unit=obx[6],
            ref_range_text=obx[7],
        )
        for obx in segments
        if obx[0] == "OBX"
    ]
    assert counts(done.result) == (len(expected), 0, 0, 0, 0)
    assert (dict(done.result.doubts_by_kind), done.result.panels_stored) == ({}, 1)
    found = await stored(ada)
    assert [printed(marker) for marker in found] == expected
    assert [marker.biomarker for marker in found] == slugs.split()
    assert {marker.biomarker: marker.lab_comment for marker in found if marker.lab_comment} == comments
    # Each is in the range beside it, and in a unit that is the dictionary's.
    assert all(marker.in_range and marker.range_source == "report" for marker in found)
    assert [marker.value_canonical for marker in found] == [marker.value_numeric for marker in found]
    assert [marker.value_numeric for marker in found] == [float(row["value"].lstrip(">")) for row in expected]
    assert [marker.comparator for marker in found] == [row["value"][0].strip("0123456789") for row in expected]
    msh, obr = (next(line for line in segments if line[0] == kind) for kind in ("MSH", "OBR"))
    (panel,) = await panels(ada)
    assert (panel.lab_name, panel.source_system, panel.source_id) == (msh[3], msh[2], obr[3])
    assert panel.panel_name == obr[4].split("^")[1]
    # Eight in the morning, and the laboratory's hour, in New York in winter.
    assert panel.collected_at.ToJsonString() == f"{panel.collected_date}T13:00:00Z"
    assert panel.collected_date.replace("-", "") == obr[7][:8]
    assert panel.reported_at.ToDatetime().hour == int(msh[6][8:10]) + 5


@pytest.mark.parametrize(
    ("name", "slugs", "canonical"),
    [
        ("fhir_observation_glucose", ["glucose"], [113.49828]),
        ("fhir_bundle_minimal", ["glucose", "hba1c"], [95, 5.4]),
    ],
)
async def test_fhir(labs: Running, ada: As, name: str, slugs: list[str], canonical: list[float]) -> None:
    text = given(f"interop/{name}.json")
    done = await imported(labs, ada, text, collected_date="2024-01-02")
    whole = json.loads(text, parse_float=str, parse_int=str)
    resources = [entry["resource"] for entry in whole["entry"]] if "entry" in whole else [whole]
    expected = [
        without_nothing(
            raw_name=one["code"]["coding"][0]["display"],
            loinc_code=one["code"]["coding"][0]["code"],
            value=one["valueQuantity"]["value"],
            unit=one["valueQuantity"]["unit"],
            ref_range_text="-".join(one["referenceRange"][0][end]["value"] for end in ("low", "high")),
            specimen=one["specimen"]["display"],
            source_id=one["id"],
        )
        for one in resources
    ]
    assert counts(done.result) == (len(expected), 0, 0, 0, 0)
    found = {marker.source_id: marker for marker in await markers(ada)}
    assert [printed(found[row["source_id"]]) for row in expected] == expected
    in_order = [found[row["source_id"]] for row in expected]
    assert [marker.biomarker for marker in in_order] == slugs
    assert [marker.value_canonical for marker in in_order] == pytest.approx(canonical)
    assert [marker.in_range for marker in in_order] == [name != "fhir_observation_glucose"] * len(slugs)


async def test_a_ccda_section(labs: Running, ada: As) -> None:
    text = given("interop/ccda_non_ucum_platelets.xml")
    done = await imported(labs, ada, text, collected_date="2024-01-02")
    assert counts(done.result) == (1, 0, 0, 0, 0)
    (marker,) = await markers(ada)
    # Of the value and both ends of its range, translations say number and unit.
    value, low, high = re.findall(r'translation value="(\d+)"', text)
    (unit,) = set(re.findall(r"<originalText>([^<]+)", text))
    (name,) = set(re.findall(r'displayName="(Platelets[^"]*)"', text))
    assert printed(marker) == {
        "raw_name": name,
        "value": value,
        "unit": unit,
        "ref_range_text": f"{low}-{high}",
        "loinc_code": "26515-7",
    }
    assert (marker.biomarker, marker.value_canonical, marker.in_range) == ("platelets", float(value), True)
    assert (marker.ref_range_low, marker.ref_range_high) == (float(low), float(high))


@pytest.mark.parametrize(
    ("name", "slugs", "canonical", "out_of_range", "rejected"),
    [
        (
            "v0_sample",
            ["glucose", "", "hba1c", "cholesterol_total", "", "urine_glucose"],
            [99.0858, None, 5.4, 180, None, 20],
            {"6"},
            {"2"},
        ),
        (
            "vendor_alias_edge_cases",
            ALIASES.split(),
            [100, 55, 150, 90, 1.199072, 5.8, 20, 2],
            {"203", "206", "207"},
            set(),
        ),
    ],
)
async def test_a_table(
    labs: Running,
    ada: As,
    name: str,
    slugs: list[str],
    canonical: list[float | None],
    out_of_range: set[str],
    rejected: set[str],
) -> None:
    text = given(f"csv/{name}.csv")
    done = await imported(labs, ada, text, collected_date="2024-01-02")
    rows = list(csv.DictReader(text.splitlines()))
    told = [row for row in rows if row["source_row_id"] not in rejected]
    # A second glucose of the same specimen with another value is no result of this panel.
    assert counts(done.result) == (len(told), 0, 0, 0, len(rejected))
    assert set(done.result.rejected_by_reason) == ({"repeated"} if rejected else set())
    found = {marker.source_id: marker for marker in await markers(ada)}
    assert set(found) == {row["source_row_id"] for row in told}
    for row, slug, number in zip(rows, slugs, canonical, strict=True):
        if row["source_row_id"] in rejected:
            continue
        marker = found[row["source_row_id"]]
        assert printed(marker) == without_nothing(
            raw_name=row["source_test_name"],
            value=row["raw_value"],
            unit=row["source_unit"],
            ref_range_text=row["source_reference_range"],
            specimen=row["specimen_type"],
            sub_panel=row["source_panel_name"],
            source_id=row["source_row_id"],
        )
        assert marker.biomarker == slug
        assert (marker.value_canonical if slug else None) == (number and pytest.approx(number))
        assert marker.in_range == (row["source_row_id"] not in out_of_range)
        low, high = re.findall(r"[\d.]+", row["source_reference_range"])
        assert (marker.ref_range_low, marker.ref_range_high) == (float(low), float(high))
    (panel,) = await panels(ada)
    assert (panel.lab_name, panel.collected_date) == (rows[0]["source_lab_name"], "2024-01-02")
