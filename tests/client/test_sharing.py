"""Sharing: the SDK, and `vitalis share` and `vitalis shares`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.base import OWNER_ID
from vitalis_client import Vitalis, VitalisError
from vitalis_client.cli import app

Run = Callable[..., Result]
SHARE = ("share", "carla@example.com", "--scopes", "wearables.read, imports.read")


@pytest.fixture
def run(server: Server, api: Vitalis, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis …` as somebody who is logged in, with nobody at a terminal."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, arguments)


def test_offering_listing_narrowing_and_revoking(api: Vitalis) -> None:
    terms = api.sharing.terms()
    until = datetime(2027, 1, 1, tzinfo=UTC)
    grant = api.sharing.offer(
        "carla@example.com",
        ["wearables.read", "imports.read"],
        consent_version=terms.version,
        relation="coach",
        until=until,
        note="hello",
    )
    assert (grant.status, grant.relation, grant.expires_at, grant.note) == ("pending", "coach", until, "hello")
    assert grant.consent_version == "1"
    assert api.sharing.narrow(grant.id, ["wearables.read"]).scopes == ["wearables.read"]
    assert [given.id for given in api.sharing.given()] == [grant.id]
    assert api.sharing.revoke(grant.id).status == "revoked"
    without = api.sharing.offer("dora@example.com", ["wearables.read"], consent_version="1")
    assert (without.expires_at, without.note) == (None, None)
    with pytest.raises(VitalisError) as caught:
        api.sharing.offer("taken@example.com", ["wearables.read"], consent_version="1")
    assert caught.value.reason == "GRANT_EXISTS"


def test_accepting_reading_declining_and_leaving(api: Vitalis, server: Server) -> None:
    given = api.sharing.accept("vgt_good")
    assert [grant.owner_id for grant in api.sharing.received()] == [given.owner_id] == [OWNER_ID]
    del server.subjects[:]
    assert next(api.days(person=given.owner_id)).steps
    assert (list(api.nights(person=given.owner_id)), list(api.workouts(person=given.owner_id))) == ([], [])
    list(api.days())
    assert server.subjects[:3] == [OWNER_ID] * 3
    assert set(server.subjects[3:]) == {"me"}
    api.sharing.leave(given.id)
    assert [grant.status for grant in api.sharing.received()] == ["declined"]
    api.sharing.decline("vgt_good")
    for refuse in (api.sharing.accept, api.sharing.decline):
        with pytest.raises(VitalisError) as caught:
            refuse("vgt_bad")
        assert caught.value.reason == "GRANT_TOKEN_INVALID"


def test_sharing_from_the_command_line(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = run(*SHARE)
    assert unasked.exit_code == 2
    assert "What you share is seen." in unasked.stderr
    assert "--agree" in unasked.stderr
    assert server.grants == []

    shared = run(*SHARE, "--until", "2030-12-31", "--coach", "--note", "hello", "--agree")
    assert (shared.exit_code, shared.stdout) == (0, "")
    assert "offered to carla@example.com, who gets a mail" in shared.stderr
    (grant,) = server.grants
    assert (list(grant.scopes), grant.relation, grant.note) == (["wearables.read", "imports.read"], "coach", "hello")
    # The last day is a whole one, where the person is.
    assert grant.expires_at.ToDatetime(tzinfo=UTC).astimezone() == datetime(2031, 1, 1).astimezone()

    listed = run("shares").stdout
    for shown in ("carla@example.com", "wearables.read, imports.read", "pending", grant.id):
        assert shown in listed
    # Without the id nothing can be revoked, so it stays in a narrow terminal too, and what is left out is named.
    monkeypatch.setenv("COLUMNS", "60")
    narrow = run("shares")
    assert grant.id in narrow.stdout
    assert "May" in narrow.stderr
    monkeypatch.delenv("COLUMNS")
    assert run("share", "revoke", grant.id).stderr == "carla@example.com: revoked\n"
    as_json = run(*SHARE, "--agree", "--json")
    assert json.loads(as_json.stdout)["status"] == "pending"


def test_whoever_accepts_learns_how_to_read_what_is_shared(run: Run, server: Server) -> None:
    server.shared_scopes = ["health_profile.read", "coaching_profile.read", "coaching_profile.write"]
    accepted = run("share", "accept", "vgt_good")
    shown = [line for line in accepted.stderr.splitlines() if line.startswith("read it with")]
    commands = (f"vitalis {command} --person {OWNER_ID}" for command in ("health", "profile"))
    assert shown == [f"read it with: {command}" for command in commands]


def test_taking_what_others_share(run: Run, server: Server) -> None:
    accepted = run("share", "accept", "vgt_good")
    assert accepted.exit_code == 0
    # What a person is called does not steer the terminal.
    assert "Bert\ufffd[2J shares wearables.read with you" in accepted.stderr
    assert f"vitalis days --person {OWNER_ID}" in accepted.stderr
    listed = run("shares").stdout
    assert OWNER_ID in listed
    assert "\x1b" not in listed
    (grant,) = json.loads(run("shares", "--json").stdout)
    assert (grant["owner_id"], grant["status"]) == (OWNER_ID, "active")
    for command in ("days", "nights", "workouts"):
        del server.subjects[:]
        result = run(command, "--person", OWNER_ID)
        assert result.exit_code == 0
        assert set(server.subjects) == {OWNER_ID}
    assert "import" not in run("nights", "--person", OWNER_ID).stderr
    assert run("share", "leave", grant["id"]).stderr == "left\n"
    assert run("share", "decline", "vgt_good").stderr == "declined\n"
    refused = run("share", "accept", "vgt_bad")
    assert (refused.exit_code, refused.stderr) == (1, "vitalis: the invitation is not valid\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("share", "carla", "--scopes", "wearables.read"),
        ("share", "carla@example.com"),
        (*SHARE, "--until", "2020-01-01", "--agree"),
        ("share", "carla@example.com", "surplus", "--scopes", "wearables.read"),
        ("share", "accept"),
        ("share", "revoke"),
        ("share",),
    ],
)
def test_a_wrong_command_says_so(run: Run, server: Server, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
    assert server.grants == []


def test_nothing_shared_yet(run: Run) -> None:
    result = run("shares")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "vitalis share EMAIL --scopes wearables.read" in result.stderr
