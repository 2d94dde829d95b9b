"""Workouts: one activity each, decoded when the file is read and kept on disk until asked for."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from services.tracking import units
from services.tracking.apple_health import ranges
from services.tracking.apple_health.account import Account, Rejected
from services.tracking.apple_health.activity_types import PREFIX, activity_name, activity_type
from services.tracking.apple_health.dates import local_day, offset_text, to_date, to_datetime, to_text
from services.tracking.apple_health.elements import Attributes, Child
from services.tracking.apple_health.sources import MAX_NAME_LENGTH, clean_device

SOURCE = "apple_health"
# Ten a day for more than twenty years; beyond, a file is somebody's joke.
MAX_WORKOUTS = 100_000
MAX_RAW_ENTRIES = 50
MAX_RAW_TEXT = 200
# Hundreds of workouts are written at once.
MAX_RAW_CHARACTERS = 32 * 2**10
_HK = "HKQuantityTypeIdentifier"
_POWER = (f"{_HK}RunningPower", f"{_HK}CyclingPower")
_QUANTITY = re.compile(r"(-?[\d.]+(?:[eE][+-]?\d+)?) (\S{1,40})")
_ID_KEYS = ("hkexternaluuid", "uuid")

# Start, end and the offset of the record's date at the start, see records.py.
Period = Callable[[Attributes, str | None], tuple[int, int, int]]


class WorkoutSpill:
    """The workouts of a file, the last written of each."""

    def __init__(self, scratch: Path, account: Account, period: Period) -> None:
        self._path = scratch / "workouts"
        self._file = self._path.open("wb")
        self._account = account
        self._period = period
        # By identity: when it was written, and its place in the file.
        self._latest: dict[bytes, tuple[str, bytes, int]] = {}

    def add(self, attributes: Attributes, children: list[Child]) -> None:
        """Takes one workout. Raises Rejected, and KeyError for a missing attribute."""
        row = self._row(attributes, children)
        line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
        identity = hashlib.blake2b(row["source_activity_id"].encode(), digest_size=16).digest()
        # The content decides between two that were written at once, so that the order of the file does not.
        version = (attributes.get("creationDate", "")[:MAX_RAW_TEXT], hashlib.blake2b(line, digest_size=8).digest())
        known = self._latest.get(identity)
        if known is None and len(self._latest) >= MAX_WORKOUTS:
            raise Rejected("too_many", f"a file may hold {MAX_WORKOUTS} workouts")
        if known is None or version > known[:2]:
            self._latest[identity] = (*version, self._file.tell())
        self._file.write(line)

    def close(self) -> None:
        self._file.close()

    def rows(self, as_of: datetime) -> Iterator[dict[str, Any]]:
        """The rows in the order of the file."""
        wanted = sorted(at for _, _, at in self._latest.values())
        with self._path.open("rb") as file:
            for at in wanted:
                file.seek(at)
                row = json.loads(file.readline())
                date = to_date(row.pop("day"))
                start, end = row.pop("start"), row.pop("end")
                row = ranges.within(row, ranges.ACTIVITY, date.isoformat(), self._account)
                self._account.cover(date.isoformat())
                yield {
                    "activity_date": date,
                    "source": SOURCE,
                    "start_time": to_datetime(start),
                    "end_time": to_datetime(end),
                    **row,
                    "source_as_of": as_of,
                }

    def _row(self, attributes: Attributes, children: list[Child]) -> dict[str, Any]:
        apple_type = attributes["workoutActivityType"]
        metadata = {a["key"]: a["value"] for depth, name, a in children if _is_entry(depth, name, a)}
        start, end, offset = self._period(attributes, metadata.get("HKTimeZone"))
        # A workout of several activities has statistics of each below its own.
        statistics = [a for depth, name, a in children if name == "WorkoutStatistics" and depth == 1]
        duration = _attribute(attributes, "duration", "durationUnit", "s")
        seconds = duration if duration is not None else float(end - start)
        distance = _statistic(statistics, lambda t: t.startswith(f"{_HK}Distance"), "sum", "m")
        if distance is None:
            distance = _attribute(attributes, "totalDistance", "totalDistanceUnit", "m")
        energy = _statistic(statistics, lambda t: t == f"{_HK}ActiveEnergyBurned", "sum", "kcal")
        if energy is None:
            energy = _attribute(attributes, "totalEnergyBurned", "totalEnergyBurnedUnit", "kcal")
        return {
            "day": local_day(start, offset),
            "utc_offset_minutes": offset,
            "start": start,
            "end": end,
            "source_activity_id": _identity(attributes, metadata, start, apple_type),
            "activity_type": activity_type(apple_type),
            "activity_name": metadata.get("HKWorkoutBrandName", "")[:200] or activity_name(apple_type),
            "duration_seconds": round(seconds),
            "distance_m": _round(distance, 2),
            "calories_kcal": _whole(energy),
            "avg_hr_bpm": _whole(_statistic(statistics, _is_heart_rate, "average", "count/min")),
            "max_hr_bpm": _whole(_statistic(statistics, _is_heart_rate, "maximum", "count/min")),
            **_pace(distance, seconds),
            "elevation_gain_m": _elevation(metadata.get("HKElevationAscended")),
            "avg_power_watts": _whole(_statistic(statistics, lambda t: t in _POWER, "average", "W")),
            "raw_data": _raw(attributes, children, offset, start, end),
        }


def _is_entry(depth: int, name: str, attributes: Attributes) -> bool:
    return name == "MetadataEntry" and depth == 1 and "key" in attributes and "value" in attributes


def _is_heart_rate(statistic_type: str) -> bool:
    return statistic_type == f"{_HK}HeartRate"


def _identity(attributes: Attributes, metadata: dict[str, str], start: int, apple_type: str) -> str:
    """The source's own id, or else one that the same workout has in every export."""
    for key, value in metadata.items():
        if key.lower() in _ID_KEYS and value.strip():
            return value.strip()[:MAX_RAW_TEXT]
    told = json.dumps([attributes.get("sourceName", ""), start, apple_type], ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def _quantity(text: str, unit: str, target: str, attribute: str) -> float:
    """A value that is finite and not negative, in the unit `target`. Raises Rejected."""
    try:
        value = units.convert(float(text), unit, target)
    except units.UnknownUnit:
        raise Rejected("unknown_unit", f"the unit of {attribute} is not known or is one of another quantity") from None
    except ValueError:
        raise Rejected("bad_value", f"{attribute} must be a finite number") from None
    if value < 0 or not math.isfinite(value):
        raise Rejected("out_of_range", f"{attribute} lies outside what is possible")
    return value


def _attribute(attributes: Attributes, name: str, unit_name: str, target: str) -> float | None:
    if name not in attributes:
        return None
    # Apple leaves the unit out where there is nothing.
    if unit_name not in attributes and attributes[name] in ("0", "0.0"):
        return 0.0 if name != "totalDistance" else None
    return _quantity(attributes[name], attributes.get(unit_name, ""), target, name)


def _statistic(statistics: list[Attributes], wanted: Callable[[str], bool], name: str, target: str) -> float | None:
    """The value `name` of the first statistics of a wanted type."""
    for statistic in statistics:
        if wanted(statistic.get("type", "")) and name in statistic:
            return _quantity(statistic[name], statistic.get("unit", ""), target, f"WorkoutStatistics {name}")
    return None


def _pace(distance: float | None, seconds: float) -> dict[str, float]:
    """Mean speed and pace; none that the contract has no room for."""
    if not distance or not seconds:
        return {}
    speed, pace = round(distance / seconds * 3.6, 2), round(seconds / distance * 1000, 2)
    found = {"avg_speed_kmh": speed, "avg_pace_sec_per_km": pace}
    return {name: value for name, value in found.items() if value <= ranges.ACTIVITY[name][1]}


def _elevation(text: str | None) -> float | None:
    """Metres climbed out of `1234 cm`; what cannot be read stays in raw_data."""
    match = _QUANTITY.fullmatch(text or "")
    if match is None:
        return None
    try:
        return round(units.convert(float(match.group(1)), match.group(2), "m"), 2)
    except ValueError:
        return None


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _raw(attributes: Attributes, children: list[Child], offset: int, start: int, end: int) -> dict[str, Any]:
    """The workout as it came, cut to a size that a row can carry."""
    raw: dict[str, Any] = {
        "workout_activity_type": attributes["workoutActivityType"].removeprefix(PREFIX)[:MAX_RAW_TEXT],
        "start": to_text(start),
        "end": to_text(end),
        "offset": offset_text(offset),
        "source": attributes.get("sourceName", "")[:MAX_NAME_LENGTH],
        "source_version": attributes.get("sourceVersion", "")[:MAX_NAME_LENGTH],
        "device": clean_device(attributes.get("device", "")),
    }
    for name in ("duration", "totalDistance", "totalEnergyBurned"):
        if name in attributes:
            raw[name] = {"value": attributes[name][:MAX_RAW_TEXT], "unit": attributes.get(f"{name}Unit", "")[:40]}
    parts: dict[str, list[Any]] = {"statistics": [], "events": [], "routes": []}
    metadata: dict[str, str] = {}
    for depth, name, child in children:
        if _is_entry(depth, name, child) and len(metadata) < MAX_RAW_ENTRIES:
            metadata[child["key"][:MAX_RAW_TEXT]] = child["value"][:MAX_RAW_TEXT]
        kind = {"WorkoutStatistics": "statistics", "WorkoutEvent": "events", "FileReference": "routes"}.get(name)
        if kind is None or len(parts[kind]) >= MAX_RAW_ENTRIES or (kind != "routes" and depth != 1):
            continue
        cut = {key[:MAX_RAW_TEXT]: value[:MAX_RAW_TEXT] for key, value in list(child.items())[:12]}
        if kind == "statistics":
            # They cover the workout's own time.
            cut.pop("startDate", None)
            cut.pop("endDate", None)
        parts[kind].append(cut.get("path", "") if kind == "routes" else cut)
    raw |= {"metadata": metadata, **parts}
    for name in ("events", "statistics", "routes", "metadata"):
        if len(json.dumps(raw, ensure_ascii=False)) <= MAX_RAW_CHARACTERS:
            break
        del raw[name]
    return {name: value for name, value in raw.items() if value not in ("", [], {})}
