"""Decoding records: value, unit, instants and local day, spilled until everything has been read."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

from services.tracking import units
from services.tracking.apple_health import metrics
from services.tracking.apple_health.account import Account, Rejected
from services.tracking.apple_health.dates import DAY, EARLIEST, Dates, local_day, to_day
from services.tracking.apple_health.elements import Attributes, Child
from services.tracking.apple_health.samples import (
    ASLEEP,
    AWAKE,
    DEEP,
    IN_BED,
    LIGHT,
    REM,
    SAMPLE,
    SEGMENT,
    Single,
    Summary,
)
from services.tracking.apple_health.sources import Sources
from services.tracking.apple_health.spill import Spill
from services.tracking.apple_health.workouts import WorkoutSpill

MAX_SLEEP_SECONDS = DAY
# Of a value or a unit as it came: a number may be written with any number of zeros.
MAX_TEXT = 40
# The years ahead that there are partitions for.
YEARS_AHEAD = 2

_SLEEP = "HKCategoryValueSleepAnalysis"
SLEEP_VALUES = {
    f"{_SLEEP}InBed": IN_BED,
    f"{_SLEEP}Awake": AWAKE,
    f"{_SLEEP}Asleep": ASLEEP,
    f"{_SLEEP}AsleepUnspecified": ASLEEP,
    f"{_SLEEP}AsleepCore": LIGHT,
    f"{_SLEEP}AsleepDeep": DEEP,
    f"{_SLEEP}AsleepREM": REM,
}


class Records:
    """Takes the elements of an export (see `elements.Sink`) and accounts for each."""

    def __init__(self, scratch: Path, account: Account, sources: Sources) -> None:
        self.account = account
        self.sources = sources
        self.dates = Dates()
        self.samples = Spill(scratch, "samples", SAMPLE)
        self.segments = Spill(scratch, "sleep", SEGMENT)
        self.workouts = WorkoutSpill(scratch, account, self._workout_period)
        # By day and metric; and by day.
        self.singles: dict[tuple[int, int], Single] = {}
        self.summaries: dict[int, Summary] = {}
        self.exported_at: int | None = None
        self.warn = account.warn
        self._last_instant = EARLIEST
        limit = datetime.now(UTC).replace(month=1, day=1, hour=0, minute=0) + timedelta(days=366 * YEARS_AHEAD)
        self._latest = int(limit.timestamp())

    @property
    def as_of(self) -> int:
        """When the export was made; without a date of its own, the last instant of its records."""
        return self.exported_at if self.exported_at is not None else self._last_instant

    def begin(self, root: Attributes) -> None:
        """HealthData has only its locale to tell."""

    def malformed(self, rejected: Rejected, record_type: str, offset: int) -> None:
        self.account.reject(rejected, record_type, offset)

    def record(self, attributes: Attributes, zone: str | None, offset: int) -> None:
        """Takes one Record. This is where an import spends its time."""
        account = self.account
        record_type = attributes.get("type", "")
        metric = metrics.METRICS.get(record_type)
        if metric is None and record_type != metrics.SLEEP_ANALYSIS:
            account.ignore(record_type or "Record")
            return
        try:
            if metric is None:
                self._sleep(attributes, zone)
            else:
                self._sample(metric, attributes, zone)
        except Rejected as rejected:
            account.reject(rejected, record_type, offset)
        except KeyError as error:
            missing = Rejected("missing_attribute", f"the attribute {error.args[0]} is missing")
            account.reject(missing, record_type, offset)
        else:
            account.records_used += 1

    def _sample(self, metric: metrics.Metric, attributes: Attributes, zone: str | None) -> None:
        code, _, factors, low, high = metric
        try:
            text = attributes["value"]
            value = float(text)
            if "_" in text:
                raise ValueError
        except ValueError:
            raise Rejected("bad_value", "value must be a number") from None
        try:
            value *= factors[attributes["unit"]]
        except KeyError:
            value = self._convert(metric, attributes, value)
        if not low <= value <= high:
            raise Rejected(*_why_not(value))
        start_text, end_text = attributes["startDate"], attributes["endDate"]
        start, offset = self.dates.instant(start_text)
        end = start if end_text == start_text else self.dates.instant(end_text)[0]
        if start < EARLIEST or end > self._latest:
            raise Rejected("date_out_of_range", "the dates lie before the year 2000 or after the export")
        if end < start:
            raise Rejected("end_before_start", "endDate lies before startDate")
        if zone is not None:
            offset = self.zoned(zone, start, offset)
        source = self.sources.number(attributes.get("sourceName"), attributes.get("device"))
        if code >= metrics.FIRST_SINGLE:
            unit = attributes["unit"][:MAX_TEXT]
            self._single(code, Single(start, source, offset, value, text[:MAX_TEXT], unit), end)
            return
        if code >= metrics.FIRST_TOTAL and end - start > metrics.MAX_TOTAL_SECONDS:
            raise Rejected("too_long", "the record lasts longer than four days")
        self.samples.add(start, SAMPLE.pack(start, code, source, offset, end - start, value))
        if end > self._last_instant:
            self._last_instant = end

    def _convert(self, metric: metrics.Metric, attributes: Attributes, value: float) -> float:
        """What has no plain factor: temperatures. Raises Rejected for a unit that does not fit."""
        unit = attributes["unit"]
        if metric.code == metrics.WRIST_TEMPERATURE and math.isfinite(value):
            try:
                return units.convert(value, unit, "degC")
            except units.UnknownUnit:
                pass
        raise Rejected("unknown_unit", "the unit is not known or is one of another quantity")

    def _single(self, code: int, single: Single, end: int) -> None:
        """Keeps the day's value: that of the first source by priority, its latest."""
        # The wrist is measured through the night, which belongs to the day it ends on.
        day = local_day(end if code == metrics.WRIST_TEMPERATURE else single.start, single.offset)
        known = self.singles.get((day, code))
        if known is None or self._better(single, known):
            self.singles[day, code] = single
        self._last_instant = max(self._last_instant, end)

    def _better(self, single: Single, known: Single) -> bool:
        mine, other = self.sources.place(single.source), self.sources.place(known.source)
        if mine != other:
            return mine < other
        return (single.start, single.value, single.text) > (known.start, known.value, known.text)

    def _sleep(self, attributes: Attributes, zone: str | None) -> None:
        stage = SLEEP_VALUES.get(attributes["value"])
        if stage is None:
            raise Rejected("unknown_value", "value is no kind of sleep that is known")
        start, end, offset = self.period(attributes)
        if end - start > MAX_SLEEP_SECONDS:
            raise Rejected("too_long", "the record lasts longer than a day")
        if zone is not None:
            offset = self.zoned(zone, end, offset)
        source = self.sources.number(attributes.get("sourceName"), attributes.get("device"))
        if end > start:
            self.segments.add(start, SEGMENT.pack(start, end, stage, source, offset, zone is not None))

    def period(self, attributes: Attributes) -> tuple[int, int, int]:
        """Start, end and the offset at the end. Raises Rejected, and KeyError for a missing attribute."""
        start, _ = self.dates.instant(attributes["startDate"])
        end, offset = self.dates.instant(attributes["endDate"])
        if start < EARLIEST or end > self._latest:
            raise Rejected("date_out_of_range", "the dates lie before the year 2000 or after the export")
        if end < start:
            raise Rejected("end_before_start", "endDate lies before startDate")
        self._last_instant = max(self._last_instant, end)
        return start, end, offset

    def _workout_period(self, attributes: Attributes, zone: str | None) -> tuple[int, int, int]:
        """Start, end and the offset at the start."""
        start, end, _ = self.period(attributes)
        offset = self.dates.instant(attributes["startDate"])[1]
        return start, end, offset if zone is None else self.zoned(zone, start, offset)

    def zoned(self, zone: str, instant: int, otherwise: int) -> int:
        """The offset of a record's own time zone; all dates are written in that of the phone at export."""
        offset = self.dates.zone_offset(zone, instant)
        if offset is None:
            self.warn("a time zone that is not known was passed over for the offset of the record's own date")
            return otherwise
        return offset

    def element(self, name: str, attributes: Attributes, children: list[Child], offset: int) -> None:
        """Takes any other element under HealthData."""
        if name == "ExportDate":
            self._export_date(attributes)
            return
        if name == "Me":
            return
        kind = attributes.get("workoutActivityType") or attributes.get("type") or name
        try:
            if name == "Workout":
                self.workouts.add(attributes, children)
                self.account.records_used += 1
            elif name == "ActivitySummary":
                self._summary(attributes)
            else:
                self.account.ignore(kind if name == "Correlation" else name)
        except Rejected as rejected:
            self.account.reject(rejected, kind, offset)
        except KeyError as error:
            missing = Rejected("missing_attribute", f"the attribute {error.args[0]} is missing")
            self.account.reject(missing, kind, offset)

    def _export_date(self, attributes: Attributes) -> None:
        try:
            instant, _ = self.dates.instant(attributes.get("value", ""))
        except Rejected:
            instant = -1
        if not EARLIEST <= instant <= self._latest:
            self.warn("the export's own date cannot be read; the date of its last record stands in for it")
            return
        self.exported_at = instant
        # Clocks differ, and a day may have begun elsewhere.
        self._latest = min(self._latest, instant + DAY)

    def _summary(self, attributes: Attributes) -> None:
        """What the phone shows for a day; days without anything are written as zeros, some on 1969-12-30."""
        day = to_day(attributes["dateComponents"])
        kcal, energy_unit = self._energy(attributes)
        text = attributes.get("appleExerciseTime", "0")
        minutes = _number(text, "appleExerciseTime")
        if kcal == 0 and minutes == 0:
            self.account.ignore("ActivitySummary")
            return
        if not EARLIEST // DAY <= day <= self._latest // DAY + 1:
            raise Rejected("date_out_of_range", "the dates lie before the year 2000 or after the export")
        energy_text = attributes.get("activeEnergyBurned", "0")[:MAX_TEXT]
        summary = Summary(kcal, minutes, energy_text, energy_unit[:MAX_TEXT], text[:MAX_TEXT])
        self.summaries[day] = max(summary, self.summaries.get(day, summary))
        self.account.records_used += 1

    def _energy(self, attributes: Attributes) -> tuple[float, str]:
        if "activeEnergyBurned" not in attributes:
            return 0.0, ""
        value = _number(attributes["activeEnergyBurned"], "activeEnergyBurned")
        unit = attributes.get("activeEnergyBurnedUnit", "")
        if value == 0:
            return 0.0, unit
        try:
            return units.convert(value, unit, "kcal"), unit
        except units.UnknownUnit:
            raise Rejected("unknown_unit", "activeEnergyBurnedUnit is not known or no unit of energy") from None

    def close(self) -> None:
        """To be called when everything has been read."""
        self.samples.flush()
        self.segments.flush()
        self.workouts.close()


def _number(text: str, attribute: str) -> float:
    """A number that is finite and not negative. Raises Rejected."""
    try:
        value = float(text)
    except ValueError:
        raise Rejected("bad_value", f"{attribute} must be a number") from None
    if not math.isfinite(value) or value < 0:
        raise Rejected(*_why_not(value))
    return value


def _why_not(value: float) -> tuple[str, str]:
    if not math.isfinite(value):
        return "bad_value", "value must be a finite number"
    return "out_of_range", "value lies outside what is possible"
