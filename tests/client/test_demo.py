"""The demo's comparison notices what is wrong."""

from datetime import UTC, date, datetime, timedelta

from examples.apple_health import DayTruth, NightTruth, Truth
from examples.demo import SHOWN_DAYS, compare
from examples.demo_labs import misread
from examples.lab_report import Printed
from vitalis_client.contract.models import BloodMarker, Day, WearableSleep

FIRST = date(2026, 10, 22)
DATES = [FIRST + timedelta(days=number) for number in range(SHOWN_DAYS)]
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def night(minutes: int) -> NightTruth:
    return NightTruth(NOW, NOW, minutes, 10, 2, 5, 500, None, None, None, [])


def truth() -> Truth:
    known = Truth(as_of=NOW)
    for day in DATES:
        known.days[day] = DayTruth(steps=8000.4, skin_temp_deviation_c=0.249)
    known.nights[DATES[3]] = night(450)
    return known


def days(**changed: float | None) -> list[Day]:
    """What the API should say, but for values of the fifth day."""
    right = {"steps": 8000, "skin_temp_deviation_c": 0.2}
    return [
        Day.model_validate({"date": str(day), **right, **(changed if number == 4 else {})})
        for number, day in enumerate(DATES)
    ]


def nights(minutes: int = 450) -> list[WearableSleep]:
    values = {"total_sleep_minutes": minutes, "awake_minutes": 10, "interruptions": 2, "sleep_latency_minutes": 5}
    about = {"sleep_date": str(DATES[3]), "created_at": NOW, "updated_at": NOW}
    return [WearableSleep.model_validate({**about, **values, "sleep_efficiency_pct": 100 * 450 / 500})]


def test_what_is_right_is_not_complained_of() -> None:
    assert list(compare(days(), nights(), truth(), FIRST)) == []


def test_a_wrong_value_is_named_with_its_day_and_field() -> None:
    wrong = list(compare(days(steps=8001), nights(), truth(), FIRST))
    assert wrong == ["2026-10-26 steps: the API says 8001, the generator put in 8000.4"]
    wrong = list(compare(days(skin_temp_deviation_c=0.3), nights(), truth(), FIRST))
    assert wrong == ["2026-10-26 skin_temp_deviation_c: the API says 0.3, the generator put in 0.249"]


def test_a_value_too_many_or_too_few_is_named() -> None:
    assert [line.partition(":")[0] for line in compare(days(steps=None), nights(), truth(), FIRST)] == [
        "2026-10-26 steps"
    ]
    assert [line.partition(":")[0] for line in compare(days(floors_climbed=0), nights(), truth(), FIRST)] == [
        "2026-10-26 floors_climbed"
    ]


def test_days_and_nights_that_are_missing_or_wrong_are_named() -> None:
    assert list(compare(days()[1:], [], truth(), FIRST)) == [
        "2026-10-22: the API has no such day",
        "2026-10-25: the API has no night, the generator put in one",
    ]
    wrong = list(compare(days(), nights(minutes=430), truth(), FIRST))
    assert wrong == ["2026-10-25 night total_sleep_minutes: the API says 430, the generator put in 450"]


def test_a_report_that_is_read_wrongly_is_complained_of() -> None:
    printed = [Printed("Glucose", "104", "mg/dL", "70-99"), Printed("Sodium", "140", "mmol/L", "134-144")]
    about = {"created_at": NOW, "updated_at": NOW}
    markers = [
        BloodMarker.model_validate(
            {"raw_name": one.name, "value": one.value, "unit": one.unit, "ref_range_text": one.reference_range, **about}
        )
        for one in printed
    ]
    assert list(misread(markers, printed)) == []
    assert list(misread(markers[:1], printed)) == [
        "Sodium of the report: the API says None, ('140', 'mmol/L', '134-144') was printed"
    ]
    wrong = [markers[0].model_copy(update={"value": "1.04"}), markers[1]]
    assert list(misread(wrong, printed)) == [
        "Glucose of the report: the API says ('1.04', 'mg/dL', '70-99'), ('104', 'mg/dL', '70-99') was printed"
    ]
    assert [line.partition(" ")[0] for line in misread(markers, printed[:1])] == ["Sodium"]
