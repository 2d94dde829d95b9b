"""Whether a result is in range: by the range that is printed beside it, else by the dictionary's for such a person."""

from typing import Any

import pytest

from tests.labs.conftest import As
from tests.labs.panels.asking import GLUCOSE, markers_of, update_panel


@pytest.mark.parametrize(
    ("value", "printed", "low", "high", "in_range", "own_flag"),
    [
        ("9.9", "3.4-10.8", 3.4, 10.8, True, None),
        ("10.9", "3.4-10.8", 3.4, 10.8, False, "H"),
        ("3.3", "3.4-10.8", 3.4, 10.8, False, "L"),
        ("5.0", "<5.0", None, 5.0, False, "H"),
        ("4.9", "<5.0", None, 5.0, True, None),
        ("60", ">=60", 60, None, True, None),
        ("59", ">=60", 60, None, False, "L"),
        ("3", "0-5 %", 0, 5, True, None),
        ("3", "Not Estab.", None, None, None, None),
        ("<0.1", "0-5", 0, 5, True, None),
        ("<7", "0-5", 0, 5, None, None),
        (">7", "0-5", 0, 5, False, "H"),
        ("Negative", "Negative", None, None, True, None),
        ("Not Detected", "Negative", None, None, True, None),
        ("POSITIVE", "Negative", None, None, False, "ABNORMAL"),
        ("Yellow", "Straw", None, None, None, None),
    ],
)
async def test_a_result_is_judged_by_the_range_beside_it(
    ada: As,
    value: str,
    printed: str,
    low: float | None,
    high: float | None,
    in_range: bool | None,
    own_flag: str | None,
) -> None:
    unit = "%" if "%" in printed else ""
    told = {"raw_name": "A new assay", "value": value, "unit": unit, "ref_range_text": printed}
    (marker,) = (await ada.enter("2026-11-18", told)).markers
    shown = {name: getattr(marker, name) if marker.HasField(name) else None for name in
             ("ref_range_low", "ref_range_high", "in_range", "own_flag", "biomarker")}  # fmt: skip
    assert shown == {
        "ref_range_low": low,
        "ref_range_high": high,
        "in_range": in_range,
        "own_flag": own_flag,
        "biomarker": None,
    }
    assert marker.ref_range_text == printed


async def test_the_laboratorys_flag_and_ours_may_differ(ada: As) -> None:
    told = {**GLUCOSE, "value": "110", "ref_range_text": "70-99", "flag": "Low"}
    (marker,) = (await ada.enter("2026-11-18", told)).markers
    assert (marker.flag, marker.own_flag, marker.in_range, marker.range_source) == ("L", "H", False, "report")


async def test_a_range_in_another_unit_is_taken_into_the_results(ada: As) -> None:
    told = {**GLUCOSE, "ref_range_text": "3.9-5.5 mmol/L"}
    (marker,) = (await ada.enter("2026-11-18", told)).markers
    assert (marker.ref_range_low, marker.ref_range_high) == pytest.approx((70.26084, 99.0858))
    assert marker.in_range


@pytest.mark.parametrize(
    ("header", "in_range"),
    [
        ({"sex": "female"}, True),
        ({"sex": "male"}, False),
        ({}, None),
        ({"sex": "female", "age_years": 3}, None),
    ],
)
async def test_without_a_printed_range_the_dictionary_judges_by_sex(
    ada: As, header: dict[str, Any], in_range: bool | None
) -> None:
    told = {"raw_name": "Hemoglobin", "value": "13.0", "unit": "g/dL"}
    (marker,) = (await ada.enter("2026-11-18", told, **header)).markers
    assert (marker.in_range if marker.HasField("in_range") else None) is in_range
    assert marker.range_source == ("" if in_range is None else "dictionary")


async def test_an_interval_of_a_cycle_phase_needs_the_phase(ada: As) -> None:
    told = {"raw_name": "Progesterone", "value": "10", "unit": "ng/mL"}
    seen = {}
    for day, phase in ((1, "follicular"), (2, "luteal"), (3, None)):
        answer = await ada.enter(f"2026-11-0{day}", told, sex="female", cycle_phase=phase)
        (marker,) = answer.markers
        seen[phase] = marker.in_range if marker.HasField("in_range") else None
    assert seen == {"follicular": False, "luteal": True, None: None}


async def test_another_sex_in_the_header_judges_again(ada: As) -> None:
    told = {"raw_name": "Hemoglobin", "value": "13.0", "unit": "g/dL"}
    answer = await ada.enter("2026-11-18", told, sex="male")
    await update_panel(ada, answer.blood_panel, sex="female")
    (marker,) = await markers_of(ada, panel_id=answer.blood_panel.id)
    assert (marker.id, marker.in_range) == (answer.markers[0].id, True)
    assert marker.etag != answer.markers[0].etag
