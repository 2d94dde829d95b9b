"""30 daily rows of a person through the gateway, and from a FastAPI service beside it."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from cryptography.hazmat.primitives import serialization

from benchmarks import load
from benchmarks.client import Connection, bearer, request
from benchmarks.figures import Figure, Peer, percentile
from benchmarks.people import load_year, person, sign_in
from benchmarks.stack import describe, port_of, running
from local.keys import ACCESS_TOKEN_KEY
from local.postgres import free_port
from local.process import Program
from local.runner import Stack, http_ok
from services.kit.caller import load_private_key

PEOPLE = 10_000
# Of whom as many are at it at the same time: an app asks several times in a row, and the
# gateway asks identity about each person once in ten seconds.
ACTIVE = 200
ROWS = 30
TARGET = f"/api/v1/users/me/wearable-daily?page_size={ROWS}"
RUNS = 3
WARM_UP = 300
REQUESTS = {1: 2_000, 8: 5_000}
PEER = "FastAPI, SQLAlchemy ORM, pydantic"


class Server(NamedTuple):
    """What is asked: its port, and its processes of the stack's."""

    port: int
    processes: tuple[str, ...]


class Run(NamedTuple):
    """What a load found, and the milliseconds of processor time that a request took of the server's processes."""

    outcome: load.Outcome
    processor_ms: float


def measure(directory: Path | None = None) -> tuple[str, list[Figure]]:
    """The machine and the figures. `directory` keeps the loaded people for the next run."""
    with running(directory=directory) as stack:
        load_year(stack.databases["tracking"].migrator, PEOPLE)
        # Less than the tokens' quarter of an hour passes from here on.
        tokens = sign_in(
            stack.databases["identity"].migrator,
            stack.keys,
            [person(number) for number in range(0, PEOPLE, PEOPLE // ACTIVE)],
        )
        with _peer(stack) as peer_port:
            _refuse_differences(port_of(stack), peer_port, tokens[:3])
            servers = Server(port_of(stack), ("gateway", "tracking")), Server(peer_port, (PEER,))
            return describe(stack), _compare(stack, servers, tokens)


def _compare(stack: Stack, servers: tuple[Server, Server], tokens: list[str]) -> list[Figure]:
    """Turn and turn about, so that both have the same share of what else the machine does."""
    outcomes: dict[tuple[Server, int], list[Run]] = {}
    for run in range(RUNS):
        for clients, requests in REQUESTS.items():
            for server in servers:
                plan = load.Plan(server.port, TARGET, tokens, clients, WARM_UP, requests, seed=run)
                before = _processor_seconds(stack, server)
                outcome = load.run(plan)
                spent = _processor_seconds(stack, server) - before
                outcomes.setdefault((server, clients), []).append(Run(outcome, spent / (WARM_UP + requests) * 1000))

    def figure(what: str, unit: str, clients: int, value: Callable[[Run], float], **rest: Any) -> Figure:
        ours, theirs = ([value(run) for run in outcomes[server, clients]] for server in servers)
        return Figure(what, unit, ours, peer=Peer(PEER, theirs), **rest)

    return [
        figure("one client, p50", "ms", 1, _percentile(50), better="less", target=5),
        figure("one client, p95", "ms", 1, _percentile(95), better="less"),
        figure("8 clients", "requests/s", 8, lambda run: run.outcome.per_second, target=500),
        figure("8 clients, p50", "ms", 8, _percentile(50), better="less"),
        figure("8 clients, p95", "ms", 8, _percentile(95), better="less"),
        figure("8 clients, processor time a request", "ms", 8, lambda run: run.processor_ms, better="less"),
    ]


def _percentile(percent: int) -> Callable[[Run], float]:
    return lambda run: percentile(run.outcome.milliseconds, percent)


def _processor_seconds(stack: Stack, server: Server) -> float:
    """What the server's processes have used of the processors so far."""
    times = [psutil.Process(stack.children[name].pid).cpu_times() for name in server.processes]
    return float(sum(used.user + used.system for used in times))


@contextmanager
def _peer(stack: Stack) -> Iterator[int]:
    """The peer on the stack's database; its port."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="vitalis-bench-") as scratch:
        key = Path(scratch) / "public.pem"
        public = load_private_key(stack.keys / ACCESS_TOKEN_KEY).public_key()
        key.write_bytes(
            public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        url = stack.databases["tracking"].migrator.replace("postgresql:", "postgresql+psycopg:", 1)
        environment = {"DATABASE_URL": url, "PUBLIC_KEY_FILE": str(key)}
        child = stack.start(Program(PEER, [sys.executable, "-m", "benchmarks.peer", str(port)], environment))
        while not http_ok(f"http://127.0.0.1:{port}/openapi.json"):
            if child.exit_code is not None:
                raise RuntimeError("the peer does not start:\n" + "\n".join(child.tail))
            time.sleep(0.1)
        yield port


def _refuse_differences(port: int, peer_port: int, tokens: list[str]) -> None:
    """Raises RuntimeError if the two do not answer the same rows."""

    async def rows(server: int, token: str) -> list[dict[str, Any]]:
        connection = await Connection.open(server)
        reply = (await connection.exchange(request("GET", TARGET, bearer(token)))).json()
        connection.close()
        listed: list[dict[str, Any]] = reply["wearable_daily"]
        return listed

    for token in tokens:
        ours, theirs = asyncio.run(rows(port, token)), asyncio.run(rows(peer_port, token))
        if len(ours) != ROWS or len(theirs) != ROWS:
            raise RuntimeError(f"{len(ours)} and {len(theirs)} rows came back instead of {ROWS}")
        for mine, other in zip(ours, theirs, strict=True):
            # The one leaves out what is null; instants are written differently.
            values = {
                name: value for name, value in other.items() if value is not None and not name.endswith(("_at", "_of"))
            }
            if any(mine[name] != value for name, value in values.items()):
                raise RuntimeError("the two services answer different rows")
