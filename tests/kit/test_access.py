"""Who works on somebody else's data is recorded before they get anything, and so is who is refused."""

import asyncio
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row
from structlog.testing import capture_logs

from services.kit.caller import GATEWAY, Caller, service_caller
from services.kit.contract import rpcs_of, sensitive_fields
from tests.harness import person, reason, service
from tests.kit.support import Probe

SENSITIVE = {
    "mental_wellness": ["moods.text"],
    "health": ["moods.weight_kg"],
    "personal": ["email"],
}


def coach_of(owner: Caller, *scopes: str) -> Caller:
    """Somebody with a grant of the owner's."""
    return Caller(
        person().subject,
        owner.subject,
        "coach",
        frozenset(scopes or {"profile.read", "wearables.read", "wearables.write"}),
        "request-7",
        grant_id="grant-1",
        address="192.0.2.7",
        user_agent="curl/8",
    )


def log(probe: Probe, person_id: str = "") -> list[dict[str, Any]]:
    with psycopg.connect(probe.running.database.migrator_url, row_factory=dict_row) as owner:
        rows = owner.execute("SELECT * FROM audit_log ORDER BY created_at").fetchall()
    return [row for row in rows if not person_id or str(row["user_id"]) == person_id]


def events(probe: Probe, person_id: str = "") -> list[tuple[str, str]]:
    return [(row["action"], row["new_values"]["rpc"].rpartition("/")[2]) for row in log(probe, person_id)]


def request(probe: Probe, rpc: str, caller: Caller) -> Any:
    message = getattr(probe.pb, f"{rpc}Request")
    fields = {"user_id": caller.subject} if "user_id" in message.DESCRIPTOR.fields_by_name else {}
    return message(**fields)


async def send(probe: Probe, caller: Caller, *messages: Any) -> Any:
    async def stream() -> Any:
        for message in messages:
            yield message

    return await probe.call("Send", stream(), caller)


async def test_one_who_reads_by_a_grant_is_in_the_owners_trail_with_what_they_may_have_seen(probe: Probe) -> None:
    ada = person()
    coach = coach_of(ada)
    await probe.call("GetMood", request(probe, "GetMood", ada), coach)
    (row,) = log(probe)
    assert {name: str(row[name]) for name in ("user_id", "action_by", "actor_role", "grant_id", "request_id")} == {
        "user_id": ada.subject, "action_by": coach.actor, "actor_role": "coach", "grant_id": "grant-1",
        "request_id": "request-7",
    }  # fmt: skip
    assert (row["action"], row["ip_address"], row["user_agent"]) == ("READ", "192.0.2.7", "curl/8")
    assert row["new_values"] == {"rpc": "vitalis.probe.v1.ProbesService/GetMood", "sensitive": SENSITIVE}


async def test_what_is_recorded_is_there_before_the_rpc_runs(probe: Probe) -> None:
    ada = person()
    seen = []

    async def answer(request: Any, context: Any) -> Any:
        seen.extend(events(probe))
        return probe.pb.AskSharedResponse()

    probe.on("AskShared", answer)
    await probe.call("AskShared", request(probe, "AskShared", ada), coach_of(ada))
    assert seen == [("READ", "AskShared")]


async def test_streams_are_recorded_once(probe: Probe) -> None:
    ada = person()
    coach = coach_of(ada)

    async def several(request: Any, context: Any) -> Any:
        for _ in range(3):
            yield probe.pb.WatchResponse()

    probe.on("Watch", several)
    async for _ in probe.call("Watch", request(probe, "Watch", ada), coach):
        pass
    message = request(probe, "Send", ada)
    await send(probe, coach, message, message, message)
    assert events(probe, ada.subject) == [("READ", "Watch"), ("ACCESS", "Send")]


async def test_ones_own_access_and_a_services_leave_no_trace(probe: Probe) -> None:
    ada = person()
    for caller in (ada, service(ada.subject)):
        await probe.call("Ask", request(probe, "Ask", ada), caller)
    await probe.call("GetMood", request(probe, "GetMood", ada), ada)
    await probe.call("AskPublic", request(probe, "AskPublic", ada), coach_of(ada))
    await probe.call("AskGateway", request(probe, "AskGateway", ada), GATEWAY)
    assert log(probe) == []


async def test_a_service_that_reads_about_mental_wellness_is_named(probe: Probe) -> None:
    ada = person()
    await probe.call("GetMood", request(probe, "GetMood", ada), service(ada.subject))
    (row,) = log(probe)
    assert (str(row["user_id"]), row["action_by"], row["action"]) == (ada.subject, "service:insights", "READ")
    assert row["new_values"]["sensitive"]["mental_wellness"] == ["moods.text"]


async def test_what_an_admin_does_is_recorded_even_about_nobody(probe: Probe) -> None:
    admin, ada = person("", "admin"), person()
    for subject in (ada.subject, "", admin.subject):
        await probe.call("AskAdmin", probe.pb.AskAdminRequest(), replace(admin, subject=subject))
    assert events(probe, ada.subject) == [("ACCESS", "AskAdmin")]
    assert events(probe, admin.subject) == [("ACCESS", "AskAdmin")] * 2


async def test_what_an_admin_is_let_to_is_in_the_owners_trail(probe: Probe) -> None:
    ada, admin = person(), replace(person("", "admin"), address="192.0.2.7")
    about_ada = replace(admin, subject=ada.subject)
    await probe.call("AskReviewed", request(probe, "AskReviewed", ada), about_ada)
    (row,) = log(probe, ada.subject)
    assert (row["action"], row["action_by"], row["actor_role"]) == ("READ", admin.actor, "admin")
    assert (row["grant_id"], row["ip_address"]) == (None, "192.0.2.7")
    assert row["new_values"] == {"rpc": "vitalis.probe.v1.ProbesService/AskReviewed"}
    # Where the contract lets no admin in, both learn of the try.
    assert await reason(probe.call("AskShared", request(probe, "AskShared", ada), about_ada)) == "SCOPE_MISSING"
    assert events(probe, ada.subject) == [("READ", "AskReviewed"), ("DENIED", "AskShared")]
    assert events(probe, admin.actor) == [("DENIED", "AskShared")]
    # Their own is their own.
    await probe.call("AskReviewed", request(probe, "AskReviewed", admin), admin)
    assert len(log(probe)) == 3


async def test_an_access_that_cannot_be_recorded_is_none(probe: Probe) -> None:
    ada = person()
    ran = []

    async def answer(request: Any, context: Any) -> Any:
        ran.append(request)
        return probe.pb.GetMoodResponse()

    probe.on("GetMood", answer)
    with psycopg.connect(probe.running.database.migrator_url, autocommit=True) as owner:
        owner.execute("REVOKE EXECUTE ON FUNCTION record_audit(text, jsonb, text, text) FROM vitalis_app")
        assert await reason(probe.call("GetMood", request(probe, "GetMood", ada), coach_of(ada))) == "INTERNAL"
        assert ran == []
        # The owner's own way is not through the log.
        await probe.call("GetMood", request(probe, "GetMood", ada), ada)
        owner.execute("GRANT EXECUTE ON FUNCTION record_audit(text, jsonb, text, text) TO vitalis_app")
    await probe.call("GetMood", request(probe, "GetMood", ada), coach_of(ada))
    assert len(ran) == 2


async def test_an_invalid_request_is_no_access(probe: Probe) -> None:
    ada = person()
    bad = probe.pb.SendRequest(user_id=ada.subject, text="x" * 21)
    assert await reason(send(probe, coach_of(ada), bad)) == "INVALID_FIELD"
    assert log(probe) == []


async def test_who_is_refused_is_in_their_own_trail_and_not_in_that_of_whom_they_named(probe: Probe) -> None:
    mallory, ada = person(), person()
    assert await reason(probe.call("Ask", request(probe, "Ask", ada), mallory)) == "SUBJECT_MISMATCH"
    limited = replace(mallory, scopes=frozenset({"other.read"}))
    assert await reason(probe.call("Ask", request(probe, "Ask", mallory), limited)) == "SCOPE_MISSING"
    assert [(str(row["user_id"]), row["action"], row["new_values"]["reason"]) for row in log(probe)] == [
        (mallory.subject, "DENIED", "SUBJECT_MISMATCH"),
        (mallory.subject, "DENIED", "SCOPE_MISSING"),
    ]
    assert ada.subject not in str(log(probe))


async def test_a_grant_that_is_too_small_is_seen_by_both(probe: Probe) -> None:
    ada = person()
    coach = coach_of(ada, "other.read")
    assert await reason(probe.call("GetMood", request(probe, "GetMood", ada), coach)) == "SCOPE_MISSING"
    rows = log(probe)
    assert {str(row["user_id"]) for row in rows} == {ada.subject, coach.actor}
    assert {(row["action"], row["action_by"], row["grant_id"]) for row in rows} == {("DENIED", coach.actor, "grant-1")}


async def test_who_is_not_known_leaves_no_trace_and_neither_does_a_service(probe: Probe) -> None:
    ada = person()
    bare = probe.stub.Ask(request(probe, "Ask", ada))
    assert await reason(bare) == "UNAUTHENTICATED"
    assert await reason(probe.call("Ask", request(probe, "Ask", ada), GATEWAY)) == "SCOPE_MISSING"
    limited = replace(service_caller("insights", ada.subject), scopes=frozenset({"other.read"}))
    assert await reason(probe.call("Ask", request(probe, "Ask", ada), limited)) == "SCOPE_MISSING"
    assert log(probe) == []


async def test_who_is_refused_is_refused_though_it_cannot_be_recorded(probe: Probe) -> None:
    mallory, ada = person(), person()
    with psycopg.connect(probe.running.database.migrator_url, autocommit=True) as owner:
        owner.execute("REVOKE EXECUTE ON FUNCTION record_audit(text, jsonb, text, text) FROM vitalis_app")
    with capture_logs() as logged:
        assert await reason(probe.call("Ask", request(probe, "Ask", ada), mallory)) == "SUBJECT_MISMATCH"
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["a denied access was not recorded"]


async def test_many_at_once_are_recorded_each_in_their_own_name(probe: Probe) -> None:
    ada = person()
    coaches = [coach_of(ada) for _ in range(20)]
    await asyncio.gather(*(probe.call("AskShared", request(probe, "AskShared", ada), coach) for coach in coaches))
    assert sorted(row["action_by"] for row in log(probe)) == sorted(coach.actor for coach in coaches)


@pytest.mark.parametrize(("rpc", "reads"), [("GetMood", True), ("Watch", True), ("Ask", True), ("Send", False)])
def test_what_only_reads_is_told_by_the_contract(probe_modules: Any, rpc: str, reads: bool) -> None:
    found = {
        one.path.rpartition("/")[2]: one
        for one in rpcs_of(probe_modules[0].DESCRIPTOR.services_by_name["ProbesService"])
    }
    assert found[rpc].only_reads is reads


def test_the_sensitive_fields_of_a_message_are_found_however_deep(probe_modules: Any) -> None:
    assert sensitive_fields(probe_modules[0].GetMoodResponse.DESCRIPTOR) == SENSITIVE
    assert sensitive_fields(probe_modules[0].AskResponse.DESCRIPTOR) == {}
