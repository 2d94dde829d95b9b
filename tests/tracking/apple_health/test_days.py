"""Days: units as the record says, the local day, what counts once, and what stays as it came."""

import itertools
from datetime import UTC, datetime

import pytest

from tests.tracking.apple_health.exports import HEART_RATE, PHONE, STEPS, WATCH, export, read, record

DAY = "2026-03-02"


def at(clock: str, day: str = DAY, offset: str = "-0700") -> str:
    return f"{day} {clock}:00 {offset}"


@pytest.mark.parametrize(
    ("kind", "value", "unit", "column", "expected"),
    [
        ("DistanceWalkingRunning", "2", "mi", "distance_m", 3219),
        ("DistanceWalkingRunning", "2.5", "km", "distance_m", 2500),
        ("DistanceWalkingRunning", "1000", "ft", "distance_m", 305),
        ("DistanceWalkingRunning", "1000", "yd", "distance_m", 914),
        ("DistanceWalkingRunning", "99000", "cm", "distance_m", 990),
        ("ActiveEnergyBurned", "500", "Cal", "active_calories_kcal", 500),
        ("ActiveEnergyBurned", "500", "kcal", "active_calories_kcal", 500),
        ("ActiveEnergyBurned", "2092", "kJ", "active_calories_kcal", 500),
        ("ActiveEnergyBurned", "500000", "cal", "active_calories_kcal", 500),
        ("AppleExerciseTime", "0.5", "hr", "active_minutes", 30),
        ("AppleExerciseTime", "1800", "s", "active_minutes", 30),
        ("StepCount", "812", "count", "steps", 812),
        ("FlightsClimbed", "7", "count", "floors_climbed", 7),
        ("HeartRate", "72", "count/min", "max_hr_bpm", 72),
        ("HeartRate", "1.2", "count/s", "max_hr_bpm", 72),
        ("RestingHeartRate", "58", "count/min", "resting_hr_bpm", 58),
        ("HeartRateVariabilitySDNN", "43.456", "ms", "hrv_sdnn_ms", 43.46),
        ("HeartRateVariabilitySDNN", "0.043456", "s", "hrv_sdnn_ms", 43.46),
        ("OxygenSaturation", "0.97", "%", "spo2_avg_pct", 97.0),
        ("RespiratoryRate", "14.5", "count/min", "respiratory_rate_avg", 14.5),
        ("VO2Max", "41.27", "mL/min·kg", "vo2_max_ml_kg_min", 41.3),
        ("VO2Max", "41.27", "mL/(kg·min)", "vo2_max_ml_kg_min", 41.3),
    ],
)
def test_units_are_what_the_record_says(kind: str, value: str, unit: str, column: str, expected: float) -> None:
    row = read(export(record(kind, value, unit, at("10:00"), at("10:10")))).days[DAY]
    assert row[column] == expected
    assert row["source"] == "apple_health"


@pytest.mark.parametrize(
    ("kind", "value", "unit", "reason"),
    [
        ("StepCount", "10", "furlong", "unknown_unit"),
        ("StepCount", "10", "kcal", "unknown_unit"),
        ("DistanceWalkingRunning", "10", "count", "unknown_unit"),
        ("OxygenSaturation", "0.97", "count", "unknown_unit"),
        ("OxygenSaturation", "97", "%", "out_of_range"),
        ("AppleSleepingWristTemperature", "35", "count", "unknown_unit"),
        ("AppleSleepingWristTemperature", "350", "degC", "out_of_range"),
        ("StepCount", "nan", "count", "bad_value"),
        ("StepCount", "inf", "count", "bad_value"),
        ("StepCount", "1e999", "count", "bad_value"),
        ("StepCount", "1_000", "count", "bad_value"),
        ("StepCount", "1,000", "count", "bad_value"),
        ("StepCount", "", "count", "bad_value"),
        ("StepCount", "-1", "count", "out_of_range"),
        ("RestingHeartRate", "500", "count/min", "out_of_range"),
        ("HeartRate", "3", "count/min", "out_of_range"),
        ("StepCount", None, "count", "missing_attribute"),
        ("StepCount", "10", None, "missing_attribute"),
        ("HKCategoryTypeIdentifierSleepAnalysis", "HKCategoryValueSleepAnalysisDreaming", None, "unknown_value"),
    ],
)
def test_a_record_that_cannot_be_used_is_rejected(kind: str, value: str, unit: str, reason: str) -> None:
    content = export(
        record(STEPS, "5", "count", at("08:00"), at("08:05")),
        record(kind, value, unit, at("10:00"), at("10:10")),
        record(STEPS, "6", "count", at("12:00"), at("12:05")),
    )
    found = read(content)
    assert found.days[DAY]["steps"] == 11
    (rejection,) = found.account.rejections
    assert rejection.reason == reason
    assert content[rejection.byte_offset :].startswith(b"<Record")
    assert content[rejection.byte_offset - 20 : rejection.byte_offset].count(b"<Record") == 0
    assert content.index(b"<Record", content.index(b"<Record") + 1) == rejection.byte_offset
    assert value is None or len(value) < 4 or value not in rejection.message


@pytest.mark.parametrize(
    ("start", "end", "reason"),
    [
        (at("10:00"), at("09:00"), "end_before_start"),
        ("2026-03-02T10:00:00Z", at("11:00"), "bad_date"),
        ("2026-02-30 10:00:00 -0700", at("11:00"), "bad_date"),
        ("2026-03-02 24:00:00 -0700", at("11:00"), "bad_date"),
        ("2026-03-02 10:60:00 -0700", at("11:00"), "bad_date"),
        ("2026-03-02 10:00:00 -2500", at("11:00"), "bad_date"),
        ("yesterday", at("11:00"), "bad_date"),
        ("1999-03-02 10:00:00 -0700", at("11:00"), "date_out_of_range"),
        (at("10:00"), at("10:00", "2031-03-02"), "date_out_of_range"),
        (at("10:00"), at("10:00", "2026-03-07"), "too_long"),
    ],
)
def test_dates_that_cannot_be(start: str, end: str, reason: str) -> None:
    found = read(export(record(STEPS, "5", "count", start, end)))
    assert found.account.rejected_by_reason == {reason: 1}
    assert not found.days


def test_the_day_is_that_of_the_records_own_offset() -> None:
    found = read(
        export(
            record(STEPS, "1", "count", "2026-03-02 23:50:00 -0700"),
            record(STEPS, "2", "count", "2026-03-03 00:10:00 -0700"),
            record(STEPS, "4", "count", "2026-03-02 23:50:00 +0900"),
        )
    )
    assert {day: row["steps"] for day, row in found.days.items()} == {"2026-03-02": 5, "2026-03-03": 2}


def test_a_records_time_zone_goes_before_the_offset_of_its_dates() -> None:
    # Half past eleven at night in Berlin, written at home in Los Angeles after the trip.
    written = "2026-03-02 14:30:00 -0800"
    later = "2026-03-02 15:30:00 -0800"
    found = read(
        export(
            record(HEART_RATE, "61", "count/min", written, zone="Europe/Berlin"),
            record(HEART_RATE, "62", "count/min", later, zone="Europe/Berlin"),
            record(HEART_RATE, "63", "count/min", later, zone="Mars/Olympus"),
        )
    )
    assert {day: row["max_hr_bpm"] for day, row in found.days.items()} == {"2026-03-02": 63, "2026-03-03": 62}
    assert any("time zone" in warning for warning in found.account.warnings)


def test_a_value_that_is_one_record_stays_as_it_came() -> None:
    device = "<<HKDevice: 0x282a45810>, name:Apple Watch, manufacturer:Apple, model:Watch, hardware:Watch2,4>"
    row = read(export(record("RestingHeartRate", "62", "count/min", at("00:01"), device=device))).days[DAY]
    assert row["raw_data"]["resting_hr_bpm"] == {
        "value": "62",
        "unit": "count/min",
        "start": "2026-03-02T07:01:00Z",
        "offset": "-07:00",
        "source": WATCH,
        "device": "name:Apple Watch, manufacturer:Apple, model:Watch, hardware:Watch2,4",
    }
    assert row["source_as_of"] == datetime(2026, 11, 19, 14, tzinfo=UTC)


def test_aggregates_tell_how_many_records_of_whom() -> None:
    row = read(
        export(
            *(record(HEART_RATE, str(60 + n), "count/min", at(f"10:0{n}")) for n in range(4)),
            record(HEART_RATE, "99", "count/min", at("11:00"), source="Strap"),
        )
    ).days[DAY]
    assert row["max_hr_bpm"] == 99
    assert row["raw_data"] == {"records": {"max_hr_bpm": {WATCH: 4, "Strap": 1}}}


def test_total_energy_needs_both_parts() -> None:
    active = record("ActiveEnergyBurned", "400.4", "Cal", at("10:00"), at("11:00"))
    basal = record("BasalEnergyBurned", "1500.4", "Cal", at("10:00"), at("11:00"))
    assert read(export(active, basal)).days[DAY]["total_calories_kcal"] == 1901
    assert "total_calories_kcal" not in read(export(active)).days[DAY]
    assert not read(export(basal)).days


def test_sdnn_is_never_rmssd() -> None:
    row = read(export(*(record("HeartRateVariabilitySDNN", v, "ms", at("10:00")) for v in ("40", "51")))).days[DAY]
    assert row["hrv_sdnn_ms"] == 45.5
    assert "hrv_rmssd_ms" not in row


def test_the_watchs_resting_rate_goes_before_others_and_the_latest_before_earlier_ones() -> None:
    kind = "RestingHeartRate"
    row = read(
        export(
            record(kind, "55", "count/min", at("09:00")),
            record(kind, "57", "count/min", at("12:00")),
            record(kind, "70", "count/min", at("13:00"), source="App"),
            record(kind, "56", "count/min", at("10:00")),
        )
    ).days[DAY]
    assert row["resting_hr_bpm"] == 57


def test_the_same_record_twice_counts_once() -> None:
    same = record(STEPS, "100", "count", at("10:00"), at("10:10"))
    other = record(STEPS, "7", "count", at("10:00"), at("10:10"))
    found = read(export(same, other, same, same))
    assert found.days[DAY]["steps"] == 107
    assert found.account.records_used == 4


def test_the_watch_counts_before_the_phone() -> None:
    found = read(
        export(
            record(STEPS, "1000", "count", at("10:00"), at("11:00"), source=PHONE),
            record(STEPS, "300", "count", at("10:15"), at("10:45")),
            record(STEPS, "50", "count", at("10:20"), at("10:50"), source="Some app"),
        )
    )
    # Half of the phone's hour, all of the watch's, none of the app's: the phone covers it.
    assert found.days[DAY]["steps"] == 800


def test_devices_are_known_by_what_they_are_and_the_order_can_be_chosen() -> None:
    device = "&lt;".replace("&lt;", "<") + "<HKDevice: 0x1>, name:iPhone, model:iPhone, hardware:iPhone13,2>"
    content = export(
        record(STEPS, "1000", "count", at("10:00"), at("11:00"), source="Bob", device=device),
        record(STEPS, "300", "count", at("10:00"), at("11:00"), source="Pedometer"),
    )
    assert read(content).days[DAY]["steps"] == 1000
    assert read(content, priority=("other", "watch", "phone")).days[DAY]["steps"] == 300
    with pytest.raises(ValueError, match="priority"):
        read(content, priority=("watch",))


def test_a_segment_across_midnight_is_split() -> None:
    found = read(export(record(STEPS, "900", "count", at("23:40"), at("00:10", "2026-03-03"))))
    assert {day: row["steps"] for day, row in found.days.items()} == {"2026-03-02": 600, "2026-03-03": 300}


@pytest.mark.parametrize(
    ("start", "end", "hours"),
    [
        ("2026-03-08 00:00:00 -0800", "2026-03-09 00:00:00 -0700", 23),
        ("2026-11-01 00:00:00 -0700", "2026-11-02 00:00:00 -0800", 25),
    ],
)
def test_days_on_which_the_clocks_change_are_whole(start: str, end: str, hours: int) -> None:
    found = read(export(record("ActiveEnergyBurned", str(hours * 10), "kcal", start, end)))
    by_day = {day: row["active_calories_kcal"] for day, row in found.days.items()}
    assert sum(by_day.values()) == hours * 10
    assert by_day[start[:10]] >= 230


def summary(day: str, energy: str, minutes: str, unit: str = "Cal") -> str:
    return (
        f'<ActivitySummary dateComponents="{day}" activeEnergyBurned="{energy}" activeEnergyBurnedUnit="{unit}" '
        f'appleMoveTime="0" appleExerciseTime="{minutes}"/>'
    )


def test_what_the_phone_shows_goes_before_a_sum_of_ours() -> None:
    records = (
        record("ActiveEnergyBurned", "400", "Cal", at("10:00"), at("11:00")),
        record("BasalEnergyBurned", "1500", "Cal", at("10:00"), at("11:00")),
        record("AppleExerciseTime", "20", "min", at("10:00"), at("10:20")),
    )
    row = read(export(*records, summary(DAY, "2092", "31", "kJ"))).days[DAY]
    assert (row["active_calories_kcal"], row["total_calories_kcal"], row["active_minutes"]) == (500, 2000, 31)
    assert row["raw_data"]["active_calories_kcal"] == {"value": "2092", "unit": "kJ"}
    # Zeros are written for what a phone does not track.
    row = read(export(*records, summary(DAY, "0", "0"))).days[DAY]
    assert (row["active_calories_kcal"], row["active_minutes"]) == (400, 20)


def test_empty_summaries_make_no_days() -> None:
    found = read(export(summary("1969-12-30", "0", "0"), summary(DAY, "0", "0"), summary("2026-03-03", "12", "0")))
    assert list(found.days) == ["2026-03-03"]
    assert found.account.ignored_by_type == {"ActivitySummary": 2}


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        (summary("soon", "1", "1"), "bad_date"),
        (summary(DAY, "1", "1", "furlong"), "unknown_unit"),
        (summary(DAY, "-1", "1"), "out_of_range"),
        (summary(DAY, "x", "1"), "bad_value"),
        (summary("1969-12-30", "5", "1"), "date_out_of_range"),
        ("<ActivitySummary/>", "missing_attribute"),
    ],
)
def test_summaries_that_cannot_be_used(element: str, reason: str) -> None:
    assert read(export(element)).account.rejected_by_reason == {reason: 1}


def test_a_daily_value_outside_the_contracts_range_is_left_out_and_told() -> None:
    found = read(
        export(
            record(STEPS, "150000", "count", at("10:00"), at("20:00")),
            record("OxygenSaturation", "0.6", "%", at("10:00")),
            record("RestingHeartRate", "60", "count/min", at("10:00")),
        )
    )
    row = found.days[DAY]
    assert row["resting_hr_bpm"] == 60
    assert "steps" not in row
    assert "spo2_avg_pct" not in row
    assert row["spo2_min_pct"] == 60
    assert found.account.records_used == 3
    assert f"steps of {DAY} lies outside 0 to 100000 and was left out" in found.account.warnings


def test_temperature_is_a_deviation_from_the_nights_before() -> None:
    nights = [(f"2026-03-{day:02}", 96.0 + day / 10) for day in range(1, 11)]
    found = read(
        export(
            *(
                record("AppleSleepingWristTemperature", f"{f:.1f}", "degF", at("22:00", day), at("06:00", after))
                for (day, f), (after, _) in itertools.pairwise(nights)
            )
        )
    )
    deviations = {
        day: row["skin_temp_deviation_c"] for day, row in found.days.items() if "skin_temp_deviation_c" in row
    }
    # The eighth night is the first with seven before it, whose median is the fourth's.
    assert deviations == {"2026-03-09": round(0.4 / 1.8, 2), "2026-03-10": round(0.45 / 1.8, 2)}
    assert found.days["2026-03-02"]["raw_data"]["skin_temp_deviation_c"]["unit"] == "degF"


def test_temperature_baselines_forget_what_is_long_ago() -> None:
    nights = [f"2026-01-{day:02}" for day in range(1, 10)] + ["2026-03-20"]
    found = read(export(*(record("AppleSleepingWristTemperature", "36", "degC", at("05:00", day)) for day in nights)))
    assert "skin_temp_deviation_c" not in found.days["2026-03-20"]
    assert found.days["2026-01-09"]["skin_temp_deviation_c"] == 0


def test_records_inside_a_correlation_count_with_it() -> None:
    inner = record(STEPS, "10", "count", at("10:00"), at("10:01"))
    correlation = (
        f'<Correlation type="HKCorrelationTypeIdentifierFood" sourceName="x" startDate="{at("10:00")}" '
        f'endDate="{at("10:00")}">{inner}{inner}</Correlation>'
    )
    found = read(export(correlation, inner))
    assert found.days[DAY]["steps"] == 10
    assert found.account.records_read == 2
    assert found.account.ignored_by_type == {"HKCorrelationTypeIdentifierFood": 1}


def test_what_has_no_place_is_ignored_by_its_type() -> None:
    found = read(
        export(
            record("BodyMassIndex", "22.5", "count", at("10:00")),
            record("BodyMassIndex", "22.6", "count", at("11:00")),
            '<ClinicalRecord type="Observation" identifier="x"/>',
            '<Audiogram type="HKDataTypeIdentifierAudiogram"><SensitivityPoint/></Audiogram>',
            "<StateOfMind/>",
            "<Record/>",
        )
    )
    assert found.account.ignored_by_type == {
        "HKQuantityTypeIdentifierBodyMassIndex": 2,
        "ClinicalRecord": 1,
        "Audiogram": 1,
        "StateOfMind": 1,
        "Record": 1,
    }
    assert not found.days


def test_an_export_without_its_date_is_as_of_its_last_record() -> None:
    found = read(export(record(STEPS, "1", "count", at("10:00"), at("10:05")), exported=None))
    assert found.as_of == datetime(2026, 3, 2, 17, 5, tzinfo=UTC)
    for wrong in ("soon", "2099-01-01 00:00:00 +0000"):
        found = read(export(record(STEPS, "1", "count", at("10:00"), at("10:05")), exported=wrong))
        assert found.as_of == datetime(2026, 3, 2, 17, 5, tzinfo=UTC)
        assert len(found.account.warnings) == 1


def test_the_account_says_which_period_there_are_rows_for() -> None:
    found = read(export(*(record(STEPS, "1", "count", at("10:00", day)) for day in ("2026-03-05", "2025-01-01"))))
    assert (found.account.first_date, found.account.last_date) == ("2025-01-01", "2026-03-05")
