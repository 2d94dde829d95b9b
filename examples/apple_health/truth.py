"""What an export should come to, as the simulation knows it."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime


@dataclass
class Values:
    """Samples of a day or a night."""

    values: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        return sum(self.values) / len(self.values) if self.values else None

    @property
    def lowest(self) -> float | None:
        return min(self.values, default=None)

    @property
    def highest(self) -> float | None:
        return max(self.values, default=None)


@dataclass
class DayTruth:
    """A day; None is what nothing was recorded of. Totals count the same minutes once."""

    steps: float | None = None
    distance_m: float | None = None
    floors_climbed: float | None = None
    active_calories_kcal: float | None = None
    basal_calories_kcal: float | None = None
    active_minutes: float | None = None
    heart_rate_bpm: Values = field(default_factory=Values)
    hrv_sdnn_ms: Values = field(default_factory=Values)
    spo2_pct: Values = field(default_factory=Values)
    respiratory_rate: Values = field(default_factory=Values)
    resting_hr_bpm: int | None = None
    vo2_max_ml_kg_min: float | None = None
    wrist_temperature_c: float | None = None
    skin_temp_deviation_c: float | None = None

    @property
    def total_calories_kcal(self) -> float | None:
        if self.active_calories_kcal is None or self.basal_calories_kcal is None:
            return None
        return self.active_calories_kcal + self.basal_calories_kcal


@dataclass
class NightTruth:
    """The main sleep that ended on a date; the stages are None where nobody told them apart."""

    sleep_start: datetime
    sleep_end: datetime
    total_sleep_minutes: int
    awake_minutes: int
    interruptions: int
    sleep_latency_minutes: int
    time_in_bed_minutes: int
    light_minutes: int | None
    deep_minutes: int | None
    rem_minutes: int | None
    hypnogram: list[tuple[datetime, str]]
    naps: int = 0
    heart_rate_bpm: Values = field(default_factory=Values)
    hrv_sdnn_ms: Values = field(default_factory=Values)
    spo2_pct: Values = field(default_factory=Values)
    respiratory_rate: Values = field(default_factory=Values)

    @property
    def sleep_efficiency_pct(self) -> float:
        return 100 * self.total_sleep_minutes / self.time_in_bed_minutes


@dataclass
class WorkoutTruth:
    """A workout; `activity_date` is the local date it began on."""

    activity_date: date
    activity_type: str
    start_time: datetime
    end_time: datetime
    duration_seconds: float
    distance_m: float | None
    calories_kcal: float
    avg_hr_bpm: float | None
    max_hr_bpm: float | None
    elevation_gain_m: float | None


@dataclass
class Truth:
    """Everything that an export holds."""

    as_of: datetime
    days: defaultdict[date, DayTruth] = field(default_factory=lambda: defaultdict(DayTruth))
    nights: dict[date, NightTruth] = field(default_factory=dict)
    workouts: list[WorkoutTruth] = field(default_factory=list)
    records_used: int = 0
    records_rejected: int = 0
    ignored_by_type: Counter[str] = field(default_factory=Counter)
    xml_bytes: int = 0

    @property
    def records_read(self) -> int:
        return self.records_used + self.records_rejected + self.ignored_by_type.total()
