"""Log-in with and without its hash, refresh, and who am I: one client, through the gateway."""

import asyncio
import dataclasses
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks import guessing
from benchmarks.client import Connection, bearer, request
from benchmarks.figures import Figure, percentile
from benchmarks.stack import describe, port_of, running
from local.mailbox import wait_for_code
from local.runner import Stack

RUNS = 3
COUNT = 300
WARM_UP = 30
CREDENTIALS = {"email": "benchmark@example.com", "password": "correct horse battery staple"}

Samples = dict[str, list[list[float]]]


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    samples: Samples = {}
    with running() as stack:
        asyncio.run(_with_hash(stack, samples))
        wrong = guessing.measure(stack)
        _take_the_hash_away(stack)
        asyncio.run(_without_hash(port_of(stack), samples))
        machine = describe(stack)
    return machine, [
        Figure(f"{what}, p{percent}", "ms", [percentile(run, percent) for run in runs], "less")
        for what, runs in samples.items()
        for percent in (50, 95)
    ] + wrong


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
