"""Profile, preferences and household, by the SDK and by the command."""

import json
from collections.abc import Iterator

import pytest
from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.base import NOW, PASSWORD, USER, Place, bad_query, cut, refuse, reply
from vitalis.identity.v1 import accounts_pb2
from vitalis_client import Vitalis, VitalisError
from vitalis_client.cli import app

TOKEN = "vin_token"


class PeopleServer(Server):
    """A server that knows a household besides."""

    def __init__(self) -> None:
        self.invitations: list[accounts_pb2.AccountInvitation] = []
        self.home = accounts_pb2.Account(id="a", subscription_tier="family", subscription_status="active", max_users=4)
        self.home.created_at.FromDatetime(NOW)
        self.home.members.add(id="m1", display_name="Ada", is_owner=True)
        self.home.members.add(id="m2", display_name="Bob\x1b[31m", username="bob")
        super().__init__()

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("GET", USER + "/account", self.account),
            ("POST", USER + "/account:join", self.join),
            ("POST", USER + "/account:declineInvitation", self.join),
            ("POST", USER + "/account:leave", self.account),
            ("POST", USER + "/account-members/{id}:remove", self.member),
            ("POST", USER + "/account-members/{id}:makeOwner", self.member),
            ("POST", USER + "/account-invitations", self.invite),
            ("GET", USER + "/account-invitations", self.list_invitations),
            ("POST", USER + "/account-invitations/{id}:revoke", self.revoke),
        ]

    async def account(self, request: Request) -> Response:
        return reply(self.home)

    async def join(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), accounts_pb2.JoinAccountRequest())
        if body.token != TOKEN:
            return refuse(400, "FAILED_PRECONDITION", "INVITATION_INVALID", "the token is not one")
        return reply(self.home)

    async def member(self, request: Request) -> Response:
        known = {member.id for member in self.home.members}
        if request.path_params["id"] not in known:
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such member")
        return reply(self.home)

    async def invite(self, request: Request) -> Response:
        made = json_format.Parse(await request.body(), accounts_pb2.AccountInvitation())
        made.id, made.status = f"i{len(self.invitations)}", "open"
        for name in ("created_at", "updated_at", "expires_at"):
            getattr(made, name).FromDatetime(NOW)
        self.invitations.append(made)
        return reply(made)

    async def list_invitations(self, request: Request) -> Response:
        if problem := bad_query(request, accounts_pb2.ListAccountInvitationsRequest):
            return problem
        wanted = request.query_params.get("status", "")
        rows, token = cut(request, [one for one in self.invitations if wanted in ("", one.status)])
        return reply(accounts_pb2.ListAccountInvitationsResponse(account_invitations=rows, next_page_token=token))

    async def revoke(self, request: Request) -> Response:
        found = next(one for one in self.invitations if one.id == request.path_params["id"])
        found.status = "revoked"
        return reply(found)


@pytest.fixture
def server() -> Iterator[Server]:
    with PeopleServer() as running:
        yield running


def run(server: Server, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--url", server.url])


@pytest.fixture(autouse=True)
def logged_in(api: Vitalis) -> Vitalis:
    return api


def test_a_profile_is_changed_and_cleared(api: Vitalis, server: Server) -> None:
    assert api.update_profile(username="ada", cycle_enabled=True, bio="x").username == "ada"
    cleared = api.update_profile(name="Ada L.", clear=["bio"])
    assert (cleared.username, cleared.bio, cleared.cycle_enabled) == ("ada", None, True)
    assert run(server, "whoami").stdout.startswith("Ada @ada <ada@example.com>\n")
    shown = run(server, "me", "--set", "cycle_enabled=false", "--clear", "name")
    assert shown.exit_code == 0
    assert "username: ada\n" in shown.stdout
    assert "cycle_enabled: false\n" in shown.stdout
    assert "name: Ada L." not in shown.stdout
    assert json.loads(run(server, "me", "--json").stdout)["username"] == "ada"


def test_preferences_are_changed(api: Vitalis, server: Server) -> None:
    assert api.preferences().weight_unit == "lbs"
    assert api.update_preferences(weight_unit="kg").weight_unit == "kg"
    shown = run(server, "preferences", "--set", 'dashboard_layout={"a": [1]}', "--set", "notifications_enabled=false")
    assert 'dashboard_layout: {"a": [1.0]}\n' in shown.stdout
    assert "notifications_enabled: false\n" in shown.stdout
    assert "weight_unit: kg\n" in run(server, "preferences").stdout


@pytest.mark.parametrize("assignment", ["weight_unit", "=kg", "dashboard_layout={"])
def test_what_is_no_assignment(server: Server, assignment: str) -> None:
    result = run(server, "preferences", "--set", assignment)
    assert result.exit_code == 2
    assert result.stderr.startswith("vitalis: ")


def test_a_household_by_the_sdk(api: Vitalis) -> None:
    assert api.account().members[0].display_name == "Ada"
    first, second = api.invite_to_account("bob@example.com"), api.invite_to_account("cleo@example.com")
    assert api.revoke_account_invitation(first.id).status == "revoked"
    assert [one.id for one in api.account_invitations(status="open")] == [second.id]
    assert api.join_account(TOKEN).id == "a"
    api.decline_account_invitation(TOKEN)
    with pytest.raises(VitalisError, match="the token is not one"):
        api.join_account("another")
    for account in (api.leave_account(), api.remove_account_member("m2"), api.make_account_owner("m2")):
        assert account.max_users == 4


def test_a_household_by_the_command(server: Server) -> None:
    shown = run(server, "household", "show")
    assert shown.stdout == "family, active, 2 of 4 people\nm1  Ada, owner\nm2  Bob\ufffd[31m @bob\n"
    assert run(server, "household", "invite", "bob@example.com").stderr == (
        "invited bob@example.com until 2026-11-20 12:00 UTC\n"
    )
    assert run(server, "household", "invitations").stdout == "i0  open      bob@example.com\n"
    assert run(server, "household", "revoke", "i0").stderr == "the invitation is revoked\n"
    assert run(server, "household", "join", TOKEN).stdout == shown.stdout
    assert run(server, "household", "decline", TOKEN).stderr == "declined\n"
    refused = run(server, "household", "join", "another")
    assert (refused.exit_code, refused.stderr) == (1, "vitalis: the token is not one\n")
    for command in (("leave",), ("remove", "m2"), ("hand-over", "m2")):
        assert run(server, "household", *command).stdout == shown.stdout
    assert run(server, "household", "remove", "m3").exit_code == 1
    assert json.loads(run(server, "household", "show", "--json").stdout)["max_users"] == 4


def test_the_password_is_not_among_what_can_be_set(api: Vitalis) -> None:
    with pytest.raises(VitalisError):
        api.update_profile(password=PASSWORD)
