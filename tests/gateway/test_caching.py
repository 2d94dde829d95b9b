"""Answers that a client may keep, and what it is told when it asks about one."""

import json
from typing import Any

import httpx
import pytest

from services.kit.errors import not_found
from tests.gateway.conftest import Client, MakeClient, MakeServer
from tests.gateway.support import ADA, BOB, Backend, bearer, mint
from vitalis.identity.v1.callers_pb2 import ResolvedGrant

KEPT = "/api/v1/users/me/kept/7"
NAMES = "/api/v1/users/me/kept-names"


def answering(backend: Backend, name: str, message: str, **content: Any) -> None:
    async def answer(request: Any, context: Any) -> Any:
        return backend.things.message(message, json.dumps(content))

    backend.things.handlers[name] = answer


def may_be_kept(answer: httpx.Response, seconds: int) -> bool:
    return (
        answer.headers.get_list("cache-control") == [f"private, no-cache, max-age={seconds}"]
        and answer.headers["vary"] == "Authorization"
        and answer.headers["x-content-type-options"] == "nosniff"
    )


@pytest.mark.parametrize("known", ['"v1"', 'W/"v1"', '"v0", "v1"', '"v0","v1"', "*", ' "v1" '])
async def test_what_has_not_changed_is_not_sent_again(client: Client, backend: Backend, known: str) -> None:
    first = await client.get(KEPT)
    assert (first.status_code, first.json()["text"], first.headers["etag"]) == (200, "echo", '"v1"')
    assert may_be_kept(first, 300)
    again = await client.get(KEPT, headers={"If-None-Match": known})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", '"v1"')
    assert may_be_kept(again, 300)
    assert not {"content-length", "content-type"} & again.headers.keys()
    # It is asked about each time, of the service too.
    assert len(backend.things.requests) == 2


@pytest.mark.parametrize("known", ["", "v1", '"v2"', '"V1"', '"v1', '"v11", "v"', '"*"', "\x00", '"é"'])
async def test_what_the_client_has_otherwise_is_sent(client: Client, known: str) -> None:
    answer = await client.get(KEPT, headers={b"If-None-Match": known.encode("latin-1")})
    assert (answer.status_code, answer.json()["text"]) == (200, "echo")


async def test_a_change_is_seen_at_once(client: Client, backend: Backend) -> None:
    known = {"If-None-Match": (await client.get(KEPT)).headers["etag"]}
    answering(backend, "GetKeptThing", "ThingResponse", thing={"text": "new", "etag": "v2"})
    answer = await client.get(KEPT, headers=known)
    assert (answer.status_code, answer.json()["text"], answer.headers["etag"]) == (200, "new", '"v2"')


async def test_an_answer_without_an_etag_gets_one_of_its_content(client: Client, backend: Backend) -> None:
    answering(backend, "ListKeptNames", "ListThingsResponse", names=["a", "b"])
    first, second = [await client.get(NAMES) for _ in range(2)]
    assert may_be_kept(first, 60)
    assert first.headers["etag"] == second.headers["etag"]
    assert (await client.get(NAMES, headers={"If-None-Match": first.headers["etag"]})).status_code == 304
    answering(backend, "ListKeptNames", "ListThingsResponse", names=["b", "a"])
    changed = await client.get(NAMES, headers={"If-None-Match": first.headers["etag"]})
    assert (changed.status_code, changed.json()) == (200, ["b", "a"])
    assert changed.headers["etag"] != first.headers["etag"]


async def test_only_the_head_is_asked_for(client: Client) -> None:
    head = await client.head(KEPT)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", '"v1"')
    assert may_be_kept(head, 300)
    assert (await client.head(KEPT, headers={"If-None-Match": '"v1"'})).status_code == 304


async def test_what_no_option_allows_is_kept_nowhere(client: Client) -> None:
    answer = await client.get("/api/v1/users/me/things/7", headers={"If-None-Match": '"v1"'})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert "vary" not in answer.headers


async def test_an_error_is_kept_nowhere(client: Client, backend: Backend) -> None:
    async def gone(request: Any, context: Any) -> Any:
        raise not_found("thing")

    backend.things.handlers["GetKeptThing"] = gone
    answer = await client.get(KEPT, headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    unknown = await client.get(f"{KEPT}?nothing=1", headers={"If-None-Match": "*"})
    assert (unknown.status_code, unknown.headers["cache-control"]) == (400, "no-store")


async def test_who_has_lost_their_leave_is_not_told_that_nothing_changed(
    make_client: MakeClient, backend: Backend
) -> None:
    client = await make_client(caller_memory_seconds=0.000001)
    headers = {**bearer(mint(backend.key)), "If-None-Match": '"v1"'}
    backend.identity.grants[ADA, BOB] = ResolvedGrant(id=BOB, scopes=["things.read"])
    theirs = KEPT.replace("me", BOB)
    assert (await client.get(theirs, headers=headers)).status_code == 304
    backend.identity.grants.clear()
    refused = await client.get(theirs, headers=headers)
    assert (refused.status_code, refused.headers["cache-control"]) == (403, "no-store")
    assert (await client.get(KEPT, headers={"If-None-Match": "*"})).status_code == 401


async def test_a_browser_elsewhere_may_ask_and_a_copy_is_one_origins(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client(cors_origins="https://app.example")
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization, if-none-match",
    }
    assert (await client.options(KEPT, headers=asked)).status_code == 200
    headers = {**bearer(mint(backend.key)), "Origin": "https://app.example", "If-None-Match": '"v1"'}
    answer = await client.get(KEPT, headers=headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (304, "https://app.example")
    assert {"Authorization", "Origin"} == {name.strip() for name in answer.headers["vary"].split(",")}


async def test_over_a_real_connection_the_next_answer_follows(make_server: MakeServer, backend: Backend) -> None:
    """A 304 that announced a body would swallow what comes after it."""
    client = await make_server()
    headers = {**bearer(mint(backend.key)), "If-None-Match": '"v1"'}
    statuses = [(await client.get(KEPT, headers=headers)).status_code for _ in range(3)]
    whole = await client.get(KEPT, headers=bearer(mint(backend.key)))
    assert (statuses, whole.json()["text"]) == ([304] * 3, "echo")
