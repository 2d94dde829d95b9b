"""Generated exports against what their simulation knows, and flat memory however long a file is."""

import io
import random
import re
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from examples.apple_health import DayTruth, NightTruth, Truth, write_export
from services.tracking.apple_health import spill
from tests.tracking.apple_health.exports import Read, export, read, record

ROOT = Path(__file__).parents[3]


def close(found: float | None, expected: float | None, half: float) -> bool:
    """Whether a rounded value is that of the truth; both may be missing."""
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= half + 1e-6


def check_day(row: dict[str, Any], truth: DayTruth) -> None:
    expected = {
        "steps": (truth.steps, 0.5),
        "distance_m": (truth.distance_m, 0.5),
        "floors_climbed": (truth.floors_climbed, 0),
        "active_calories_kcal": (truth.active_calories_kcal, 0.5),
        "total_calories_kcal": (truth.total_calories_kcal, 0.5),
        "active_minutes": (truth.active_minutes, 0),
        "resting_hr_bpm": (truth.resting_hr_bpm, 0),
        "max_hr_bpm": (truth.heart_rate_bpm.highest, 0),
        "hrv_sdnn_ms": (truth.hrv_sdnn_ms.mean, 0.005),
        "spo2_avg_pct": (truth.spo2_pct.mean, 0.05),
        "spo2_min_pct": (truth.spo2_pct.lowest, 0.05),
        "respiratory_rate_avg": (truth.respiratory_rate.mean, 0.05),
        "vo2_max_ml_kg_min": (truth.vo2_max_ml_kg_min, 0.05),
        "skin_temp_deviation_c": (truth.skin_temp_deviation_c, 0.005),
        "hrv_rmssd_ms": (None, 0),
    }
    wrong = {n: (row.get(n), value) for n, (value, half) in expected.items() if not close(row.get(n), value, half)}
    assert not wrong, row["date"]


def check_night(row: dict[str, Any], truth: NightTruth) -> None:
    expected = {
        "total_sleep_minutes": (truth.total_sleep_minutes, 0),
        "awake_minutes": (truth.awake_minutes, 0),
        "light_minutes": (truth.light_minutes, 0),
        "deep_minutes": (truth.deep_minutes, 0),
        "rem_minutes": (truth.rem_minutes, 0),
        "interruptions": (truth.interruptions, 0),
        "sleep_latency_minutes": (truth.sleep_latency_minutes, 0),
        "sleep_efficiency_pct": (truth.sleep_efficiency_pct, 0.05),
        "avg_hr_bpm": (truth.heart_rate_bpm.mean, 0.5),
        "min_hr_bpm": (truth.heart_rate_bpm.lowest, 0),
        "avg_hrv_sdnn_ms": (truth.hrv_sdnn_ms.mean, 0.005),
        "avg_spo2_pct": (truth.spo2_pct.mean, 0.05),
        "avg_respiratory_rate": (truth.respiratory_rate.mean, 0.05),
    }
    wrong = {n: (row.get(n), value) for n, (value, half) in expected.items() if not close(row.get(n), value, half)}
    assert not wrong, row["sleep_date"]
    assert (row["sleep_start"], row["sleep_end"]) == (truth.sleep_start, truth.sleep_end)
    assert [(datetime.fromisoformat(e["t"]), e["stage"]) for e in row["hypnogram"]] == truth.hypnogram
    assert len(row["raw_data"].get("naps", [])) == truth.naps


def check(found: Read, truth: Truth) -> None:
    assert found.as_of == truth.as_of
    assert set(found.days) == {day.isoformat() for day in truth.days}
    for day, day_truth in truth.days.items():
        check_day(found.days[day.isoformat()], day_truth)
    assert set(found.nights) == {night.isoformat() for night in truth.nights}
    for night, night_truth in truth.nights.items():
        check_night(found.nights[night.isoformat()], night_truth)
    assert len(found.workouts) == len(truth.workouts)
    for row, workout in zip(sorted(found.workouts, key=lambda r: r["start_time"]), truth.workouts, strict=True):
        for name in ("activity_date", "activity_type", "start_time", "end_time"):
            assert row[name] == getattr(workout, name)
        assert row["duration_seconds"] == workout.duration_seconds
        assert close(row.get("distance_m"), workout.distance_m, 0.005)
        assert close(row.get("calories_kcal"), workout.calories_kcal, 0.5)
        assert close(row.get("elevation_gain_m"), workout.elevation_gain_m, 0.005)
        assert (row.get("avg_hr_bpm"), row.get("max_hr_bpm")) == (workout.avg_hr_bpm, workout.max_hr_bpm)
    account = found.account
    assert account.ignored_by_type == truth.ignored_by_type
    assert (account.records_used, account.records_rejected) == (truth.records_used, truth.records_rejected)


# Over the spring's and over the autumn's change of the clocks; a trip to Europe is in both.
@pytest.mark.parametrize(("days", "end"), [(75, date(2026, 4, 10)), (75, date(2026, 11, 18)), (3, date(2026, 1, 2))])
def test_a_generated_export_is_read_as_it_was_lived(days: int, end: date) -> None:
    out = io.BytesIO()
    truth = write_export(out, days, seed=days, end=end, bad_records=True)
    check(read(out), truth)


def test_the_order_of_a_files_records_and_the_size_of_a_month_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    truth = write_export(out, 12, seed=4, end=date(2026, 3, 12), xml=True, broken_dtd=False)
    # An element of the top level is indented by one space, its end as well.
    head, *elements = re.split(rb"\n (?=<[^/])", out.getvalue().removesuffix(b"\n</HealthData>\n"))
    random.Random(5).shuffle(elements)
    shuffled = b"\n".join([head, *elements, b"</HealthData>\n"])
    first = read(out)
    monkeypatch.setattr(spill, "RUN_RECORDS", 150)
    monkeypatch.setattr(spill, "BUFFERED_BYTES", 1000)
    second = read(shuffled)
    check(second, truth)
    assert second.rows() == first.rows()


def test_the_same_arguments_give_the_same_bytes() -> None:
    first, second, other = io.BytesIO(), io.BytesIO(), io.BytesIO()
    write_export(first, 3, seed=1, end=date(2026, 1, 3))
    write_export(second, 3, seed=1, end=date(2026, 1, 3))
    write_export(other, 3, seed=2, end=date(2026, 1, 3))
    assert first.getvalue() == second.getvalue() != other.getvalue()


def test_six_hundred_days_are_of_the_size_that_is_measured() -> None:
    truth = write_export(io.BytesIO(), 30, seed=1, end=date(2026, 11, 18), xml=True)
    assert truth.records_read / 30 == pytest.approx(323, rel=0.02)
    assert truth.xml_bytes / truth.records_read == pytest.approx(371, rel=0.04)


def test_the_command_writes_an_export(tmp_path: Path) -> None:
    out = tmp_path / "export.zip"
    command = [sys.executable, "-m", "examples.apple_health", "--days", "2", "--end", "2026-11-18", "--out", str(out)]
    told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    with out.open("rb") as file:
        assert f"{read(file).account.records_read} records" in told


READ_MANY = """
import io, resource, sys, tempfile
from pathlib import Path
from services.tracking.apple_health import read_export
from tests.tracking.apple_health.long_export import LongExport

def peak(elements: int) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        export = read_export(LongExport(elements), Path(scratch), lambda progress: None)
        rows = [sum(1 for _ in kind) for kind in (export.daily, export.sleep, export.activities)]
        assert export.account.records_read == elements, export.account
        assert export.account.records_used == elements // 10, export.account
        assert all(rows), rows
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

few, many = peak(60_000), peak(1_000_000)
print(few, many)
assert many < few * 1.4, (few, many)
"""


def test_a_million_elements_take_the_memory_of_a_few() -> None:
    subprocess.run([sys.executable, "-c", READ_MANY], cwd=ROOT, check=True, timeout=300)


def test_a_day_of_more_records_than_a_run_is_sorted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "RUN_RECORDS", 10)
    minutes = list(range(200))
    random.Random(1).shuffle(minutes)
    steps = [
        record("StepCount", "3", "count", f"2026-03-02 {m // 60:02}:{m % 60:02}:00 +0000", source=source)
        for m in minutes
        for source in ("Watch", "iPhone", "Watch")
    ]
    assert read(export(*steps)).days["2026-03-02"]["steps"] == 600
