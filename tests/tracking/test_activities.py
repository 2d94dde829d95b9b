"""Activities through the stub, on a real PostgreSQL."""

from typing import Any

import pytest
from google.protobuf import field_mask_pb2

from tests.harness import Running, failure, person, reason
from tests.tracking.conftest import As
from vitalis.tracking.v1 import wearables_pb2 as pb


@pytest.fixture
def ada(tracking: Running) -> As:
    return As(tracking, person())


def run(**values: Any) -> pb.WearableActivity:
    fields = {"activity_date": "2026-03-01", "source": "manual", "activity_type": "running", **values}
    return pb.WearableActivity(**fields)


async def created(who: As, activity: pb.WearableActivity, request_id: str = "") -> pb.WearableActivity:
    request = pb.CreateWearableActivityRequest(user_id=who.id, wearable_activity=activity, request_id=request_id)
    return (await who.wearables("CreateWearableActivity", request)).wearable_activity


async def updated(who: As, row_id: str, activity: pb.WearableActivity, *paths: str) -> pb.WearableActivity:
    mask = field_mask_pb2.FieldMask(paths=paths)
    request = pb.UpdateWearableActivityRequest(
        user_id=who.id, id=row_id, wearable_activity=activity, update_mask=mask if paths else None
    )
    return (await who.wearables("UpdateWearableActivity", request)).wearable_activity


async def activities(who: As, **query: Any) -> list[pb.WearableActivity]:
    request = pb.ListWearableActivityRequest(user_id=who.id, **query)
    return list((await who.wearables("ListWearableActivity", request)).wearable_activities)


async def test_an_activity_is_created_read_changed_deleted_and_brought_back(ada: As) -> None:
    stored = await created(ada, run(activity_name="Morning", distance_m=5012.5, notes="windy"), "r1")
    assert await created(ada, run(activity_name="Morning", distance_m=5012.5, notes="windy"), "r1") == stored
    assert len(await activities(ada)) == 1
    changed = await updated(ada, stored.id, pb.WearableActivity(activity_name="Evening", etag=stored.etag))
    assert (changed.activity_name, changed.notes, changed.distance_m) == ("Evening", "windy", 5012.5)
    assert changed.etag != stored.etag
    masked = await updated(ada, stored.id, pb.WearableActivity(), "notes")
    assert not masked.HasField("notes")
    stale = pb.WearableActivity(notes="late", etag=stored.etag)
    delete = pb.DeleteWearableActivityRequest(user_id=ada.id, id=stored.id, etag=stored.etag)
    for late in (updated(ada, stored.id, stale), ada.wearables("DeleteWearableActivity", delete)):
        error = await failure(late)
        assert (error.reason.name, error.metadata) == ("ETAG_MISMATCH", {"etag": masked.etag})
    await ada.wearables("DeleteWearableActivity", pb.DeleteWearableActivityRequest(user_id=ada.id, id=stored.id))
    assert await activities(ada) == []
    (gone,) = await activities(ada, show_deleted=True)
    assert gone.HasField("deleted_at")
    assert await reason(updated(ada, stored.id, pb.WearableActivity(notes="x"))) == "NOT_FOUND"
    back = pb.UndeleteWearableActivityRequest(user_id=ada.id, id=stored.id)
    assert not (await ada.wearables("UndeleteWearableActivity", back)).wearable_activity.HasField("deleted_at")
    assert len(await activities(ada)) == 1


async def test_what_cannot_change_does_not(ada: As) -> None:
    stored = await created(ada, run())
    for activity, paths, field in [
        (pb.WearableActivity(source="garmin"), (), "source"),
        (pb.WearableActivity(), ("user_id",), "update_mask"),
        (pb.WearableActivity(), ("no_such",), "update_mask"),
        (pb.WearableActivity(), ("activity_type",), "activity_type"),
        (pb.WearableActivity(avg_hr_bpm=5), (), "wearable_activity.avg_hr_bpm"),
    ]:
        error = await failure(updated(ada, stored.id, activity, *paths))
        assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", field)
    moved = await updated(ada, stored.id, pb.WearableActivity(activity_date="2025-12-31"))
    assert (moved.id, moved.activity_date) == (stored.id, "2025-12-31")
    out = pb.WearableActivity(activity_date="1800-01-01")
    assert await reason(updated(ada, stored.id, out)) == "DATE_OUT_OF_RANGE"


async def test_output_only_fields_are_ignored(ada: As) -> None:
    stored = await created(ada, run(id="11111111-1111-7111-8111-111111111111", user_id="someone"))
    assert stored.user_id == ada.id
    assert stored.id != "11111111-1111-7111-8111-111111111111"


async def test_a_known_activity_is_not_created_twice(ada: As) -> None:
    await created(ada, run(source_activity_id="a1"))
    assert await reason(created(ada, run(source_activity_id="a1", activity_date="2026-03-02"))) == "ALREADY_EXISTS"


async def test_a_redated_activity_is_moved_not_doubled(ada: As) -> None:
    async def upsert(*rows: pb.WearableActivity) -> pb.WriteCounts:
        request = pb.BatchUpsertWearableActivityRequest(user_id=ada.id, wearable_activities=rows)
        return (await ada.wearables("BatchUpsertWearableActivity", request)).counts

    first = run(source="garmin", source_activity_id="g1", distance_m=100.0)
    other = run(source="garmin", source_activity_id="g2")
    assert await upsert(first, other) == pb.WriteCounts(stored=2)
    first.activity_date = "2025-12-31"
    assert await upsert(first, other) == pb.WriteCounts(updated=1, unchanged=1)
    first.activity_date, first.distance_m = "2026-01-02", 200.0
    assert await upsert(first) == pb.WriteCounts(updated=1)
    assert [(a.source_activity_id, a.activity_date) for a in await activities(ada)] == [
        ("g2", "2026-03-01"),
        ("g1", "2026-01-02"),
    ]
    assert [a.source_activity_id for a in await activities(ada, activity_type="running", source="garmin")] == [
        "g2",
        "g1",
    ]
    assert await reason(upsert(run(source_activity_id="x"), run(source_activity_id="x"))) == "INVALID_FIELD"
