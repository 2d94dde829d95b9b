"""A service as a process: health, metrics, spans, draining, settings."""

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from google.api import httpbody_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from psycopg import sql

from tests.databases import ServiceDatabase
from tests.harness import Trust, make_trust, person, write_keyset
from vitalis.tracking.v1 import imports_pb2, imports_pb2_grpc, wearables_pb2, wearables_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"

BROKEN = """
from services.kit.main import main
from services.kit.parts import Service
from services.kit.settings import ServiceSettings

def build(settings, database):
    pools.append(database.pool)
    print("closed" if database.pool.closed else "open")
    raise LookupError

pools = []
try:
    main(Service("tracking", ServiceSettings, build))
except LookupError:
    print("closed" if pools[0].closed else "open")
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Process:
    """`python -m services.tracking serve` and what is needed to speak to it."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, trust: Trust) -> None:
        self.process = process
        self.target = f"127.0.0.1:{port}"
        self.trust = trust
        self.lines: list[str] = []

    async def read_log(self) -> None:
        assert self.process.stderr
        async for line in self.process.stderr:
            self.lines.append(line.decode())

    async def until_serving(self, channel: grpc.aio.Channel) -> None:
        await asyncio.wait_for(channel.channel_ready(), 30)
        await self.until(channel, SERVING)

    async def until(self, channel: grpc.aio.Channel, status: int) -> None:
        """Waits for a health status."""
        health: Any = health_pb2_grpc.HealthStub(channel)
        async with asyncio.timeout(30):
            while (await health.Check(health_pb2.HealthCheckRequest(), timeout=10)).status != status:
                await asyncio.sleep(0.1)


def environment(
    tmp_path: Path, database: ServiceDatabase, trust: Trust, port: int, **settings: str
) -> Mapping[str, str]:
    """What tracking needs to run."""
    return {
        **os.environ,
        "TRACKING_LISTEN": f"127.0.0.1:{port}",
        "TRACKING_DATABASE_URL": database.app_url,
        "TRACKING_CALLER_KEY_FILE": str(trust.caller_key_file),
        "TRACKING_TRUSTED_CALLERS_FILE": str(trust.trusted_callers_file),
        "TRACKING_VAULT_KEYSET_FILE": str(write_keyset(tmp_path / "vault.json")),
        "TRACKING_OBJECT_STORE_URL": f"file://{tmp_path}/objects",
        "TRACKING_GRACE_SECONDS": "20",
        **{f"TRACKING_{name.upper()}": value for name, value in settings.items()},
    }


@asynccontextmanager
async def serving(tmp_path: Path, database: ServiceDatabase, **settings: str) -> AsyncIterator[Process]:
    trust, port = make_trust(tmp_path), free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.tracking",
        "serve",
        env=environment(tmp_path, database, trust, port, **settings),
        stderr=asyncio.subprocess.PIPE,
    )
    running = Process(process, port, trust)
    reading = asyncio.create_task(running.read_log())
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


@pytest.fixture
def database(clone_database: Callable[[str], ServiceDatabase]) -> ServiceDatabase:
    return clone_database("tracking")


async def days(process: Process, channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> str:
    """Asks for the days of somebody new; their id."""
    ada = person()
    await wearables_pb2_grpc.WearablesServiceStub(channel).ListDays(
        wearables_pb2.ListDaysRequest(user_id=ada.subject),
        metadata=(*process.trust.gateway.metadata(ada, "tracking"), *metadata),
        timeout=20,
    )
    return ada.subject


async def test_a_call_in_flight_finishes_and_the_process_ends_well(tmp_path: Path, database: ServiceDatabase) -> None:
    ada = person()
    half, rest = asyncio.Event(), asyncio.Event()

    async def upload() -> AsyncIterator[imports_pb2.CreateImportRequest]:
        yield imports_pb2.CreateImportRequest(user_id=ada.subject, source="apple_health")
        yield imports_pb2.CreateImportRequest(file=httpbody_pb2.HttpBody(data=b"<HealthData>"))
        half.set()
        await rest.wait()
        yield imports_pb2.CreateImportRequest(file=httpbody_pb2.HttpBody(data=b"</HealthData>"))
        yield imports_pb2.CreateImportRequest()

    async with serving(tmp_path, database) as process, grpc.aio.insecure_channel(process.target) as channel:
        await process.until_serving(channel)
        call: Any = imports_pb2_grpc.ImportsServiceStub(channel).CreateImport(
            upload(), metadata=process.trust.gateway.metadata(ada, "tracking"), timeout=60
        )
        await half.wait()
        process.process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process_says(process, "draining"), 20)
        async with grpc.aio.insecure_channel(process.target) as late:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await days(process, late)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        rest.set()
        assert (await call).file_import.status == "queued"
        assert await asyncio.wait_for(process.process.wait(), 30) == 0


async def process_says(process: Process, word: str) -> None:
    while not any(word in line for line in process.lines):
        await asyncio.sleep(0.05)


async def test_health_is_true_and_comes_back(tmp_path: Path, database: ServiceDatabase, postgres_server: Any) -> None:
    database_name = database.app_url.rpartition("/")[2].partition("?")[0]
    name = sql.Identifier(database_name)
    async with serving(tmp_path, database) as process, grpc.aio.insecure_channel(process.target) as channel:
        await process.until_serving(channel)
        with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [database_name])
            await process.until(channel, NOT_SERVING)
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
        await process.until(channel, SERVING)
        await days(process, channel)


async def test_what_is_measured_and_logged_says_nothing_of_anybody(tmp_path: Path, database: ServiceDatabase) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    async with (
        serving(tmp_path, database, metrics_listen=metrics) as process,
        grpc.aio.insecure_channel(process.target) as channel,
    ):
        await process.until_serving(channel)
        user_id = await days(process, channel)
        url = f"http://{metrics}/metrics"
        page = (await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=10).read())).decode()
        assert 'vitalis_rpcs_total{code="OK",method="WearablesService/ListDays"} 1.0' in page
        await asyncio.wait_for(process_says(process, "WearablesService/ListDays"), 10)
    events = [json.loads(line) for line in process.lines]
    (line,) = [event for event in events if event.get("method") == "WearablesService/ListDays"]
    assert (line["event"], line["code"], line["request_id"], line["process"]) == ("rpc", "OK", "request-1", "tracking")
    assert user_id not in page + "".join(process.lines)


async def test_reflection_tells_the_services(tmp_path: Path, database: ServiceDatabase) -> None:
    async with serving(tmp_path, database) as process, grpc.aio.insecure_channel(process.target) as channel:
        await process.until_serving(channel)
        kind: Any = reflection_pb2_grpc.ServerReflectionStub
        call = kind(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
        )
        names = {service.name async for answer in call for service in answer.list_services_response.service}
    assert {"vitalis.tracking.v1.WearablesService", "vitalis.tracking.v1.ImportsService"} <= names


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """An OpenTelemetry collector that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: asyncio.Queue[Any] = asyncio.Queue()

    async def Export(self, request: Any, context: Any) -> Any:
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put_nowait(span)
        return trace_service_pb2.ExportTraceServiceResponse()


async def test_spans_join_the_callers_trace(tmp_path: Path, database: ServiceDatabase) -> None:
    collector, server = Collector(), grpc.aio.server()
    register: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    register(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with (
        serving(tmp_path, database, otlp_endpoint=f"http://127.0.0.1:{port}") as process,
        grpc.aio.insecure_channel(process.target) as channel,
    ):
        await process.until_serving(channel)
        user_id = await days(process, channel, ("traceparent", f"00-{TRACE_ID}-00f067aa0ba902b7-01"))
        span = await asyncio.wait_for(collector.spans.get(), 30)
    await server.stop(0)
    assert (span.name, span.trace_id.hex()) == ("WearablesService/ListDays", TRACE_ID)
    assert user_id not in str(span)


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_missing_settings_are_named(command: str) -> None:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TRACKING_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.tracking", command, env=bare, stderr=asyncio.subprocess.PIPE
    )
    _, log = await process.communicate()
    assert process.returncode == 2
    assert {line.split(":")[0] for line in log.decode().splitlines()} == {
        "setting TRACKING_LISTEN",
        "setting TRACKING_DATABASE_URL",
        "setting TRACKING_CALLER_KEY_FILE",
        "setting TRACKING_TRUSTED_CALLERS_FILE",
        "setting TRACKING_VAULT_KEYSET_FILE",
        "setting TRACKING_OBJECT_STORE_URL",
    }


async def test_a_service_that_cannot_be_put_together_leaves_no_connection_behind(
    tmp_path: Path, database: ServiceDatabase
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        BROKEN,
        "serve",
        env=environment(tmp_path, database, make_trust(tmp_path), 0),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert (process.returncode, output.decode().split()) == (0, ["open", "closed"])


async def test_a_port_in_use_is_said(tmp_path: Path, database: ServiceDatabase) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        async with serving(tmp_path, database, listen=listen) as process:
            assert await asyncio.wait_for(process.process.wait(), 30) == 1
    assert any(f"cannot listen on {listen}: the port is in use" in line for line in process.lines)
