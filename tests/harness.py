"""A service in the test's own process: on a port of its own, with a database of its own."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.kit import keyset
from services.kit.caller import ANONYMOUS, Caller, CallerSigner, public_jwk, service_caller
from services.kit.database import Database, uuid7
from services.kit.errors import ServiceError, from_rpc_error
from services.kit.parts import Parts, Service
from services.kit.server import Server
from services.kit.settings import ServiceSettings
from services.kit.vault import Vault
from tests.databases import ServiceDatabase
from tests.outcomes import recorders

Settings = TypeVar("Settings", bound=ServiceSettings)


def write_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key


def write_keyset(path: Path) -> Path:
    """A keyset with a master key of its own."""
    path.write_bytes(keyset.as_json(keyset.new_keyset()))
    path.chmod(0o600)
    return path


@dataclass(frozen=True)
class Trust:
    """Who the services under test trust: the gateway, a service called insights, and each other."""

    gateway: CallerSigner
    insights: CallerSigner
    trusted_callers_file: Path
    caller_key_file: Path


def make_trust(directory: Path) -> Trust:
    gateway, insights = write_key(directory / "gateway.pem"), write_key(directory / "insights.pem")
    trusted = directory / "trusted.json"
    caller = write_key(directory / "caller.pem")
    keys = {"gateway": gateway, "insights": insights, "identity": caller, "tracking": caller, "labs": caller}
    trusted.write_text(json.dumps({name: {"keys": [public_jwk(key)]} for name, key in keys.items()}))
    return Trust(
        CallerSigner("gateway", gateway), CallerSigner("insights", insights), trusted, directory / "caller.pem"
    )


@dataclass(frozen=True)
class Running:
    """A running service and what a test needs to speak to it."""

    name: str
    target: str
    channel: grpc.aio.Channel
    trust: Trust
    database: ServiceDatabase
    pool: Database
    parts: Parts
    settings: Any

    def metadata(self, caller: Caller = ANONYMOUS) -> tuple[tuple[str, str], ...]:
        """The metadata of a call through the gateway, or by the service insights."""
        signer = self.trust.insights if caller.is_service else self.trust.gateway
        return signer.metadata(caller, self.name)


@asynccontextmanager
async def running(
    service: Service[Settings], settings: Settings, database: ServiceDatabase, trust: Trust
) -> AsyncIterator[Running]:
    """The service, listening until the block ends."""
    vault = Vault(settings.vault_keyset_file) if settings.vault_keyset_file else None
    pool = Database(settings.database_url.get_secret_value(), settings.database_pool_size, vault)
    await pool.open()
    parts = service.build(settings, pool)
    if parts.jobs:
        await parts.jobs.open()
    server = Server(service.name, settings, pool, parts)
    target = f"127.0.0.1:{await server.start()}"
    try:
        async with grpc.aio.insecure_channel(target, interceptors=recorders()) as channel:
            yield Running(service.name, target, channel, trust, database, pool, parts, settings)
    finally:
        await server.stop()
        for channel in parts.channels:
            await channel.close()
        await pool.close()


async def drain(running: Running) -> None:
    """Runs the jobs that are queued now, as the worker does."""
    jobs = running.parts.jobs
    assert jobs
    await jobs.app.run_worker_async(
        wait=False, install_signal_handlers=False, listen_notify=False, delete_jobs="successful"
    )


def person(user_id: str | UUID = "", role: str = "user", *scopes: str) -> Caller:
    """Somebody who calls about themselves; a new person without an id."""
    user_id = str(user_id or uuid7())
    return Caller(user_id, user_id, role, frozenset(scopes or ("*",)), "request-1")


def service(subject: str) -> Caller:
    """The service insights, about a person."""
    return service_caller("insights", subject, "request-1")


def forged(page_token: str, *position: str) -> str:
    """A page token of the same list and parameters that leads to `position`, as anybody can make one."""
    fingerprint, *_ = json.loads(base64.urlsafe_b64decode(page_token + "=" * (-len(page_token) % 4)))
    return base64.urlsafe_b64encode(json.dumps([fingerprint, *position]).encode()).decode().rstrip("=")


async def failure(call: Any) -> ServiceError:
    """The error that a call is answered with; fails if there is none."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def reason(call: Any) -> str:
    return (await failure(call)).reason.name
