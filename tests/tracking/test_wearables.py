"""Days and nights through the stub, on a real PostgreSQL."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import timestamp_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness import Running, failure, forged, person, reason, service
from tests.tracking.conftest import As
from vitalis.tracking.v1 import wearables_pb2 as pb

DAY = date(2026, 3, 1)


@pytest.fixture
def ada(tracking: Running) -> As:
    return As(tracking, person())


def day(offset: int = 0, source: str = "garmin", **values: Any) -> pb.WearableDaily:
    return pb.WearableDaily(date=str(DAY + timedelta(days=offset)), source=source, **values)


def instant(text: str) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text).astimezone(UTC))
    return stamp


async def put(who: As, *rows: pb.WearableDaily, request_id: str = "") -> pb.WriteCounts:
    request = pb.BatchUpsertWearableDailyRequest(user_id=who.id, wearable_daily=rows, request_id=request_id)
    return (await who.wearables("BatchUpsertWearableDaily", request)).counts


async def listed(who: As, **query: Any) -> pb.ListWearableDailyResponse:
    return await who.wearables("ListWearableDaily", pb.ListWearableDailyRequest(user_id=who.id, **query))


FULL: dict[str, Any] = {
    "resting_hr_bpm": 52,
    "max_hr_bpm": 181,
    "hrv_rmssd_ms": 45.5,
    "hrv_sdnn_ms": 61.25,
    "steps": 10432,
    "active_calories_kcal": 640,
    "total_calories_kcal": 2410,
    "active_minutes": 61,
    "moderate_intensity_minutes": 40,
    "vigorous_intensity_minutes": 21,
    "distance_m": 8421,
    "floors_climbed": 12,
    "spo2_avg_pct": 96.5,
    "spo2_min_pct": 91.0,
    "respiratory_rate_avg": 14.5,
    "stress_avg": 31,
    "body_battery_start": 88,
    "body_battery_end": 23,
    "readiness_score": 77,
    "recovery_score": 66,
    "skin_temp_deviation_c": -0.25,
    "vo2_max_ml_kg_min": 47.5,
}


async def test_a_full_day_comes_back_as_it_was_sent(ada: As) -> None:
    sent = day(0, "garmin", **FULL, raw_data={"note": "as it came", "nested": {"list": [1, "two", None]}})
    sent.source_as_of.CopyFrom(instant("2026-03-02T05:00:00+00:00"))
    assert await put(ada, sent) == pb.WriteCounts(stored=1)
    (row,) = (await listed(ada)).wearable_daily
    assert not row.HasField("raw_data")
    request = pb.GetWearableDailyRequest(user_id=ada.id, id=row.id)
    full = (await ada.wearables("GetWearableDaily", request)).wearable_daily
    assert full.raw_data == sent.raw_data
    assert full.user_id == ada.id
    for field in (*FULL, "date", "source", "source_as_of"):
        assert getattr(full, field) == getattr(sent, field) == (getattr(row, field)), field
    assert abs(full.created_at.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(minutes=1)


async def test_upsert_adds_changes_and_leaves_alone(ada: As) -> None:
    assert await put(ada, day(0, steps=1), day(1, steps=2)) == pb.WriteCounts(stored=2)
    again = await put(ada, day(0, steps=1), day(1, steps=3), day(2, steps=4))
    assert again == pb.WriteCounts(stored=1, updated=1, unchanged=1)
    assert [row.steps for row in (await listed(ada)).wearable_daily] == [4, 3, 1]


async def test_a_value_that_is_not_sent_stays(ada: As) -> None:
    await put(ada, day(steps=100, resting_hr_bpm=50))
    await put(ada, day(steps=200))
    (row,) = (await listed(ada)).wearable_daily
    assert (row.steps, row.resting_hr_bpm) == (200, 50)


async def test_an_older_state_of_the_source_changes_nothing(ada: As) -> None:
    newer, older = day(steps=200), day(steps=100)
    newer.source_as_of.CopyFrom(instant("2026-03-03T00:00:00+00:00"))
    older.source_as_of.CopyFrom(instant("2026-03-02T00:00:00+00:00"))
    await put(ada, newer)
    assert await put(ada, older) == pb.WriteCounts(unchanged=1)
    assert (await listed(ada)).wearable_daily[0].steps == 200


async def test_a_batch_is_stored_whole_or_not_at_all(ada: As) -> None:
    error = await failure(put(ada, day(0, steps=1), day(1, steps=-1)))
    assert error.reason.name == "INVALID_FIELD"
    assert error.violations[0].field == "wearable_daily[1].steps"
    assert "0" in error.violations[0].description
    future = pb.WearableDaily(date="2199-01-01", source="garmin")
    assert await reason(put(ada, day(0, steps=1), future)) == "DATE_OUT_OF_RANGE"
    assert not (await listed(ada)).wearable_daily


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (day(source="nokia"), "wearable_daily[0].source"),
        (pb.WearableDaily(date="2023-02-29", source="garmin"), "wearable_daily[0].date"),
        (pb.WearableDaily(date="20230201", source="garmin"), "wearable_daily[0].date"),
        (pb.WearableDaily(source="garmin"), "wearable_daily[0].date"),
        (day(resting_hr_bpm=19), "wearable_daily[0].resting_hr_bpm"),
        (day(hrv_rmssd_ms=300.1), "wearable_daily[0].hrv_rmssd_ms"),
        (day(spo2_avg_pct=69.9), "wearable_daily[0].spo2_avg_pct"),
        (day(steps=100_001), "wearable_daily[0].steps"),
        (day(vo2_max_ml_kg_min=float("nan")), "wearable_daily[0].vo2_max_ml_kg_min"),
        (day(skin_temp_deviation_c=float("inf")), "wearable_daily[0].skin_temp_deviation_c"),
    ],
)
async def test_a_wrong_value_is_named(ada: As, row: pb.WearableDaily, field: str) -> None:
    error = await failure(put(ada, row))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", field)


async def test_two_rows_of_one_day_in_a_batch_are_refused(ada: As) -> None:
    error = await failure(put(ada, day(steps=1), day(steps=2)))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "date + source")


async def test_more_than_a_thousand_rows_are_refused(ada: As) -> None:
    rows = [day(offset) for offset in range(1001)]
    assert (await failure(put(ada, *rows))).violations[0].field == "wearable_daily"


async def test_the_same_request_id_answers_as_before(ada: As) -> None:
    first = await put(ada, day(steps=1), request_id="r1")
    assert await put(ada, day(steps=1), request_id="r1") == first == pb.WriteCounts(stored=1)
    assert await reason(put(ada, day(steps=2), request_id="r1")) == "REQUEST_ID_REUSED"
    assert (await listed(ada)).wearable_daily[0].steps == 1


async def test_pages_bounds_and_sources(ada: As) -> None:
    await put(ada, *(day(offset, source, steps=offset) for offset in range(5) for source in ("garmin", "oura")))
    everything = (await listed(ada)).wearable_daily
    assert [(row.date, row.source) for row in everything] == sorted(
        ((row.date, row.source) for row in everything), reverse=True
    )
    bounded = (await listed(ada, start_date="2026-03-02", end_date="2026-03-03", source="oura")).wearable_daily
    assert [(row.steps, row.source) for row in bounded] == [(2, "oura"), (1, "oura")]
    collected: list[pb.WearableDaily] = []
    token = ""
    while True:
        page = await listed(ada, page_size=3, page_token=token)
        collected += page.wearable_daily
        token = page.next_page_token
        if not token:
            break
    assert collected == list(everything)


async def test_numbers_that_json_does_not_have_are_refused(ada: As) -> None:
    for value in (float("inf"), float("nan")):
        error = await failure(put(ada, day(raw_data={"value": value})))
        assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "raw_data")


async def test_a_page_token_is_bound_to_its_list(ada: As) -> None:
    await put(ada, *(day(offset) for offset in range(3)))
    token = (await listed(ada, page_size=1)).next_page_token
    assert await reason(listed(ada, page_size=1, source="garmin", page_token=token)) == "INVALID_PAGE_TOKEN"
    assert await reason(listed(ada, page_token="bm90IGEgdG9rZW4")) == "INVALID_PAGE_TOKEN"
    nights = pb.ListWearableSleepRequest(user_id=ada.id, page_token=token)
    assert await reason(ada.wearables("ListWearableSleep", nights)) == "INVALID_PAGE_TOKEN"
    assert (await failure(listed(ada, page_size=-1))).violations[0].field == "page_size"
    days = pb.ListDaysRequest(user_id=ada.id, page_token=token)
    assert await reason(ada.wearables("ListDays", days)) == "INVALID_PAGE_TOKEN"


async def test_a_page_token_leads_to_a_day_or_nowhere(ada: As) -> None:
    await put(ada, *(day(offset) for offset in range(3)))
    token = (await listed(ada, page_size=1)).next_page_token
    days = await ada.wearables("ListDays", pb.ListDaysRequest(user_id=ada.id, page_size=1))
    for text in ("", "soon", "2024-02-30", "0000-01-01"):
        assert await reason(listed(ada, page_token=forged(token, text, "garmin"))) == "INVALID_PAGE_TOKEN"
        wrong = pb.ListDaysRequest(user_id=ada.id, page_token=forged(days.next_page_token, text))
        assert await reason(ada.wearables("ListDays", wrong)) == "INVALID_PAGE_TOKEN"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 900), st.sampled_from(["garmin", "oura", "whoop"])), unique=True, max_size=40
    ),
    size=st.integers(1, 12),
)
async def test_paging_yields_every_row_once_in_order(tracking: Running, rows: list[tuple[int, str]], size: int) -> None:
    who = As(tracking, person())
    if rows:
        await put(who, *(day(offset, source) for offset, source in rows))
    seen, token = [], ""
    while True:
        page = await listed(who, page_size=size, page_token=token)
        seen += [(row.date, row.source) for row in page.wearable_daily]
        assert len(page.wearable_daily) <= size
        if not (token := page.next_page_token):
            break
    assert seen == sorted(((str(DAY + timedelta(days=o)), s) for o, s in rows), reverse=True)
    dates, token = [], ""
    while True:
        days = await who.wearables("ListDays", pb.ListDaysRequest(user_id=who.id, page_size=size, page_token=token))
        dates += [item.date for item in days.days]
        if not (token := days.next_page_token):
            break
    assert dates == sorted({str(DAY + timedelta(days=o)) for o, _ in rows}, reverse=True)


async def test_days_prefer_sources_value_by_value(ada: As) -> None:
    await put(
        ada, day(0, "manual", steps=1, resting_hr_bpm=60), day(0, "oura", steps=2), day(1, "apple_health", steps=3)
    )
    days = (await ada.wearables("ListDays", pb.ListDaysRequest(user_id=ada.id))).days
    assert [(d.date, d.steps, dict(d.sources)) for d in days] == [
        ("2026-03-02", 3, {"steps": "apple_health"}),
        ("2026-03-01", 2, {"steps": "oura", "resting_hr_bpm": "manual"}),
    ]
    request = pb.ListDaysRequest(user_id=ada.id, preferred_sources=["manual"], end_date="2026-03-01")
    (only,) = (await ada.wearables("ListDays", request)).days
    assert (only.steps, only.resting_hr_bpm) == (1, 60)


async def test_a_night_with_its_hypnogram(ada: As) -> None:
    night = pb.WearableSleep(sleep_date="2026-03-01", source="oura", total_sleep_minutes=420, avg_hrv_ms=48.25)
    night.sleep_start.CopyFrom(instant("2026-02-28T22:50:00+01:00"))
    night.sleep_end.CopyFrom(instant("2026-03-01T06:30:00+01:00"))
    night.hypnogram.add(t=instant("2026-02-28T22:50:00+01:00"), stage="light")
    night.hypnogram.add(t=instant("2026-03-01T01:00:00+01:00"), stage="deep")
    request = pb.BatchUpsertWearableSleepRequest(user_id=ada.id, wearable_sleep=[night])
    assert (await ada.wearables("BatchUpsertWearableSleep", request)).counts == pb.WriteCounts(stored=1)
    assert (await ada.wearables("BatchUpsertWearableSleep", request)).counts == pb.WriteCounts(unchanged=1)
    (row,) = (await ada.wearables("ListWearableSleep", pb.ListWearableSleepRequest(user_id=ada.id))).wearable_sleep
    assert not row.hypnogram
    assert (row.sleep_start, row.sleep_end) == (night.sleep_start, night.sleep_end)
    got = await ada.wearables("GetWearableSleep", pb.GetWearableSleepRequest(user_id=ada.id, id=row.id))
    assert got.wearable_sleep.hypnogram == night.hypnogram
    del got.wearable_sleep.hypnogram[:]
    assert got.wearable_sleep == row
    night.sleep_end.CopyFrom(instant("2026-02-28T22:00:00+01:00"))
    backwards = pb.BatchUpsertWearableSleepRequest(user_id=ada.id, wearable_sleep=[night])
    assert await reason(ada.wearables("BatchUpsertWearableSleep", backwards)) == "INVALID_FIELD"


async def test_services_stream_rows_and_people_may_not(tracking: Running) -> None:
    ada = person()
    insights = As(tracking, service(ada.subject))

    def stream() -> Any:
        for month in range(3):
            rows = [day(month * 30 + offset, steps=offset) for offset in range(30)]
            yield pb.WriteWearablesRequest(
                user_id=ada.subject,
                wearable_daily=rows,
                wearable_sleep=[pb.WearableSleep(sleep_date=rows[0].date, source="garmin", total_sleep_minutes=400)],
                wearable_activities=[
                    pb.WearableActivity(
                        activity_date=str(DAY),
                        source="garmin",
                        activity_type="running",
                        source_activity_id=f"g{month}",
                    )
                ],
            )

    answer = await insights.wearables("WriteWearables", stream())
    assert answer.wearable_daily == pb.WriteCounts(stored=90)
    assert answer.wearable_sleep == pb.WriteCounts(stored=3)
    assert answer.wearable_activities == pb.WriteCounts(stored=3)
    assert (await insights.wearables("WriteWearables", stream())).wearable_daily == pb.WriteCounts(unchanged=90)
    assert await reason(As(tracking, ada).wearables("WriteWearables", stream())) == "SCOPE_MISSING"
    bad = iter([pb.WriteWearablesRequest(user_id=ada.subject, wearable_daily=[day(steps=-1)])])
    assert await reason(insights.wearables("WriteWearables", bad)) == "INVALID_FIELD"
    other = iter([pb.WriteWearablesRequest(user_id=person().subject, wearable_daily=[day(steps=1)])])
    assert await reason(insights.wearables("WriteWearables", other)) == "SUBJECT_MISMATCH"
    out = iter(
        [
            pb.WriteWearablesRequest(
                user_id=ada.subject, wearable_daily=[pb.WearableDaily(date="1500-01-01", source="garmin")]
            )
        ]
    )
    assert await reason(insights.wearables("WriteWearables", out)) == "DATE_OUT_OF_RANGE"


async def test_scopes_and_callers_are_enforced(tracking: Running) -> None:
    ada = person()
    reader = As(tracking, person(ada.subject, "user", "wearables.read"))
    assert not (await listed(reader)).wearable_daily
    assert await reason(put(reader, day())) == "SCOPE_MISSING"
    assert (
        await reason(As(tracking, person()).wearables("ListDays", pb.ListDaysRequest(user_id=ada.subject)))
        == "SUBJECT_MISMATCH"
    )
    empty = pb.ListDaysRequest()
    assert (await failure(As(tracking, ada).wearables("ListDays", empty))).violations[0].field == "user_id"
