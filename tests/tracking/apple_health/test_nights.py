"""Nights: stages, sources, the date they end on, and staying whole on travel and when the clocks change."""

import itertools
import random
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.tracking.apple_health.exports import HEART_RATE, PHONE, export, read, record, slept


def at(clock: str, day: int = 3, offset: str = "-0700") -> str:
    return f"2026-03-{day:02} {clock}:00 {offset}"


def night(*segments: str) -> dict[str, Any]:
    (row,) = read(export(*segments)).nights.values()
    return row


def hypnogram(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry["t"][11:16], entry["stage"]) for entry in row["hypnogram"]]


STAGED = (
    slept("InBed", at("22:00", 2), at("06:30"), PHONE),
    slept("AsleepCore", at("22:20", 2), at("23:20", 2)),
    slept("AsleepDeep", at("23:20", 2), at("00:20")),
    slept("Awake", at("00:20"), at("00:30")),
    slept("AsleepREM", at("00:30"), at("02:00")),
    slept("AsleepCore", at("02:00"), at("04:00")),
    slept("AsleepCore", at("04:00"), at("06:10")),
)


def test_a_staged_night() -> None:
    row = night(*STAGED)
    assert str(row["sleep_date"]) == "2026-03-03"
    assert row["sleep_start"] == datetime(2026, 3, 3, 5, 0, tzinfo=UTC)
    assert row["sleep_end"] == datetime(2026, 3, 3, 13, 30, tzinfo=UTC)
    expected = {
        "total_sleep_minutes": 460,
        "light_minutes": 310,
        "deep_minutes": 60,
        "rem_minutes": 90,
        "awake_minutes": 10,
        "interruptions": 1,
        "sleep_latency_minutes": 20,
        "sleep_efficiency_pct": 90.2,
    }
    assert {name: row[name] for name in expected} == expected
    assert hypnogram(row) == [
        ("05:00", "in_bed"),
        ("05:20", "light"),
        ("06:20", "deep"),
        ("07:20", "awake"),
        ("07:30", "rem"),
        ("09:00", "light"),
        ("13:10", "in_bed"),
    ]
    assert row["raw_data"]["offset"] == "-07:00"


def test_an_older_night_without_stages() -> None:
    row = night(
        slept("InBed", at("22:00", 2), at("06:00"), PHONE),
        slept("Asleep", at("22:30", 2), at("02:00"), "Träumer"),
        slept("Asleep", at("02:20"), at("05:50"), "Träumer"),
    )
    assert (row["total_sleep_minutes"], row["awake_minutes"], row["interruptions"]) == (420, 20, 1)
    assert not {"light_minutes", "deep_minutes", "rem_minutes"} & row.keys()
    assert [stage for _, stage in hypnogram(row)] == ["in_bed", "asleep", "awake", "asleep", "in_bed"]


def test_a_night_of_lying_in_bed_only() -> None:
    row = night(slept("InBed", at("22:00", 2), at("06:00"), PHONE))
    assert hypnogram(row) == [("05:00", "in_bed")]
    assert not {"total_sleep_minutes", "sleep_efficiency_pct", "sleep_latency_minutes"} & row.keys()


def test_without_lying_in_bed_there_is_no_latency() -> None:
    row = night(*STAGED[1:])
    assert not {"sleep_efficiency_pct", "sleep_latency_minutes"} & row.keys()
    assert row["sleep_start"] == datetime(2026, 3, 3, 5, 20, tzinfo=UTC)


def test_wakefulness_alone_is_no_night() -> None:
    assert not read(export(slept("Awake", at("01:00"), at("02:00")))).nights


def test_stages_go_before_sleep_without_them_and_overlaps_count_once() -> None:
    app = slept("AsleepUnspecified", at("22:00", 2), at("06:10"), "Träumer")
    row = night(*STAGED, app)
    # The app's twenty minutes before the watch saw sleep are its own; what the watch knows stays.
    assert (row["total_sleep_minutes"], row["awake_minutes"], row["deep_minutes"]) == (480, 10, 60)
    assert row["raw_data"]["records"]["Träumer"] == 1


def test_of_two_staged_sources_the_watch_holds() -> None:
    other = (
        slept("AsleepDeep", at("22:20", 2), at("06:10"), "Ring"),
        slept("AsleepREM", at("22:20", 2), at("06:10"), PHONE),
    )
    assert hypnogram(night(*STAGED, *other)) == hypnogram(night(*STAGED))


def test_a_watch_that_went_flat_leaves_the_rest_to_others() -> None:
    row = night(
        slept("AsleepCore", at("22:00", 2), at("01:00")),
        slept("AsleepUnspecified", at("22:00", 2), at("06:00"), PHONE),
    )
    assert row["total_sleep_minutes"] == 480
    assert hypnogram(row) == [("05:00", "light"), ("08:00", "asleep")]


def test_within_one_source_what_says_more_holds() -> None:
    row = night(
        slept("AsleepUnspecified", at("22:00", 2), at("06:00")),
        slept("AsleepDeep", at("23:00", 2), at("00:00")),
        slept("Awake", at("02:00"), at("02:30")),
    )
    assert (row["total_sleep_minutes"], row["deep_minutes"], row["awake_minutes"]) == (450, 60, 30)


def test_the_longest_sleep_is_the_night_and_the_others_are_naps() -> None:
    nap = slept("AsleepCore", at("14:00"), at("14:40"))
    row = night(nap, *STAGED)
    assert row["total_sleep_minutes"] == 460
    assert row["raw_data"]["naps"] == [
        {"start": "2026-03-03T21:00:00Z", "end": "2026-03-03T21:40:00Z", "total_sleep_minutes": 40}
    ]


def test_a_night_after_midnight_and_one_before_are_two_dates() -> None:
    found = read(
        export(
            slept("AsleepCore", at("00:30", 3), at("08:00", 3)),
            slept("AsleepCore", at("23:30", 3), at("07:00", 4)),
        )
    )
    assert list(found.nights) == ["2026-03-03", "2026-03-04"]


def test_vitals_are_those_between_falling_asleep_and_waking() -> None:
    rates = [("22:10", 2, "90"), ("22:30", 2, "50"), ("01:00", 3, "46"), ("06:00", 3, "54"), ("06:20", 3, "80")]
    row = night(
        *STAGED,
        *(record(HEART_RATE, value, "count/min", at(clock, day)) for clock, day, value in rates),
        record("HeartRateVariabilitySDNN", "61.5", "ms", at("02:00"), at("02:01")),
        record("HeartRateVariabilitySDNN", "20", "ms", at("12:00"), at("12:01")),
        record("RespiratoryRate", "14", "count/min", at("03:00")),
        record("OxygenSaturation", "0.96", "%", at("03:00")),
        record("OxygenSaturation", "0.94", "%", at("04:00")),
    )
    expected = {
        "avg_hr_bpm": 50,
        "min_hr_bpm": 46,
        "avg_hrv_sdnn_ms": 61.5,
        "avg_respiratory_rate": 14.0,
        "avg_spo2_pct": 95.0,
    }
    assert {name: row[name] for name in expected} == expected
    assert "avg_hrv_ms" not in row


def test_a_night_abroad_belongs_to_the_date_there() -> None:
    # From eleven to seven in Berlin, written with the offset of Los Angeles.
    row = night(slept("AsleepCore", "2026-03-02 14:00:00 -0800", "2026-03-02 22:00:00 -0800", zone="Europe/Berlin"))
    assert str(row["sleep_date"]) == "2026-03-03"
    assert row["raw_data"]["offset"] == "+01:00"


def test_nights_on_which_the_clocks_change_stay_whole() -> None:
    spring = night(slept("AsleepCore", "2026-03-07 23:00:00 -0800", "2026-03-08 07:00:00 -0700"))
    autumn = night(slept("AsleepCore", "2026-10-31 23:00:00 -0700", "2026-11-01 07:00:00 -0800"))
    assert (spring["total_sleep_minutes"], autumn["total_sleep_minutes"]) == (420, 540)
    assert [str(row["sleep_date"]) for row in (spring, autumn)] == ["2026-03-08", "2026-11-01"]


def test_sleep_that_never_ends_is_cut() -> None:
    hours = [
        slept(
            "AsleepCore",
            at("00:00", 3 + n // 4, "+0000")[:10] + f" {n % 4 * 6:02}:00:00 +0000",
            at(f"{n % 4 * 6 + 5:02}:59", 3 + n // 4, "+0000"),
        )
        for n in range(24)
    ]
    found = read(export(*hours))
    assert all(row["total_sleep_minutes"] <= 2880 for row in found.nights.values())
    assert len(found.nights) >= 3


def test_segments_that_cannot_be() -> None:
    found = read(
        export(
            slept("AsleepCore", at("00:00", 3), at("06:00", 4)),
            slept("AsleepCore", at("03:00"), at("03:00")),
            slept("AsleepCore", at("06:00"), at("03:00")),
        )
    )
    assert not found.nights
    assert found.account.rejected_by_reason == {"too_long": 1, "end_before_start": 1}
    assert found.account.records_used == 1


STAGES = ["InBed", "Awake", "Asleep", "AsleepUnspecified", "AsleepCore", "AsleepDeep", "AsleepREM"]
SEGMENTS = st.lists(
    st.tuples(
        st.sampled_from(STAGES), st.integers(0, 700), st.integers(1, 200), st.sampled_from(["Watch", "iPhone", "App"])
    ),
    min_size=1,
    max_size=15,
)


def minute(number: int) -> str:
    return f"2026-03-{2 + number // 1440:02} {number // 60 % 24:02}:{number % 60:02}:00 +0000"


@given(SEGMENTS, st.integers(0, 2**32))
def test_any_hypnogram_is_whole_and_agrees_with_the_totals(
    segments: list[tuple[str, int, int, str]], seed: int
) -> None:
    elements = [slept(stage, minute(s), minute(s + length), source) for stage, s, length, source in segments]
    found = read(export(*elements))
    assert read(export(*random.Random(seed).sample(elements, len(elements)))).nights == found.nights
    for row in found.nights.values():
        times = [datetime.fromisoformat(entry["t"]) for entry in row["hypnogram"]]
        stages = [entry["stage"] for entry in row["hypnogram"]]
        assert times[0] == row["sleep_start"]
        assert times == sorted(set(times))
        assert times[-1] < row["sleep_end"]
        assert all(a != b for a, b in itertools.pairwise(stages))
        minutes: dict[str, int] = {}
        for stage, start, end in zip(stages, times, [*times[1:], row["sleep_end"]], strict=True):
            minutes[stage] = minutes.get(stage, 0) + int((end - start).total_seconds()) // 60
        asleep = sum(minutes.get(stage, 0) for stage in ("asleep", "light", "deep", "rem"))
        assert row.get("total_sleep_minutes", 0) == asleep
        for stage in ("light", "deep", "rem"):
            assert row.get(f"{stage}_minutes", 0) == minutes.get(stage, 0)
        assert row.get("sleep_efficiency_pct", 0) <= 100
        assert row.get("awake_minutes", 0) <= minutes.get("awake", 0)
