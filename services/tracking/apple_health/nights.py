"""Nightly rows: the main sleep that ended on a date, with what was measured meanwhile."""

from array import array
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from services.tracking.apple_health import metrics, ranges
from services.tracking.apple_health.dates import DAY, offset_text, to_date, to_datetime, to_text
from services.tracking.apple_health.days import SOURCE, temperature_deviations
from services.tracking.apple_health.hypnogram import Sleep, SleepSegment, compose
from services.tracking.apple_health.records import Records
from services.tracking.apple_health.samples import SAMPLE, SEGMENT

# Who has been up for so long has begun another sleep.
GAP_SECONDS = 3 * 3600
MAX_SPAN_SECONDS = DAY
MAX_SEGMENTS = 10_000
MAX_NAPS = 10
MAX_RAW_SOURCES = 10
# How far local dates and sleeps cut at a day's length can fall behind one another.
SETTLED_DAYS = 4


def sleep_rows(records: Records, as_of: datetime) -> Iterator[dict[str, Any]]:
    """The rows in order of their dates."""
    vitals = _Vitals(records)
    temperatures = temperature_deviations(records)
    account = records.account
    for index, (main, naps) in enumerate(_nights(records)):
        date = to_date(main.day).isoformat()
        values = {
            **main.row(),
            "utc_offset_minutes": main.offset,
            **vitals.row(index),
            "avg_skin_temp_deviation_c": temperatures.get(main.day),
        }
        if values["hypnogram"] is None:
            account.warn(f"hypnogram of {date} has too many stages and was left out")
        account.cover(date)
        yield {
            "sleep_date": to_date(main.day),
            "source": SOURCE,
            "sleep_start": to_datetime(main.pieces[0].start),
            "sleep_end": to_datetime(main.pieces[-1].end),
            **ranges.within(values, ranges.SLEEP, date, account),
            "raw_data": _raw(main, naps, records),
            "source_as_of": as_of,
        }


def _raw(main: Sleep, naps: list[Sleep], records: Records) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for source, count in sorted(main.counts.items(), key=lambda item: records.sources.place(item[0])):
        name = records.sources.all[source].name or "unknown"
        if name in counts or len(counts) < MAX_RAW_SOURCES:
            counts[name] = counts.get(name, 0) + count
    raw: dict[str, Any] = {"offset": offset_text(main.offset), "records": counts}
    if naps:
        raw["naps"] = [
            {
                "start": to_text(nap.pieces[0].start),
                "end": to_text(nap.pieces[-1].end),
                "total_sleep_minutes": round(nap.sleeping() / 60),
            }
            for nap in naps[:MAX_NAPS]
        ]
    return raw


def _segments(records: Records) -> Iterator[SleepSegment]:
    """All segments in order of their start; one that is there twice only once."""
    before = b""
    for _, bucket in records.segments.sorted_buckets():
        for packed in bucket:
            if packed != before:
                before = packed
                start, end, stage, source, offset, zoned = SEGMENT.unpack(packed)
                yield SleepSegment(start, end, stage, source, offset, bool(zoned))


def _sleeps(records: Records) -> Iterator[Sleep]:
    """The sleeps in order of their start, by instants and so whole whatever the clocks do."""
    cluster: list[SleepSegment] = []
    end = 0
    for segment in _segments(records):
        far = segment.start > end + GAP_SECONDS or (
            cluster and (segment.start > cluster[0].start + MAX_SPAN_SECONDS or len(cluster) >= MAX_SEGMENTS)
        )
        if cluster and far:
            sleep = compose(cluster, records.sources)
            if sleep is not None:
                yield sleep
            cluster = []
            end = 0
        cluster.append(segment)
        end = max(end, segment.end)
    sleep = compose(cluster, records.sources) if cluster else None
    if sleep is not None:
        yield sleep


def _nights(records: Records) -> Iterator[tuple[Sleep, list[Sleep]]]:
    """For each date the longest sleep that ended on it, and the others; dates in order."""
    open_days: dict[int, list[Sleep]] = {}
    for sleep in _sleeps(records):
        open_days.setdefault(sleep.day, []).append(sleep)
        for day in sorted(day for day in open_days if day < sleep.day - SETTLED_DAYS):
            yield _main(open_days.pop(day))
    for day in sorted(open_days):
        yield _main(open_days[day])


def _main(sleeps: list[Sleep]) -> tuple[Sleep, list[Sleep]]:
    def weight(sleep: Sleep) -> tuple[float, float, float]:
        return sleep.sleeping(), sleep.pieces[-1].end - sleep.pieces[0].start, -sleep.pieces[0].start

    main = max(sleeps, key=weight)
    return main, [sleep for sleep in sleeps if sleep is not main]


class _Vitals:
    """What was measured between falling asleep and waking, for every night: count, sum and lowest value."""

    _WIDTH = 3 * len(metrics.NIGHT_POINTS)

    def __init__(self, records: Records) -> None:
        self._starts, self._ends, self._values = array("I"), array("I"), array("d")
        for main, _ in _nights(records):
            start, end = main.asleep or (0, 0)
            self._starts.append(int(start))
            self._ends.append(int(end))
        self._values = array("d", bytes(8 * self._WIDTH * len(self._starts)))
        self._read(records)

    def _read(self, records: Records) -> None:
        order = sorted((i for i in range(len(self._starts)) if self._ends[i]), key=self._starts.__getitem__)
        if not order:
            return
        wanted = frozenset(metrics.NIGHT_POINTS)
        following = iter(order)
        night = next(following)
        start, end = self._starts[night], self._ends[night]
        values, before = self._values, b""
        for _, bucket in records.samples.sorted_buckets():
            for packed in bucket:
                # The metric is the fifth byte, after the start.
                if packed[4] not in wanted or packed == before:
                    continue
                before = packed
                moment, code, _, _, _, value = SAMPLE.unpack(packed)
                while moment > end:
                    after = next(following, None)
                    if after is None:
                        return
                    night = after
                    start, end = self._starts[night], self._ends[night]
                if moment >= start:
                    at = night * self._WIDTH + 3 * (code - metrics.HEART_RATE)
                    if not values[at] or value < values[at + 2]:
                        values[at + 2] = value
                    values[at] += 1
                    values[at + 1] += value

    def row(self, index: int) -> dict[str, float | None]:
        def mean(code: int, digits: int) -> float | None:
            at = index * self._WIDTH + 3 * (code - metrics.HEART_RATE)
            return round(self._values[at + 1] / self._values[at], digits) if self._values[at] else None

        at = index * self._WIDTH
        heart_rate = mean(metrics.HEART_RATE, 6)
        return {
            "avg_hr_bpm": round(heart_rate) if heart_rate is not None else None,
            "min_hr_bpm": round(self._values[at + 2]) if self._values[at] else None,
            "avg_hrv_sdnn_ms": mean(metrics.HRV_SDNN, 2),
            "avg_respiratory_rate": mean(metrics.RESPIRATORY_RATE, 1),
            "avg_spo2_pct": mean(metrics.OXYGEN, 1),
        }
