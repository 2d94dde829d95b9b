"""Half-open intervals of time, `(start, end)` with start < end."""

from bisect import bisect_left
from collections.abc import Iterable

Interval = tuple[float, float]


def union(intervals: Iterable[Interval], gap: float = 0.0) -> list[Interval]:
    """The intervals in order, those that overlap or lie no more than `gap` apart made one."""
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1] + gap:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def subtract(start: float, end: float, covered: list[Interval]) -> list[Interval]:
    """The parts of an interval outside `covered`, which is in order and disjoint."""
    parts: list[Interval] = []
    # The interval before the first that begins at or after `start` may reach into it.
    index = max(0, bisect_left(covered, (start, start)) - 1)
    while index < len(covered) and covered[index][0] < end:
        low, high = covered[index]
        if low > start:
            parts.append((start, low))
        start = max(start, high)
        if start >= end:
            return parts
        index += 1
    parts.append((start, end))
    return parts


def contains(moment: float, covered: list[Interval]) -> bool:
    """Whether a moment lies in one of the intervals, which are in order and disjoint."""
    index = bisect_left(covered, (moment, float("inf"))) - 1
    return index >= 0 and covered[index][0] <= moment < covered[index][1]


def length(intervals: Iterable[Interval]) -> float:
    return sum(end - start for start, end in intervals)
