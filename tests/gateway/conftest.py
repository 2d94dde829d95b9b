"""Fixtures of the gateway's tests: a compiled contract, a gRPC server, a gateway before it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from protobuf import Registry
from protobuf.wkt import FileDescriptorSet

from gateway.app import create_app
from gateway.protocol import protocol_for
from gateway.settings import GatewaySettings
from tests.gateway.calling import Called
from tests.gateway.support import PROTOS, Backend, bearer, compile_set, mint

Client = httpx.AsyncClient
MakeClient = Callable[..., Awaitable[Client]]


class Served(httpx.AsyncClient):
    """A client, and the server that it calls."""

    server: uvicorn.Server


MakeServer = Callable[..., Awaitable[Served]]


@pytest.fixture(scope="session")
def sample_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_set(tmp_path_factory.mktemp("protos"), PROTOS / "vitalis/sample/v1/things.proto")


@pytest.fixture(scope="session")
def registry(sample_set: Path) -> Registry:
    return FileDescriptorSet.from_binary(sample_set.read_bytes()).to_registry()


@pytest.fixture(scope="session")
def gateway_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def key_file(tmp_path_factory: pytest.TempPathFactory, gateway_key: Ed25519PrivateKey) -> Path:
    path = tmp_path_factory.mktemp("keys") / "gateway.pem"
    path.write_bytes(
        gateway_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


@pytest.fixture
async def backend(registry: Registry) -> AsyncIterator[Backend]:
    backend = Backend(registry)
    await backend.server.start()
    await backend.set_health(serving=True)
    yield backend
    await backend.server.stop(None)


@pytest.fixture
def make_settings(backend: Backend, sample_set: Path, key_file: Path) -> Callable[..., GatewaySettings]:
    def make(**changes: Any) -> GatewaySettings:
        values = {"services": backend.services, "descriptor_set": sample_set, "caller_key_file": key_file}
        return GatewaySettings(**{**values, **changes})

    return make


@pytest.fixture
async def make_client(make_settings: Callable[..., GatewaySettings]) -> AsyncIterator[MakeClient]:
    """Makes clients of a gateway in this process, without a network between them."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> Client:
            gateway, served = create_app(make_settings(**changes))
            stack.push_async_callback(gateway.close)
            transport = httpx.ASGITransport(served, client=("203.0.113.7", 40_000))
            return await stack.enter_async_context(Client(transport=transport, base_url="http://gateway"))

        yield make


@pytest.fixture
async def client(make_client: MakeClient, backend: Backend) -> Client:
    """A client that is signed in as Ada."""
    client = await make_client()
    client.headers.update(bearer(mint(backend.key)))
    return client


@pytest.fixture
async def make_server(make_settings: Callable[..., GatewaySettings]) -> AsyncIterator[MakeServer]:
    """Makes clients of a gateway behind a real uvicorn on a real port."""
    async with AsyncExitStack() as stack:

        async def make(**changes: Any) -> Served:
            settings = make_settings(**changes)
            _, served = create_app(settings)
            return await stack.enter_async_context(Serving(served, settings))

        yield make


class Serving:
    """A gateway behind uvicorn for the length of a block."""

    def __init__(self, app: Any, settings: GatewaySettings) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=protocol_for(settings.max_header_bytes),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                timeout_graceful_shutdown=settings.grace_seconds,
            )
        )

    async def __aenter__(self) -> Served:
        self._task = asyncio.create_task(self._server.serve([self._socket]))
        while not self._server.started:
            await asyncio.sleep(0.01)
        host, port = self._socket.getsockname()
        self._client = Served(base_url=f"http://{host}:{port}", timeout=20)
        self._client.server = self._server
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        self._server.should_exit = True
        await self._task


@pytest.fixture
def called(backend: Backend, gateway_key: Ed25519PrivateKey) -> Called:
    return Called(backend, gateway_key)
