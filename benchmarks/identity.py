"""Log-in with and without its hash, refresh, who am I and the verifying of tokens: one client, through the gateway."""

import asyncio
import dataclasses
import re
import sys
import time
import urllib.request
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks import guessing
from benchmarks.client import Connection, bearer, request
from benchmarks.figures import Figure, percentile
from benchmarks.stack import describe, port_of, running
from gateway.tokens import AccessTokens
from local.mailbox import wait_for_code
from local.runner import Stack
from services.identity import tokens as issuing

RUNS = 3
COUNT = 300
WARM_UP = 30
TARGETS = {("log-in without the hash", 95): 50.0}
SERVICE_TARGET_MS = 1.0
CREDENTIALS = {"email": "benchmark@example.com", "password": "correct horse battery staple"}

Samples = dict[str, list[list[float]]]


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    samples: Samples = {}
    with running() as stack:
        asyncio.run(_with_hash(stack, samples))
        in_service = [
            _in_service(stack, "who am I, in identity, mean", "UsersService/GetUser"),
            Figure("verifying an access token, mean", "ms", asyncio.run(_verifying()), "less", SERVICE_TARGET_MS),
        ]
        wrong = guessing.measure(stack)
        _take_the_hash_away(stack)
        asyncio.run(_without_hash(port_of(stack), samples))
        machine = describe(stack)
    return machine, [
        Figure(
            f"{what}, p{percent}",
            "ms",
            [percentile(run, percent) for run in runs],
            "less",
            TARGETS.get((what, percent)),
        )
        for what, runs in samples.items()
        for percent in (50, 95)
    ] + in_service + wrong


def _in_service(stack: Stack, what: str, method: str) -> Figure:
    spent, calls = _service_time(stack, method)
    return Figure(f"{what} of {calls} calls", "ms", [spent / calls], "less", SERVICE_TARGET_MS)


def _take_the_hash_away(stack: Stack) -> None:
    child = stack.children["identity"]
    child.program = dataclasses.replace(child.program, command=[sys.executable, "-m", "benchmarks.no_hash", "serve"])
    stack.restart("identity")
    # Its channel would take a while to find the new process.
    stack.restart("gateway")


async def _with_hash(stack: Stack, samples: Samples) -> None:
    connection = await Connection.open(port_of(stack))
    person = {**CREDENTIALS, "display_name": "Benchmark"}
    await connection.exchange(request("POST", "/api/v1/users", body=person))
    code = await asyncio.to_thread(wait_for_code, stack.mailbox, CREDENTIALS["email"])
    proof = {"token": code, "password": CREDENTIALS["password"]}
    tokens = (await connection.exchange(request("POST", "/api/v1/users:verifyEmail", body=proof))).json()["tokens"]
    headers = bearer(tokens["access_token"])

    async def refresh() -> None:
        nonlocal tokens
        body = {"refresh_token": tokens["refresh_token"]}
        tokens = (await connection.exchange(request("POST", "/api/v1/sessions:refresh", body=body))).json()["tokens"]

    async def who_am_i() -> None:
        (await connection.exchange(request("GET", "/api/v1/users/me", headers))).json()

    await _repeat("log-in", lambda: _log_in(connection), samples)
    await _repeat("refresh", refresh, samples)
    await _repeat("who am I", who_am_i, samples)
    connection.close()


async def _without_hash(port: int, samples: Samples) -> None:
    connection = await Connection.open(port)
    await _repeat("log-in without the hash", lambda: _log_in(connection), samples)
    connection.close()


async def _log_in(connection: Connection) -> Any:
    return (await connection.exchange(request("POST", "/api/v1/sessions", body=CREDENTIALS))).json()


async def _repeat(what: str, work: Callable[[], Awaitable[Any]], samples: Samples) -> None:
    for _ in range(WARM_UP):
        await work()
    for _ in range(RUNS):
        milliseconds = []
        for _ in range(COUNT):
            started = time.perf_counter()
            await work()
            milliseconds.append((time.perf_counter() - started) * 1000)
        samples.setdefault(what, []).append(milliseconds)


def _service_time(stack: Stack, method: str) -> tuple[float, int]:
    """The milliseconds that identity has spent in an RPC so far, as it counts them itself, and its calls."""
    with urllib.request.urlopen(stack.metrics_url("identity")) as reply:
        text = reply.read().decode()

    def total(kind: str) -> float:
        found = re.search(rf'^vitalis_rpc_seconds_{kind}{{method="{method}"}} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    return total("sum") * 1000, int(total("count"))


async def _verifying() -> list[float]:
    """Milliseconds that the gateway needs for an access token that it has not seen, a mean for each run."""
    issuer = issuing.AccessTokens([Ed25519PrivateKey.generate()])

    async def keys() -> tuple[dict[str, str], ...]:
        return issuer.key_set

    means = []
    for _ in range(RUNS):
        verifier = AccessTokens(keys, issuing.ISSUER, issuing.AUDIENCE)
        headers = [f"Bearer {issuer.issue(uuid.uuid4(), uuid.uuid4(), 'user').token}".encode() for _ in range(COUNT)]
        started = time.perf_counter()
        for header in headers:
            await verifier.verify(header)
        means.append((time.perf_counter() - started) * 1000 / COUNT)
    return means
