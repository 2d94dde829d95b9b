"""How long an RPC runs: until its deadline, its caller's or its service's, and no longer than its caller is there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.kit.caller import ANONYMOUS, Caller, current
from tests.harness import person, reason
from tests.kit.support import Probe, ask


@pytest.fixture
def ada() -> Caller:
    return person()


async def test_a_call_without_a_deadline_gets_one(probe: Probe, ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    timeout = asyncio.timeout

    def note(limit: float | None) -> Any:
        limits.append(limit)
        return timeout(limit)

    monkeypatch.setattr("services.kit.interceptor.asyncio.timeout", note)
    await ask(probe, ada, timeout=None)
    await ask(probe, ada, timeout=20)
    assert limits == [30, None]


async def test_the_default_deadline_ends_the_work(probe: Probe, ada: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = asyncio.Event()

    async def never(request: Any, context: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    probe.on("Ask", never)
    timeout = asyncio.timeout
    monkeypatch.setattr("services.kit.interceptor.asyncio.timeout", lambda limit: timeout(0.05))
    assert await reason(ask(probe, ada, timeout=None)) == "DEADLINE_EXCEEDED"
    assert ended.is_set()


@pytest.mark.parametrize("rpc", ["Ask", "Watch"])
async def test_the_clients_deadline_ends_the_work(probe: Probe, ada: Caller, rpc: str) -> None:
    ended = asyncio.Event()

    async def never(request: Any, context: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def never_stream(request: Any, context: Any) -> AsyncIterator[Any]:
        await never(request, context)
        yield

    probe.on(rpc, never if rpc == "Ask" else never_stream)
    call = probe.call(rpc, getattr(probe.pb, f"{rpc}Request")(user_id=ada.subject), ada, timeout=0.3)
    assert await reason(call if rpc == "Ask" else call.read()) == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(ended.wait(), 30)


async def test_a_client_that_leaves_ends_the_work(probe: Probe, ada: Caller) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def never(request: Any, context: Any) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    probe.on("Ask", never)
    with capture_logs() as lines:
        call = asyncio.ensure_future(ask(probe, ada))
        await asyncio.wait_for(begun.wait(), 30)
        call.cancel()
        await asyncio.wait_for(ended.wait(), 30)
        while not lines:
            await asyncio.sleep(0.01)
    assert [(line["method"], line["code"]) for line in lines] == [("ProbesService/Ask", "CANCELLED")]


async def test_a_watcher_that_leaves_while_the_service_is_sending_leaves_no_trace(probe: Probe, ada: Caller) -> None:
    """The service is held up by flow control, outside of the handler's own code, when it is cancelled."""
    ended = asyncio.Event()
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
    sent = 0

    async def flood(request: Any, context: Any) -> AsyncIterator[Any]:
        nonlocal sent
        try:
            while True:
                sent += 1
                yield probe.pb.WatchResponse(payload=bytes(2**20))
        finally:
            ended.set()

    probe.on("Watch", flood)
    with capture_logs() as lines:
        call = probe.call("Watch", probe.pb.WatchRequest(user_id=ada.subject), ada)
        await call.read()
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        call.cancel()
        await asyncio.wait_for(ended.wait(), 30)
        while not lines:
            await asyncio.sleep(0.01)
    assert [line["code"] for line in lines] == ["CANCELLED"]
    assert complaints == []
    assert current() == ANONYMOUS
