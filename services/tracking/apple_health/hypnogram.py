"""One sleep out of the segments of several sources: its stages in order, without gaps or overlaps."""

from typing import Any, NamedTuple

from services.tracking.apple_health.dates import to_text
from services.tracking.apple_health.intervals import Interval, length, subtract, union
from services.tracking.apple_health.samples import ASLEEP, AWAKE, DEEP, IN_BED, LIGHT, REM, STAGES
from services.tracking.apple_health.sources import MAX_PLACES, Sources

STAGED = frozenset({LIGHT, DEEP, REM})
SLEEPING = frozenset({ASLEEP, LIGHT, DEEP, REM})
# Where segments of one source overlap, the one that says more holds.
TELLING = (DEEP, REM, LIGHT, AWAKE, ASLEEP)
# Within a source's session what it does not name was not sleep, so no other source fills it.
SESSION_GAP_SECONDS = 3600
# The contract's limit.
MAX_ENTRIES = 5000


class SleepSegment(NamedTuple):
    """What one record of sleep says; `offset` is in minutes, at its end."""

    start: int
    end: int
    stage: int
    source: int
    offset: int
    zoned: bool


class Piece(NamedTuple):
    """A part of the night in one stage."""

    start: float
    end: float
    stage: int


class Sleep(NamedTuple):
    """One sleep. Instants are seconds since 1970; `day` is the local day it ended on."""

    day: int
    offset: int
    pieces: tuple[Piece, ...]
    staged: bool
    # From falling asleep to the last waking; None if the sources only know of lying in bed.
    asleep: Interval | None
    in_bed: tuple[Interval, ...]
    counts: dict[int, int]

    def seconds(self, *stages: int) -> float:
        return sum(piece.end - piece.start for piece in self.pieces if piece.stage in stages)

    def sleeping(self) -> float:
        return self.seconds(*SLEEPING)

    def row(self) -> dict[str, Any]:
        """The columns that the stages give; minutes are whole, the total is rounded from the seconds."""
        row: dict[str, Any] = {"hypnogram": self.entries()}
        if self.asleep is None:
            return row
        fell_asleep, woke = self.asleep
        awake = [p for p in self.pieces if p.stage == AWAKE and p.start >= fell_asleep]
        row |= {
            "total_sleep_minutes": round(self.sleeping() / 60),
            "awake_minutes": round(sum(p.end - p.start for p in awake) / 60),
            "interruptions": sum(p.end <= woke for p in awake),
        }
        if self.staged:
            row |= {
                "rem_minutes": round(self.seconds(REM) / 60),
                "deep_minutes": round(self.seconds(DEEP) / 60),
                "light_minutes": round(self.seconds(LIGHT) / 60),
            }
        if self.in_bed:
            in_bed = length(union([*self.in_bed, self.asleep]))
            row["sleep_efficiency_pct"] = round(100 * self.sleeping() / in_bed, 1)
            if self.in_bed[0][0] <= fell_asleep:
                row["sleep_latency_minutes"] = round((fell_asleep - self.in_bed[0][0]) / 60)
        return row

    def entries(self) -> list[dict[str, str]] | None:
        if len(self.pieces) > MAX_ENTRIES:
            return None
        return [{"t": to_text(piece.start), "stage": STAGES[piece.stage]} for piece in self.pieces]


def compose(segments: list[SleepSegment], sources: Sources) -> Sleep | None:
    """The sleep that these segments tell of; None if nobody slept or lay in bed."""
    by_source: dict[int, list[SleepSegment]] = {}
    ranks = {s.source: sources.place(s.source) for s in segments}
    places = {place: min(index, MAX_PLACES - 1) for index, place in enumerate(sorted(set(ranks.values())))}
    for segment in segments:
        by_source.setdefault(places[ranks[segment.source]], []).append(segment)
    pieces = _painted(by_source)
    in_bed = _in_bed(by_source)
    sleeping = [p for p in pieces if p.stage in SLEEPING]
    asleep = (sleeping[0].start, max(p.end for p in sleeping)) if sleeping else None
    if asleep is None and not in_bed:
        return None
    if asleep is None:
        pieces = []
    else:
        # What was written long before the person lay down or after getting up is another matter.
        in_bed = [
            i for i in in_bed if i[1] > asleep[0] - SESSION_GAP_SECONDS and i[0] < asleep[1] + SESSION_GAP_SECONDS
        ]
    offset, day = _local_end(segments, max([p.end for p in pieces] + [i[1] for i in in_bed]))
    counts: dict[int, int] = {}
    for segment in segments:
        counts[segment.source] = counts.get(segment.source, 0) + 1
    return Sleep(
        day,
        offset,
        tuple(_gapless(pieces, in_bed, asleep)),
        any(p.stage in STAGED for p in pieces),
        asleep,
        tuple(in_bed),
        counts,
    )


def _painted(by_source: dict[int, list[SleepSegment]]) -> list[Piece]:
    """Who slept when, in order: sources with stages first, each then fills what those before it left open."""

    def order(rank: int) -> tuple[bool, int]:
        return not any(s.stage in STAGED for s in by_source[rank]), rank

    covered: list[Interval] = []
    pieces: list[Piece] = []
    for rank in sorted(by_source, key=order):
        own: list[Interval] = []
        for stage in TELLING:
            free: list[Interval] = []
            for start, end in union((s.start, s.end) for s in by_source[rank] if s.stage == stage):
                free.extend(subtract(start, end, own))
            pieces.extend(Piece(a, b, stage) for low, high in free for a, b in subtract(low, high, covered))
            own = union([*own, *free])
        covered = union([*covered, *union(own, SESSION_GAP_SECONDS)])
    return sorted(pieces)


def _in_bed(by_source: dict[int, list[SleepSegment]]) -> list[Interval]:
    """When the first source that knows it saw the person in bed."""
    for rank in sorted(by_source):
        found = union((s.start, s.end) for s in by_source[rank] if s.stage == IN_BED)
        if found:
            return found
    return []


def _gapless(pieces: list[Piece], in_bed: list[Interval], asleep: Interval | None) -> list[Piece]:
    """The pieces with what lies between: awake once the person has slept, in bed before and after."""
    if asleep is None:
        return _joined([Piece(in_bed[0][0], in_bed[-1][1], IN_BED)])
    start = min([pieces[0].start, *(i[0] for i in in_bed)])
    end = max([*(p.end for p in pieces), *(i[1] for i in in_bed)])
    filled: list[Piece] = []
    at = start
    for piece in [*pieces, Piece(end, end, IN_BED)]:
        if piece.start > at:
            filled.append(Piece(at, piece.start, AWAKE if asleep[0] <= at < asleep[1] else IN_BED))
        if piece.end > at:
            filled.append(piece)
        at = max(at, piece.end)
    return _joined(filled)


def _joined(pieces: list[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].stage == piece.stage:
            joined[-1] = joined[-1]._replace(end=piece.end)
        else:
            joined.append(piece)
    return joined


def _local_end(segments: list[SleepSegment], end: float) -> tuple[int, int]:
    """The offset at the end of the sleep, and the local day; a record that names its time zone knows best."""
    last = max(segments, key=lambda s: (s.zoned, s.end, s.offset))
    return last.offset, int((end + last.offset * 60) // 86400)
