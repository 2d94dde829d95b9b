"""Identity and tracking as two services that know each other, with their workers when a test wants them."""

import asyncio
import email
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from email.policy import default
from pathlib import Path
from typing import Any

import psycopg
import pytest
from argon2 import PasswordHasher
from google.api import httpbody_pb2

from services.kit.caller import Caller
from tests.databases import ServiceDatabase
from tests.harness import Running, make_trust, person
from tests.isolation.resources import everything_about
from tests.people import insert_person
from tests.services import serving
from vitalis.identity.v1 import consents_pb2_grpc, deletions_pb2_grpc, exports_pb2_grpc
from vitalis.tracking.v1 import imports_pb2, imports_pb2_grpc, wearables_pb2, wearables_pb2_grpc

PASSWORD = "correct horse battery staple"
FILE = b'<?xml version="1.0"?>\n<HealthData locale="en_GB">\n<ExportDate value="2026-03-10 12:00:00 +0100"/>\n'
FILE += b"</HealthData>\n"


class Both:
    """Identity and tracking; tracking can be stopped and started again where it was."""

    def __init__(self, directory: Path, databases: dict[str, ServiceDatabase]) -> None:
        self.directory = directory
        self.trust = make_trust(directory)
        self.databases = databases
        self._tracking = AsyncExitStack()
        self._listen = "127.0.0.1:0"
        self.identity: Running
        self.tracking: Running

    async def start_tracking(self) -> None:
        service = serving("tracking", self.directory, self.databases["tracking"], self.trust, listen=self._listen)
        self.tracking = await self._tracking.enter_async_context(service)
        self._listen = self.tracking.target

    async def stop_tracking(self) -> None:
        await self._tracking.aclose()

    @asynccontextmanager
    async def worker(self, of: Running) -> AsyncIterator[None]:
        """The service's worker, until the block ends."""
        assert of.parts.jobs
        work = asyncio.create_task(of.parts.jobs.work(2, 5, 30))
        try:
            yield
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def run_jobs(self, of: Running, name: str) -> None:
        """Runs the worker until no job of that name waits or runs."""
        query = "SELECT count(*) FROM procrastinate_jobs WHERE task_name = %s AND status IN ('todo', 'doing')"
        async with self.worker(of), asyncio.timeout(60):
            while self.value(of.name, query, name):
                await asyncio.sleep(0.02)

    async def run_task(self, name: str) -> None:
        """Runs one of identity's scheduled jobs, here and now."""
        jobs = self.identity.parts.jobs
        assert jobs
        await jobs.app.tasks[name].func(timestamp=0)

    def value(self, service: str, query: str, *parameters: object) -> Any:
        """The one value that a query answers, as the owner of the tables; commits."""
        with psycopg.connect(self.databases[service].migrator_url) as owner:
            cursor = owner.execute(query.encode(), parameters or None)
            row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None

    def about(self, subject: str) -> list[str]:
        """Every row of either service that mentions a person."""
        return [row for database in self.databases.values() for row in everything_about(database, subject)]

    def mails(self) -> list[Any]:
        """What was mailed, the oldest first."""
        files = sorted((self.directory / "mail").glob("*.eml"))
        return [email.message_from_bytes(file.read_bytes(), policy=default) for file in files]

    def mailed_link(self) -> str:
        """The token of the link in the last mail."""
        (token,) = re.findall(
            r"[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}", self.mails()[-1].get_content()
        )
        return str(token)


class Somebody:
    """A person with an account, calling about themselves."""

    def __init__(self, both: Both, caller: Caller) -> None:
        self._both = both
        self.caller = caller
        self.id = caller.subject

    def log_in(self, session_id: str) -> None:
        """Calls from that session from now on."""
        self.caller = replace(self.caller, session_id=session_id)

    def exports(self, rpc: str, request: Any) -> Any:
        return self._identity(exports_pb2_grpc.ExportsServiceStub, rpc, request)

    def deletions(self, rpc: str, request: Any) -> Any:
        return self._identity(deletions_pb2_grpc.DeletionsServiceStub, rpc, request)

    def consents(self, rpc: str, request: Any) -> Any:
        return self._identity(consents_pb2_grpc.ConsentsServiceStub, rpc, request)

    def _identity(self, stub: Any, rpc: str, request: Any) -> Any:
        identity = self._both.identity
        return getattr(stub(identity.channel), rpc)(request, metadata=identity.metadata(self.caller), timeout=30)

    async def write_days(self, *steps: int) -> None:
        tracking = self._both.tracking
        rows = [
            wearables_pb2.WearableDaily(date=f"2026-03-{day:02}", source="manual", steps=count)
            for day, count in enumerate(steps, 1)
        ]
        request = wearables_pb2.BatchUpsertWearableDailyRequest(user_id=self.id, wearable_daily=rows)
        stub = wearables_pb2_grpc.WearablesServiceStub(tracking.channel)
        await stub.BatchUpsertWearableDaily(request, metadata=tracking.metadata(self.caller), timeout=30)

    async def upload(self, data: bytes = FILE) -> str:
        """Uploads a file; the import's id."""

        async def requests() -> AsyncIterator[imports_pb2.CreateImportRequest]:
            yield imports_pb2.CreateImportRequest(user_id=self.id, source="apple_health", file_name="export.xml")
            for start in range(0, len(data), 2**18):
                body = httpbody_pb2.HttpBody(data=data[start : start + 2**18])
                yield imports_pb2.CreateImportRequest(file=body)
            yield imports_pb2.CreateImportRequest()

        tracking = self._both.tracking
        stub = imports_pb2_grpc.ImportsServiceStub(tracking.channel)
        answer = await stub.CreateImport(requests(), metadata=tracking.metadata(self.caller), timeout=60)
        return str(answer.file_import.id)


SignUp = Callable[..., Awaitable[Somebody]]


def tampered(token: str) -> str:
    """The token with a signature that differs from its own, whatever that was."""
    rest, signature = token.rsplit(".", 1)
    return f"{rest}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


@pytest.fixture
async def both(tmp_path: Path, clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Both]:
    both = Both(tmp_path, {name: clone_database(name) for name in ("identity", "tracking")})
    await both.start_tracking()
    services = {"tracking": both.tracking.target}
    async with serving("identity", tmp_path, both.databases["identity"], both.trust, services=services) as identity:
        both.identity = identity
        yield both
    await both.stop_tracking()


@pytest.fixture
def sign_up(both: Both) -> SignUp:
    """`await sign_up("Ada")` is a new person, verified and with the usual password."""

    async def sign_up(name: str = "Ada", *, with_password: bool = True) -> Somebody:
        hashed = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(PASSWORD)
        columns = {"display_name": name, "password_hash": hashed if with_password else None}
        user_id = insert_person(both.databases["identity"], f"{name.lower()}@example.com", **columns)
        return Somebody(both, person(user_id))

    return sign_up


@pytest.fixture
async def ada(sign_up: SignUp) -> Somebody:
    return await sign_up("Ada")


@pytest.fixture
async def bert(sign_up: SignUp) -> Somebody:
    return await sign_up("Bert")
