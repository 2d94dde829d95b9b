"""Onboarding and coaching among 100,000 people: one person's requests, at identity's own port, and their plans."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import grpc
import psycopg
from psycopg import sql

from benchmarks import onboarding, profiles
from benchmarks.figures import Figure, percentile
from benchmarks.people import person
from benchmarks.stack import describe, running
from local.keys import caller_key_file, vault_keyset_file
from local.runner import Stack
from services.kit.caller import Caller, CallerSigner, load_private_key

PEOPLE = 100_000
RUNS = 3
# Who is measured, each run others: some walk through all of the onboarding, others have a profile.
ACTIVE = 60
ONBOARDING = [str(person(number)) for number in range((RUNS + 1) * ACTIVE)]
COACHED = [str(person(number)) for number in range(len(ONBOARDING), 2 * len(ONBOARDING))]
TARGETS = onboarding.TARGETS | profiles.TARGETS

Timed = dict[str, list[list[float]]]


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures. Raises RuntimeError for a query that reads a whole table for one person."""
    with running() as stack:
        database = stack.databases["identity"]
        _fill_people(database.migrator)
        onboarding.fill(database.migrator, PEOPLE, ONBOARDING)
        profiles.fill(database.migrator, [*ONBOARDING, *COACHED])
        asyncio.run(profiles.make(database.app, vault_keyset_file(stack.keys, "identity"), COACHED))
        profiles.lengthen(database.migrator, COACHED[0])
        times = asyncio.run(_measure(stack))
        refuse_scans(database.app, onboarding.STATEMENTS, ONBOARDING[0])
        refuse_scans(database.app, profiles.statements(COACHED[0]), COACHED[0])
        machine = f"{describe(stack)}, {PEOPLE:,} people"
    return machine, [
        Figure(f"{what}, p{percent}", "ms", [percentile(run, percent) for run in runs], "less", target)
        for what, runs in times.items()
        for percent, target in ((50, None), (95, TARGETS.get(what)))
    ]


def _fill_people(migrator_url: str) -> None:
    with psycopg.connect(migrator_url) as database:
        database.execute("CREATE TEMPORARY TABLE people (id uuid) ON COMMIT DROP")
        with database.cursor() as cursor, cursor.copy("COPY people FROM STDIN") as copy:
            for number in range(PEOPLE):
                copy.write_row((person(number),))
        database.execute(
            "INSERT INTO users (id, email, display_name, account_id, email_verified_at)"
            " SELECT id, id || '@example.com', 'Somebody', id, now() FROM people"
        )
        database.execute("INSERT INTO accounts (id, owner_id) SELECT id, id FROM people")
    with psycopg.connect(migrator_url, autocommit=True) as database:
        database.execute("VACUUM (ANALYZE) users")


async def _measure(stack: Stack) -> Timed:
    signer = CallerSigner("gateway", load_private_key(caller_key_file(stack.keys, "gateway")))
    times: Timed = {}
    async with grpc.aio.insecure_channel(stack.target("identity")) as channel:
        walks = onboarding.calls(channel, lambda user_id: _metadata(signer, user_id))
        asks = profiles.calls(channel, lambda user_id: _metadata(signer, user_id), COACHED[0])
        for run in range(RUNS + 1):
            some = slice(run * ACTIVE, (run + 1) * ACTIVE)
            found = await _timed(walks, ONBOARDING[some]) | await _timed(asks, COACHED[some])
            # The first time much is read from disk and prepared: it is not counted.
            for what, spent in found.items() if run else ():
                times.setdefault(what, []).append(spent)
    return times


def _metadata(signer: CallerSigner, user_id: str) -> Any:
    return signer.metadata(Caller(user_id, user_id, "user", frozenset({"*"}), "benchmark"), "identity")


async def _timed(
    calls: dict[str, Callable[[str], Iterable[Callable[[], Awaitable[Any]]]]], people: list[str]
) -> dict[str, list[float]]:
    """Milliseconds of each call, one after the other."""
    times: dict[str, list[float]] = {}
    for what, of in calls.items():
        for user_id in people:
            for call in of(user_id):
                started = time.perf_counter()
                await call()
                times.setdefault(what, []).append((time.perf_counter() - started) * 1000)
    return times


def refuse_scans(app_url: str, statements: dict[str, tuple[str, dict[str, Any]]], user_id: str) -> None:
    """Raises RuntimeError for a statement that the database would answer one person by reading a whole table."""
    with psycopg.connect(app_url) as app:
        app.execute("SELECT set_config('app.subject_id', %s, true)", [user_id])
        for what, (statement, parameters) in statements.items():
            rows = app.execute(sql.SQL("EXPLAIN ") + sql.SQL(statement), {**parameters, "user_id": user_id}).fetchall()
            if scans := [line for (line,) in rows if "Seq Scan" in line]:
                raise RuntimeError(f"{what}: {scans[0].strip()}")
