"""A server to talk to, and a configuration directory of the test's own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.client.server import Server
from tests.client.server.base import PASSWORD
from vitalis_client import FileSessions, Vitalis
from vitalis_client.http import Http


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`VITALIS_CONFIG_DIR` of the test."""
    directory = tmp_path / "config"
    monkeypatch.setenv("VITALIS_CONFIG_DIR", str(directory))
    for name in ("VITALIS_URL", "VITALIS_PASSWORD", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    return directory


@pytest.fixture
def api(server: Server, config: Path) -> Iterator[Vitalis]:
    """Logged in, with the tokens in the configuration directory."""
    with Vitalis(server.url, sessions=FileSessions()) as client:
        client.log_in("ada@example.com", PASSWORD)
        yield client


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited, each time; it does not."""
    waited: list[float] = []
    monkeypatch.setattr(Http, "pause", staticmethod(waited.append))
    return waited


@pytest.fixture
def python(config: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`python("-m", "vitalis_client", …)` starts a process without a terminal."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        process = subprocess.Popen([sys.executable, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
