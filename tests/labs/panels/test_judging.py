"""What a result of a panel is judged by: titers, phases of the cycle, ranges by sex, and what no marker may be."""

from typing import Any

import pytest

from tests.harness import failure
from tests.labs.conftest import As

GLUCOSE = {"raw_name": "Glucose", "value": "99", "unit": "mg/dL"}


@pytest.mark.parametrize(
    ("value", "printed", "number", "comparator", "in_range"),
    [
        ("1:160", "<1:80", 160, "", False),
        ("1:40", "<1:80", 40, "", True),
        ("<1:80", "<1:80", 80, "<", True),
        (">= 1:1280", "<1:40", 1280, ">=", False),
        ("160", "1:40 - 1:80", 160, "", False),
        ("1 : 1,280", "", 1280, "", None),
    ],
)
async def test_a_titer_is_compared_by_its_reciprocal(
    ada: As, value: str, printed: str, number: float, comparator: str, in_range: bool | None
) -> None:
    told = {"raw_name": "ANA Titer", "value": value, "ref_range_text": printed}
    (marker,) = (await ada.enter("2026-11-18", told)).markers
    assert (marker.biomarker, marker.value, marker.ref_range_text) == ("ana_titer", value, printed)
    assert (marker.value_numeric, marker.value_canonical, marker.comparator) == (number, number, comparator)
    assert (marker.in_range if marker.HasField("in_range") else None) is in_range


async def test_what_is_no_dilution_stays_as_printed(ada: As) -> None:
    told = [
        {"raw_name": "ANA Titer", "value": "1:160 speckled"},
        {"raw_name": "A new assay", "value": "1:160", "ref_range_text": "<1:80"},
    ]
    markers = (await ada.enter("2026-11-18", *told)).markers
    assert [(marker.value_text, marker.HasField("value_numeric")) for marker in markers] == [
        ("1:160 speckled", False),
        ("1:160", False),
    ]
    assert not markers[1].HasField("ref_range_high")


@pytest.mark.parametrize(
    ("name", "value", "printed", "in_range", "source"),
    [
        ("Urine Nitrite", "POSITIVE", "", False, "dictionary"),
        ("Urine Nitrite", "Negative", "", True, "dictionary"),
        ("Ketones, Urine", "Trace", "", False, "dictionary"),
        ("Ketones, Urine", "2+", "Negative", False, "report"),
        ("Urine Occult Blood", "None", "", True, "dictionary"),
        ("ANA Screen", "negativ", "", True, "dictionary"),
        ("LDL Pattern", "B", "A", False, "report"),
        ("LDL Pattern", "A", "", True, "dictionary"),
        ("HBsAg", "Non-Reactive", "", True, "dictionary"),
        ("HBsAg", "Reactive", "", False, "dictionary"),
        # Open, or as good as another.
        ("HBsAg", "Indeterminate", "", None, ""),
        ("HBsAg", "See comment below", "", None, ""),
        ("ABO Group", "AB", "", None, ""),
        ("Measles IgG", "Positive", "", None, ""),
        ("Urine Color", "Amber", "Yellow", None, ""),
    ],
)
async def test_a_word_is_judged_by_the_one_that_is_expected(
    ada: As, name: str, value: str, printed: str, in_range: bool | None, source: str
) -> None:
    told = {"raw_name": name, "value": value, "ref_range_text": printed}
    (marker,) = (await ada.enter("2026-11-18", told)).markers
    assert marker.biomarker
    assert (marker.in_range if marker.HasField("in_range") else None) is in_range
    assert (marker.own_flag, marker.range_source) == ("ABNORMAL" if in_range is False else "", source)


async def test_bleeding_is_judged_as_the_follicular_phase(ada: As) -> None:
    told = {"raw_name": "Progesterone", "value": "10", "unit": "ng/mL"}
    (marker,) = (await ada.enter("2026-11-01", told, sex="female", cycle_phase="menstruation")).markers
    assert (marker.in_range, marker.own_flag, marker.range_source) == (False, "H", "dictionary")


@pytest.mark.parametrize(
    ("sex", "in_optimal", "highest"), [("male", True, 33), ("female", False, 25), (None, None, None)]
)
async def test_the_optimal_range_is_that_of_the_sex(
    ada: As, sex: str | None, in_optimal: bool | None, highest: float | None
) -> None:
    told = {"raw_name": "ALT", "value": "30", "unit": "U/L"}
    (marker,) = (await ada.enter("2026-11-01", told, sex=sex)).markers
    assert (marker.in_optimal if marker.HasField("in_optimal") else None) is in_optimal
    assert (marker.optimal_high if marker.HasField("optimal_high") else None) == highest
    assert marker.in_range


async def test_a_range_of_one_method_judges_nobody(ada: As) -> None:
    """Free testosterone by dialysis is several times what the direct immunoassay finds."""
    told = {"raw_name": "Testosterone, Free", "value": "20", "unit": "pg/mL"}
    (marker,) = (await ada.enter("2026-11-01", told, sex="male", age_years=30)).markers
    assert (marker.biomarker, marker.HasField("in_range")) == ("testosterone_free", False)


async def test_a_hematocrit_without_a_unit_is_no_hematocrit_yet(ada: As) -> None:
    """45 could be per cent, and 0.45 L/L."""
    told = {"raw_name": "Hematocrit", "value": "45"}
    (bare,) = (await ada.enter("2026-11-01", told)).markers
    (per_cent,) = (await ada.enter("2026-11-02", {**told, "unit": "%"})).markers
    assert (bare.HasField("biomarker"), bare.value_numeric) == (False, 45)
    assert (per_cent.biomarker, per_cent.value_canonical) == ("hematocrit", 45)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"biomarker": "Not a slug"}, "biomarker"),
        ({"raw_name": ""}, "raw_name"),
        ({"raw_name": "x" * 201}, "raw_name"),
        ({"sub_panel": "x" * 101}, "sub_panel"),
        ({"specimen": "x" * 101}, "specimen"),
        ({"loinc_code": "2345"}, "loinc_code"),
        ({"value": ""}, "value"),
        ({"value": "x" * 201}, "value"),
        ({"unit": "x" * 61}, "unit"),
        ({"ref_range_text": "x" * 201}, "ref_range_text"),
        ({"flag": "x" * 41}, "flag"),
        ({"lab_code": "x" * 21}, "lab_code"),
        ({"parse_confidence": 1.01}, "parse_confidence"),
        ({"parse_confidence": -0.01}, "parse_confidence"),
    ],
)
async def test_a_marker_that_breaks_a_rule_is_refused_by_name(ada: As, wrong: dict[str, Any], field: str) -> None:
    refused = await failure(ada.enter("2026-11-18", GLUCOSE, {**GLUCOSE, "raw_name": "Sodium", **wrong}))
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("INVALID_FIELD", [f"markers[1].{field}"])
