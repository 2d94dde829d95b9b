"""Server streaming as newline-delimited JSON, and clients that go away."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from services.kit.errors import ServiceError, not_found
from tests.gateway.conftest import Client, MakeClient, MakeServer
from tests.gateway.support import Backend, bearer, mint

WATCH = "/api/v1/users/me/things/7:watch"


def thing(backend: Backend, text: str) -> Any:
    return backend.things.message("ThingResponse", json.dumps({"thing": {"text": text}}))


async def test_each_message_is_a_line_as_it_comes(make_server: MakeServer, backend: Backend) -> None:
    go_on = asyncio.Event()

    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield thing(backend, "one")
        await go_on.wait()
        yield thing(backend, "two\nlines")

    backend.things.handlers["WatchThing"] = watch
    client = await make_server()
    async with client.stream("GET", WATCH, headers=bearer(mint(backend.key))) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["cache-control"] == "no-store"
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["text"] == "one"
        go_on.set()
        assert json.loads(await anext(lines))["text"] == "two\nlines"
        assert [line async for line in lines] == []


async def test_an_error_before_the_first_line_is_a_plain_error(client: Client, backend: Backend) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        raise not_found("thing")
        yield

    backend.things.handlers["WatchThing"] = watch
    answer = await client.get(WATCH)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/json"


async def test_an_error_after_the_first_line_is_the_last_line(client: Client, backend: Backend) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield thing(backend, "one")
        raise ServiceError("UNAVAILABLE", "the database is gone", retry_after_seconds=1)

    backend.things.handlers["WatchThing"] = watch
    answer = await client.get(WATCH)
    first, last = (json.loads(line) for line in answer.text.splitlines())
    assert (answer.status_code, first["text"]) == (200, "one")
    assert (last["error"]["code"], last["error"]["message"]) == (503, "the database is gone")


async def test_a_stream_without_messages_is_an_empty_body(client: Client, backend: Backend) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        return
        yield

    backend.things.handlers["WatchThing"] = watch
    answer = await client.get(WATCH)
    assert (answer.status_code, answer.text) == (200, "")


async def test_a_watch_has_a_deadline_of_its_own(make_client: MakeClient, backend: Backend) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield thing(backend, "one")
        await asyncio.sleep(60)

    backend.things.handlers["WatchThing"] = watch
    client = await make_client(watch_deadline_seconds=0.3)
    answer = await client.get(WATCH, headers=bearer(mint(backend.key)))
    assert json.loads(answer.text.splitlines()[-1])["error"]["status"] == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


async def test_files_are_streamed_as_their_bytes(client: Client, backend: Backend) -> None:
    body = backend.things.registry.message("google.api.HttpBody")
    assert body

    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        yield body.type.from_json('{"content_type": "text/csv", "data": "YSxi"}')
        yield body.type.from_json('{"data": "Cg=="}')

    backend.things.handlers["StreamFile"] = stream
    answer = await client.get("/api/v1/users/me/files/7:stream")
    assert (answer.headers["content-type"], answer.content) == ("text/csv", b"a,b\n")


async def test_a_client_that_stops_watching_cancels_the_rpc(make_server: MakeServer, backend: Backend) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield thing(backend, "one")
        await asyncio.sleep(60)

    backend.things.handlers["WatchThing"] = watch
    client = await make_server()
    async with client.stream("GET", WATCH, headers=bearer(mint(backend.key))) as answer:
        await anext(answer.aiter_lines())
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


async def test_a_client_that_gives_up_waiting_cancels_the_rpc(make_server: MakeServer, backend: Backend) -> None:
    async def slow(request: Any, context: Any) -> Any:
        await asyncio.sleep(60)

    backend.things.handlers["CreateThing"] = slow
    client = await make_server()
    post = client.post("/api/v1/users/me/things", json={}, headers=bearer(mint(backend.key)))
    waiting = asyncio.create_task(post)
    await asyncio.wait_for(backend.things.reached.wait(), 5)
    waiting.cancel()
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


async def test_the_servers_end_ends_a_watch_with_a_line(make_server: MakeServer, backend: Backend) -> None:
    async def watch(request: Any, context: Any) -> AsyncIterator[Any]:
        yield thing(backend, "one")
        await asyncio.sleep(60)

    backend.things.handlers["WatchThing"] = watch
    client = await make_server(grace_seconds=0)
    other = httpx.AsyncClient(base_url=client.base_url, timeout=20)
    async with other, other.stream("GET", WATCH, headers=bearer(mint(backend.key))) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        client.server.should_exit = True
        assert json.loads(await anext(lines))["error"]["status"] == "UNAVAILABLE"
