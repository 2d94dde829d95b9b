"""What an import and an activity leave in the audit log: each step that matters once, whoever took it."""

from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.harness import Running
from tests.tracking.conftest import As
from tests.tracking.test_imports import FILE, ada, imported, upload, worker
from vitalis.tracking.v1 import imports_pb2 as pb
from vitalis.tracking.v1 import wearables_pb2

__all__ = ["ada", "worker"]


def trail(tracking: Running, who: As) -> list[dict[str, Any]]:
    with psycopg.connect(tracking.database.migrator_url, row_factory=dict_row) as owner:
        return owner.execute("SELECT * FROM audit_log WHERE user_id = %s ORDER BY created_at", [who.id]).fetchall()


def steps(tracking: Running, who: As) -> list[tuple[str, str, str]]:
    """Who did what to which import, as its status tells."""
    return [
        (row["action_by"], row["action"], (row["new_values"] or {}).get("status", ""))
        for row in trail(tracking, who)
        if row["table_name"] == "imports"
    ]


async def test_an_import_is_recorded_by_its_steps_and_its_batches(tracking: Running, ada: As, worker: None) -> None:
    done = await imported(ada, FILE)
    service = "service:tracking"
    assert steps(tracking, ada) == [
        (ada.id, "INSERT", "queued"),
        (service, "UPDATE", "running"),
        (service, "UPDATE", "succeeded"),
    ]
    (batch,) = [row for row in trail(tracking, ada) if row["action"] == "BATCH"]
    assert (batch["action_by"], batch["table_name"], batch["request_id"]) == (service, "wearable_daily", "request-1")
    assert batch["new_values"] == {
        "operation": "INSERT",
        "rows": 2,
        "first_date": "2026-03-01",
        "last_date": "2026-03-02",
        "import_id": done.id,
    }


async def test_taking_an_import_back_is_recorded_with_what_went(tracking: Running, ada: As, worker: None) -> None:
    done = await imported(ada, FILE)
    await ada.imports("RollBackImport", pb.RollBackImportRequest(user_id=ada.id, id=done.id))
    assert steps(tracking, ada)[-1] == (ada.id, "UPDATE", "rolled_back")
    gone = [row for row in trail(tracking, ada) if row["action"] == "BATCH"][-1]
    assert (gone["new_values"]["operation"], gone["new_values"]["rows"]) == ("DELETE", 2)
    assert gone["new_values"]["import_id"] == done.id


async def test_a_cancelled_import_is_recorded_as_that(tracking: Running, ada: As) -> None:
    queued = await upload(ada, FILE)
    await ada.imports("CancelImport", pb.CancelImportRequest(user_id=ada.id, id=queued.id))
    assert steps(tracking, ada) == [(ada.id, "INSERT", "queued"), (ada.id, "UPDATE", "cancelled")]


async def test_an_activity_is_recorded_through_its_whole_life(tracking: Running, ada: As) -> None:
    activity = wearables_pb2.WearableActivity(activity_date="2026-01-15", source="manual", activity_type="yoga")
    create = wearables_pb2.CreateWearableActivityRequest(user_id=ada.id, wearable_activity=activity)
    stored = (await ada.wearables("CreateWearableActivity", create)).wearable_activity
    activity = wearables_pb2.WearableActivity(activity_type="pilates")
    update = wearables_pb2.UpdateWearableActivityRequest(user_id=ada.id, id=stored.id, wearable_activity=activity)
    await ada.wearables("UpdateWearableActivity", update)
    await ada.wearables("UpdateWearableActivity", update)
    delete = wearables_pb2.DeleteWearableActivityRequest(user_id=ada.id, id=stored.id)
    await ada.wearables("DeleteWearableActivity", delete)
    created, changed, deleted = trail(tracking, ada)
    assert {row["record_id"] for row in (created, changed, deleted)} == {stored.id}
    assert (created["action"], created["new_values"]["activity_type"]) == ("INSERT", "yoga")
    assert (changed["old_values"], changed["new_values"]) == (
        {"activity_type": "yoga"},
        {"activity_type": "pilates"},
    )
    assert deleted["old_values"] == {"deleted_at": None}
