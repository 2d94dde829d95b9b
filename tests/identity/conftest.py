"""Identity in this process, on a port of its own and a database of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.identity.__main__ import SERVICE
from services.identity.settings import IdentitySettings
from services.kit.caller import ANONYMOUS, Caller
from tests import harness
from tests.databases import ServiceDatabase
from tests.harness import Running, Trust, drain, make_trust, write_key, write_keyset
from tests.people import EMAIL, PASSWORD, insert_person, sign_up
from vitalis.identity.v1 import (
    accounts_pb2_grpc,
    credentials_pb2_grpc,
    preferences_pb2_grpc,
    registration_pb2,
    registration_pb2_grpc,
    sessions_pb2_grpc,
    users_pb2,
    users_pb2_grpc,
)
from vitalis.identity.v1 import sessions_pb2 as pb

__all__ = ["EMAIL", "PASSWORD"]


@dataclass(frozen=True)
class Identity:
    """The running service and what its tests ask of it."""

    running: Running

    @property
    def mailbox(self) -> Path:
        mailbox: Path = self.running.settings.mailbox
        return mailbox

    @property
    def database(self) -> ServiceDatabase:
        return self.running.database

    @property
    def trust(self) -> Trust:
        return self.running.trust

    @property
    def sessions(self) -> "sessions_pb2_grpc.SessionsServiceAsyncStub":
        return sessions_pb2_grpc.SessionsServiceStub(self.running.channel)

    @property
    def users(self) -> "users_pb2_grpc.UsersServiceAsyncStub":
        return users_pb2_grpc.UsersServiceStub(self.running.channel)

    @property
    def preferences(self) -> "preferences_pb2_grpc.PreferencesServiceAsyncStub":
        return preferences_pb2_grpc.PreferencesServiceStub(self.running.channel)

    @property
    def accounts(self) -> "accounts_pb2_grpc.AccountsServiceAsyncStub":
        return accounts_pb2_grpc.AccountsServiceStub(self.running.channel)

    def metadata(self, caller: Caller = ANONYMOUS) -> tuple[tuple[str, str], ...]:
        return self.running.metadata(caller)

    @property
    def registration(self) -> "registration_pb2_grpc.RegistrationServiceAsyncStub":
        return registration_pb2_grpc.RegistrationServiceStub(self.running.channel)

    @property
    def credentials(self) -> "credentials_pb2_grpc.CredentialsServiceAsyncStub":
        return credentials_pb2_grpc.CredentialsServiceStub(self.running.channel)

    async def register(
        self, email: str = EMAIL, password: str = PASSWORD, name: str = "Ada", caller: Caller = ANONYMOUS
    ) -> registration_pb2.VerifyEmailResponse:
        """Somebody who has registered and proved their address, and is logged in."""
        return await sign_up(self.running, email, password, name, caller)

    async def run_jobs(self) -> None:
        """Runs the jobs that are due."""
        await drain(self.running)

    def mails(self) -> list[EmailMessage]:
        """The mails that were sent, the first one first."""
        files = sorted(self.mailbox.glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)
        return [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]

    async def make_person(self, email: str, name: str = "Somebody", **columns: object) -> str:
        """The id of a person with a verified address who has never logged in; `columns` are of `users`."""
        return await asyncio.to_thread(insert_person, self.database, email, display_name=name, **columns)

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


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return make_trust(tmp_path)


@pytest.fixture
def settings(
    tmp_path: Path, clone_database: Callable[[str], ServiceDatabase], trust: Trust
) -> tuple[IdentitySettings, ServiceDatabase]:
    database = clone_database("identity")
    keys = (tmp_path / "signing-1.pem", tmp_path / "signing-2.pem")
    for key in keys:
        write_key(key)
    return IdentitySettings(
        listen="127.0.0.1:0",
        database_url=SecretStr(database.app_url),
        caller_key_file=trust.caller_key_file,
        trusted_callers_file=trust.trusted_callers_file,
        signing_key_files=keys,
        vault_keyset_file=write_keyset(tmp_path / "vault.json"),
        mailbox=tmp_path / "mail",
        object_store_url=f"file://{tmp_path}/exports",
        scratch_directory=tmp_path,
        grace_seconds=0,
    ), database


@asynccontextmanager
async def running(settings: IdentitySettings, database: ServiceDatabase, trust: Trust) -> AsyncIterator[Identity]:
    async with harness.running(SERVICE, settings, database, trust) as service:
        yield Identity(service)


@pytest.fixture
async def identity(settings: tuple[IdentitySettings, ServiceDatabase], trust: Trust) -> AsyncIterator[Identity]:
    async with running(*settings, trust) as service:
        yield service
