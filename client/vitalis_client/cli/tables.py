"""Rows as tables that fit the terminal."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Generic, TypeVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from vitalis_client.cli.terminal import clean, duration, say, stdout
from vitalis_client.contract.models import Day, WearableActivity, WearableSleep

GAP = 2
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """A column; `text` gives "" for a value that is not there."""

    label: str
    text: Callable[[Row], str]
    left: bool = False


def number(field: str, label: str, decimals: int = 0, scale: float = 1.0) -> Column[Row]:
    """A column of a numeric field, times `scale`."""

    def text(row: Row) -> str:
        value = getattr(row, field)
        # Adding zero takes the sign off what is rounded to it.
        return "" if value is None else f"{round(value * scale, decimals) + 0:,.{decimals}f}"

    return Column(label, text)


def minutes(field: str, label: str) -> Column[Row]:
    """A column of a field in minutes, as hours and minutes."""

    def text(row: Row) -> str:
        value = getattr(row, field)
        return "" if value is None else duration(value * 60)

    return Column(label, text)


def words(field: str, label: str) -> Column[Row]:
    """A column of a text field."""
    return Column(label, lambda row: clean(str(getattr(row, field) or "")).replace("_", " "), left=True)


# In the order in which columns give way when the terminal is narrow: the last first.
DAYS: Sequence[Column[Day]] = (
    Column("Date", lambda day: day.date, left=True),
    number("steps", "Steps"),
    number("distance_m", "km", 1, 0.001),
    number("active_calories_kcal", "Active kcal"),
    number("active_minutes", "Active min"),
    number("resting_hr_bpm", "Rest HR"),
    number("hrv_sdnn_ms", "SDNN ms", 1),
    number("hrv_rmssd_ms", "RMSSD ms", 1),
    number("vo2_max_ml_kg_min", "VO₂max", 1),
    number("spo2_avg_pct", "SpO₂ %", 1),
    number("floors_climbed", "Floors"),
    number("respiratory_rate_avg", "Breaths", 1),
    number("readiness_score", "Readiness"),
    number("recovery_score", "Recovery"),
    number("stress_avg", "Stress"),
    number("max_hr_bpm", "Max HR"),
    number("total_calories_kcal", "Total kcal"),
    number("skin_temp_deviation_c", "Skin °C", 1),
    number("moderate_intensity_minutes", "Moderate min"),
    number("vigorous_intensity_minutes", "Vigorous min"),
    number("body_battery_start", "Battery in"),
    number("body_battery_end", "Battery out"),
    number("spo2_min_pct", "SpO₂ min %", 1),
)


NIGHTS: Sequence[Column[WearableSleep]] = (
    Column("Night to", lambda night: night.sleep_date, left=True),
    minutes("total_sleep_minutes", "Asleep"),
    Column("From", lambda night: clock(night.sleep_start, night.utc_offset_minutes)),
    Column("To", lambda night: clock(night.sleep_end, night.utc_offset_minutes)),
    minutes("deep_minutes", "Deep"),
    minutes("rem_minutes", "REM"),
    minutes("light_minutes", "Light"),
    minutes("awake_minutes", "Awake"),
    number("sleep_efficiency_pct", "Effic. %"),
    number("avg_hr_bpm", "HR"),
    number("avg_hrv_sdnn_ms", "SDNN ms", 1),
    number("avg_hrv_ms", "RMSSD ms", 1),
    number("sleep_score", "Score"),
    words("source", "Source"),
    number("interruptions", "Wake-ups"),
    minutes("sleep_latency_minutes", "Latency"),
    number("min_hr_bpm", "Min HR"),
    number("avg_spo2_pct", "SpO₂ %", 1),
    number("avg_respiratory_rate", "Breaths", 1),
    number("avg_skin_temp_deviation_c", "Skin °C", 1),
)


WORKOUTS: Sequence[Column[WearableActivity]] = (
    Column("Date", lambda workout: workout.activity_date, left=True),
    Column("Start", lambda workout: clock(workout.start_time, workout.utc_offset_minutes)),
    words("activity_type", "Type"),
    Column("Time", lambda workout: duration(workout.duration_seconds)),
    number("distance_m", "km", 2, 0.001),
    number("calories_kcal", "kcal"),
    number("avg_hr_bpm", "HR"),
    number("max_hr_bpm", "Max HR"),
    words("activity_name", "Name"),
    Column("Pace /km", lambda workout: pace(workout.avg_pace_sec_per_km)),
    number("avg_speed_kmh", "km/h", 1),
    number("elevation_gain_m", "Climb m"),
    number("avg_power_watts", "W"),
    words("source", "Source"),
    number("vo2_max_ml_kg_min", "VO₂max", 1),
    number("training_stress_score", "TSS"),
)


def clock(instant: datetime | None, utc_offset_minutes: int | None) -> str:
    """The local time of day, or that in UTC, which is said."""
    if instant is None:
        return ""
    if utc_offset_minutes is None:
        return instant.astimezone(UTC).strftime("%H:%MZ")
    return instant.astimezone(timezone(timedelta(minutes=utc_offset_minutes))).strftime("%H:%M")


def pace(seconds: float | None) -> str:
    """Minutes and seconds a kilometre: `5:07`."""
    return "" if seconds is None else f"{round(seconds) // 60}:{round(seconds) % 60:02d}"


def table(columns: Sequence[Column[Row]], rows: Iterable[Row], width: int) -> tuple[Table, list[str]]:
    """A table of the columns that hold something and fit `width`, and the labels of those that do not fit."""
    cells = [[column.text(row) for column in columns] for row in rows]
    held = [index for index in range(len(columns)) if any(line[index] for line in cells)]
    shown: list[int] = []
    used = 0
    for index in held:
        wide = max(cell_len(columns[index].label), *(cell_len(line[index]) for line in cells)) + GAP
        if used + wide - GAP > width and shown:
            break
        shown.append(index)
        used += wide
    result = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
    for index in shown:
        result.add_column(columns[index].label, justify="left" if columns[index].left else "right", no_wrap=True)
    for line in cells:
        result.add_row(*(Text(line[index]) for index in shown))
    return result, [columns[index].label for index in held[len(shown) :]]


def print_table(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> None:
    """Prints rows as a table of what fits the terminal, and says what does not."""
    console = stdout()
    shown, left_out = table(columns, rows, console.width)
    console.print(shown)
    if left_out:
        say(f"a wider terminal or --json also shows: {', '.join(left_out)}")
