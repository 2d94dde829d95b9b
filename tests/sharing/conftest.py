"""Identity, tracking, labs and a gateway before them, in this process, and people who are signed in."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from gateway.app import create_app
from gateway.settings import GatewaySettings
from services.identity.sharing.terms import TERMS_VERSION
from services.identity.tokens import AccessTokens
from services.kit.database import uuid7
from tests.databases import ServiceDatabase
from tests.gateway.conftest import Served, Serving
from tests.harness import Running, make_trust
from tests.people import insert_person
from tests.services import serving

# What identity said is asked for again with every request, so that no test waits for it to be forgotten.
AT_ONCE = 0.000001


@dataclass
class System:
    """The gateway's URL and what stands behind it."""

    http: Served
    identity: Running
    tracking: Running
    mailbox: Path
    tokens: AccessTokens

    def sql(self, statement: str, *parameters: Any, service: str = "identity") -> list[Any]:
        """As the owner of a service's tables, past row security."""
        database: ServiceDatabase = getattr(self, service).database
        with psycopg.connect(database.migrator_url) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def sign_in(self, name: str, role: str = "user") -> "Somebody":
        """Somebody new, `<name>@example.com`, in a session of theirs."""
        user_id = insert_person(self.identity.database, f"{name}@example.com", display_name=name.title(), role=role)
        return Somebody(self, user_id, f"{name}@example.com", role)

    async def work(self) -> None:
        """Runs identity's jobs that are queued."""
        jobs = self.identity.parts.jobs
        assert jobs
        await jobs.app.run_worker_async(wait=False, install_signal_handlers=False)


class Somebody:
    """A person in a session. Paths are below `/api/v1/users/<whose>`, their own by default."""

    def __init__(self, system: System, user_id: str, email: str, role: str) -> None:
        self._system = system
        self.id, self.email = user_id, email
        self.session = uuid7()
        system.sql(
            "INSERT INTO sessions (id, user_id, expires_at) VALUES (%s, %s, now() + interval '1 day')",
            self.session,
            user_id,
        )
        token = system.tokens.issue(user_id, self.session, role).token  # type: ignore[arg-type]
        self.headers = {"authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str = "", *, of: str = "me", **arguments: Any) -> httpx.Response:
        headers = {**self.headers, **arguments.pop("headers", {})}
        return await self._system.http.request(method, f"/api/v1/users/{of}{path}", headers=headers, **arguments)

    async def done(self, method: str, path: str = "", **arguments: Any) -> Any:
        answer = await self.call(method, path, **arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refused(self, method: str, path: str = "", **arguments: Any) -> tuple[int, str]:
        """The status and the reason of the answer."""
        answer = await self.call(method, path, **arguments)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]["details"][0]["reason"]

    async def share(self, grantee: "Somebody", *scopes: str, **fields: Any) -> str:
        """Shares, by the mail that is sent and the token in it; the grant's id."""
        grant = {
            "grantee_email": grantee.email,
            "scopes": scopes,
            "relation": "person",
            "consent_version": TERMS_VERSION,
            **fields,
        }
        made = await self.done("POST", "/grants", json=grant)
        await self._system.work()
        mail = max(self._system.mailbox.glob("*.eml")).read_text()
        token = mail.split("share accept ")[1].split()[0]
        await grantee.done("POST", "/received-grants:accept", json={"token": token})
        return str(made["id"])


@pytest.fixture
async def system(tmp_path: Path, clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[System]:
    trust = make_trust(tmp_path)
    async with AsyncExitStack() as stack:
        started: dict[str, Running] = {}
        for name in ("tracking", "labs", "identity"):
            others = {other: one.target for other, one in started.items()}
            one = serving(name, tmp_path, clone_database(name), trust, services=others)
            started[name] = await stack.enter_async_context(one)
        settings = GatewaySettings(
            services={name: one.target for name, one in started.items()},
            caller_key_file=tmp_path / "gateway.pem",
            caller_memory_seconds=AT_ONCE,
            rate="100000/minute",
            grace_seconds=0,
        )
        http = await stack.enter_async_context(Serving(create_app(settings)[1], settings))
        tokens = AccessTokens.from_files([tmp_path / "signing.pem"])
        yield System(http, started["identity"], started["tracking"], tmp_path / "mail", tokens)


@pytest.fixture
def ada(system: System) -> Somebody:
    return system.sign_in("ada")


@pytest.fixture
def carla(system: System) -> Somebody:
    return system.sign_in("carla", role="coach")
