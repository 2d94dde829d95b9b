"""A request's way through the gateway when it serves 3 RPCs and when it serves 300."""

import asyncio
import gc
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from benchmarks.client import bearer
from benchmarks.figures import Figure, Peer, machine
from benchmarks.people import access_tokens
from gateway import app
from gateway.contract import Rpc, load
from gateway.routing import Router
from gateway.settings import DESCRIPTOR_SET, GatewaySettings
from gateway.template import parse
from local.keys import ACCESS_TOKEN_KEY, caller_key_file, ensure_keys
from services.kit.caller import load_private_key, public_jwk
from services.kit.telemetry import configure_logging
from vitalis.identity.v1 import callers_pb2
from vitalis.options.v1 import options_pb2

FEW, MANY = 3, 300
# Many short runs, so that what else the machine does falls on both alike.
RUNS = 100
REQUESTS = 300
MATCHES = 3_000
# "The same cost": what a run differs from the next on a machine that does other things too.
NOISE = 1.15
PACKAGE = "vitalis.benchmark.v1"
PROTO = "vitalis/benchmark/v1/things.proto"
MESSAGE = ".vitalis.tracking.v1.GetWearableDaily"
SERVICES = {"identity": "", "benchmark": ""}


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    configure_logging("json", "WARNING", "benchmark")
    with tempfile.TemporaryDirectory(prefix="vitalis-bench-") as scratch:
        directory = Path(scratch)
        ensure_keys(directory, "gateway", ())
        sets = {count: _descriptor_set(directory / f"{count}.binpb", count) for count in (FEW, MANY)}
        requests, matches = asyncio.run(_compare(sets, directory))
    return machine(), [
        _figure("a request through the gateway, the service left out", requests),
        _figure("finding its route alone", matches),
    ]


def _figure(what: str, runs: Mapping[int, list[float]]) -> Figure:
    few = Figure(what, "µs", runs[FEW], "less")
    peer = Peer(f"{FEW} RPCs", runs[FEW])
    return Figure(f"{what}, {MANY} RPCs", "µs", runs[MANY], "less", few.value * NOISE, peer)


async def _compare(sets: Mapping[int, Path], directory: Path) -> tuple[dict[int, list[float]], dict[int, list[float]]]:
    """Microseconds of processor time of a request and of a match, by the number of RPCs, turn and turn about."""
    (token,) = access_tokens(directory, [uuid.uuid4()])
    requests: dict[int, list[float]] = {FEW: [], MANY: []}
    matches: dict[int, list[float]] = {FEW: [], MANY: []}
    gateways = {count: _gateway(path, directory) for count, path in sets.items()}
    routers = {count: _router(path) for count, path in sets.items()}
    # What was built is no garbage; collecting it in mid-run would be counted.
    gc.collect()
    gc.freeze()
    try:
        for _ in range(RUNS):
            for count in sets:
                requests[count].append(await _serve(gateways[count], count, token))
                matches[count].append(_match(routers[count], count))
    finally:
        for gateway in gateways.values():
            await gateway.close()
    return requests, matches


async def _serve(gateway: app.Gateway, count: int, token: str) -> float:
    """Microseconds of a request, without a network and without a service."""
    headers = [(name.lower().encode(), value.encode()) for name, value in bearer(token).items()]
    scopes = [
        {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 40_000),
        }
        for path in _paths(count)
    ]
    statuses: set[int] = set()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        statuses.add(message.get("status", 200))

    started = time.process_time()
    for scope in islice(cycle(scopes), REQUESTS):
        await gateway(scope, receive, send)
    spent = time.process_time() - started
    if statuses != {200}:
        raise RuntimeError(f"the gateway answered {statuses}")
    return spent / REQUESTS * 1e6


def _match(router: Router[Rpc], count: int) -> float:
    paths = list(islice(cycle(_paths(count)), MATCHES))
    started = time.process_time()
    for path in paths:
        router.match("GET", path)
    return (time.process_time() - started) / MATCHES * 1e6


def _router(path: Path) -> Router[Rpc]:
    router: Router[Rpc] = Router()
    for rpc in load(path, SERVICES).rpcs:
        for rule in rpc.rules:
            router.add(rule.http_method, parse(rule.template), rpc)
    return router


def _gateway(path: Path, directory: Path) -> app.Gateway:
    settings = GatewaySettings(
        services=SERVICES,
        descriptor_set=path,
        caller_key_file=caller_key_file(directory, "gateway"),
        rate="100000000/minute",
    )
    key = public_jwk(load_private_key(directory / ACCESS_TOKEN_KEY))

    class Backends:
        """Services that answer at once, with an empty message."""

        def __init__(self, *_: Any) -> None:
            pass

        def callable(self, rpc: Rpc) -> Callable[..., Any]:
            def call(*_: Any, **__: Any) -> asyncio.Future[bytes]:
                answer = asyncio.get_running_loop().create_future()
                answer.set_result(b"")
                return answer

            return call

        async def key_set(self, metadata: Any) -> list[dict[str, str]]:
            return [key]

        async def resolve_caller(self, *_: Any) -> callers_pb2.ResolveCallerResponse:
            return callers_pb2.ResolveCallerResponse(alive=True, role="user")

        async def health(self) -> dict[str, bool]:
            return dict.fromkeys(SERVICES, True)

        async def close(self) -> None:
            pass

    with patch.object(app, "Backends", Backends):
        gateway, _ = app.create_app(settings)
    return gateway


def _paths(count: int) -> list[str]:
    """Paths of the first, the middle and the last RPC: as many for a large contract as for a small one."""
    return [f"/api/v1/users/me/things-{number}/{uuid.UUID(int=number)}" for number in (0, count // 2, count - 1)]


def _descriptor_set(path: Path, count: int) -> Path:
    """The project's own descriptors with a service of `count` RPCs more."""
    content = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes())
    file = content.file.add(name=PROTO, package=PACKAGE, syntax="proto3")
    file.dependency.extend(
        ["google/api/annotations.proto", "vitalis/options/v1/options.proto", "vitalis/tracking/v1/wearables.proto"]
    )
    service = file.service.add(name="ThingsService")
    for number in range(count):
        method = service.method.add(
            name=f"GetThing{number}", input_type=f"{MESSAGE}Request", output_type=f"{MESSAGE}Response"
        )
        http = method.options.Extensions[annotations_pb2.http]
        http.get = f"/api/v1/users/{{user_id}}/things-{number}/{{id}}"
        http.response_body = "wearable_daily"
        method.options.Extensions[options_pb2.access].audience = options_pb2.AUDIENCE_USER
    path.write_bytes(content.SerializeToString())
    return path
