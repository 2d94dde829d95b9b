"""Lifestyle baselines through the stub, on a real PostgreSQL."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from google.protobuf import timestamp_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.database import uuid7
from tests.harness import Running, failure, forged, person, reason, service
from tests.tracking.conftest import As
from tests.tracking.test_privacy import PersonData
from vitalis.tracking.v1 import wellbeing_pb2 as pb

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOTES = "Woke up twice."
FINE: dict[str, Any] = {"energy_level": "medium", "stress_level": "low", "sleep_quality": "good"}


@pytest.fixture
def ada(tracking: Running) -> As:
    return As(tracking, person())


def stamp(moment: datetime) -> timestamp_pb2.Timestamp:
    timestamp = timestamp_pb2.Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def baseline(hours: int = 0, **values: Any) -> pb.LifestyleBaseline:
    """One that was recorded so many hours after noon."""
    return pb.LifestyleBaseline(**{"recorded_at": stamp(NOON + timedelta(hours=hours)), **FINE, **values})


async def create(who: As, sent: pb.LifestyleBaseline, request_id: str = "") -> pb.LifestyleBaseline:
    request = pb.CreateLifestyleBaselineRequest(user_id=who.id, lifestyle_baseline=sent, request_id=request_id)
    return (await who.wellbeing("CreateLifestyleBaseline", request)).lifestyle_baseline


async def read(who: As, row_id: str) -> pb.LifestyleBaseline:
    request = pb.GetLifestyleBaselineRequest(user_id=who.id, id=row_id)
    return (await who.wellbeing("GetLifestyleBaseline", request)).lifestyle_baseline


async def update(who: As, row_id: str, sent: pb.LifestyleBaseline, *paths: str) -> pb.LifestyleBaseline:
    request = pb.UpdateLifestyleBaselineRequest(
        user_id=who.id, id=row_id, lifestyle_baseline=sent, update_mask=FieldMask(paths=paths)
    )
    return (await who.wellbeing("UpdateLifestyleBaseline", request)).lifestyle_baseline


async def page(who: As, **query: Any) -> pb.ListLifestyleBaselinesResponse:
    return await who.wellbeing("ListLifestyleBaselines", pb.ListLifestyleBaselinesRequest(user_id=who.id, **query))


async def listed(who: As, **query: Any) -> list[pb.LifestyleBaseline]:
    return list((await page(who, **query)).lifestyle_baselines)


async def delete(who: As, row_id: str, etag: str = "") -> None:
    request = pb.DeleteLifestyleBaselineRequest(user_id=who.id, id=row_id, etag=etag)
    await who.wellbeing("DeleteLifestyleBaseline", request)


async def undelete(who: As, row_id: str) -> pb.LifestyleBaseline:
    request = pb.UndeleteLifestyleBaselineRequest(user_id=who.id, id=row_id)
    return (await who.wellbeing("UndeleteLifestyleBaseline", request)).lifestyle_baseline


async def record(tracking: Running, user_id: str, row_id: str, sent: pb.LifestyleBaseline) -> bool:
    """Hands a baseline over, as another service does."""
    request = pb.RecordLifestyleBaselineRequest(user_id=user_id, baseline_id=row_id, lifestyle_baseline=sent)
    return (await As(tracking, service(user_id)).wellbeing("RecordLifestyleBaseline", request)).created


def sql(tracking: Running, statement: str, *values: Any) -> Any:
    with psycopg.connect(tracking.database.migrator_url) as owner:
        cursor = owner.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


async def test_what_is_entered_comes_back(ada: As) -> None:
    sent = baseline(sleep_hours_last_night=7.5, sleep_quality_notes=NOTES, data_source="wearable")
    stored = await create(ada, sent, "r1")
    assert {field.name for field, _ in stored.ListFields()} == {
        field.name for field in stored.DESCRIPTOR.fields if field.name != "deleted_at"
    }
    for field, value in sent.ListFields():
        assert getattr(stored, field.name) == value
    assert stored.user_id == ada.id
    assert await create(ada, sent, "r1") == stored
    assert await read(ada, stored.id) == stored
    assert await listed(ada) == [stored]


async def test_what_is_not_said_is_said_by_the_database(ada: As) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    stored = await create(ada, pb.LifestyleBaseline(**FINE))
    assert before <= stored.recorded_at.ToDatetime(UTC) <= datetime.now(UTC) + timedelta(minutes=1)
    assert stored.recorded_at == stored.created_at
    assert stored.data_source == "user_input"
    assert not stored.HasField("sleep_hours_last_night")
    assert not stored.HasField("sleep_quality_notes")


async def test_all_that_is_wrong_is_said_at_once(ada: As) -> None:
    wrong = pb.LifestyleBaseline(
        energy_level="High",
        stress_level="none",
        sleep_hours_last_night=24.1,
        sleep_quality_notes="x" * 2001,
        data_source="garmin",
    )
    error = await failure(create(ada, wrong))
    assert error.reason.name == "INVALID_FIELD"
    assert sorted(violation.field for violation in error.violations) == [
        f"lifestyle_baseline.{name}"
        for name in (
            "data_source",
            "energy_level",
            "sleep_hours_last_night",
            "sleep_quality",
            "sleep_quality_notes",
            "stress_level",
        )
    ]


@pytest.mark.parametrize("hours", [-0.1, 24.01, float("nan"), float("inf")])
async def test_a_night_has_no_more_hours_than_a_day(ada: As, hours: float) -> None:
    error = await failure(create(ada, baseline(sleep_hours_last_night=hours)))
    assert [violation.field for violation in error.violations] == ["lifestyle_baseline.sleep_hours_last_night"]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hours=st.floats(0, 24))
async def test_hours_are_kept_to_a_tenth(ada: As, hours: float) -> None:
    stored = await create(ada, baseline(sleep_hours_last_night=hours))
    assert abs(stored.sleep_hours_last_night - hours) <= 0.05 + 1e-9
    assert 0 <= stored.sleep_hours_last_night <= 24
    assert stored.sleep_hours_last_night == round(stored.sleep_hours_last_night, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("energy_level", "High"),
        ("stress_level", ""),
        ("sleep_quality", "great"),
        ("data_source", "garmin"),
        ("sleep_hours_last_night", 24.1),
        ("sleep_hours_last_night", -0.1),
    ],
)
def test_the_table_refuses_it_too(tracking: Running, column: str, value: Any) -> None:
    row = {"energy_level": "low", "stress_level": "low", "sleep_quality": "poor", column: value}
    names, places = ", ".join(row), ", ".join("%s" for _ in row)
    statement = f"INSERT INTO lifestyle_baselines (id, user_id, {names}) VALUES (%s, %s, {places})"
    with pytest.raises(psycopg.errors.CheckViolation, match=f"ck_lifestyle_baselines_{column}"):
        sql(tracking, statement, uuid7(), uuid7(), *row.values())


@pytest.mark.parametrize("column", ["energy_level", "stress_level", "sleep_quality", "data_source", "recorded_at"])
def test_the_table_wants_what_everybody_says(tracking: Running, column: str) -> None:
    row = {"energy_level": "low", "stress_level": "low", "sleep_quality": "poor", column: None}
    names, places = ", ".join(row), ", ".join("%s" for _ in row)
    statement = f"INSERT INTO lifestyle_baselines (id, user_id, {names}) VALUES (%s, %s, {places})"
    with pytest.raises(psycopg.errors.NotNullViolation):
        sql(tracking, statement, uuid7(), uuid7(), *row.values())


async def test_it_is_changed_deleted_and_brought_back(ada: As) -> None:
    stored = await create(ada, baseline(sleep_hours_last_night=7.5, sleep_quality_notes=NOTES))
    changed = await update(ada, stored.id, pb.LifestyleBaseline(stress_level="high", etag=stored.etag))
    assert (changed.stress_level, changed.sleep_quality_notes, changed.energy_level) == ("high", NOTES, "medium")
    late = pb.LifestyleBaseline(stress_level="low", etag=stored.etag)
    error = await failure(update(ada, stored.id, late))
    assert (error.reason.name, error.metadata) == ("ETAG_MISMATCH", {"etag": changed.etag})
    assert await reason(delete(ada, stored.id, stored.etag)) == "ETAG_MISMATCH"
    cleared = await update(ada, stored.id, pb.LifestyleBaseline(), "sleep_quality_notes", "sleep_hours_last_night")
    assert not cleared.HasField("sleep_quality_notes")
    assert not cleared.HasField("sleep_hours_last_night")
    await delete(ada, stored.id)
    assert await listed(ada) == []
    (gone,) = await listed(ada, show_deleted=True)
    assert gone.HasField("deleted_at")
    assert await reason(update(ada, stored.id, pb.LifestyleBaseline(stress_level="low"))) == "NOT_FOUND"
    assert not (await undelete(ada, stored.id)).HasField("deleted_at")
    assert len(await listed(ada)) == 1


@pytest.mark.parametrize("path", ["energy_level", "stress_level", "sleep_quality", "recorded_at"])
async def test_what_everybody_says_is_not_cleared(ada: As, path: str) -> None:
    stored = await create(ada, baseline())
    error = await failure(update(ada, stored.id, pb.LifestyleBaseline(), path))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", path)


async def test_where_it_comes_from_stays(ada: As) -> None:
    stored = await create(ada, baseline(data_source="wearable"))
    error = await failure(update(ada, stored.id, pb.LifestyleBaseline(data_source="user_input")))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "data_source")
    assert (await listed(ada, data_source="wearable"), await listed(ada, data_source="system")) == ([stored], [])


async def test_a_list_begins_with_its_start_and_ends_before_its_end(ada: As) -> None:
    for hours in range(4):
        await create(ada, baseline(hours))
    moments = [one.recorded_at.ToDatetime(UTC) for one in await listed(ada)]
    assert moments == [NOON + timedelta(hours=hours) for hours in (3, 2, 1, 0)]
    bounds = {"start_time": stamp(moments[2]), "end_time": stamp(moments[0])}
    assert [one.recorded_at.ToDatetime(UTC) for one in await listed(ada, **bounds)] == moments[1:3]
    assert await listed(ada, start_time=stamp(moments[0] + timedelta(microseconds=1))) == []
    assert await listed(ada, end_time=stamp(moments[3])) == []
    # An instant of 1970 is one, and not none.
    assert await listed(ada, end_time=timestamp_pb2.Timestamp()) == []
    first = await page(ada, page_size=1, **bounds)
    second = await page(ada, page_size=1, page_token=first.next_page_token, **bounds)
    both = [*first.lifestyle_baselines, *second.lifestyle_baselines]
    assert ([one.recorded_at.ToDatetime(UTC) for one in both], second.next_page_token) == (moments[1:3], "")
    for other in ({}, {**bounds, "end_time": stamp(moments[1])}, {"start_time": bounds["start_time"]}):
        assert await reason(page(ada, page_token=first.next_page_token, **other)) == "INVALID_PAGE_TOKEN"
    for position in (("soon", str(uuid7())), ("0", "x"), ("9" * 30, str(uuid7()))):
        token = forged(first.next_page_token, *position)
        assert await reason(page(ada, page_token=token, **bounds)) == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize("name", ["start_time", "end_time"])
@pytest.mark.parametrize("seconds", [-(10**12), 10**12])
async def test_an_instant_that_no_calendar_has_is_refused(ada: As, name: str, seconds: int) -> None:
    error = await failure(page(ada, **{name: timestamp_pb2.Timestamp(seconds=seconds)}))
    assert (error.reason.name, [violation.field for violation in error.violations]) == ("INVALID_FIELD", [name])


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(hours=st.lists(st.integers(0, 5), max_size=12), size=st.integers(1, 5))
async def test_pages_are_the_list_in_its_order(tracking: Running, hours: list[int], size: int) -> None:
    """Also where several were recorded at the same moment."""
    ada = As(tracking, person())
    await asyncio.gather(*(create(ada, baseline(hour)) for hour in hours))
    found: list[pb.LifestyleBaseline] = []
    token = ""
    while True:
        one = await page(ada, page_size=size, page_token=token)
        found += one.lifestyle_baselines
        if not (token := one.next_page_token):
            break
    assert [one.recorded_at.ToDatetime(UTC) for one in found] == [
        NOON + timedelta(hours=hour) for hour in sorted(hours, reverse=True)
    ]
    assert len({one.id for one in found}) == len(hours)


# What another service hands over


async def test_what_is_handed_over_is_stored_once(tracking: Running, ada: As) -> None:
    row_id = str(uuid7())
    sent = baseline(sleep_quality_notes=NOTES, data_source="system")
    assert await record(tracking, ada.id, row_id, sent)
    stored = await read(ada, row_id)
    assert (stored.sleep_quality_notes, stored.recorded_at, stored.data_source) == (NOTES, sent.recorded_at, "system")
    assert not await record(tracking, ada.id, row_id, sent)
    assert not await record(tracking, ada.id, row_id, baseline(energy_level="high"))
    assert await listed(ada) == [stored]


async def test_many_deliveries_at_once_are_one(tracking: Running, ada: As) -> None:
    row_id = str(uuid7())
    created = await asyncio.gather(*(record(tracking, ada.id, row_id, baseline(hours)) for hours in range(8)))
    assert sorted(created) == [False] * 7 + [True]
    assert len(await listed(ada)) == 1


async def test_a_late_delivery_takes_nothing_back(tracking: Running, ada: As) -> None:
    """What the person has changed stays changed, and what they have deleted stays deleted."""
    changed, deleted = str(uuid7()), str(uuid7())
    for row_id in (changed, deleted):
        await record(tracking, ada.id, row_id, baseline())
    mine = await update(ada, changed, pb.LifestyleBaseline(energy_level="high"))
    await delete(ada, deleted)
    for row_id in (changed, deleted):
        assert not await record(tracking, ada.id, row_id, baseline())
    assert await listed(ada) == [mine]


async def test_another_persons_id_is_no_way_in(tracking: Running, ada: As) -> None:
    bert = As(tracking, person())
    hers = await create(ada, baseline(sleep_quality_notes=NOTES))
    # Whether somebody else has such a baseline is not told either.
    assert await record(tracking, bert.id, hers.id, baseline(energy_level="low"))
    assert (await read(bert, hers.id)).energy_level == "low"
    assert await read(ada, hers.id) == hers
    assert await listed(ada) == [hers]


async def test_what_is_handed_over_says_when_it_held(tracking: Running, ada: As) -> None:
    error = await failure(record(tracking, ada.id, str(uuid7()), pb.LifestyleBaseline(**FINE)))
    (violation,) = error.violations
    assert (violation.field, violation.description) == ("lifestyle_baseline", "recorded_at is required")
    for row_id in ("", "7"):
        assert await reason(record(tracking, ada.id, row_id, baseline())) == "INVALID_FIELD"


async def test_nobody_but_a_service_hands_anything_over(tracking: Running, ada: As) -> None:
    request = pb.RecordLifestyleBaselineRequest(user_id=ada.id, baseline_id=str(uuid7()), lifestyle_baseline=baseline())
    assert await reason(ada.wellbeing("RecordLifestyleBaseline", request)) == "SCOPE_MISSING"
    elsewhere = As(tracking, service(person().subject))
    assert await reason(elsewhere.wellbeing("RecordLifestyleBaseline", request)) == "SUBJECT_MISMATCH"
    assert await listed(ada) == []


# Privacy


async def test_notes_are_ciphertext_in_the_table_and_in_the_trail(tracking: Running, ada: As) -> None:
    stored = await create(ada, baseline(sleep_quality_notes=NOTES), "r1")
    changed = await update(ada, stored.id, pb.LifestyleBaseline(sleep_quality_notes=NOTES + NOTES))
    assert changed.sleep_quality_notes == NOTES + NOTES
    everything = "SELECT {0}::text FROM {0}"
    for table in ("lifestyle_baselines", "audit_log", "idempotency_keys"):
        rows = str(sql(tracking, everything.format(table)))
        assert rows != "[]"
        assert NOTES not in rows
        assert NOTES.encode().hex() not in rows
    purposes = sql(tracking, "SELECT purpose FROM data_keys WHERE user_id = %s", ada.id)
    assert purposes == [("general",)]


async def test_the_trail_tells_what_was_before(tracking: Running, ada: As) -> None:
    stored = await create(ada, baseline())
    await update(ada, stored.id, pb.LifestyleBaseline(stress_level="high"))
    await record(tracking, ada.id, str(uuid7()), baseline())
    rows = sql(
        tracking,
        "SELECT action_by, action, old_values FROM audit_log WHERE table_name = 'lifestyle_baselines'"
        " AND user_id = %s ORDER BY created_at",
        ada.id,
    )
    assert rows == [
        (ada.id, "INSERT", None),
        (ada.id, "UPDATE", {"stress_level": "low"}),
        ("service:insights", "INSERT", None),
    ]


async def test_an_export_tells_it_in_clear_and_an_erasure_leaves_no_key(tracking: Running, ada: As) -> None:
    stored = await create(ada, baseline(sleep_quality_notes=NOTES))
    tables, _ = await PersonData(tracking, ada.id).export()
    (row,) = tables["lifestyle_baselines"]
    assert (row["id"], row["sleep_quality_notes"], row["energy_level"]) == (stored.id, NOTES, "medium")
    await PersonData(tracking, ada.id).erase()
    assert await listed(ada, show_deleted=True) == []
    assert sql(tracking, "SELECT FROM data_keys WHERE user_id = %s", ada.id) == []
