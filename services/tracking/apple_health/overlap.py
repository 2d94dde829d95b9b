"""Counting the same minutes once when several devices counted them, as the phone itself shows it.

What a record counted is spread evenly over its time. Sources are taken by
priority; of a record of a lower one counts the part of its time that no higher
one covers. A source never competes with itself.
"""

from collections.abc import Callable
from typing import NamedTuple

from services.tracking.apple_health.dates import DAY
from services.tracking.apple_health.intervals import Interval, contains, subtract, union

# More records at once than four days hold are resolved in parts.
MAX_CLUSTER = 10_000


class Segment(NamedTuple):
    """Part of what one record counted; `offset` is in minutes."""

    rank: int
    start: float
    end: float
    value: float
    offset: int
    source: int


# Takes the local day, the source and what was counted.
Emit = Callable[[int, int, float], None]


class Overlap:
    """Takes one metric's records in order of their start and gives what counts to `emit`, day by day."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._cluster: list[Segment] = []
        self._end = -1.0
        self._ranks: set[int] = set()

    def add(self, segment: Segment) -> None:
        # A moment without length may coincide with another one.
        if segment.start >= self._end and self._cluster and segment.start > self._cluster[-1].start:
            self.flush()
        elif len(self._cluster) >= MAX_CLUSTER:
            self._cut(segment.start)
        self._cluster.append(segment)
        self._ranks.add(segment.rank)
        if segment.end > self._end:
            self._end = segment.end

    def settle(self, until: float) -> float:
        """What nothing later than `until` can touch is resolved; gives the first instant that is still open."""
        if self._end <= until:
            self.flush()
        return min((segment.start for segment in self._cluster), default=until)

    def flush(self) -> None:
        """Resolves what has been taken so far."""
        if len(self._ranks) > 1:
            self._resolve(self._cluster)
        else:
            for segment in self._cluster:
                self._count(segment, segment.start, segment.end, segment.value)
        self._cluster.clear()
        self._ranks.clear()
        self._end = -1.0

    def _cut(self, moment: float) -> None:
        """Resolves what lies before a moment, which changes nothing: values are spread evenly."""
        later: list[Segment] = []
        earlier: list[Segment] = []
        for segment in self._cluster:
            if segment.end <= moment and segment.start < moment:
                earlier.append(segment)
            elif segment.start >= moment:
                later.append(segment)
            else:
                share = (moment - segment.start) / (segment.end - segment.start)
                earlier.append(segment._replace(end=moment, value=segment.value * share))
                later.append(segment._replace(start=moment, value=segment.value * (1 - share)))
        if len(later) > MAX_CLUSTER // 2:
            # No person's devices do this; what is left over is resolved by itself.
            earlier, later = earlier + later, []
        self._cluster = earlier
        self._ranks = {segment.rank for segment in earlier}
        self.flush()
        self._cluster = later
        self._ranks = {segment.rank for segment in later}
        self._end = max((segment.end for segment in later), default=-1.0)

    def _resolve(self, cluster: list[Segment]) -> None:
        covered: list[Interval] = []
        moments: set[float] = set()
        for rank in sorted(self._ranks):
            mine = [segment for segment in cluster if segment.rank == rank]
            for segment in mine:
                if segment.start == segment.end:
                    if segment.start not in moments and not contains(segment.start, covered):
                        self._count(segment, segment.start, segment.end, segment.value)
                    continue
                rate = segment.value / (segment.end - segment.start)
                for start, end in subtract(segment.start, segment.end, covered):
                    self._count(segment, start, end, rate * (end - start))
            covered = union([*covered, *((s.start, s.end) for s in mine if s.end > s.start)])
            moments.update(s.start for s in mine if s.end == s.start)

    def _count(self, segment: Segment, start: float, end: float, value: float) -> None:
        """Splits at local midnight, in proportion to the time on either side."""
        shift = segment.offset * 60
        first = int((start + shift) // DAY)
        last = int((end + shift) // DAY)
        if first == last or end == start:
            self._emit(first, segment.source, value)
            return
        rate = value / (end - start)
        for day in range(first, last + 1):
            low = max(start, day * DAY - shift)
            high = min(end, (day + 1) * DAY - shift)
            if high > low:
                self._emit(day, segment.source, rate * (high - low))
