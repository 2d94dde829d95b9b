"""Daily rows: everything that was recorded on a local day, in one row."""

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from statistics import median
from typing import Any

from services.tracking.apple_health import metrics, ranges
from services.tracking.apple_health.account import Account
from services.tracking.apple_health.dates import DAY, to_date
from services.tracking.apple_health.overlap import Overlap, Segment
from services.tracking.apple_health.records import Records
from services.tracking.apple_health.samples import SAMPLE, Single, Summary, raw_single

SOURCE = "apple_health"
BASELINE_NIGHTS = 28
BASELINE_LEAST = 7
MAX_RAW_SOURCES = 10
# No local day begins or ends that much apart from the one in UTC.
SETTLED_SECONDS = DAY

COUNT, SUM, LOW, HIGH = range(4)
# One metric's samples of a day from one source: how many, their sum, the lowest, the highest.
Cell = list[float]
# By metric and source.
Cells = dict[tuple[int, int], Cell]

TOTAL_COLUMNS = {
    metrics.STEPS: "steps",
    metrics.DISTANCE: "distance_m",
    metrics.FLIGHTS: "floors_climbed",
    metrics.ACTIVE_ENERGY: "active_calories_kcal",
    metrics.EXERCISE: "active_minutes",
}
# Under which name the sources of a metric stand in raw_data.
NAMES = {
    **TOTAL_COLUMNS,
    metrics.BASAL_ENERGY: "basal_calories_kcal",
    metrics.HEART_RATE: "max_hr_bpm",
    metrics.HRV_SDNN: "hrv_sdnn_ms",
    metrics.OXYGEN: "spo2_avg_pct",
    metrics.RESPIRATORY_RATE: "respiratory_rate_avg",
}


class TemperatureBaseline:
    """The person's own median wrist temperature: of the 28 nights before, if at least 7 of them have one."""

    def __init__(self) -> None:
        self._nights: deque[tuple[int, float]] = deque()

    def deviation(self, day: int, celsius: float) -> float | None:
        """How far a night's temperature lies from the nights before it; takes it into those of later ones."""
        while self._nights and self._nights[0][0] < day - BASELINE_NIGHTS:
            self._nights.popleft()
        before = [value for _, value in self._nights]
        self._nights.append((day, celsius))
        return round(celsius - median(before), 2) if len(before) >= BASELINE_LEAST else None


def temperature_deviations(records: Records) -> dict[int, float]:
    """For the days that have one: the deviation of the wrist's temperature, °C."""
    baseline = TemperatureBaseline()
    found = {}
    for day, code in sorted(records.singles):
        if code == metrics.WRIST_TEMPERATURE:
            deviation = baseline.deviation(day, records.singles[day, code].value)
            if deviation is not None:
                found[day] = deviation
    return found


def daily_rows(records: Records, as_of: datetime) -> Iterator[dict[str, Any]]:
    """The rows in order of their dates."""
    return _Days(records, as_of).rows()


class _Days:
    def __init__(self, records: Records, as_of: datetime) -> None:
        self._records = records
        self._as_of = as_of
        self._account: Account = records.account
        self._ranks = records.sources.ranks()
        self._temperatures = temperature_deviations(records)
        self._open: dict[int, Cells] = {}
        self._overlaps = {
            code: Overlap(self._emit_for(code)) for code in range(metrics.FIRST_TOTAL, metrics.FLIGHTS + 1)
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        static = sorted({*self._records.summaries, *(day for day, _ in self._records.singles)}, reverse=True)
        for until, bucket in self._records.samples.sorted_buckets():
            self._take(bucket)
            open_from = min(overlap.settle(until) for overlap in self._overlaps.values())
            yield from self._settled(int(open_from - SETTLED_SECONDS) // DAY, static)
        for overlap in self._overlaps.values():
            overlap.flush()
        yield from self._settled(None, static)

    def _take(self, bucket: Iterator[bytes]) -> None:
        """Adds the samples of a bucket, which come in order; one that is there twice counts once."""
        unpack = SAMPLE.unpack
        ranks, overlaps = self._ranks, self._overlaps
        first_total = metrics.FIRST_TOTAL
        before = b""
        current, cells = -1, self._open.setdefault(-1, {})
        for packed in bucket:
            if packed == before:
                continue
            before = packed
            start, code, source, offset, seconds, value = unpack(packed)
            if code >= first_total:
                overlaps[code].add(Segment(ranks[source], start, start + seconds, value, offset, source))
                continue
            day = (start + offset * 60) // DAY
            if day != current:
                current, cells = day, self._open.setdefault(day, {})
            cell = cells.get((code, source))
            if cell is None:
                cells[code, source] = [1, value, value, value]
                continue
            cell[COUNT] += 1
            cell[SUM] += value
            if value < cell[LOW]:
                cell[LOW] = value
            elif value > cell[HIGH]:
                cell[HIGH] = value
        del self._open[-1]

    def _emit_for(self, code: int) -> Any:
        def emit(day: int, source: int, value: float) -> None:
            cells = self._open.get(day)
            if cells is None:
                cells = self._open[day] = {}
            cell = cells.get((code, source))
            if cell is None:
                cells[code, source] = [1, value, value, value]
            else:
                cell[COUNT] += 1
                cell[SUM] += value

        return emit

    def _settled(self, before: int | None, static: list[int]) -> Iterator[dict[str, Any]]:
        """The rows of the days that nothing can be added to; `static` are days of other records, the last first."""
        days = {day for day in self._open if before is None or day < before}
        while static and (before is None or static[-1] < before):
            days.add(static.pop())
        for day in sorted(days):
            row = self._row(day, self._open.pop(day, {}))
            if row is not None:
                yield row

    def _row(self, day: int, cells: Cells) -> dict[str, Any] | None:
        date = to_date(day).isoformat()
        by_metric: dict[int, list[tuple[int, Cell]]] = {}
        # The order of the sources keeps sums the same whatever the order of the records.
        for (code, source), cell in sorted(cells.items(), key=lambda item: self._key(item[0])):
            by_metric.setdefault(code, []).append((source, cell))
        singles = {code: self._records.singles.get((day, code)) for code in range(metrics.FIRST_SINGLE, 23)}
        summary = self._records.summaries.get(day)
        values = {
            **_points(by_metric),
            **_totals(by_metric, summary),
            "resting_hr_bpm": _rounded(singles[metrics.RESTING_HEART_RATE], 0),
            "vo2_max_ml_kg_min": _rounded(singles[metrics.VO2_MAX], 1),
            "skin_temp_deviation_c": self._temperatures.get(day),
        }
        row = ranges.within(values, ranges.DAILY, date, self._account)
        if not row and not any(singles.values()):
            return None
        self._account.cover(date)
        raw = self._raw(by_metric, singles, summary)
        return {"date": to_date(day), "source": SOURCE, **row, "raw_data": raw, "source_as_of": self._as_of}

    def _key(self, key: tuple[int, int]) -> tuple[int, int, str]:
        code, source = key
        return code, self._ranks[source], self._records.sources.all[source].device

    def _raw(
        self,
        by_metric: dict[int, list[tuple[int, Cell]]],
        singles: dict[int, Single | None],
        summary: Summary | None,
    ) -> dict[str, Any]:
        """Single records as they came; of aggregates, how many records of which source."""
        sources = self._records.sources
        raw: dict[str, Any] = {}
        counts: dict[str, dict[str, int]] = {}
        for code, cells in by_metric.items():
            counted = counts.setdefault(NAMES[code], {})
            for source, cell in cells:
                name = sources.all[source].name or "unknown"
                if name in counted or len(counted) < MAX_RAW_SOURCES:
                    counted[name] = counted.get(name, 0) + int(cell[COUNT])
        if counts:
            raw["records"] = counts
        for metric in metrics.METRICS.values():
            single = singles.get(metric.code)
            if single is not None:
                raw[metric.column] = raw_single(single, sources)
        if summary is not None and summary.kcal > 0:
            raw["active_calories_kcal"] = {"value": summary.energy_text, "unit": summary.energy_unit}
        if summary is not None and summary.minutes > 0:
            raw["active_minutes"] = {"value": summary.minutes_text, "unit": "min"}
        return raw


def _points(by_metric: dict[int, list[tuple[int, Cell]]]) -> dict[str, float | None]:
    def cells(code: int) -> list[Cell]:
        return [cell for _, cell in by_metric.get(code, ())]

    def mean(code: int, digits: int) -> float | None:
        found = cells(code)
        return round(sum(c[SUM] for c in found) / sum(c[COUNT] for c in found), digits) if found else None

    heart_rate, oxygen = cells(metrics.HEART_RATE), cells(metrics.OXYGEN)
    return {
        "max_hr_bpm": round(max(c[HIGH] for c in heart_rate)) if heart_rate else None,
        "hrv_sdnn_ms": mean(metrics.HRV_SDNN, 2),
        "spo2_avg_pct": mean(metrics.OXYGEN, 1),
        "spo2_min_pct": round(min(c[LOW] for c in oxygen), 1) if oxygen else None,
        "respiratory_rate_avg": mean(metrics.RESPIRATORY_RATE, 1),
    }


def _totals(by_metric: dict[int, list[tuple[int, Cell]]], summary: Summary | None) -> dict[str, int | None]:
    """Sums of what counts; what the phone itself shows for the day goes before a sum of ours.

    A zero of the phone's gives way: it writes zeros for what it does not track.
    """
    sums = {code: sum(cell[SUM] for _, cell in cells) for code, cells in by_metric.items()}
    if summary is not None:
        if summary.kcal > 0:
            sums[metrics.ACTIVE_ENERGY] = summary.kcal
        if summary.minutes > 0:
            sums[metrics.EXERCISE] = summary.minutes
    row: dict[str, int | None] = {name: round(sums[code]) for code, name in TOTAL_COLUMNS.items() if code in sums}
    if metrics.ACTIVE_ENERGY in sums and metrics.BASAL_ENERGY in sums:
        row["total_calories_kcal"] = round(sums[metrics.ACTIVE_ENERGY] + sums[metrics.BASAL_ENERGY])
    return row


def _rounded(single: Single | None, digits: int) -> float | int | None:
    if single is None:
        return None
    return round(single.value, digits) if digits else round(single.value)
