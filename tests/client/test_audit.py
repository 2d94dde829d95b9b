"""The audit trail, by the SDK and by the command."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.base import NOW, OWNER_ID, USER, USER_ID, Place, bad_query, cut, reply
from vitalis.common.v1 import audit_pb2 as common_pb2
from vitalis.identity.v1 import audit_pb2
from vitalis_client import Vitalis
from vitalis_client.cli import app

GRANT_ID = "01990000-0000-7000-8000-000000000003"


class AuditServer(Server):
    """A server that has an audit trail besides."""

    def __init__(self) -> None:
        self.entries: list[common_pb2.AuditEntry] = []
        self.unavailable: list[str] = []
        super().__init__()

    def record(self, action: str, by: str, **values: Any) -> None:
        entry = common_pb2.AuditEntry(id=f"e{len(self.entries)}", action=action, action_by=by, **values)
        entry.created_at.FromDatetime(NOW)
        self.entries.insert(0, entry)

    def places(self) -> list[Place]:
        return [*super().places(), ("GET", USER + "/audit-trail", self.list_audit_trail)]

    async def list_audit_trail(self, request: Request) -> Response:
        if problem := bad_query(request, audit_pb2.ListAuditTrailRequest):
            return problem
        wanted = request.query_params.get("action", "")
        rows, token = cut(request, [one for one in self.entries if wanted in ("", one.action)])
        answer = audit_pb2.ListAuditTrailResponse(entries=rows, next_page_token=token)
        answer.unavailable_services.extend(self.unavailable)
        return reply(answer)


@pytest.fixture
def server() -> Iterator[AuditServer]:
    with AuditServer() as running:
        running.record("LOGIN", USER_ID, service="identity", ip_address="127.0.0.1", user_agent="curl\x1b[2J")
        running.record("INSERT", "service:tracking", service="tracking", table_name="imports", record_id="i1")
        running.record("READ", OWNER_ID, service="tracking", actor_role="coach", grant_id=GRANT_ID)
        yield running


@pytest.fixture(autouse=True)
def logged_in(api: Vitalis) -> Vitalis:
    return api


def run(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments, "--url", server.url])


def test_an_event_of_several_steps_says_which_it_was(server: AuditServer) -> None:
    for step in ("requested", "cancelled"):
        server.record("ERASE", USER_ID, service="identity", new_values={"step": step})
    # A row's own column of that name is no such step.
    server.record("INSERT", USER_ID, service="identity", table_name="onboarding_step_events", new_values={"step": "3"})
    _, insert, cancelled, requested, *_ = (line.split() for line in run(server).stdout.splitlines())
    assert (insert[2:4], cancelled[2:4], requested[2:4]) == (
        ["insert", "identity"],
        ["erase", "cancelled"],
        ["erase", "requested"],
    )


def test_the_trail_as_a_table_says_who_and_where(server: AuditServer) -> None:
    result = run(server)
    assert (result.exit_code, result.stderr) == (0, "")
    header, read, insert, login = (line.split() for line in result.stdout.splitlines())
    assert " ".join(header) == "When (UTC) What Of Who From With Row By grant"
    assert read == ["2026-11-20", "12:00", "read", "tracking", "coach", OWNER_ID, GRANT_ID]
    assert insert == ["2026-11-20", "12:00", "insert", "tracking", "imports", "service:tracking", "i1"]
    # What a program called itself does not steer the terminal.
    assert login == ["2026-11-20", "12:00", "login", "identity", "you", "127.0.0.1", "curl\ufffd[2J"]


def test_only_the_last_are_asked_for(server: AuditServer) -> None:
    (entry,) = json.loads(run(server, "--last", "1", "--json").stdout)
    assert (entry["action"], entry["actor_role"], entry["grant_id"]) == ("READ", "coach", GRANT_ID)
    assert server.requests["list_audit_trail"] == 1
    assert run(server, "--last", "0").exit_code == 2


def test_a_narrow_terminal_names_what_it_leaves_out(server: AuditServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    result = run(server)
    assert result.stdout.splitlines()[0].split() == ["When", "(UTC)", "What", "Of"]
    assert result.stderr == "a wider terminal or --json also shows: Who, From, With, Row, By grant\n"


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_what_a_service_could_not_tell_is_said(server: AuditServer, arguments: Sequence[str]) -> None:
    server.unavailable = ["labs"]
    result = run(server, *arguments)
    assert result.exit_code == 0
    assert result.stderr == "what labs recorded is missing, because it could not be asked; try again later\n"


def test_an_empty_trail(server: AuditServer) -> None:
    server.entries.clear()
    result = run(server)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "there is nothing in your audit trail yet\n"


def test_the_sdk_filters_and_goes_from_page_to_page(api: Vitalis, server: AuditServer) -> None:
    server.unavailable = ["labs"]
    missing: list[str] = []
    assert [entry.id for entry in api.audit_trail(page_size=2, on_missing=missing.extend)] == ["e2", "e1", "e0"]
    assert missing == ["labs", "labs"]
    assert [entry.action_by for entry in api.audit_trail(action="LOGIN")] == [USER_ID]
