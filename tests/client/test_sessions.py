"""Tokens: where they are kept, and how they are renewed."""

import stat
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.client.server import Server
from tests.client.server.accounts import CODE
from tests.client.server.base import PASSWORD, Fault
from vitalis_client import FileSessions, NotLoggedIn, Session, Vitalis, VitalisError

REFRESH = """
import sys
from vitalis_client import FileSessions, Vitalis
sys.stdin.readline()
with Vitalis(sys.argv[1], sessions=FileSessions()) as api:
    print(api.me().email)
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def expire(server: Server) -> None:
    """The stored access token is not old enough to be replaced, but the server takes it no longer."""
    server.good_access_token = "another"


def test_tokens_are_for_their_owner_only(api: Vitalis, config: Path) -> None:
    assert mode(config) == 0o700
    assert {path.name: mode(path) for path in config.iterdir()} == {"sessions.json": 0o600, "sessions.lock": 0o600}


def test_tokens_are_kept_by_server(config: Path) -> None:
    store = FileSessions()
    for number, url in enumerate(["http://a.test", "https://b.test:8443"]):
        session = Session(
            user_id=str(number), email="", access_token="a", access_token_expires_at=0, refresh_token=str(number)
        )
        store.save(url, session)
    store.save("http://a.test", None)
    assert FileSessions().load("http://a.test") is None
    kept = FileSessions().load("https://b.test:8443")
    assert kept
    assert kept.user_id == "1"


def test_tokens_are_not_shown_when_a_session_is(api: Vitalis) -> None:
    assert "refresh-1" not in repr(FileSessions().load(api.base_url))


def test_a_damaged_file_is_named(config: Path, server: Server) -> None:
    config.mkdir()
    (config / "sessions.json").write_text("{")
    with Vitalis(server.url, sessions=FileSessions()) as api, pytest.raises(VitalisError, match=r"sessions\.json is"):
        api.me()


def test_a_failed_write_leaves_the_old_file(api: Vitalis, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (config / "sessions.json").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vitalis_client.sessions.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        api.log_in("bob@example.com", PASSWORD)
    assert (config / "sessions.json").read_bytes() == before
    assert sorted(path.name for path in config.iterdir()) == ["sessions.json", "sessions.lock"]


def test_without_a_session_nothing_is_sent(server: Server) -> None:
    with Vitalis(server.url) as api, pytest.raises(NotLoggedIn):
        api.me()
    assert not server.requests


def test_a_token_about_to_expire_is_replaced_before_use(server: Server, config: Path) -> None:
    server.token_seconds = 30
    with Vitalis(server.url, sessions=FileSessions()) as api:
        api.log_in("ada@example.com", PASSWORD)
        server.token_seconds = 900
        api.me()
        api.me()
    assert server.requests["refresh"] == 1
    stored = FileSessions().load(server.url)
    assert stored
    assert (stored.access_token, stored.refresh_token) == ("access-2", "refresh-2")


def test_a_rejected_token_is_replaced_once(api: Vitalis, server: Server) -> None:
    expire(server)
    assert api.me().display_name == "Ada"
    assert server.requests == {"log_in": 1, "get_user": 2, "refresh": 1}


def test_a_server_that_rejects_new_tokens_too_is_asked_no_more(api: Vitalis, server: Server) -> None:
    server.fail("get_user", *[Fault(401)] * 3)
    with pytest.raises(VitalisError) as caught:
        api.me()
    assert caught.value.status == 401
    assert server.requests["refresh"] == 1


def test_the_new_refresh_token_is_stored_before_anything_else_fails(api: Vitalis, server: Server) -> None:
    expire(server)
    server.fail("get_user", Fault(401), Fault(500))
    with pytest.raises(VitalisError):
        api.me()
    with Vitalis(server.url, sessions=FileSessions()) as other:
        expire(server)
        other.me()
    assert server.reused == 0


@pytest.mark.parametrize("hours", [-5, 5])
def test_clocks_that_differ_do_no_harm(server: Server, hours: int) -> None:
    server.clock_offset = timedelta(hours=hours)
    with Vitalis(server.url) as api:
        api.log_in("ada@example.com", PASSWORD)
        api.me()
    assert server.requests["refresh"] == 0


def test_an_ended_session_is_forgotten(api: Vitalis, server: Server) -> None:
    server.refresh_tokens.append("taken over")
    expire(server)
    with pytest.raises(NotLoggedIn, match="has ended; log in again"):
        api.me()
    assert FileSessions().load(server.url) is None


def test_a_server_in_trouble_ends_no_session(api: Vitalis, server: Server, waits: list[float]) -> None:
    expire(server)
    server.fail("refresh", Fault(500))
    with pytest.raises(VitalisError):
        api.me()
    assert api.me()


def test_processes_that_renew_at_once_do_not_use_a_token_twice(
    server: Server, config: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    server.token_seconds = 30
    with Vitalis(server.url, sessions=FileSessions()) as api:
        api.log_in("ada@example.com", PASSWORD)
    server.token_seconds = 900
    running = [python("-c", REFRESH, server.url) for _ in range(4)]
    answers = [process.communicate("go\n", timeout=60) for process in running]
    assert [answer for answer, _ in answers] == ["ada@example.com\n"] * 4, answers
    assert (server.requests["refresh"], server.reused) == (1, 0)


def test_logging_out_tells_the_server_and_forgets(api: Vitalis, server: Server) -> None:
    api.log_out()
    api.log_out()
    assert server.requests["log_out"] == 1
    assert FileSessions().load(server.url) is None


def test_logging_out_forgets_even_when_the_server_fails(api: Vitalis, server: Server) -> None:
    server.fail("log_out", Fault(500))
    with pytest.raises(VitalisError):
        api.log_out()
    assert FileSessions().load(server.url) is None


def test_proving_the_address_logs_in(server: Server) -> None:
    with Vitalis(server.url) as api:
        api.register("grace@example.com", PASSWORD, "Grace")
        with pytest.raises(NotLoggedIn):
            api.me()
        with pytest.raises(VitalisError, match="is mistyped"):
            api.verify_email("another", PASSWORD)
        assert api.verify_email(CODE, PASSWORD).email == "grace@example.com"
        assert api.me()
