"""Requests and answers of unary RPCs, end to end."""

import asyncio
import json
from typing import Any

import grpc
import pytest

from services.kit.errors import ServiceError, Violation, etag_mismatch, not_found
from tests.gateway.conftest import Client, MakeClient
from tests.gateway.support import ADA, Backend, bearer, mint

THINGS = "/api/v1/users/me/things"


def details(answer: Any) -> dict[str, Any]:
    """The error's details by the last part of their type."""
    return {detail["@type"].rpartition(".")[2]: detail for detail in answer.json()["error"]["details"]}


async def test_a_resource_is_answered_bare_with_proto_names_and_zeros(client: Client, backend: Backend) -> None:
    answer = await client.get(f"{THINGS}/7")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    thing = answer.json()
    assert thing["text"] == "echo"
    assert thing["count"] == 0
    assert "rating" not in thing
    assert thing["large_number"] == "0"
    assert answer.headers["etag"] == '"v1"'
    request = backend.things.requests[0]
    assert (request.user_id, request.id) == (ADA, "7")


async def test_an_additional_binding_leads_to_the_same_rpc(client: Client, backend: Backend) -> None:
    # It has a rule of its own, here without a response_body.
    assert (await client.get("/api/v1/things/me/7")).json()["thing"]["text"] == "echo"
    assert backend.things.requests[0].user_id == ADA


async def test_query_parameters_of_every_form(client: Client, backend: Backend) -> None:
    async def answer(request: Any, context: Any) -> Any:
        return backend.things.message("ListThingsResponse", '{"next_page_token": "n"}')

    backend.things.handlers["ListThings"] = answer
    query = (
        "page_size=3&kind=KIND_LARGE&names=a&names=b&kinds=1&kinds=KIND_SMALL&filter.text=x&filter.atLeast=2"
        "&onlyNew=true&since=2026-11-19T07:30:00Z&read_mask=text,madeAt&limit=5"
    )
    found = await client.get(f"{THINGS}?{query}")
    assert found.json() == {"things": [], "next_page_token": "n", "names": []}
    assert json.loads(backend.things.requests[0].to_json(use_proto_field_name=True)) == {
        "user_id": ADA,
        "page_size": 3,
        "kind": "KIND_LARGE",
        "names": ["a", "b"],
        "kinds": ["KIND_LARGE", "KIND_SMALL"],
        "filter": {"text": "x", "at_least": 2},
        "only_new": True,
        "since": "2026-11-19T07:30:00Z",
        "read_mask": "text,madeAt",
        "limit": 5,
    }


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("limit=x", "limit"),
        ("filter.nothing=1", "filter.nothing"),
        ("filter=x", "filter"),
        ("filters.text=x", "filters.text"),
        ("user_id=x", "user_id"),
        ("nothing=1", "nothing"),
    ],
)
async def test_query_parameters_are_refused_by_name(client: Client, backend: Backend, query: str, field: str) -> None:
    answer = await client.get(f"{THINGS}?{query}")
    assert answer.status_code == 400
    assert details(answer)["BadRequest"]["field_violations"][0]["field"] == field
    assert backend.things.requests == []


async def test_a_response_body_that_is_a_list(client: Client, backend: Backend) -> None:
    async def answer(request: Any, context: Any) -> Any:
        return backend.things.message("ListThingsResponse", '{"names": ["a", "b"]}')

    backend.things.handlers["ListNames"] = answer
    assert (await client.get("/api/v1/users/me/names")).json() == ["a", "b"]


async def test_a_body_is_read_in_both_spellings(client: Client, backend: Backend) -> None:
    body = {"text": "hello", "madeAt": "2026-11-19T07:30:00Z", "large_number": "5", "extra": {"a": [1, None]}}
    assert (await client.post(THINGS, json=body)).status_code == 200
    thing = backend.things.requests[0].thing
    assert (thing.text, thing.large_number) == ("hello", 5)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("[]", "body"),
        ('{"nothing": 1}', "nothing"),
        ('{"count": "many"}', "count"),
        ('{"parts": [{"parts": [{"text": 1}]}]}', "parts[0].parts[0].text"),
        ('{"text": "\\ud800"}', "text"),
        ('{"extra": [1]}', "extra"),
        ("{", "body"),
        ("\xff", "body"),
        ('{"extra": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}", "body"),
        ("[" * 500_000, "body"),
    ],
)
async def test_json_of_the_wrong_shape_never_reaches_a_service(
    client: Client, backend: Backend, body: str, field: str
) -> None:
    answer = await client.post(THINGS, content=body.encode("latin-1"), headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["status"]) == (400, "INVALID_ARGUMENT")
    assert details(answer)["ErrorInfo"]["reason"] == "INVALID_FIELD"
    assert details(answer)["BadRequest"]["field_violations"][0]["field"] == field
    assert backend.things.requests == []


async def test_bodies_that_are_no_json(client: Client) -> None:
    form = await client.post(THINGS, data={"text": "x"})
    assert details(form)["BadRequest"]["field_violations"][0]["field"] == "Content-Type"
    packed = await client.post(THINGS, content=b"{}", headers={"Content-Encoding": "gzip"})
    assert details(packed)["BadRequest"]["field_violations"][0]["field"] == "Content-Encoding"
    merge = await client.patch(f"{THINGS}/7", content=b"{}", headers={"Content-Type": "application/merge-patch+json"})
    assert merge.status_code == 200


async def test_a_custom_verb_with_and_without_a_body(client: Client, backend: Backend) -> None:
    assert (await client.post(f"{THINGS}/7:lock")).json()["thing"]["text"] == "echo"
    assert (await client.post(f"{THINGS}/7:lock", json={"why": "safety"})).status_code == 200
    assert [(r.id, r.why) for r in backend.things.requests] == [("7", ""), ("7", "safety")]
    refused = await client.post(f"{THINGS}/7:lock", json={"id": "8"})
    assert details(refused)["BadRequest"]["field_violations"][0]["field"] == "id"
    assert (await client.get(f"{THINGS}/7", params={"x": ""})).status_code == 400
    assert (await client.request("GET", f"{THINGS}/7", content=b"{}")).status_code == 400


@pytest.mark.parametrize("mask", ["thing_id,text", "thingId,text"])
async def test_a_field_mask_in_both_spellings(client: Client, backend: Backend, mask: str) -> None:
    answer = await client.patch(f"{THINGS}/7", params={"update_mask": mask}, json={"text": "a"})
    assert answer.status_code == 200
    assert list(backend.things.requests[0].update_mask.paths) == ["thing_id", "text"]


async def test_an_etag_comes_and_goes_in_headers(client: Client, backend: Backend) -> None:
    await client.patch(f"{THINGS}/7", json={"text": "a"}, headers={"If-Match": '"v1"'})
    await client.delete(f"{THINGS}/7", headers={"If-Match": '"v2"'})
    await client.delete(f"{THINGS}/7", headers={"If-Match": "*"})
    update, delete, any_etag = backend.things.requests
    assert (update.thing.etag, delete.etag, any_etag.etag) == ("v1", "v2", "")
    for headers in ({"If-Match": 'W/"v1"'}, {"If-Match": '"a", "b"'}):
        assert (await client.delete(f"{THINGS}/7", headers=headers)).status_code == 400
    both = await client.patch(f"{THINGS}/7", json={"etag": "v2"}, headers={"If-Match": '"v1"'})
    assert both.status_code == 400


@pytest.mark.parametrize(
    ("etag", "header"), [("v3", '"v3"'), ("", None), ('v"3', None), ("v\n3", None), ("v\u20ac", None)]
)
async def test_a_change_that_came_too_late_is_told_the_present_etag(
    client: Client, backend: Backend, etag: str, header: str | None
) -> None:
    async def changed(request: Any, context: Any) -> Any:
        raise etag_mismatch("thing", etag)

    backend.things.handlers["UpdateThing"] = changed
    answer = await client.patch(f"{THINGS}/7", json={"text": "a"}, headers={"If-Match": '"v1"'})
    (info,) = answer.json()["error"]["details"]
    assert (answer.status_code, info["reason"], info["metadata"]) == (409, "ETAG_MISMATCH", {"etag": etag})
    assert answer.headers.get("etag") == header


async def test_an_idempotency_key_is_the_request_id(client: Client, backend: Backend) -> None:
    await client.post(THINGS, json={}, headers={"Idempotency-Key": "once-only"})
    assert backend.things.requests[0].request_id == "once-only"
    refused = await client.post(THINGS, json={}, headers={"Idempotency-Key": "x" * 129})
    assert refused.status_code == 400


async def test_a_services_error_keeps_its_reason_and_details(client: Client, backend: Backend) -> None:
    async def refuse(request: Any, context: Any) -> Any:
        raise ServiceError(
            "INVALID_FIELD",
            "two fields are wrong",
            violations=[Violation("a", "must be b"), Violation("c", "must be d")],
            metadata={"limit": "5"},
            retry_after_seconds=1.5,
        )

    backend.things.handlers["GetThing"] = refuse
    answer = await client.get(f"{THINGS}/7")
    assert answer.status_code == 400
    assert answer.headers["retry-after"] == "2"
    error = answer.json()["error"]
    assert (error["code"], error["status"], error["message"]) == (400, "INVALID_ARGUMENT", "two fields are wrong")
    found = details(answer)
    assert found["ErrorInfo"]["metadata"] == {"limit": "5"}
    assert found["ErrorInfo"]["domain"] == "vitalis.options.v1"
    assert [v["field"] for v in found["BadRequest"]["field_violations"]] == ["a", "c"]
    assert found["RetryInfo"]["retry_delay"] == "1.500s"


async def test_not_found_and_what_a_service_hides(client: Client, backend: Backend) -> None:
    async def missing(request: Any, context: Any) -> Any:
        raise not_found("thing")

    async def broken(request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNKNOWN, "password=hunter2")

    backend.things.handlers["GetThing"] = missing
    assert (await client.get(f"{THINGS}/7")).status_code == 404
    backend.things.handlers["GetThing"] = broken
    answer = await client.get(f"{THINGS}/7")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert details(answer)["ErrorInfo"]["reason"] == "INTERNAL"


async def test_bytes_that_are_no_answer_are_our_fault(make_client: MakeClient, backend: Backend) -> None:
    class Broken:
        def to_binary(self) -> bytes:
            return b"\xff\xff"

    async def answer(request: Any, context: Any) -> Any:
        return Broken()

    backend.things.handlers["GetThing"] = answer
    client = await make_client()
    answer_ = await client.get(f"{THINGS}/7", headers=bearer(mint(backend.key)))
    assert answer_.status_code == 500


async def test_a_deadline_ends_the_wait(make_client: MakeClient, backend: Backend) -> None:
    async def slow(request: Any, context: Any) -> Any:
        await asyncio.sleep(60)

    backend.things.handlers["GetThing"] = slow
    client = await make_client(deadline_seconds=0.2)
    answer = await client.get(f"{THINGS}/7", headers=bearer(mint(backend.key)))
    assert answer.status_code == 504
    assert answer.json()["error"]["status"] == "DEADLINE_EXCEEDED"
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


async def test_a_read_is_retried_and_a_write_is_not(client: Client, backend: Backend) -> None:
    calls = {"GetThing": 0, "CreateThing": 0}

    def failing_once(name: str) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            calls[name] += 1
            if calls[name] == 1:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "draining")
            return backend.things.message("ThingResponse")

        return answer

    for name in calls:
        backend.things.handlers[name] = failing_once(name)
    assert (await client.get(f"{THINGS}/7")).status_code == 200
    failed = await client.post(THINGS, json={})
    assert failed.status_code == 503
    assert failed.headers["retry-after"] == "1"
    assert calls == {"GetThing": 2, "CreateThing": 1}


async def test_a_service_that_is_down(client: Client, backend: Backend) -> None:
    assert (await client.get(f"{THINGS}/7")).status_code == 200
    await backend.server.stop(None)
    answer = await client.post(THINGS, json={})
    assert answer.status_code == 503
    assert answer.json()["error"]["status"] == "UNAVAILABLE"
    assert "retry-after" in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/users/me/things/", 404),
        ("GET", "/api/v1/users//things", 404),
        ("GET", "/api/v1/internal/7", 404),
        ("PUT", THINGS, 405),
        ("OPTIONS", THINGS, 405),
        ("GET", "/api/v1/users/me/things/%FF", 400),
    ],
)
async def test_urls_that_lead_nowhere(client: Client, method: str, path: str, status: int) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == status
    if status == 405:
        assert answer.headers["allow"] == "GET, POST"


async def test_head_is_get_without_a_body(client: Client) -> None:
    answer = await client.head(f"{THINGS}/7")
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 10
    assert (await client.head(f"{THINGS}/7:watch")).status_code == 405


async def test_raw_bytes_of_http_body(client: Client, backend: Backend) -> None:
    async def answer(request: Any, context: Any) -> Any:
        message = backend.things.registry.message("google.api.HttpBody")
        assert message
        return message.type.from_json('{"content_type": "application/pdf", "data": "JVBERg=="}')

    backend.things.handlers["GetFile"] = answer
    found = await client.get("/api/v1/users/me/files/7")
    assert (found.headers["content-type"], found.content) == ("application/pdf", b"%PDF")


async def test_headers_that_every_answer_has(client: Client, make_client: MakeClient) -> None:
    secured = await make_client(hsts=True)
    for answer in (await client.get(f"{THINGS}/7"), await client.get("/nothing"), await client.get("/healthz")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "strict-transport-security" not in answer.headers
    assert "strict-transport-security" in (await secured.get("/nothing")).headers


async def test_request_ids(client: Client, backend: Backend) -> None:
    sent = await client.get(f"{THINGS}/7", headers={"X-Request-Id": "req-12345678"})
    assert sent.headers["x-request-id"] == "req-12345678"
    assert backend.things.metadata["vitalis-request-id"] == "req-12345678"
    for bad in ("short", "x" * 65, "with space 123", "semi;colon1"):
        made = await client.get(f"{THINGS}/7", headers={"X-Request-Id": bad})
        assert made.headers["x-request-id"] != bad
        assert len(made.headers["x-request-id"]) == 36
