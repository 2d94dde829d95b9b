"""Trends, what is out of range, and panels side by side, through the stub."""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.labs.biomarkers.catalogue import Variation, catalogue
from services.labs.trends.change import change_of
from tests.harness import Running, failure, person, reason
from tests.labs.conftest import As
from vitalis.labs.v1 import trends_pb2


def glucose(value: str, unit: str, **more: Any) -> dict[str, Any]:
    return {"raw_name": "Glucose", "value": value, "unit": unit, **more}


async def trend(who: As, biomarker: str = "glucose", **given: Any) -> trends_pb2.BiomarkerTrend:
    return (await who.trends("GetBiomarkerTrend", biomarker=biomarker, **given)).trend


async def test_mmol_and_mg_of_two_laboratories_meet_in_one_trend(ada: As) -> None:
    await ada.enter("2025-01-10", glucose("5.5", "mmol/L", ref_range_text="3.9-5.5"), lab_name="Wien")
    await ada.enter("2026-01-10", glucose("99", "mg/dL", ref_range_text="70-99"), lab_name="Quest", fasting=True)
    in_mg = await trend(ada)
    assert in_mg.unit == "mg/dL"
    assert [point.lab_name for point in in_mg.points] == ["Wien", "Quest"]
    assert [point.value for point in in_mg.points] == pytest.approx([99.0858, 99])
    assert [point.ref_range_high for point in in_mg.points] == pytest.approx([99.0858, 99])
    assert [(point.printed_value, point.printed_unit) for point in in_mg.points] == [("5.5", "mmol/L"), ("99", "mg/dL")]
    in_mmol = await trend(ada, unit="mmol/l")
    assert in_mmol.unit == "mmol/L"
    assert [point.value for point in in_mmol.points] == pytest.approx([5.5, 99 / 18.0156])
    assert in_mmol.change.change_pct == pytest.approx(in_mg.change.change_pct)
    assert not in_mg.HasField("slope")


async def test_the_slope_is_least_squares_with_its_standard_error(ada: As) -> None:
    told = [("2024-01-01", 90.0), ("2024-07-01", 97.0), ("2025-01-01", 92.0), ("2025-07-01", 101.0)]
    for day, value in told:
        await ada.enter(day, glucose(str(value), "mg/dL"))
    slope = (await trend(ada)).slope
    years = [0, 182 / 365.25, 366 / 365.25, 547 / 365.25]
    mean_x, mean_y = sum(years) / 4, sum(value for _, value in told) / 4
    sxx = sum((x - mean_x) ** 2 for x in years)
    by_hand = sum((x - mean_x) * (y - mean_y) for x, (_, y) in zip(years, told, strict=True)) / sxx
    rest = sum((y - mean_y - by_hand * (x - mean_x)) ** 2 for x, (_, y) in zip(years, told, strict=True))
    assert slope.per_year == pytest.approx(by_hand)
    assert slope.standard_error_per_year == pytest.approx(math.sqrt(rest / 2 / sxx))
    assert slope.results == 4
    in_mmol = (await trend(ada, unit="mmol/L")).slope
    assert in_mmol.per_year == pytest.approx(by_hand / 18.0156)


async def test_a_censored_result_is_shown_and_counts_nowhere(ada: As) -> None:
    for day, value in (("01", "90"), ("02", "<40"), ("03", "92"), ("04", ">500"), ("05", "94")):
        await ada.enter(f"2026-01-{day}", glucose(value, "mg/dL"))
    answer = await trend(ada)
    assert [(point.comparator, point.value) for point in answer.points] == [
        ("", 90),
        ("<", 40),
        ("", 92),
        (">", 500),
        ("", 94),
    ]
    assert answer.slope.results == 3
    assert answer.slope.per_year == pytest.approx(365.25)
    assert answer.slope.standard_error_per_year == pytest.approx(0, abs=1e-6)
    assert answer.change.change_pct == pytest.approx(2 / 92 * 100)


async def test_three_results_of_one_day_have_no_slope(ada: As) -> None:
    for hour in range(3):
        await ada.enter(
            "2026-01-10", glucose(str(90 + hour), "mg/dL"), collected_at=Timestamp(seconds=1_768_000_000 + hour)
        )
    answer = await trend(ada)
    assert [point.value for point in answer.points] == [90, 91, 92]
    assert not answer.HasField("slope")


@pytest.mark.parametrize(
    ("cva", "later", "exceeds"), [("2.5", 114.0, False), ("2.5", 116.5, True), (None, 114.0, True), ("2.5", 84.0, True)]
)
def test_a_change_is_held_against_the_published_variation(cva: str | None, later: float, exceeds: bool) -> None:
    variation = Variation(Decimal("5.0"), Decimal(cva) if cva else None, "eflm")
    marker = replace(catalogue().markers["glucose"], variation=variation)
    change = change_of(marker, 100, later)
    assert change
    by_hand = 2**0.5 * 1.96 * (float(cva or 0) ** 2 + 25) ** 0.5
    assert change.reference_change_value_pct == pytest.approx(by_hand)
    assert (change.source, change.cvi_pct, change.HasField("cva_pct")) == ("eflm", 5, cva is not None)
    assert change.exceeds is exceeds
    assert change.change_pct == pytest.approx(later - 100)


async def test_a_trend_says_whether_its_last_change_is_more_than_variation(ada: As) -> None:
    variation = catalogue().markers["glucose"].variation
    assert variation
    for day, value in ((1, "100"), (2, "101"), (3, "300")):
        await ada.enter(f"2026-01-0{day}", glucose(value, "mg/dL"))
    last, before = (await trend(ada)).change, (await trend(ada, end_date="2026-01-02")).change
    assert (last.exceeds, before.exceeds) == (True, False)
    assert last.cvi_pct == float(variation.cvi_pct)
    assert last.source == variation.source


def test_no_variation_no_verdict_and_no_per_cent_of_nothing() -> None:
    change = change_of(replace(catalogue().markers["glucose"], variation=None), 100, 200)
    assert change
    assert (change.HasField("reference_change_value_pct"), change.HasField("exceeds")) == (False, False)
    assert change_of(None, 0, 5) is None


async def test_what_is_deleted_or_outside_the_dates_is_no_part(ada: As) -> None:
    first = await ada.enter("2024-01-10", glucose("90", "mg/dL"))
    second = await ada.enter("2025-01-10", glucose("91", "mg/dL"))
    await ada.enter("2026-01-10", glucose("92", "mg/dL"))
    assert [p.value for p in (await trend(ada, start_date="2025-01-10", end_date="2025-01-10")).points] == [91]
    await ada.panels("DeleteBloodPanel", id=first.blood_panel.id)
    await ada.panels("DeleteBloodMarker", id=second.markers[0].id)
    assert [point.value for point in (await trend(ada)).points] == [92]


async def test_intervals_are_of_the_newest_panels_sex_or_the_one_asked_for(ada: As) -> None:
    await ada.enter("2026-01-10", {"raw_name": "Hemoglobin", "value": "13.5", "unit": "g/dL"}, sex="female")
    own, other = await trend(ada, "hemoglobin"), await trend(ada, "hemoglobin", sex="male", unit="g/L")
    assert {interval.sex for interval in own.reference_intervals if interval.sex} == {"female"}
    male = [interval for interval in other.reference_intervals if interval.kind == "normal"]
    assert {interval.sex for interval in male} == {"male"}
    expected = next(i for i in catalogue().markers["hemoglobin"].normal if i.sex == "male" and i.age_low_years is None)
    assert expected.low
    assert male[0].low == pytest.approx(float(expected.low) * 10)
    assert male[0].specimen == "blood"


async def test_intervals_of_a_cycle_phase_are_of_that_phase(ada: As) -> None:
    told = {"raw_name": "Progesterone", "value": "10", "unit": "ng/mL"}
    await ada.enter("2026-01-10", told, sex="female", cycle_phase="luteal")
    phases = {i.cycle_phase for i in (await trend(ada, "progesterone")).reference_intervals if i.cycle_phase}
    asked = await trend(ada, "progesterone", cycle_phase="follicular")
    assert phases == {"luteal"}
    assert {i.cycle_phase for i in asked.reference_intervals if i.cycle_phase} == {"follicular"}


async def test_a_trend_of_words_has_no_numbers(ada: As) -> None:
    known = next(marker for marker in catalogue().markers.values() if "negative" in marker.results)
    for day, value in ((1, "Negative"), (2, "Positive")):
        await ada.enter(f"2026-01-0{day}", {"raw_name": known.display_name, "biomarker": known.slug, "value": value})
    answer = await trend(ada, known.slug)
    assert [(point.value_text, point.HasField("value")) for point in answer.points] == [
        ("Negative", False),
        ("Positive", False),
    ]
    assert (answer.unit, answer.HasField("slope"), answer.HasField("change")) == ("", False, False)


@pytest.mark.parametrize("unit", ["", "bottles"])
async def test_a_word_where_a_number_is_usual_is_a_point_without_one(ada: As, unit: str) -> None:
    await ada.enter("2026-01-10", glucose("Negative", unit, biomarker="glucose", ref_range_text="<5"))
    (point,) = (await trend(ada)).points
    assert (point.value_text, point.ref_range_text, point.printed_unit) == ("Negative", "<5", unit)
    said = {field.name for field, _ in point.ListFields()}
    assert not said & {"value", "ref_range_low", "ref_range_high"}


async def test_what_has_no_trend(labs: Running, ada: As) -> None:
    await ada.enter("2026-01-10", glucose("90", "mg/dL"))
    assert await reason(trend(ada, "phlogiston")) == "NOT_FOUND"
    assert await reason(trend(As(labs, person()))) == "NOT_FOUND"
    refused = await failure(trend(ada, unit="furlongs"))
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("INVALID_FIELD", ["unit"])
    assert "mmol/L" in refused.message
    assert "furlongs" not in refused.message


async def test_out_of_range_is_what_the_newest_result_says(ada: As) -> None:
    sodium = {"raw_name": "Sodium", "value": "150", "unit": "mmol/L", "ref_range_text": "136-145"}
    unknown = {"raw_name": "A new assay", "value": "9", "ref_range_text": "<5"}
    await ada.enter("2025-01-10", glucose("120", "mg/dL", ref_range_text="70-99"), unknown)
    await ada.enter("2025-06-10", sodium)
    await ada.enter("2026-01-10", glucose("90", "mg/dL", ref_range_text="70-99"))
    out = (await ada.trends("GetOutOfRangeMarkers")).blood_markers
    assert [marker.raw_name for marker in out] == ["Sodium", "A new assay"]
    # What cannot be judged now is not judged by what was.
    await ada.enter("2026-02-10", {**sodium, "ref_range_text": "Not Estab.", "value": "<151"})
    out = (await ada.trends("GetOutOfRangeMarkers")).blood_markers
    assert [marker.raw_name for marker in out] == ["A new assay"]


async def test_two_panels_side_by_side(labs: Running, ada: As) -> None:
    earlier = await ada.enter(
        "2025-01-10", glucose("5", "mmol/L"), {"raw_name": "Sodium", "value": "140", "unit": "mmol/L"}
    )
    await ada.enter("2025-06-10", glucose("100", "mg/dL"))
    later = await ada.enter(
        "2026-01-10", glucose("99", "mg/dL"), {"raw_name": "A new assay", "value": "9"}, notes="kept"
    )
    answer = await ada.trends("CompareBloodPanels", id=later.blood_panel.id, earlier_id=earlier.blood_panel.id)
    assert (answer.earlier.id, answer.later.notes) == (earlier.blood_panel.id, "kept")
    by_name = {one.display_name: one for one in answer.markers}
    assert list(by_name)[-1] == "A new assay"
    assert by_name["Glucose"].difference == pytest.approx(99 - 90.078)
    assert by_name["Glucose"].change.change_pct == pytest.approx((99 / 90.078 - 1) * 100)
    assert not by_name["Sodium"].HasField("later")
    assert not by_name["Sodium"].HasField("difference")
    assert not by_name["A new assay"].HasField("earlier")
    # Without an earlier one, the panel before.
    previous = await ada.trends("CompareBloodPanels", id=later.blood_panel.id)
    assert previous.earlier.collected_date == "2025-06-10"
    first = await ada.trends("CompareBloodPanels", id=earlier.blood_panel.id)
    assert not first.HasField("earlier")
    assert len(first.markers) == 2
    eve = As(labs, person())
    own = await eve.enter("2026-01-10", glucose("1", "mmol/L"))
    foreign = {"id": own.blood_panel.id, "earlier_id": later.blood_panel.id}
    assert await reason(eve.trends("CompareBloodPanels", **foreign)) == "NOT_FOUND"
    assert await reason(ada.trends("CompareBloodPanels", id=str(uuid4()))) == "NOT_FOUND"
    itself = {"id": later.blood_panel.id, "earlier_id": later.blood_panel.id}
    assert await reason(ada.trends("CompareBloodPanels", **itself)) == "INVALID_FIELD"
    await ada.panels("DeleteBloodPanel", id=earlier.blood_panel.id)
    gone = {"id": later.blood_panel.id, "earlier_id": earlier.blood_panel.id}
    assert await reason(ada.trends("CompareBloodPanels", **gone)) == "NOT_FOUND"
