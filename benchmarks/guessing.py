"""What a wrong log-in tells by its duration, and what a hundred log-ins a second do to the service."""

import asyncio
import time
from collections.abc import Iterator
from itertools import count

import psycopg

from benchmarks.client import Connection, request
from benchmarks.figures import Figure, percentile
from benchmarks.stack import port_of
from local.runner import Stack

RUNS = 3
PAIRS = 300
OFFERED_PER_SECOND, SECONDS = 100, 10
KNOWN, WRONG = "benchmark@example.com", "a wrong password of usual length"
REFUSED = 503


def measure(stack: Stack) -> list[Figure]:
    """The figures. The person of the benchmark has to be signed up."""
    return asyncio.run(_measure(stack))


async def _measure(stack: Stack) -> list[Figure]:
    known, unknown, told = [], [], []
    with psycopg.connect(stack.databases["identity"].migrator, autocommit=True) as database:
        for _ in range(RUNS):
            wrong, nobody = await _wrong_and_nobody(port_of(stack), database)
            known.append(percentile(wrong, 50))
            unknown.append(percentile(nobody, 50))
            told.append(100 * _probability_slower(wrong, nobody))
    answered, refused, p95, refused_p95 = zip(*[await _overload(port_of(stack)) for _ in range(RUNS)], strict=True)
    return [
        Figure("log-in with a wrong password, p50", "ms", known, "less"),
        Figure("log-in with an address that nobody has, p50", "ms", unknown, "less"),
        Figure("a wrong password took longer than no such address (50: no telling)", "%", told, "less"),
        Figure("100 log-ins a second offered: answered", "/s", list(answered)),
        Figure("100 log-ins a second offered: refused at once", "/s", list(refused), "less"),
        Figure("100 log-ins a second offered: answered, p95", "ms", list(p95), "less"),
        Figure("100 log-ins a second offered: refused, p95", "ms", list(refused_p95), "less"),
    ]


async def _wrong_and_nobody(port: int, database: psycopg.Connection[tuple[object, ...]]) -> tuple[list[float], ...]:
    """Milliseconds of each, in turn, so that the machine's moods meet both."""
    connection = await Connection.open(port)
    samples: dict[str, list[float]] = {KNOWN: [], "nobody@example.com": []}
    for number in range(PAIRS + 10):
        for email, milliseconds in samples.items():
            # Or guessing would be slowed down.
            database.execute("DELETE FROM attempts")
            milliseconds_now, status = await _timed(connection, email)
            assert status == 401, status
            if number >= 10:
                milliseconds.append(milliseconds_now)
    connection.close()
    return tuple(samples.values())


def _probability_slower(ones: list[float], others: list[float]) -> float:
    """How often a random one is larger than a random other: Mann and Whitney's U as a share."""
    return sum((one > other) + (one == other) / 2 for one in ones for other in others) / (len(ones) * len(others))


async def _overload(port: int) -> tuple[float, float, float, float]:
    """Log-ins a second answered and refused, and the 95th percentiles of both in ms."""
    started, results = time.perf_counter(), []
    idle: list[Connection] = []

    async def once(email: str) -> None:
        connection = idle.pop() if idle else await Connection.open(port)
        results.append(await _timed(connection, email))
        idle.append(connection)

    async with asyncio.TaskGroup() as group:
        for number, email in zip(range(OFFERED_PER_SECOND * SECONDS), _addresses(), strict=False):
            await asyncio.sleep(max(0.0, started + number / OFFERED_PER_SECOND - time.perf_counter()))
            group.create_task(once(email))
    for connection in idle:
        connection.close()
    answered = [milliseconds for milliseconds, status in results if status != REFUSED]
    refused = [milliseconds for milliseconds, status in results if status == REFUSED]
    return (
        len(answered) / SECONDS,
        len(refused) / SECONDS,
        percentile(answered, 95),
        percentile(refused, 95) if refused else 0.0,
    )


def _addresses() -> Iterator[str]:
    """Another person each time, so that nobody is slowed down for guessing."""
    return (f"{number}-{time.time_ns()}@example.com" for number in count())


async def _timed(connection: Connection, email: str) -> tuple[float, int]:
    body = {"email": email, "password": WRONG}
    started = time.perf_counter()
    reply = await connection.exchange(request("POST", "/api/v1/sessions", body=body))
    return (time.perf_counter() - started) * 1000, reply.status
