"""The load of the reading benchmark, as a process of its own: `python -m benchmarks.load`.

A JSON object on stdin says what to send (see `Plan`), one on stdout what came
back (see `Outcome`).
"""

import asyncio
import json
import random
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.client import Connection, bearer, request

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Plan:
    """`requests` reads of `target` by `clients` connections, each as a random one of the tokens' people."""

    port: int
    target: str
    tokens: list[str]
    clients: int
    warm_up: int
    requests: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """Each request's milliseconds, and the seconds that all of them took together."""

    milliseconds: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        return len(self.milliseconds) / self.seconds


def run(plan: Plan) -> Outcome:
    """Runs the plan in another process. Raises RuntimeError with what that says if it fails."""
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(plan)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if result.returncode:
        raise RuntimeError(f"the load ended with an error:\n{result.stderr[-2000:]}")
    return Outcome(**json.loads(result.stdout))


async def _send(plan: Plan, count: int, seed: int) -> Outcome:
    chosen = random.Random(seed).choices(plan.tokens, k=count)  # noqa: S311 - repeatable, and no secret
    queue = iter([request("GET", plan.target, bearer(token)) for token in chosen])
    connections = [await Connection.open(plan.port) for _ in range(plan.clients)]
    milliseconds: list[float] = []

    async def client(connection: Connection) -> None:
        for content in queue:
            started = time.perf_counter()
            reply = await connection.exchange(content)
            milliseconds.append((time.perf_counter() - started) * 1000)
            if reply.status != 200:
                raise RuntimeError(f"answered {reply.status}: {reply.body[:300]!r}")

    started = time.perf_counter()
    await asyncio.gather(*(client(connection) for connection in connections))
    seconds = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return Outcome(milliseconds, seconds)


async def _run(plan: Plan) -> Outcome:
    await _send(plan, plan.warm_up, plan.seed + 1)
    return await _send(plan, plan.requests, plan.seed)


def main() -> None:
    import uvloop

    outcome = uvloop.run(_run(Plan(**json.load(sys.stdin))))
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    main()
