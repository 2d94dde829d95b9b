"""Files made to exhaust the reader: what a file may say at length is not kept at length."""

import tracemalloc
from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from services.tracking.apple_health import RefusedFile
from services.tracking.apple_health.hypnogram import SleepSegment, compose
from services.tracking.apple_health.samples import AWAKE, LIGHT
from services.tracking.apple_health.sources import MAX_PLACES, Sources
from services.tracking.apple_health.workouts import MAX_RAW_CHARACTERS
from tests.tracking.apple_health.exports import STEPS, export, read, record

LONG = "x" * 400_000
ZEROS = "0" * 400_000
COUNT = 40
MOST_BYTES = 6 * 2**20
NOON = "2026-03-02 10:00:00 -0700"
WORKOUT = 'workoutActivityType="HKWorkoutActivityTypeRunning" sourceName="w"'


def sources() -> Iterator[str]:
    return (record(STEPS, "1", "count", NOON, source=f"{i}{LONG}") for i in range(COUNT))


def zones() -> Iterator[str]:
    return (record(STEPS, "1", "count", NOON, zone=f"{i}{LONG}") for i in range(COUNT))


def resting() -> Iterator[str]:
    days = (date(2026, 1, 1) + timedelta(days=i) for i in range(COUNT))
    return (record("RestingHeartRate", f"{ZEROS}60", "count/min", f"{day} 10:00:00 -0700") for day in days)


def summaries() -> Iterator[str]:
    days = (date(2026, 1, 1) + timedelta(days=i) for i in range(COUNT))
    energy = f'activeEnergyBurned="{ZEROS}60" activeEnergyBurnedUnit="kcal"'
    return (f'<ActivitySummary dateComponents="{day}" {energy}/>' for day in days)


def metadata() -> Iterator[str]:
    yield f'<Workout {WORKOUT} startDate="{NOON}" endDate="{NOON}">'
    for i in range(COUNT):
        yield f'<MetadataEntry key="k{i}" value="{LONG}"/>'
    yield "</Workout>"


def workouts() -> Iterator[str]:
    for i in range(COUNT):
        start = f"2026-03-02 10:{i:02}:00 -0700"
        yield f'<Workout {WORKOUT} creationDate="{LONG}" startDate="{start}" endDate="{start}"/>'


@pytest.mark.parametrize("elements", [sources, zones, resting, summaries, metadata, workouts])
def test_long_texts_are_not_kept(elements: object) -> None:
    assert callable(elements)
    content = export(*elements())
    tracemalloc.start()
    try:
        found = read(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.account.records_rejected == 0
    # The file itself is a copy in memory here, which the reader's own need is beside.
    assert peak - len(content) < MOST_BYTES


def test_names_that_fill_the_memory_are_refused() -> None:
    with pytest.raises(RefusedFile, match="names"):
        read(export(*(f"<a{i}{LONG}/>" for i in range(COUNT))))


def test_what_a_workout_says_about_itself_is_cut() -> None:
    events = "".join(
        "<WorkoutEvent " + " ".join(f'a{i}="{"x" * 200}"' for i in range(12)) + f' type="{n}"/>' for n in range(60)
    )
    entries = '<MetadataEntry key="HKIndoorWorkout" value="1"/>'
    found = read(
        export(
            f'<Workout {WORKOUT} duration="5" durationUnit="min" startDate="{NOON}" endDate="{NOON}">'
            f"{entries}{events}</Workout>"
        )
    )
    raw = found.workouts[0]["raw_data"]
    assert len(str(raw)) < MAX_RAW_CHARACTERS
    assert raw["metadata"] == {"HKIndoorWorkout": "1"}


def test_a_night_of_thousands_of_sources_keeps_its_minutes() -> None:
    """Beyond the first hundred, sources are of one place; what they say still counts."""
    names = Sources()
    many = MAX_PLACES * 3
    segments = [
        SleepSegment(i * 60, i * 60 + 60, LIGHT if i % 2 else AWAKE, names.number(f"s{i:04}", None), 0, False)
        for i in range(many)
    ]
    sleep = compose(segments, names)
    assert sleep is not None
    assert sleep.seconds(LIGHT) == sleep.seconds(AWAKE) == many * 30
    assert max(names.ranks()) == MAX_PLACES - 1
