"""Results in files that other people's software wrote, through the real import and the real upload.

The files are not ours and stand beside the repository; where they do not, the
tests say so and are skipped. Their lists of names and factors check the
dictionary, which was made of other sources.
"""

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from services.labs.biomarkers.catalogue import catalogue
from services.labs.matching import Row
from services.labs.matching.index import marker_index
from services.labs.units import UnitRefused, units_of
from tests.harness import Running
from tests.labs.conftest import As
from tests.labs.interchange.importing import counts, imported, markers, panels
from vitalis.labs.v1 import panels_pb2

GIVEN = Path(__file__).parents[3] / "shared/data/labs"
pytestmark = pytest.mark.skipif(not GIVEN.exists(), reason="the shared example files are not beside the repository")

CBC = (
    "wbc rbc hemoglobin hematocrit mcv mch mchc rdw platelets neutrophils_pct lymphocytes_pct monocytes_pct"
    " eosinophils_pct basophils_pct"
)
CMP = (
    "glucose bun creatinine egfr sodium potassium chloride carbon_dioxide calcium protein_total albumin globulin"
    " bilirubin_total alp ast alt"
)


def shown(marker: panels_pb2.BloodMarker) -> tuple[str, str, float | None, float | None, bool | None]:
    """What a result was read as: the marker, its value as printed with its unit, the range, whether it is in range."""
    low, high = (
        getattr(marker, name) if marker.HasField(name) else None for name in ("ref_range_low", "ref_range_high")
    )
    in_range = marker.in_range if marker.HasField("in_range") else None
    return marker.biomarker or marker.raw_name, f"{marker.value} {marker.unit}", low, high, in_range


@pytest.mark.parametrize(
    ("file", "slugs", "day"),
    [("hl7_oru_cbc.hl7", CBC, "2024-01-15"), ("hl7_oru_cmp.hl7", CMP, "2024-02-20")],
)
async def test_hl7_with_every_field_of_every_result(labs: Running, ada: As, file: str, slugs: str, day: str) -> None:
    text = (GIVEN / "interop" / file).read_text(encoding="utf-8")
    segments = [line.split("|") for line in text.splitlines() if line.startswith("OBX|")]
    done = await imported(labs, ada, text)
    assert counts(done.result) == (len(segments), 0, 0, 0, 0)
    assert not done.result.doubts
    stored = {marker.loinc_code: marker for marker in await markers(ada)}
    assert [stored[obx[3].split("^")[0]].biomarker for obx in segments] == slugs.split()[: len(segments)]
    for obx in segments:
        marker = stored[obx[3].split("^")[0]]
        assert (marker.raw_name, marker.value, marker.unit) == (obx[3].split("^")[1], obx[5], obx[6])
        assert (marker.ref_range_text, marker.collected_date) == (obx[7], day)
        assert marker.in_range


async def test_fhir_and_ccda_with_every_field_of_every_result(labs: Running, ada: As) -> None:
    for file in ("fhir_observation_glucose.json", "fhir_bundle_minimal.json", "ccda_non_ucum_platelets.xml"):
        day = f"2024-03-0{len(await panels(ada)) + 1}"
        done = await imported(labs, ada, (GIVEN / "interop" / file).read_bytes(), collected_date=day)
        assert (done.status, done.result.records_rejected) == ("succeeded", 0)
    assert sorted(map(shown, await markers(ada))) == [
        ("glucose", "6.3 mmol/l", 3.1, 6.2, False),
        ("glucose", "95 mg/dL", 70, 99, True),
        ("hba1c", "5.4 %", 4.0, 5.6, True),
        ("platelets", "152 THOUS/MCL", 150, 400, True),
    ]


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("v0_sample.csv", "glucose glucose hba1c cholesterol_total ~ urine_glucose"),
        (
            "vendor_alias_edge_cases.csv",
            "ldl_cholesterol hdl_cholesterol triglycerides glucose creatinine hba1c urine_glucose ldl_hdl_ratio",
        ),
    ],
)
async def test_csv_with_every_field_of_every_row(labs: Running, ada: As, file: str, found: str) -> None:
    data = (GIVEN / "csv" / file).read_text(encoding="utf-8")
    rows = list(csv.DictReader(data.splitlines()))
    done = await imported(labs, ada, data, collected_date="2024-03-01")
    # Two rows of v0_sample are one marker of one panel with two results.
    repeated = {"v0_sample.csv": 1}.get(file, 0)
    assert counts(done.result) == (len(rows) - repeated, 0, 0, 0, repeated)
    stored = {(marker.raw_name, marker.value): marker for marker in await markers(ada)}
    kept = [
        (row, slug)
        for row, slug in zip(rows, found.split(), strict=True)
        if row["source_test_name"] != "GLU" or not repeated
    ]
    assert len(kept) == len(stored)
    for row, slug in kept:
        marker = stored[row["source_test_name"], row["raw_value"]]
        assert (marker.unit, marker.specimen) == (row["source_unit"], row["specimen_type"])
        assert marker.ref_range_text == row["source_reference_range"]
        assert (marker.biomarker or "~", marker.ref_range_low) == (
            slug,
            float(row["source_reference_range"].split("-")[0]),
        )


def known(marker: dict[str, Any]) -> str | None:
    """The slug of a list's marker, by its names, its unit and its specimen."""
    specimen = marker["allowed_specimens"][0].replace("_", " ")
    for name in (marker["canonical_name"], *marker["aliases"]):
        if slug := marker_index().match(Row(name, marker["normalized_unit"], specimen)).slug:
            return slug
    return None


def test_a_list_s_names_and_factors_are_the_dictionary_s() -> None:
    """Of 297 markers some 225 are known; where the two differ, the list is wrong or says less (docs/labs/loinc.md)."""
    listed = json.loads((GIVEN / "catalog_metadata.json").read_text(encoding="utf-8"))["biomarkers"]
    slugs = {marker["biomarker_id"]: slug for marker in listed if (slug := known(marker))}
    assert len(slugs) >= 220
    converted, other_factors, other_names = 0, set(), set()
    for marker in listed:
        slug, unit = slugs.get(marker["biomarker_id"]), marker["normalized_unit"]
        if slug is None or catalogue().markers[slug].is_qualitative:
            continue
        for printed, factor in marker["conversion_to_normalized"].items():
            try:
                ours = units_of(slug).convert(Decimal(1), printed, unit)
            except UnitRefused:
                continue
            converted += 1
            if abs(ours / Decimal(factor) - 1) > Decimal("0.004"):
                other_factors.add((slug, printed))
        specimen = marker["allowed_specimens"][0].replace("_", " ")
        found = {name: marker_index().match(Row(name, unit, specimen)).slug for name in marker["aliases"]}
        other_names |= {name for name, is_it in found.items() if is_it not in (None, slug)}
    assert converted >= 370
    # Before the international standard of 1987 a unit of insulin was 6.945 pmol.
    assert other_factors == {("insulin", "pmol/L")}
    assert other_names == {"Urea", "C-Reactive Protein, Quant", "LDL Peak Size"}


def test_another_list_s_names_are_their_codes() -> None:
    tests = json.loads((GIVEN / "test_library.json").read_text(encoding="utf-8"))["tests"]
    named, others = 0, set()
    for test in tests:
        by_code = catalogue().by_loinc.get(test.get("test_code", ""))
        for name in {test["test_name"], test.get("abbreviation", ""), *test["common_names"]} - {""}:
            slug = marker_index().match(Row(name, test.get("default_unit", ""))).slug
            named += slug is not None
            if slug and by_code and slug != by_code.slug:
                others.add((test["test_code"], slug))
    assert named >= 440
    # The code is of prothrombin's activity, of the test that is not sensitive, and of the strip.
    assert others <= {("5894-1", "aptt"), ("6598-7", "troponin_t_hs"), ("2349-9", "urine_glucose")}
