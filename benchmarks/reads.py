"""30 daily rows of a person through the gateway, and from a FastAPI service beside it."""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from benchmarks import load
from benchmarks.client import Connection, bearer, request
from benchmarks.figures import Figure, Peer, percentile
from benchmarks.people import access_tokens, load_year, person
from benchmarks.stack import describe, port_of, running
from local.keys import ACCESS_TOKEN_KEY
from local.postgres import free_port
from local.process import Program
from local.runner import Stack, http_ok
from services.kit.caller import load_private_key

PEOPLE = 10_000
ROWS = 30
TARGET = f"/api/v1/users/me/wearable-daily?page_size={ROWS}"
RUNS = 3
WARM_UP = 300
REQUESTS = {1: 2_000, 8: 5_000}
PEER = "FastAPI, SQLAlchemy ORM and pydantic"


def measure(directory: Path | None = None) -> tuple[str, list[Figure]]:
    """The machine and the figures. `directory` keeps the loaded people for the next run."""
    with running(directory=directory) as stack:
        load_year(stack.databases["tracking"].migrator, PEOPLE)
        # Less than the tokens' quarter of an hour passes from here on.
        tokens = access_tokens(stack.keys, [person(number) for number in range(PEOPLE)])
        with _peer(stack) as peer_port:
            _refuse_differences(port_of(stack), peer_port, tokens[:3])
            return describe(stack), _compare(port_of(stack), peer_port, tokens)


def _compare(port: int, peer_port: int, tokens: list[str]) -> list[Figure]:
    """Turn and turn about, so that both have the same share of what else the machine does."""
    outcomes: dict[tuple[int, int], list[load.Outcome]] = {}
    for run in range(RUNS):
        for clients, requests in REQUESTS.items():
            for server in (port, peer_port):
                plan = load.Plan(server, TARGET, tokens, clients, WARM_UP, requests, seed=run)
                outcomes.setdefault((server, clients), []).append(load.run(plan))

    def figure(what: str, unit: str, clients: int, value: Callable[[load.Outcome], float], **rest: Any) -> Figure:
        ours, theirs = ([value(outcome) for outcome in outcomes[server, clients]] for server in (port, peer_port))
        return Figure(what, unit, ours, peer=Peer(PEER, theirs), **rest)

    return [
        figure("one client, p50", "ms", 1, _percentile(50), better="less", target=5),
        figure("one client, p95", "ms", 1, _percentile(95), better="less"),
        figure("8 clients", "requests/s", 8, lambda outcome: outcome.per_second, target=500),
        figure("8 clients, p50", "ms", 8, _percentile(50), better="less"),
        figure("8 clients, p95", "ms", 8, _percentile(95), better="less"),
    ]


def _percentile(percent: int) -> Callable[[load.Outcome], float]:
    return lambda outcome: percentile(outcome.milliseconds, percent)


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
        child = stack.start(Program("peer", [sys.executable, "-m", "benchmarks.peer", str(port)], environment))
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
