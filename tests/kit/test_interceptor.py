"""What stands around every RPC: who may call, what is valid, what gets out."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from services.kit.caller import ANONYMOUS, GATEWAY, Caller, current
from services.kit.errors import ServiceError, Violation
from tests.harness import failure, person, reason, service
from tests.kit.support import Probe, ask

SECRET = "hunter2 of ada@example.com"
METHOD = "ProbesService/Ask"


@pytest.fixture
def ada() -> Caller:
    return person()


async def test_a_handler_runs_as_the_caller_and_only_then(probe: Probe, ada: Caller) -> None:
    seen = []

    async def answer(request: Any, context: Any) -> Any:
        seen.append(current())
        return probe.pb.AskResponse(text="hello")

    probe.on("Ask", answer)
    assert (await ask(probe, ada)).text == "hello"
    assert seen == [ada]
    assert current() == ANONYMOUS


async def test_callers_at_once_do_not_mix(probe: Probe) -> None:
    gate = asyncio.Event()
    entered = asyncio.Semaphore(0)

    async def answer(request: Any, context: Any) -> Any:
        entered.release()
        await gate.wait()
        return probe.pb.AskResponse(text=current().subject)

    probe.on("Ask", answer)
    people = [person() for _ in range(20)]
    calls = [asyncio.ensure_future(ask(probe, somebody)) for somebody in people]
    for _ in people:
        await entered.acquire()
    gate.set()
    assert [(await call).text for call in calls] == [somebody.subject for somebody in people]


@pytest.mark.parametrize(
    ("rpc", "caller", "answer"),
    [
        ("AskPublic", ANONYMOUS, "OK"),
        ("AskPublic", person(), "OK"),
        ("Ask", ANONYMOUS, "UNAUTHENTICATED"),
        ("Ask", person("", "user", "probes.read"), "OK"),
        ("Ask", person("", "user", "probes.write"), "SCOPE_MISSING"),
        ("Ask", person("", "admin", "probes.write"), "SCOPE_MISSING"),
        ("AskAdmin", ANONYMOUS, "UNAUTHENTICATED"),
        ("AskAdmin", person("", "user"), "SCOPE_MISSING"),
        ("AskAdmin", person("", "coach"), "SCOPE_MISSING"),
        ("AskAdmin", person("", "Admin"), "SCOPE_MISSING"),
        ("AskAdmin", person("", "admin"), "OK"),
        ("AskAdmin", service(""), "SCOPE_MISSING"),
        ("AskInternal", ANONYMOUS, "UNAUTHENTICATED"),
        ("AskInternal", person("", "user"), "SCOPE_MISSING"),
        ("AskInternal", person("", "admin"), "SCOPE_MISSING"),
        ("AskInternal", service(""), "OK"),
        ("AskInternal", GATEWAY, "SCOPE_MISSING"),
        ("AskGateway", GATEWAY, "OK"),
        ("AskGateway", ANONYMOUS, "UNAUTHENTICATED"),
        ("AskGateway", person("", "user"), "SCOPE_MISSING"),
        ("AskGateway", person("", "admin"), "SCOPE_MISSING"),
        ("AskGateway", service(""), "SCOPE_MISSING"),
        ("Ask", GATEWAY, "SCOPE_MISSING"),
        ("AskOwn", GATEWAY, "SCOPE_MISSING"),
        ("AskAdmin", GATEWAY, "SCOPE_MISSING"),
        ("AskPublic", GATEWAY, "OK"),
    ],
)
async def test_who_may_call_what(probe: Probe, rpc: str, caller: Caller, answer: str) -> None:
    fields = {"user_id": caller.subject or person().subject} if rpc == "Ask" else {}
    call = probe.call(rpc, getattr(probe.pb, f"{rpc}Request")(**fields), caller)
    if answer == "OK":
        await call
    else:
        assert await reason(call) == answer


async def test_a_call_without_a_caller_is_refused_even_a_public_one(probe: Probe) -> None:
    for metadata in ((), (("vitalis-caller", ""),), (("vitalis-caller", "x.y.z"),), (("authorization", "Bearer x"),)):
        assert await reason(probe.stub.AskPublic(probe.pb.AskPublicRequest(), metadata=metadata)) == "UNAUTHENTICATED"


async def test_the_last_word_is_the_services_own(probe: Probe, ada: Caller) -> None:
    """Two tokens in one call: neither is a way around the other."""
    good = probe.running.metadata(ada)
    for metadata in ((*good, ("vitalis-caller", "x.y.z")), (("vitalis-caller", "x.y.z"), *good)):
        call = probe.stub.Ask(probe.pb.AskRequest(user_id=person().subject), metadata=metadata)
        assert await reason(call) in ("UNAUTHENTICATED", "SUBJECT_MISMATCH")


async def test_somebody_else_is_no_subject(probe: Probe, ada: Caller) -> None:
    error = await failure(ask(probe, ada, user_id=person().subject))
    assert error.reason.name == "SUBJECT_MISMATCH"
    assert ada.subject not in error.message


@pytest.mark.parametrize(
    ("rpc", "changes", "answer"),
    [
        ("AskShared", {}, "OK"),
        ("AskShared", {"role": "coach"}, "OK"),
        ("AskShared", {"scopes": frozenset({"wearables.write"})}, "SCOPE_MISSING"),
        # Whoever signs it: everything is more than a grant can hold, and without a grant there is none.
        ("AskShared", {"scopes": frozenset({"*"})}, "SCOPE_MISSING"),
        ("AskShared", {"grant_id": ""}, "SCOPE_MISSING"),
        ("AskShared", {"grant_id": "", "role": "admin", "scopes": frozenset({"*"})}, "SCOPE_MISSING"),
        ("Ask", {"scopes": frozenset({"probes.read"})}, "SCOPE_MISSING"),
        ("Ask", {"scopes": frozenset({"*"})}, "SCOPE_MISSING"),
        ("AskOwn", {}, "SCOPE_MISSING"),
        ("AskAdmin", {}, "SCOPE_MISSING"),
        ("AskInternal", {}, "SCOPE_MISSING"),
        ("AskGateway", {}, "SCOPE_MISSING"),
        ("AskReviewed", {"scopes": frozenset({"profile.read"})}, "OK"),
        ("AskReviewed", {}, "SCOPE_MISSING"),
        # An admin without a grant, where the contract lets them; a grant that is too small does not become more.
        ("AskReviewed", {"grant_id": "", "role": "admin", "scopes": frozenset({"*"})}, "OK"),
        ("AskReviewed", {"role": "admin", "scopes": frozenset({"*"})}, "SCOPE_MISSING"),
        ("AskReviewed", {"role": "admin"}, "SCOPE_MISSING"),
        ("AskReviewed", {"grant_id": "", "role": "admin"}, "SCOPE_MISSING"),
        ("AskReviewed", {"grant_id": "", "role": "coach", "scopes": frozenset({"*"})}, "SCOPE_MISSING"),
        ("AskReviewed", {"grant_id": "", "role": "Admin", "scopes": frozenset({"*"})}, "SCOPE_MISSING"),
        ("AskOwn", {"grant_id": "", "role": "admin", "scopes": frozenset({"*"})}, "SCOPE_MISSING"),
    ],
)
async def test_what_a_grant_gives_and_what_it_never_does(
    probe: Probe, ada: Caller, rpc: str, changes: dict[str, Any], answer: str
) -> None:
    granted = Caller(person().subject, ada.subject, "user", frozenset({"wearables.read"}), grant_id=person().subject)
    fields = {"user_id": ada.subject} if rpc in ("Ask", "AskShared", "AskReviewed") else {}
    call = probe.call(rpc, getattr(probe.pb, f"{rpc}Request")(**fields), replace(granted, **changes))
    if answer == "OK":
        await call
    else:
        assert await reason(call) == answer


async def test_a_grant_of_one_persons_data_is_none_of_anothers(probe: Probe, ada: Caller) -> None:
    granted = Caller(person().subject, ada.subject, "user", frozenset({"wearables.read"}), grant_id=person().subject)
    for other in (person().subject, granted.actor):
        assert await reason(probe.call("AskShared", probe.pb.AskSharedRequest(user_id=other), granted)) == (
            "SUBJECT_MISMATCH"
        )


async def test_an_admins_leave_is_for_the_person_of_the_call(probe: Probe, ada: Caller) -> None:
    admin = replace(person("", "admin"), subject=ada.subject)
    for other in (person().subject, admin.actor):
        assert await reason(probe.call("AskReviewed", probe.pb.AskReviewedRequest(user_id=other), admin)) == (
            "SUBJECT_MISMATCH"
        )


@pytest.mark.parametrize(
    ("fields", "violated"),
    [
        ({"user_id": ""}, ["user_id"]),
        ({"text": "x" * 21}, ["text"]),
        ({"part": {}}, ["part.name"]),
        ({"part": {"name": "a", "weight": 11}}, ["part.weight"]),
        ({"part": {"name": "a", "parts": [{"name": "b"}, {"parts": [{"weight": 3}]}]}}, None),
        ({"parts": [{"name": "a"}, {"weight": -1}]}, ["parts[1].name", "parts[1].weight"]),
        ({"parts": [{"name": "a"}] * 4}, ["parts"]),
        ({"text": "x" * 21, "part": {"weight": 99}}, ["part.name", "text", "part.weight"]),
    ],
    ids=str,
)
async def test_what_is_not_valid_is_named_field_by_field(
    probe: Probe, ada: Caller, fields: dict[str, Any], violated: list[str] | None
) -> None:
    error = await failure(ask(probe, ada, **fields))
    assert error.reason.name == "INVALID_FIELD"
    named = list(dict.fromkeys(violation.field for violation in error.violations))
    assert named == (violated or ["part.parts[1].name", "part.parts[1].parts[0].name"])
    assert error.message.startswith(named[0])
    assert "x" * 21 not in error.message


async def test_what_else_is_wrong_is_told_in_the_same_answer(probe: Probe, ada: Caller) -> None:
    asked: list[Any] = []

    async def wrong(servicer: Any, request: Any) -> list[Violation]:
        asked.append((servicer.probes is probe.probes, request.text, current()))
        return [Violation("text", "says nothing"), Violation("payload", "does not go with it")]

    async def answer(request: Any, context: Any) -> Any:
        raise ServiceError("UNAVAILABLE", "it came this far")

    probe.on("wrong with Ask", wrong)
    probe.on("Ask", answer)
    error = await failure(ask(probe, ada, text="x" * 21, parts=[{}]))
    # Of a field that is refused anyway no more is said.
    assert [violation.field for violation in error.violations] == ["parts[0].name", "text", "payload"]
    assert asked == [(True, "x" * 21, ada)]
    # It is not asked where the contract holds, nor of who may not call.
    assert await reason(ask(probe, ada)) == "UNAVAILABLE"
    assert await reason(ask(probe, ada, user_id=person().subject, text="x" * 21)) == "SUBJECT_MISMATCH"
    assert await reason(ask(probe, person(ada.subject, "user", "probes.write"), text="x" * 21)) == "SCOPE_MISSING"
    assert len(asked) == 1


async def test_what_cannot_be_found_out_hides_nothing(probe: Probe, ada: Caller) -> None:
    async def wrong(servicer: Any, request: Any) -> list[Violation]:
        raise ServiceError("NOT_FOUND", "there is nothing to hold it against")

    probe.on("wrong with Ask", wrong)
    error = await failure(ask(probe, ada, text="x" * 21))
    assert (error.reason.name, [violation.field for violation in error.violations]) == ("INVALID_FIELD", ["text"])


async def test_the_number_of_violations_is_bounded(probe: Probe, ada: Caller) -> None:
    part = {"name": "a", "parts": [{}] * 200}
    error = await failure(ask(probe, ada, part=part))
    assert len(error.violations) == 50


async def test_each_message_of_a_stream_is_held_against_the_rules(probe: Probe, ada: Caller) -> None:
    taken: list[str] = []

    async def take(requests: AsyncIterator[Any], context: Any) -> Any:
        async for request in requests:
            taken.append(request.text)
        return probe.pb.SendResponse(received=len(taken))

    probe.on("Send", take)

    def send(*texts: str, last_user: str = "", caller: Caller = ada) -> Any:
        requests = [probe.pb.SendRequest(user_id=ada.subject, text=text) for text in texts]
        requests[-1].user_id = last_user or ada.subject
        return probe.call("Send", iter(requests), caller)

    assert (await send("a", "b", "c")).received == 3
    taken.clear()
    error = await failure(send("a", "x" * 21, "c"))
    assert ([v.field for v in error.violations], taken) == (["text"], ["a"])
    taken.clear()
    assert await reason(send("a", "b", last_user=person().subject)) == "SUBJECT_MISMATCH"
    assert taken == ["a"]
    taken.clear()
    assert await reason(send("a", caller=person(ada.subject, "user", "probes.read"))) == "SCOPE_MISSING"
    assert taken == []


async def test_a_stream_of_answers_is_guarded_like_one(probe: Probe, ada: Caller) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        for number in range(3):
            yield probe.pb.WatchResponse(payload=bytes([number]))
        raise ServiceError("PROBE_BROKEN", "it broke")

    probe.on("Watch", watch)
    request = probe.pb.WatchRequest(user_id=ada.subject)
    call = probe.call("Watch", request, ada)
    received = [await call.read() for _ in range(3)]
    assert [response.payload for response in received] == [b"\0", b"\1", b"\2"]
    assert await reason(call.read()) == "PROBE_BROKEN"
    for caller, answer in ((ANONYMOUS, "UNAUTHENTICATED"), (person(), "SUBJECT_MISMATCH")):
        assert await reason(probe.call("Watch", request, caller).read()) == answer


@pytest.mark.parametrize("rpc", ["Ask", "Watch", "Send"])
async def test_the_text_of_a_bug_reaches_neither_the_caller_nor_the_log(probe: Probe, ada: Caller, rpc: str) -> None:
    async def bug(request: Any, context: Any) -> Any:
        raise ValueError(SECRET) from KeyError(SECRET)

    async def bug_stream(request: Any, context: Any) -> AsyncIterator[Any]:
        raise ValueError(SECRET)
        yield

    probe.on(rpc, bug_stream if rpc == "Watch" else bug)
    request = getattr(probe.pb, f"{rpc}Request")(user_id=ada.subject)
    with capture_logs() as lines:
        call = probe.call(rpc, iter([request]) if rpc == "Send" else request, ada)
        error = await failure(call.read() if rpc == "Watch" else call)
    assert error.reason.name == "INTERNAL"
    assert SECRET not in error.message
    fault = next(line for line in lines if line["event"] == "fault")
    assert fault["kind"] == "ValueError"
    assert "test_interceptor.py" in fault["where"]
    assert fault["request_id"] == ada.request_id
    assert SECRET not in str(lines)


async def test_an_error_that_the_contract_does_not_know_becomes_internal(probe: Probe, ada: Caller) -> None:
    async def answer(request: Any, context: Any) -> Any:
        raise ServiceError(request.text, "as asked")

    probe.on("Ask", answer)
    assert await reason(ask(probe, ada, text="PROBE_BROKEN")) == "PROBE_BROKEN"
    assert await reason(ask(probe, ada, text="UNAVAILABLE")) == "UNAVAILABLE"
    with capture_logs() as lines:
        error = await failure(ask(probe, ada, text="ALREADY_EXISTS"))
    assert error.reason.name == "INTERNAL"
    assert {"method": METHOD, "reason": "ALREADY_EXISTS"}.items() <= lines[0].items()


async def test_an_error_arrives_with_all_its_details(probe: Probe, ada: Caller) -> None:
    async def answer(request: Any, context: Any) -> Any:
        raise ServiceError("UNAVAILABLE", "later", metadata={"what": "database"}, retry_after_seconds=1.5)

    probe.on("Ask", answer)
    error = await failure(ask(probe, ada))
    assert (error.message, error.metadata, error.retry_after_seconds) == ("later", {"what": "database"}, 1.5)
    assert error.reason.domain == "vitalis.options.v1"
    assert error.reason.code is grpc.StatusCode.UNAVAILABLE


async def test_the_line_of_an_rpc_says_nothing_of_anybody(probe: Probe, ada: Caller) -> None:
    async def answer(request: Any, context: Any) -> Any:
        return probe.pb.AskResponse(text="secret answer")

    probe.on("Ask", answer)
    with capture_logs() as lines:
        await ask(probe, ada, text="secret question")
        await reason(ask(probe, ada, text="secret " * 5))
        await reason(ask(probe, ada, user_id=person().subject))
    assert [(line["event"], line["method"], line["code"]) for line in lines] == [
        ("rpc", METHOD, "OK"),
        ("rpc", METHOD, "INVALID_ARGUMENT"),
        ("rpc", METHOD, "PERMISSION_DENIED"),
    ]
    assert {line["request_id"] for line in lines} == {ada.request_id}
    assert "secret" not in str(lines)
    assert ada.subject not in str(lines)


async def test_a_method_that_does_not_exist_is_no_fault(probe: Probe, ada: Caller) -> None:
    call: Any = probe.running.channel.unary_unary("/vitalis.probe.v1.ProbesService/NoSuch")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(b"", metadata=probe.running.metadata(ada))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_bytes_that_are_no_message_are_refused(probe: Probe, ada: Caller) -> None:
    call: Any = probe.running.channel.unary_unary("/vitalis.probe.v1.ProbesService/Ask")
    for data in (b"\xff", b"\x0a\x02\xff\xfe"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(data, metadata=probe.running.metadata(ada))
        assert caught.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
