"""Limits on sizes and rates."""

import asyncio
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from gateway import limiting
from gateway.limiting import ProcessStorage, RateLimits, client_address, limit_of
from services.kit.errors import ServiceError
from tests.gateway.conftest import Client, MakeClient, MakeServer
from tests.gateway.support import ADA, Backend, bearer, mint

THINGS = "/api/v1/users/me/things"
BOB = "01930000-0000-7000-8000-00000000b0b0"


async def test_a_body_over_the_limit(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client(max_body_bytes=100)
    headers = {**bearer(mint(backend.key)), "Content-Type": "application/json"}
    fits = b'{"text": "%s"}' % (b"x" * 80)
    assert (await client.post(THINGS, content=fits, headers=headers)).status_code == 200
    answer = await client.post(THINGS, content=b" " * 101, headers=headers)
    assert answer.status_code == 413
    assert answer.json()["error"]["details"][0]["reason"] == "TOO_LARGE"

    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 10

    assert (await client.post(THINGS, content=chunks(), headers=headers)).status_code == 413
    assert len(backend.things.requests) == 1


async def test_people_are_limited_one_by_one(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client(rate="3/minute")
    ada, bob = bearer(mint(backend.key)), bearer(mint(backend.key, person=BOB))
    for _ in range(3):
        assert (await client.get(f"{THINGS}/7", headers=ada)).status_code == 200
    answer = await client.get(THINGS, headers=ada)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert answer.json()["error"]["details"][0]["reason"] == "RATE_LIMITED"
    # A new token is the same person.
    assert (await client.get(THINGS, headers=bearer(mint(backend.key)))).status_code == 429
    assert (await client.get(f"{THINGS}/7", headers=bob)).status_code == 200
    assert len(backend.things.requests) == 4


async def test_rpcs_without_a_token_are_limited_by_address(make_client: MakeClient) -> None:
    client = await make_client(public_rate="2/minute", trusted_proxies=1)

    async def sign_up(address: str) -> int:
        return (await client.post("/api/v1/sign-up", headers={"X-Forwarded-For": f"1.1.1.1, {address}"})).status_code

    assert [await sign_up("198.51.100.1") for _ in range(3)] == [200, 200, 429]
    assert await sign_up("198.51.100.2") == 200
    # Reading is not what the low limit is for.
    assert (await client.get("/api/v1/notices/7")).status_code == 200


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("203.0.113.7", [], 0, "203.0.113.7"),
        ("203.0.113.7", [b"198.51.100.1"], 0, "203.0.113.7"),
        ("203.0.113.7", [b"198.51.100.1"], 1, "198.51.100.1"),
        ("203.0.113.7", [b"6.6.6.6, 198.51.100.1"], 1, "198.51.100.1"),
        ("203.0.113.7", [b"6.6.6.6, 198.51.100.1, 10.0.0.1"], 2, "198.51.100.1"),
        ("203.0.113.7", [b"6.6.6.6", b"198.51.100.1", b"10.0.0.1"], 2, "198.51.100.1"),
        ("203.0.113.7", [b"198.51.100.1"], 3, "198.51.100.1"),
        ("203.0.113.7", [], 1, "203.0.113.7"),
        ("203.0.113.7", [b"not an address"], 1, "unknown"),
        ("2001:db8:1:2:3:4:5:6", [], 0, "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", [], 0, "203.0.113.7"),
        ("", [], 0, "unknown"),
    ],
)
def test_which_address_counts(peer: str, forwarded: list[bytes], trusted: int, expected: str) -> None:
    assert client_address(peer, forwarded, trusted) == expected


@given(st.lists(st.sampled_from("abc"), max_size=40), st.integers(1, 5))
async def test_exactly_the_limit_gets_through(keys: list[str], most: int) -> None:
    limits, limit = RateLimits(""), limit_of(f"{most}/hour")
    for at, key in enumerate(keys):
        if keys[:at].count(key) < most:
            await limits.hit(limit, key)
        else:
            with pytest.raises(ServiceError, match="too many requests"):
                await limits.hit(limit, key)


async def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limiting, "MAX_KEYS", 10)
    storage = ProcessStorage()
    for number in range(100):
        await storage.incr(f"key-{number}", 60)
    assert await storage.reset() <= 10


async def test_a_store_that_is_down_lets_requests_through_and_says_so_once(
    make_client: MakeClient, backend: Backend
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    client = await make_client(rate="1/minute", rate_limit_store=f"redis://127.0.0.1:{port}/0")
    with capture_logs() as lines:
        for _ in range(5):
            assert (await client.get(f"{THINGS}/7", headers=bearer(mint(backend.key)))).status_code == 200
    assert sum("rate limit store" in line["event"] for line in lines) == 1


async def test_a_store_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = RateLimits("valkey://127.0.0.1:1/0")
    asked = 0

    async def hang(*arguments: Any) -> bool:
        nonlocal asked
        asked += 1
        await asyncio.sleep(60)
        return True

    monkeypatch.setattr(limits._limiter, "hit", hang)
    for _ in range(20):
        await limits.hit(limit_of("1/minute"), ADA)
    assert asked == 1


async def read_answer(client: Client, request: bytes) -> bytes:
    """What the server answers to raw bytes before it closes the connection."""
    url = client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 2000 + b"\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nendless: " + b"x" * 10_000,
        b"GET /" + b"x" * 10_000,
        b"nonsense\r\n\r\n",
    ],
    ids=["many", "endless", "long line", "nonsense"],
)
async def test_heads_that_are_too_large(make_server: MakeServer, request_: bytes) -> None:
    client = await make_server(max_header_bytes=4096)
    assert (await read_answer(client, request_)).startswith(b"HTTP/1.1 400")
    assert (await client.get("/healthz")).status_code == 200


async def test_a_head_that_never_ends(make_server: MakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.protocol.HEAD_SECONDS", 0.2)
    client = await make_server()
    assert await read_answer(client, b"GET / HTTP/1.1\r\nhost: x\r\n") == b""
    assert await read_answer(client, b"") == b""
