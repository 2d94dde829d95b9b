"""Identity in this process, on a port of its own and a database of its own."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr

from services.identity.__main__ import build
from services.identity.settings import IdentitySettings
from services.kit.caller import ANONYMOUS, Caller, CallerSigner, public_jwk
from services.kit.database import Database
from services.kit.errors import ServiceError, from_rpc_error
from services.kit.server import Server
from tests.databases import ServiceDatabase
from vitalis.identity.v1 import sessions_pb2 as pb
from vitalis.identity.v1 import sessions_pb2_grpc, users_pb2, users_pb2_grpc

PASSWORD = "correct horse battery staple"
EMAIL = "ada@example.com"


def write_key(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return key


@dataclass(frozen=True)
class Identity:
    """The running service and what a test needs to speak to it."""

    target: str
    channel: grpc.aio.Channel
    gateway_key: Ed25519PrivateKey
    signer: CallerSigner
    database: ServiceDatabase
    settings: IdentitySettings

    @property
    def sessions(self) -> "sessions_pb2_grpc.SessionsServiceAsyncStub":
        return sessions_pb2_grpc.SessionsServiceStub(self.channel)

    @property
    def users(self) -> "users_pb2_grpc.UsersServiceAsyncStub":
        return users_pb2_grpc.UsersServiceStub(self.channel)

    def metadata(self, caller: Caller = ANONYMOUS, audience: str = "identity") -> tuple[tuple[str, str], ...]:
        return self.signer.metadata(caller, audience)

    async def register(self, email: str = EMAIL, password: str = PASSWORD, name: str = "Ada") -> pb.RegisterResponse:
        request = pb.RegisterRequest(email=email, password=password, display_name=name)
        return await self.sessions.Register(request, metadata=self.metadata())

    async def log_in(self, email: str = EMAIL, password: str = PASSWORD) -> pb.LogInResponse:
        return await self.sessions.LogIn(pb.LogInRequest(email=email, password=password), metadata=self.metadata())

    async def refresh(self, token: str) -> pb.RefreshSessionResponse:
        request = pb.RefreshSessionRequest(refresh_token=token)
        return await self.sessions.RefreshSession(request, metadata=self.metadata())

    async def log_out(self, token: str) -> pb.LogOutResponse:
        return await self.sessions.LogOut(pb.LogOutRequest(refresh_token=token), metadata=self.metadata())

    async def get_user(self, user_id: str, caller: Caller) -> users_pb2.User:
        request = users_pb2.GetUserRequest(user_id=user_id)
        return (await self.users.GetUser(request, metadata=self.metadata(caller))).user


def person(user_id: str, role: str = "user", *scopes: str) -> Caller:
    return Caller(user_id, user_id, role, frozenset(scopes or ("*",)), "request-1")


async def failure(call: Any) -> ServiceError:
    """The error that a call is answered with; fails if there is none."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def reason(call: Any) -> str:
    return (await failure(call)).reason.name


@pytest.fixture
def gateway_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def settings(
    tmp_path: Path, clone_database: Callable[[str], ServiceDatabase], gateway_key: Ed25519PrivateKey
) -> tuple[IdentitySettings, ServiceDatabase]:
    database = clone_database("identity")
    for name in ("caller", "signing-1", "signing-2"):
        write_key(tmp_path / f"{name}.pem")
    (tmp_path / "trusted.json").write_text(json.dumps({"gateway": {"keys": [public_jwk(gateway_key)]}}))
    return IdentitySettings(
        listen="127.0.0.1:0",
        database_url=SecretStr(database.app_url),
        caller_key_file=tmp_path / "caller.pem",
        trusted_callers_file=tmp_path / "trusted.json",
        signing_key_files=(tmp_path / "signing-1.pem", tmp_path / "signing-2.pem"),
        grace_seconds=0,
    ), database


@asynccontextmanager
async def running(
    settings: IdentitySettings, service_database: ServiceDatabase, gateway_key: Ed25519PrivateKey
) -> AsyncIterator[Identity]:
    database = Database(settings.database_url.get_secret_value(), settings.database_pool_size)
    await database.open()
    server = Server("identity", settings, database, build(settings, database).servicers)
    target = f"127.0.0.1:{await server.start()}"
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            yield Identity(
                target, channel, gateway_key, CallerSigner("gateway", gateway_key), service_database, settings
            )
    finally:
        await server.stop()
        await database.close()


@pytest.fixture
async def identity(
    settings: tuple[IdentitySettings, ServiceDatabase], gateway_key: Ed25519PrivateKey
) -> AsyncIterator[Identity]:
    async with running(*settings, gateway_key) as service:
        yield service
