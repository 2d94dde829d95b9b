"""Lists, errors, retries."""

import socket
from datetime import date

import pytest

from tests.client.server import Server
from tests.client.server.accounts import RULE
from tests.client.server.base import PASSWORD, Fault
from vitalis_client import Unreachable, Violation, Vitalis, VitalisError


def test_lists_go_from_page_to_page(api: Vitalis, server: Server) -> None:
    days = list(api.days(date(2026, 10, 5), "2026-10-31", page_size=10))
    assert [day.date for day in days] == [f"2026-10-{day:02d}" for day in range(31, 4, -1)]
    assert server.requests["list_days"] == 3


def test_a_list_asks_for_no_page_that_nobody_reads(api: Vitalis, server: Server) -> None:
    first = next(api.days(page_size=10))
    assert first.date == "2026-10-31"
    assert server.requests["list_days"] == 1


def test_an_empty_list(api: Vitalis) -> None:
    assert list(api.nights(start="2026-01-01")) == []
    assert list(api.workouts(activity_type="running", source="apple_health")) == []


def test_preferred_sources_are_sent_in_order(api: Vitalis) -> None:
    assert len(list(api.days(preferred_sources=["oura", "apple_health"]))) == 31


def test_an_error_names_reason_fields_and_request(server: Server) -> None:
    with Vitalis(server.url) as api, pytest.raises(VitalisError) as caught:
        api.register("ada@example.com", "short", "Ada")
    error = caught.value
    assert (error.status, error.reason, error.request_id) == (400, "INVALID_FIELD", "request-0002")
    assert error.violations == (Violation("password", RULE),)
    assert str(error) == f"password: {RULE}"
    assert "short" not in repr(error)


def test_wrong_credentials_start_no_session(server: Server) -> None:
    with Vitalis(server.url) as api:
        with pytest.raises(VitalisError, match="email or password is wrong"):
            api.log_in("ada@example.com", "wrong")
        with pytest.raises(VitalisError, match="not logged in"):
            api.me()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(502, body=b"<html>Bad Gateway</html>"), "answered 502 without saying why"),
        (Fault(200, body=b"<html>Hello</html>"), "sent no proper ListDaysResponse"),
        (Fault(200, body=b'{"days": [{"steps": "many"}]}'), r"sent no proper ListDaysResponse \(days.0.steps"),
        (Fault(404, body=b'{"error": "nope"}'), "answered 404"),
    ],
)
def test_answers_that_are_not_the_apis(api: Vitalis, server: Server, fault: Fault, message: str) -> None:
    server.fail("list_days", fault)
    with pytest.raises(VitalisError, match=message) as caught:
        list(api.days())
    assert caught.value.reason == "UNEXPECTED_ANSWER"
    assert "many" not in str(caught.value)


def test_reading_is_repeated_when_the_server_is_busy(api: Vitalis, server: Server, waits: list[float]) -> None:
    server.fail("get_user", Fault(503, {"retry-after": "7"}), Fault(503))
    assert api.me()
    assert waits == [7, 0.5]


def test_reading_is_repeated_when_the_answer_is_lost(api: Vitalis, server: Server, waits: list[float]) -> None:
    server.fail("get_user", Fault(lose=True))
    assert api.me()
    assert waits == [0.25]


def test_patience_ends(api: Vitalis, server: Server, waits: list[float]) -> None:
    server.fail("get_user", *[Fault(503)] * 3)
    with pytest.raises(VitalisError) as caught:
        api.me()
    assert caught.value.status == 503
    assert server.requests["get_user"] == 3


def test_a_long_wait_is_left_to_the_caller(api: Vitalis, server: Server, waits: list[float]) -> None:
    server.fail("get_user", Fault(503, {"retry-after": "3600"}))
    with pytest.raises(VitalisError):
        api.me()
    assert waits == []


def test_other_failures_are_not_repeated(api: Vitalis, server: Server) -> None:
    server.fail("get_user", Fault(500))
    with pytest.raises(VitalisError):
        api.me()
    assert server.requests["get_user"] == 1


@pytest.mark.parametrize("fault", [Fault(503), Fault(lose=True)])
def test_what_is_not_idempotent_is_sent_once(api: Vitalis, server: Server, fault: Fault) -> None:
    row = server.add_import("running")
    server.fail("cancel_import", fault)
    server.fail("log_in", fault)
    with pytest.raises(VitalisError):
        api.cancel_import(row.id)
    with pytest.raises(VitalisError):
        api.log_in("ada@example.com", PASSWORD)
    assert (server.requests["cancel_import"], server.requests["log_in"]) == (1, 2)


def test_a_server_that_is_not_there(waits: list[float]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Vitalis(f"http://127.0.0.1:{port}/") as api, pytest.raises(Unreachable) as caught:
        api.log_in("ada@example.com", PASSWORD)
    assert (caught.value.status, caught.value.reason) == (0, "UNREACHABLE")
    assert str(caught.value) == f"cannot reach http://127.0.0.1:{port}"


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Vitalis(url, timeout=0.1) as api, pytest.raises(Unreachable, match="waited too long"):
            api.log_in("ada@example.com", PASSWORD)


def test_a_proxy_does_not_stand_before_this_machine(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with Vitalis(server.url) as api:
        assert api.log_in("ada@example.com", PASSWORD)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://a.test", "http://", "http://a.test/?x=1", "http://a.test:port"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="is no server's URL"):
        Vitalis(url)


def test_a_path_in_front_of_the_api_is_kept() -> None:
    with Vitalis("https://a.test/vitalis/") as api:
        assert api.base_url == "https://a.test/vitalis"
