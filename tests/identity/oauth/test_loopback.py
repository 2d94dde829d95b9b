"""Logging in elsewhere from a program: the browser comes back to a port of the machine (RFC 8252)."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from gateway.app import create_app
from gateway.settings import GatewaySettings
from services.identity.settings import IdentitySettings
from tests.databases import ServiceDatabase
from tests.gateway.conftest import Serving
from tests.harness import Trust
from tests.identity.conftest import running
from tests.identity.oauth.conftest import Strict
from vitalis_client import MemorySessions, Vitalis, VitalisError
from vitalis_client.loopback import PATH, landing


@pytest.fixture
async def server(
    settings: tuple[IdentitySettings, ServiceDatabase], trust: Trust, strict: Strict, tmp_path: Path
) -> AsyncIterator[str]:
    """The URL of a gateway before an identity whose provider sends people back to programs."""
    configured, database = settings
    provider = strict.provider(redirect_uris=(f"http://127.0.0.1{PATH}",))
    async with running(configured.model_copy(update={"oidc_providers": {"strict": provider}}), database, trust) as one:
        gateway = GatewaySettings(
            services={"identity": one.running.target}, caller_key_file=tmp_path / "gateway.pem", docs=False
        )
        async with Serving(create_app(gateway)[1], gateway) as served:
            yield str(served.base_url)


async def test_a_program_logs_in_through_the_browser(server: str) -> None:
    sessions = MemorySessions()

    def person() -> str:
        with Vitalis(server, sessions=sessions) as api:
            user = api.log_in_elsewhere("strict", lambda url: httpx.get(url, follow_redirects=True).raise_for_status())
            assert api.me().id == user.id
            return user.email

    assert await asyncio.to_thread(person) == "ada@example.com"


async def test_the_server_s_refusals_are_the_program_s(server: str, strict: Strict) -> None:
    strict.rules(person={"email": None})

    def fails(provider: str) -> str:
        with Vitalis(server) as api, pytest.raises(VitalisError) as caught:
            api.log_in_elsewhere(provider, lambda url: httpx.get(url, follow_redirects=True))
        return caught.value.reason

    assert await asyncio.to_thread(fails, "strict") == "OAUTH_EMAIL_MISSING"
    assert await asyncio.to_thread(fails, "nobody") == "OAUTH_PROVIDER_UNKNOWN"


async def test_the_command_opens_the_browser(server: str, tmp_path: Path) -> None:
    browser = tmp_path / "browser.py"
    browser.write_text("import sys, httpx\nhttpx.get(sys.argv[1], follow_redirects=True).raise_for_status()\n")
    environment = {
        **os.environ,
        "BROWSER": f"{sys.executable} {browser} %s",
        "VITALIS_CONFIG_DIR": str(tmp_path / "config"),
        "VITALIS_URL": server,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }

    def vitalis(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "vitalis_client", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    logged_in = await asyncio.to_thread(vitalis, "log-in", "--provider", "strict")
    assert logged_in.returncode == 0, logged_in.stderr
    assert logged_in.stderr.endswith("logged in as ada@example.com\n")
    assert "Ada Lovelace" in (await asyncio.to_thread(vitalis, "whoami")).stdout


def test_what_another_log_in_brings_is_passed_over() -> None:
    with landing() as page, ThreadPoolExecutor() as browser:
        waiting = browser.submit(page.wait, "mine", 10)
        for query in ({"code": "theirs", "state": "theirs"}, {"code": "none"}, {"state": "m\u00efne"}):
            assert httpx.get(f"{page.url}?{urlencode(query)}").status_code == 200
        answer = httpx.get(f"{page.url}?{urlencode({'code': 'c', 'state': 'mine', 'iss': 'i'})}")
        assert waiting.result() == {"code": "c", "state": "mine", "iss": "i"}
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_refusal_and_nobody_at_all() -> None:
    with landing() as page:
        httpx.get(f"{page.url}?{urlencode({'error': 'access_denied', 'state': 'mine'})}")
        with pytest.raises(VitalisError, match="access_denied") as refused:
            page.wait("mine", 10)
        assert refused.value.reason == "LOG_IN_REFUSED"
        with pytest.raises(VitalisError) as late:
            page.wait("mine", 0.01)
        assert late.value.reason == "LOG_IN_TIMED_OUT"


def test_the_port_is_this_machine_s_alone_and_closed_afterwards() -> None:
    with landing() as page:
        assert page.url.startswith("http://127.0.0.1:")
        assert httpx.get(page.url.replace(PATH, "/")).status_code == 404
        assert httpx.get(f"{page.url}?{'a=b&' * 50}").status_code == 404
        port = httpx.URL(page.url).port
        assert port
        # One that connects and says nothing keeps nobody out for long.
        with socket.create_connection(("127.0.0.1", port)):
            pass
        assert httpx.get(page.url, timeout=20).status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(page.url)
