"""From a phone's export to a person's days over HTTP, through all of the processes."""

from examples.apple_health import Truth
from local.runner import Stack
from tests.e2e.vitalis import NOTHING, Person, holding


def test_an_export_becomes_days_nights_and_workouts(ada: Person, export: tuple[bytes, Truth]) -> None:
    content, truth = export
    told = ada.watch(ada.upload(content)["id"])
    assert [step["status"] for step in told if step["status"] not in ("queued", "running")] == ["succeeded"]
    read = [step["records_read"] for step in told]
    assert read == sorted(read)
    last = told[-1]
    assert (last["progress_pct"], last["attempts"]) == (100, 1)
    result = last["result"]
    assert result["records_read"] == truth.records_read
    assert result["records_used"] == truth.records_used
    assert result["ignored_by_type"] == dict(truth.ignored_by_type)
    rows = ada.rows()
    assert {table: counts["stored"] for table, counts in result["rows"].items()} == {
        "wearable_daily": len(rows["wearable-daily"]),
        "wearable_sleep": len(rows["wearable-sleep"]),
        "wearable_activities": len(rows["wearable-activities"]),
    }
    steps = {day["date"]: day["steps"] for day in rows["days"] if "steps" in day}
    assert steps == {str(day): round(known.steps) for day, known in truth.days.items() if known.steps is not None}
    asleep = {night["sleep_date"]: night["total_sleep_minutes"] for night in rows["wearable-sleep"]}
    assert asleep == {str(day): night.total_sleep_minutes for day, night in truth.nights.items()}
    assert sorted(row["activity_date"] for row in rows["wearable-activities"]) == sorted(
        str(workout.activity_date) for workout in truth.workouts
    )


def test_the_same_file_twice_adds_nothing_and_an_import_can_be_taken_back(
    ada: Person, export: tuple[bytes, Truth]
) -> None:
    first = ada.imported(export[0])
    rows = ada.rows()
    second = ada.imported(export[0])
    for counts in second["result"]["rows"].values():
        assert (counts["stored"], counts["updated"]) == (0, 0)
    assert ada.rows() == rows
    for one in (second, first):
        taken_back = ada.post(f"imports/{one['id']}:rollBack", json={}).json()
        assert taken_back["status"] == "rolled_back"
    assert ada.rows() == NOTHING
    assert ada.imported(export[0])["status"] == "succeeded"
    assert ada.rows() == rows


def test_a_cancelled_import_stores_nothing_whenever_it_is_cancelled(
    stack: Stack, ada: Person, export: tuple[bytes, Truth]
) -> None:
    # What tracking locks before it stores anything, and in the middle of it.
    for what in ("imports", "activities"):
        with holding(stack, ada, what) as wait:
            queued = ada.upload(export[0])
            wait()
            cancelled = ada.post(f"imports/{queued['id']}:cancel", json={})
            assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        assert ada.watch(queued["id"])[-1]["status"] == "cancelled"
        # The next import waits for the cancelled one's end, which is therefore over.
        assert ada.imported(b"no export")["status"] == "failed"
        assert ada.rows() == NOTHING
        assert ada.import_now(queued["id"])["status"] == "cancelled"
        again = ada.post(f"imports/{queued['id']}:cancel", json={})
        assert (again.status_code, again.json()["error"]["details"][0]["reason"]) == (400, "IMPORT_ENDED")


def test_one_idempotency_key_is_one_import(ada: Person, export: tuple[bytes, Truth]) -> None:
    key = {"Idempotency-Key": "the same upload"}
    first, second = (ada.upload(export[0], headers=key) for _ in range(2))
    assert first["id"] == second["id"]
    assert len(ada.imports()) == 1
    other = ada.post("imports", params={"source": "apple_health"}, content=b"another file", headers=key)
    assert (other.status_code, other.json()["error"]["details"][0]["reason"]) == (400, "REQUEST_ID_REUSED")
    ada.watch(first["id"])
