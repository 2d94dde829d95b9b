"""Providers as processes of their own: a conforming one of somebody else's making, and one that breaks rules."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import SecretStr

from services.identity.oauth.providers import Provider
from services.identity.settings import IdentitySettings
from services.kit.caller import Caller
from services.kit.errors import register_reasons
from tests.databases import ServiceDatabase
from tests.e2e.vitalis import until
from tests.harness import Trust, person
from tests.identity.conftest import Identity, running
from tests.identity.factors import PASSWORD_HASH
from tests.identity.oauth.provider import CLIENT_ID, CLIENT_SECRET
from vitalis.identity.v1 import errors_pb2, oauth_pb2_grpc
from vitalis.identity.v1 import oauth_pb2 as pb
from vitalis.identity.v1.second_factors_pb2 import Proof

ROOT = Path(__file__).resolve().parents[3]
# A server does it when it starts; these tests need none.
register_reasons(errors_pb2.ErrorReason.DESCRIPTOR)
REDIRECT = "https://app.example/callback"


class Strict:
    """The provider of `provider.py`, from outside."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=10)

    def close(self) -> None:
        self._http.close()

    def rules(self, **rules: Any) -> None:
        """What to break from now on; nothing without arguments."""
        self._http.put("/rules", content=json.dumps(rules))

    def seen(self, path: str) -> list[dict[str, Any]]:
        """The requests to a path since the rules were set."""
        return [request for request in self._http.get("/seen").json() if request["path"] == path]

    def consent(self, authorization_url: str) -> dict[str, str]:
        """What comes back with a person who agrees: `code`, `state`, `iss`."""
        answer = self._http.get(authorization_url)
        assert answer.status_code == 302, answer.text
        return query_of(answer.headers["location"])

    def provider(self, **changes: Any) -> Provider:
        """How it is configured."""
        return Provider(
            **{
                "issuer": self.url,
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "redirect_uris": (REDIRECT,),
                "email_domains": ("example.com",),
                **changes,
            }
        )


def query_of(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True))


@pytest.fixture(scope="session")
def strict_process() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.identity.oauth.provider"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout
    yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def strict(strict_process: str) -> Iterator[Strict]:
    """A provider that keeps to the rules until it is told which to break."""
    provider = Strict(strict_process)
    provider.rules()
    yield provider
    provider.rules()
    provider.close()


@pytest.fixture(scope="session")
def mock_provider() -> Iterator[str]:
    """oidc-provider-mock, which is not ours; its issuer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/jwks").status_code == 200
        except httpx.ConnectError:
            assert process.poll() is None, "the provider ended"
            return False

    until(answers, "the provider")
    yield url
    process.kill()
    process.wait()


@pytest.fixture
async def identity(
    settings: tuple[IdentitySettings, ServiceDatabase], trust: Trust, strict: Strict, mock_provider: str
) -> AsyncIterator[Identity]:
    """Identity with three providers: `strict`, `other` (the same by another name) and `mock`."""
    mock = Provider(
        issuer=mock_provider,
        client_id="vitalis",
        client_secret=SecretStr("any"),
        redirect_uris=(REDIRECT, "http://127.0.0.1/callback"),
        email_domains=("*",),
    )
    providers = {"strict": strict.provider(), "other": strict.provider(), "mock": mock}
    configured, database = settings
    async with running(configured.model_copy(update={"oidc_providers": providers}), database, trust) as service:
        yield service


class Client:
    """A client of the service, and the browser of its person."""

    def __init__(self, identity: Identity, strict: Strict, provider: str = "strict") -> None:
        self.stub: oauth_pb2_grpc.OAuthServiceAsyncStub = oauth_pb2_grpc.OAuthServiceStub(identity.running.channel)
        self.identity = identity
        self.strict = strict
        self.provider = provider

    async def start(self, redirect_uri: str = REDIRECT) -> pb.Authorization:
        request = pb.StartOAuthRequest(provider=self.provider, redirect_uri=redirect_uri)
        return (await self.stub.StartOAuth(request, metadata=self.identity.metadata())).authorization

    def complete(self, **fields: str) -> Any:
        request = pb.CompleteOAuthRequest(**{"provider": self.provider, **fields})
        return self.stub.CompleteOAuth(request, metadata=self.identity.metadata())

    async def come_back(self, **person: Any) -> dict[str, str]:
        """What the client has once somebody has agreed at the provider."""
        begun = await self.start()
        if person:
            self.strict.rules(person=person)
        return {**self.strict.consent(begun.authorization_url), "binding": begun.binding}

    async def log_in(self, **person: Any) -> pb.CompleteOAuthResponse:
        answer: pb.CompleteOAuthResponse = await self.complete(**await self.come_back(**person))
        return answer

    async def start_link(self, caller: Caller, proof: Proof | None = None) -> dict[str, str]:
        request = pb.StartLinkRequest(
            user_id=caller.subject, provider=self.provider, redirect_uri=REDIRECT, proof=proof
        )
        begun = (await self.stub.StartLink(request, metadata=self.identity.metadata(caller))).authorization
        return {**self.strict.consent(begun.authorization_url), "binding": begun.binding}

    def link(self, caller: Caller, **fields: str) -> Any:
        request = pb.LinkIdentityRequest(**{"user_id": caller.subject, "provider": self.provider, **fields})
        return self.stub.LinkIdentity(request, metadata=self.identity.metadata(caller))

    def prove(self, caller: Caller, token: str) -> Any:
        request = pb.ProveEmailRequest(user_id=caller.subject, token=token)
        return self.stub.ProveEmail(request, metadata=self.identity.metadata(caller))

    async def identities(self, caller: Caller, **page: Any) -> list[pb.Identity]:
        request = pb.ListIdentitiesRequest(user_id=caller.subject, **page)
        return list((await self.stub.ListIdentities(request, metadata=self.identity.metadata(caller))).identities)

    def unlink(self, caller: Caller, identity_id: str, proof: Proof | None = None) -> Any:
        request = pb.UnlinkIdentityRequest(user_id=caller.subject, id=identity_id, proof=proof)
        return self.stub.UnlinkIdentity(request, metadata=self.identity.metadata(caller))


@pytest.fixture
def client(identity: Identity, strict: Strict) -> Client:
    return Client(identity, strict)


def just_now(answer: pb.CompleteOAuthResponse) -> Caller:
    """Who has just logged in, in that session: for who has no password it is proof enough."""
    claims = jwt.decode(answer.tokens.access_token, options={"verify_signature": False})
    return replace(person(answer.user.id), session_id=claims["sid"])


async def with_password(identity: Identity, email: str) -> Caller:
    return person(await identity.make_person(email, password_hash=PASSWORD_HASH))


def rows(identity: Identity, query: str, *parameters: Any) -> list[dict[str, Any]]:
    with psycopg.connect(identity.database.migrator_url, row_factory=dict_row) as owner:
        cursor = owner.execute(query.encode(), parameters)
        return cursor.fetchall() if cursor.description else []
