"""Counting the same minutes once, against a model that looks at every second."""

import itertools
import math
import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracking.apple_health import overlap
from services.tracking.apple_health.intervals import contains, subtract, union
from services.tracking.apple_health.overlap import Overlap, Segment
from tests.tracking.apple_health.exports import STEPS, export, read, record

DAY = 86400
# Around the second midnight, so that some segments cross it.
SEGMENTS = st.lists(
    st.builds(
        lambda rank, start, seconds, value: Segment(rank, DAY + start, DAY + start + seconds, value, 0, rank),
        st.integers(0, 2),
        st.integers(-90, 60),
        st.integers(0, 80),
        st.integers(0, 50).map(float),
    ),
    max_size=12,
)


def counted(segments: list[Segment]) -> dict[tuple[int, int], float]:
    sums: dict[tuple[int, int], float] = defaultdict(float)

    def emit(day: int, source: int, value: float) -> None:
        sums[day, source] += value

    merging = Overlap(emit)
    for segment in sorted(segments, key=lambda s: s.start):
        merging.add(segment)
    merging.flush()
    return {key: value for key, value in sums.items() if value}


def second_by_second(segments: list[Segment]) -> dict[tuple[int, int], float]:
    """Each second belongs to the highest rank that covers it; a moment to the highest there."""
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for segment in segments:
        higher = [other for other in segments if other.rank < segment.rank]
        if segment.start == segment.end:
            at = segment.start
            if not any(o.start <= at < o.end or o.start == o.end == at for o in higher):
                sums[int(at // DAY), segment.source] += segment.value
            continue
        rate = segment.value / (segment.end - segment.start)
        for second in range(int(segment.start), int(segment.end)):
            if not any(o.start <= second < o.end for o in higher):
                sums[second // DAY, segment.source] += rate
    return {key: value for key, value in sums.items() if value}


def same(a: dict[tuple[int, int], float], b: dict[tuple[int, int], float]) -> bool:
    return all(math.isclose(a.get(key, 0), b.get(key, 0), abs_tol=1e-6) for key in {*a, *b})


@given(SEGMENTS)
def test_merging_agrees_with_the_model(segments: list[Segment]) -> None:
    assert same(counted(segments), second_by_second(segments))


@given(SEGMENTS, st.integers(0, 2**32))
def test_the_order_of_records_changes_nothing(segments: list[Segment], seed: int) -> None:
    shuffled = random.Random(seed).sample(segments, len(segments))
    assert same(counted(shuffled), counted(segments))


@given(
    st.lists(
        st.builds(
            lambda start, seconds: Segment(0, start, start + seconds, 7.0, 0, 0),
            st.integers(0, 300_000),
            st.integers(1, 345_600),
        ),
        max_size=5,
    ),
    st.integers(-720, 840),
)
def test_splitting_at_midnight_loses_nothing(segments: list[Segment], offset: int) -> None:
    moved = [segment._replace(offset=offset) for segment in segments]
    sums = counted(moved)
    assert math.isclose(sum(sums.values()), 7.0 * len(moved), abs_tol=1e-6)
    for segment in moved:
        days = range(int(segment.start + offset * 60) // DAY, int(segment.end + offset * 60 - 1) // DAY + 1)
        assert all((day, 0) in sums for day in days)


CHAINS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 18), st.integers(1, 50), st.integers(0, 4)), min_size=20, max_size=60
)


@given(CHAINS)
def test_clusters_too_large_to_hold_are_cut_without_a_difference(chain: list[tuple[int, int, int, int]]) -> None:
    segments = [
        Segment(rank, DAY - 100 + 5 * n + late, DAY - 100 + 5 * n + late + seconds, float(value), 0, rank)
        for n, (rank, seconds, value, late) in enumerate(chain)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "MAX_CLUSTER", 14)
        found = counted(segments)
    assert same(found, second_by_second(segments))


def test_no_number_of_segments_at_once_grows_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "MAX_CLUSTER", 100)
    days: dict[int, float] = defaultdict(float)

    def emit(day: int, source: int, value: float) -> None:
        days[day] += value

    merging = Overlap(emit)
    for number in range(5000):
        merging.add(Segment(number % 3, 0, 1000 + number % 7, 1.0, 0, 0))
        assert len(merging._cluster) <= 101
    merging.flush()
    assert 0 < days[0] <= 5000


INTERVALS = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20)).map(lambda t: (t[0], t[0] + t[1])), max_size=10)


@given(INTERVALS, st.integers(0, 60), st.integers(1, 30))
def test_intervals(intervals: list[tuple[float, float]], start: int, seconds: int) -> None:
    covered = union(intervals)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(covered))
    left = subtract(start, start + seconds, covered)
    for second in range(100):
        inside = any(low <= second < high for low, high in intervals)
        assert contains(second, covered) == inside
        assert any(low <= second < high for low, high in left) == (start <= second < start + seconds and not inside)


KINDS = [
    (STEPS, "count"),
    ("DistanceWalkingRunning", "m"),
    ("HeartRate", "count/min"),
    ("RestingHeartRate", "count/min"),
]
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.sampled_from(["Watch", "iPhone", "App", "Other app"]),
        st.integers(0, 2 * 1440),
        st.integers(0, 90),
        st.integers(30, 200),
        st.sampled_from(["+0000", "-0700", "+0530"]),
    ),
    min_size=1,
    max_size=25,
)


def written(minute: int, offset: str) -> str:
    return f"2026-03-{2 + minute // 1440:02} {minute // 60 % 24:02}:{minute % 60:02}:00 {offset}"


@given(RECORDS, st.integers(0, 2**32))
def test_shuffled_records_give_the_same_rows(
    records: list[tuple[tuple[str, str], str, int, int, int, str]], seed: int
) -> None:
    elements = [
        record(kind, str(value), unit, written(start, offset), written(start + minutes, offset), source=source)
        for (kind, unit), source, start, minutes, value, offset in records
    ]
    shuffled = random.Random(seed).sample(elements, len(elements))
    first, second = read(export(*elements)), read(export(*shuffled))
    assert first.rows() == second.rows()
    assert first.account.records_used == second.account.records_used
