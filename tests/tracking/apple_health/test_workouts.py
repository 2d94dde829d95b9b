"""Workouts: types, ids, statistics and units; and the small file that other software reads."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from services.tracking.apple_health.activity_types import ACTIVITY_TYPES
from tests.tracking.apple_health.exports import export, read
from vitalis.options.v1 import rules_pb2

REAL = Path(__file__).parents[4] / "shared" / "data" / "apple-health" / "export.xml"
START, END = "2026-03-02 17:00:00 -0700", "2026-03-02 18:00:00 -0700"


def workout(kind: str = "Running", children: str = "", start: str = START, end: str = END, **more: str) -> str:
    given = {"duration": "55", "durationUnit": "min", "sourceName": "Zoë’s Apple Watch", **more}
    text = "".join(f' {name}="{value}"' for name, value in given.items() if value)
    return (
        f'<Workout workoutActivityType="HKWorkoutActivityType{kind}"{text} startDate="{start}" endDate="{end}">'
        f"{children}</Workout>"
    )


def one(*elements: str) -> dict[str, Any]:
    (row,) = read(export(*elements)).workouts
    return row


def entry(key: str, value: str) -> str:
    return f'<MetadataEntry key="{key}" value="{value}"/>'


def test_totals_of_older_exports() -> None:
    row = one(
        workout(totalDistance="6.2", totalDistanceUnit="mi", totalEnergyBurned="2092", totalEnergyBurnedUnit="kJ")
    )
    expected = {
        "activity_date": date(2026, 3, 2),
        "activity_type": "running",
        "activity_name": "Running",
        "start_time": datetime(2026, 3, 3, 0, 0, tzinfo=UTC),
        "end_time": datetime(2026, 3, 3, 1, 0, tzinfo=UTC),
        "duration_seconds": 3300,
        "distance_m": 9977.93,
        "calories_kcal": 500,
        "avg_speed_kmh": 10.89,
        "avg_pace_sec_per_km": 330.73,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["raw_data"]["totalDistance"] == {"value": "6.2", "unit": "mi"}
    assert row["raw_data"]["offset"] == "-07:00"
    assert not [name for name in row if name.startswith("hr_zone")]


STATISTICS = """
<WorkoutEvent type="HKWorkoutEventTypePause" date="2026-03-02 17:20:00 -0700"/>
<WorkoutStatistics type="HKQuantityTypeIdentifierActiveEnergyBurned" startDate="x" endDate="y" sum="412.4" unit="Cal"/>
<WorkoutStatistics type="HKQuantityTypeIdentifierHeartRate" average="131.6" maximum="164" unit="count/min"/>
<WorkoutStatistics type="HKQuantityTypeIdentifierDistanceCycling" sum="20" unit="km"/>
<WorkoutStatistics type="HKQuantityTypeIdentifierCyclingPower" average="183.5" unit="W"/>
<WorkoutActivity uuid="A">
<WorkoutStatistics type="HKQuantityTypeIdentifierHeartRate" average="1" unit="?"/>
</WorkoutActivity>
<WorkoutRoute sourceName="x"><FileReference path="/workout-routes/route.gpx"/></WorkoutRoute>
"""


def test_statistics_go_before_totals() -> None:
    row = one(
        workout(
            "Cycling",
            STATISTICS + entry("HKElevationAscended", "12345 cm") + entry("HKAverageMETs", "7.2 kcal/hr·kg"),
            totalDistance="1",
            totalDistanceUnit="mi",
            totalEnergyBurned="1",
            totalEnergyBurnedUnit="Cal",
        )
    )
    expected = {
        "activity_type": "cycling",
        "distance_m": 20000,
        "calories_kcal": 412,
        "avg_hr_bpm": 132,
        "max_hr_bpm": 164,
        "avg_power_watts": 184,
        "elevation_gain_m": 123.45,
    }
    assert {name: row[name] for name in expected} == expected
    raw = row["raw_data"]
    assert raw["routes"] == ["/workout-routes/route.gpx"]
    assert raw["events"] == [{"type": "HKWorkoutEventTypePause", "date": "2026-03-02 17:20:00 -0700"}]
    assert raw["metadata"]["HKAverageMETs"] == "7.2 kcal/hr·kg"
    assert len(raw["statistics"]) == 4


def test_every_type_is_one_of_the_contracts() -> None:
    rule = rules_pb2.DESCRIPTOR.extensions_by_name["activity_type"]
    text = str(rule.GetOptions())
    assert all(f"\\'{kind}\\'" in text or f"'{kind}'" in text for kind in set(ACTIVITY_TYPES.values()))


@pytest.mark.parametrize(
    ("kind", "expected", "name"),
    [
        ("HighIntensityIntervalTraining", "hiit", "High Intensity Interval Training"),
        ("PaddleSports", "water_sports", "Paddle Sports"),
        ("Tennis", "racket_sports", "Tennis"),
        ("UnderwaterBasketWeaving", "other", "Underwater Basket Weaving"),
        ("3000", "other", "3000"),
        ("", "other", "Other"),
    ],
)
def test_types(kind: str, expected: str, name: str) -> None:
    row = one(workout(kind))
    assert (row["activity_type"], row["activity_name"]) == (expected, name)
    assert row["raw_data"].get("workout_activity_type", "") == kind


def test_the_date_is_that_of_the_workouts_own_time_zone() -> None:
    row = one(workout(children=entry("HKTimeZone", "Europe/Berlin")))
    assert row["activity_date"] == date(2026, 3, 3)
    assert row["raw_data"]["offset"] == "+01:00"


def test_the_same_workout_has_the_same_id_in_every_export() -> None:
    first = one(workout())["source_activity_id"]
    # Another phone zone at export, an end that was corrected, another version.
    other = workout(start="2026-03-03 01:00:00 +0100", end="2026-03-03 02:10:00 +0100", sourceVersion="11")
    assert one(other)["source_activity_id"] == first
    assert one(workout("Walking"))["source_activity_id"] != first
    assert one(workout(sourceName="Other"))["source_activity_id"] != first
    assert one(workout(start="2026-03-02 17:00:01 -0700"))["source_activity_id"] != first
    assert one(workout(children=entry("HKExternalUUID", "ABC-1")))["source_activity_id"] == "ABC-1"


@pytest.mark.parametrize("swapped", [False, True])
def test_of_a_workout_that_is_there_twice_the_later_writing_holds(swapped: bool) -> None:
    older = workout(creationDate="2026-03-02 18:00:00 -0700", duration="50")
    newer = workout(creationDate="2026-03-02 19:00:00 -0700", duration="51")
    found = read(export(*((newer, older) if swapped else (older, newer))))
    assert [row["duration_seconds"] for row in found.workouts] == [3060]
    assert found.account.records_used == 2


def test_a_workout_without_duration_lasts_from_start_to_end() -> None:
    assert one(workout(duration="", durationUnit=""))["duration_seconds"] == 3600


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (workout(durationUnit="parsec"), "unknown_unit"),
        (workout(duration="x"), "bad_value"),
        (workout(duration="nan"), "bad_value"),
        (workout(duration="-3"), "out_of_range"),
        (workout(totalDistance="3", totalDistanceUnit="kcal"), "unknown_unit"),
        (workout(totalDistance="3"), "unknown_unit"),
        (workout(end="2026-03-02 16:00:00 -0700"), "end_before_start"),
        (workout(start="soon"), "bad_date"),
        (f'<Workout startDate="{START}" endDate="{END}"/>', "missing_attribute"),
        (workout(children=STATISTICS.replace("count/min", "furlong")), "unknown_unit"),
    ],
)
def test_workouts_that_cannot_be_used(element: str, reason: str) -> None:
    found = read(export(element, workout("Yoga")))
    assert [row["activity_type"] for row in found.workouts] == ["yoga"]
    assert found.account.rejected_by_reason == {reason: 1}


def test_values_outside_the_contracts_range_are_left_out() -> None:
    found = read(export(workout(totalEnergyBurned="99999", totalEnergyBurnedUnit="Cal")))
    assert "calories_kcal" not in found.workouts[0]
    assert len(found.account.warnings) == 1


def test_a_file_that_other_software_reads() -> None:
    if not REAL.exists():
        pytest.skip("the shared example files are not beside the repository")
    with REAL.open("rb") as file:
        found = read(file)
    assert found.as_of == datetime(2019, 7, 19, 17, 36, 11, tzinfo=UTC)
    (row,) = found.workouts
    assert row["distance_m"] == pytest.approx(800.12, abs=0.01)
    assert (row["activity_date"], row["activity_type"]) == (date(2016, 11, 14), "running")
    assert row["start_time"] == datetime(2016, 11, 14, 14, 25, 41, tzinfo=UTC)
    assert (row["duration_seconds"], row["calories_kcal"]) == (312, 49)
    # The phone was on summer time at export, the person in winter.
    assert row["raw_data"]["offset"] == "-08:00"
    assert row["raw_data"]["routes"] == ["/workout-routes/route_2019-06-11_3.00pm.gpx"]
    assert {
        day: (values.get("active_calories_kcal"), values.get("active_minutes"), values.get("max_hr_bpm"))
        for day, values in found.days.items()
    } == {"2016-11-15": (590, 68, None), "2016-11-16": (324, 39, None), "2018-09-10": (None, None, 72)}
    assert found.account.ignored_by_type == {"HKQuantityTypeIdentifierBodyMassIndex": 1}
    assert (found.account.records_read, found.account.records_used) == (5, 4)
