"""What runs for longer than what allowed it: watches, uploads and slow requests."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway import callers, exchange
from tests.gateway.calling import BOBS, MINE, grant, reason, unavailable
from tests.gateway.conftest import Client, MakeServer
from tests.gateway.support import ADA, BOB, SESSION, Backend, bearer, mint


@pytest.fixture
def watched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "WATCH_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(callers, "PAUSE_SECONDS", 0.01)


async def things_for_ever(backend: Backend) -> AsyncIterator[Any]:
    for number in itertools.count():
        yield backend.things.message("ThingResponse", json.dumps({"thing": {"text": str(number)}}))
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("watched_at_once")
@pytest.mark.parametrize(
    ("path", "expected"), [(f"{BOBS}:watch", "SUBJECT_MISMATCH"), (f"{MINE}:watch", "UNAUTHENTICATED")]
)
async def test_a_watch_ends_when_the_grant_or_the_session_does(
    make_server: MakeServer, backend: Backend, path: str, expected: str
) -> None:
    backend.identity.grants[ADA, BOB] = grant()
    backend.things.handlers["WatchThing"] = lambda *_: things_for_ever(backend)
    client = await make_server(caller_memory_seconds=0.05)
    async with client.stream("GET", path, headers=bearer(mint(backend.key))) as answer:
        lines = answer.aiter_lines()
        for _ in range(20):
            assert "text" in json.loads(await anext(lines))
        backend.identity.ended.add(SESSION) if "me" in path else backend.identity.grants.clear()
        (*_, last) = [json.loads(line) async for line in lines]
    assert last["error"]["details"][0]["reason"] == expected
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


@pytest.mark.usefixtures("watched_at_once")
async def test_a_watch_that_has_said_nothing_ends_with_a_plain_error(client: Client, backend: Backend) -> None:
    async def silent(request: Any, context: Any) -> AsyncIterator[Any]:
        backend.identity.grants.clear()
        await asyncio.Event().wait()
        yield

    backend.identity.grants[ADA, BOB] = grant(seconds_left=0.05)
    backend.things.handlers["WatchThing"] = silent
    answer = await client.get(f"{BOBS}:watch")
    assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")


@pytest.mark.usefixtures("watched_at_once")
async def test_a_slow_request_ends_with_its_grant(client: Client, backend: Backend) -> None:
    async def slow(request: Any, context: Any) -> Any:
        backend.identity.grants.clear()
        await asyncio.Event().wait()

    backend.identity.grants[ADA, BOB] = grant(seconds_left=0.05)
    backend.things.handlers["GetThing"] = slow
    answer = await client.get(BOBS)
    assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


@pytest.mark.usefixtures("watched_at_once")
@pytest.mark.parametrize("person", [BOB, "me"])
async def test_an_upload_ends_when_the_grant_or_the_session_does(
    make_server: MakeServer, backend: Backend, person: str
) -> None:
    """One that goes on sending, and one whose service takes its time."""
    client = await make_server(caller_memory_seconds=0.05)

    async def file() -> AsyncIterator[bytes]:
        for number in range(100):
            yield bytes(2**16)
            await asyncio.sleep(0.01)
            if number == 20:
                backend.identity.ended.add(SESSION) if person == "me" else backend.identity.grants.clear()

    async def takes_its_time(messages: Any, context: Any) -> Any:
        async for _ in messages:
            pass
        backend.identity.ended.add(SESSION) if person == "me" else backend.identity.grants.clear()
        await asyncio.Event().wait()

    expected = (401, "UNAUTHENTICATED") if person == "me" else (403, "SUBJECT_MISMATCH")
    url, headers = f"/api/v1/users/{person}/files?file_name=a", bearer(mint(backend.key))
    for handler, content in ((None, file()), (takes_its_time, b"whole")):
        backend.identity.grants[ADA, BOB] = grant("imports.write")
        backend.identity.ended.clear()
        backend.things.cancelled.clear()
        await asyncio.sleep(0.06)
        if handler:
            backend.things.handlers["UploadFile"] = handler
        answer = await client.post(url, content=content, headers={**headers, "content-type": "application/zip"})
        assert (answer.status_code, reason(answer)) == expected
        await asyncio.wait_for(backend.things.cancelled.wait(), 5)


@pytest.mark.usefixtures("watched_at_once")
async def test_a_moment_without_identity_breaks_nothing_off(make_server: MakeServer, backend: Backend) -> None:
    """What was allowed goes on until what was signed for it ends."""
    backend.identity.grants[ADA, BOB] = grant()
    backend.things.handlers["WatchThing"] = lambda *_: things_for_ever(backend)
    client = await make_server(caller_memory_seconds=0.02)
    async with client.stream("GET", f"{BOBS}:watch", headers=bearer(mint(backend.key))) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        backend.identity.resolve = unavailable
        asked = len(backend.identity.asked)
        while len(backend.identity.asked) < asked + 3:
            assert "text" in json.loads(await anext(lines))
        backend.identity.resolve = backend.identity._at_once
        for _ in range(10):
            assert "text" in json.loads(await anext(lines))


@pytest.mark.usefixtures("watched_at_once")
async def test_without_identity_for_long_a_grants_watch_ends(
    make_server: MakeServer, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "MARGIN_SECONDS", 0.2)
    backend.identity.grants[ADA, BOB] = grant()
    backend.things.handlers["WatchThing"] = lambda *_: things_for_ever(backend)
    client = await make_server(caller_memory_seconds=0.05)
    async with client.stream("GET", f"{BOBS}:watch", headers=bearer(mint(backend.key))) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        backend.identity.resolve = unavailable
        (*_, last) = [json.loads(line) async for line in lines]
    assert last["error"]["details"][0]["reason"] == "UNAVAILABLE"


async def test_a_body_that_takes_its_time_is_sent_on_as_what_its_sender_is_by_then(
    make_server: MakeServer, backend: Backend
) -> None:
    """The caller is signed when the call begins, not when the request did."""
    client = await make_server(caller_memory_seconds=0.05)
    backend.identity.grants[ADA, BOB] = grant("wearables.write")

    async def slow_body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(0.1)
        backend.identity.grants.clear()
        yield b"}"

    headers = {**bearer(mint(backend.key)), "content-type": "application/json"}
    answer = await client.post(f"{BOBS}:lock", content=slow_body(), headers=headers)
    assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")
    assert backend.things.requests == []
