"""The audit trail over HTTP: what somebody did, wherever it was stored, with where it came from."""

from collections.abc import Callable
from typing import Any

from tests.e2e.vitalis import Person

ACTIVITY = {"activity_date": "2026-01-15", "source": "manual", "activity_type": "yoga", "notes": "calm"}


def entries(person: Person, **query: Any) -> list[dict[str, Any]]:
    answer = person.get("audit-trail", **query)
    assert answer.status_code == 200, answer.text
    assert answer.json()["unavailable_services"] == []
    found: list[dict[str, Any]] = answer.json()["entries"]
    return found


def test_a_person_reads_what_was_done_with_their_data(ada: Person) -> None:
    created = ada.http.post(
        "/api/v1/users/me/wearable-activities",
        json=ACTIVITY,
        headers={"User-Agent": "watch/1", "X-Request-Id": "e2e-7"},
    )
    assert created.status_code == 200, created.text
    newest, *before = entries(ada)
    assert {entry["service"] for entry in before} == {"identity"}
    assert (newest["service"], newest["table_name"], newest["action"]) == ("tracking", "wearable_activities", "INSERT")
    assert (newest["action_by"], newest["actor_role"]) == (ada.id, "user")
    assert (newest["user_agent"], newest["ip_address"]) == ("watch/1", "127.0.0.1")
    assert newest["request_id"] == created.headers["X-Request-Id"]
    assert newest["new_values"]["activity_type"] == "yoga"
    assert entries(ada, end_time=newest["created_at"]) == before
    assert entries(ada, start_time=newest["created_at"]) == [newest]
    assert entries(ada, table_name="wearable_activities", page_size=1) == [newest]
    assert ada.get("audit-trail", action="insert").status_code == 400


def test_who_tries_another_persons_door_sees_it_in_their_own_trail_alone(
    ada: Person, sign_up: Callable[[], Person]
) -> None:
    grace = sign_up()
    refused = grace.http.get(f"/api/v1/users/{ada.id}/wearable-daily")
    assert refused.status_code == 403
    (denied,) = entries(grace, action="DENIED")
    assert denied["new_values"] == {
        "rpc": "vitalis.tracking.v1.WearablesService/ListWearableDaily",
        "reason": "SUBJECT_MISMATCH",
    }
    assert ada.id not in str(denied)
    assert entries(ada, action="DENIED") == []


def test_who_tries_what_is_for_admins_sees_it_in_their_trail(ada: Person) -> None:
    refused = ada.http.get("/api/v1/admin/users")
    assert refused.status_code == 403
    (denied,) = entries(ada, action="DENIED")
    assert denied["new_values"]["reason"] == "SCOPE_MISSING"
