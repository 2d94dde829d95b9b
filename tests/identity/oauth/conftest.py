"""Providers as processes of their own: a conforming one of somebody else's making, and one that breaks rules."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from services.identity.oauth.providers import Provider
from services.identity.settings import IdentitySettings
from services.kit.errors import register_reasons
from tests.databases import ServiceDatabase
from tests.e2e.vitalis import until
from tests.harness import Trust
from tests.identity.conftest import Identity, running
from tests.identity.oauth.provider import CLIENT_ID, CLIENT_SECRET
from vitalis.identity.v1 import errors_pb2

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
