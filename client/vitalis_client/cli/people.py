"""Commands about what the server knows of a person, and about their household."""

import json as json_module
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from pydantic import BaseModel

from vitalis_client.api import DEFAULT_URL
from vitalis_client.cli.terminal import Json, Url, clean, connect, moment, print_json, say, stdout, usage
from vitalis_client.contract.models import Account

PANEL = "Account"
Set = Annotated[
    list[str], typer.Option("--set", metavar="FIELD=VALUE", help="Change a field; can be repeated.", show_default=False)
]
Clear = Annotated[
    list[str], typer.Option("--clear", metavar="FIELD", help="Clear a field; can be repeated.", show_default=False)
]
Invitation = Annotated[
    str, typer.Argument(help="The invitation's id, as `vitalis household invitations` lists it.", show_default=False)
]
Token = Annotated[str, typer.Argument(help="The token out of the mail.", show_default=False)]
Member = Annotated[str, typer.Argument(help="The member's id, as `vitalis household show` lists it.")]
household = typer.Typer(no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    app.command("me", rich_help_panel=PANEL)(me)
    app.command("preferences", rich_help_panel=PANEL)(preferences)
    app.add_typer(household, name="household", help="Who is in your account; it shares nothing.", rich_help_panel=PANEL)


def me(set_: Set = [], clear: Clear = [], url: Url = DEFAULT_URL, json: Json = False) -> None:  # noqa: B006
    """Show or change who you are, such as --set username=ada."""
    with connect(url) as api:
        show(api.update_profile(clear=clear, **fields(set_)) if set_ or clear else api.me(), json)


def preferences(set_: Set = [], clear: Clear = [], url: Url = DEFAULT_URL, json: Json = False) -> None:  # noqa: B006
    """Show or change your preferences, such as --set weight_unit=kg."""
    with connect(url) as api:
        changed = set_ or clear
        show(api.update_preferences(clear=clear, **fields(set_)) if changed else api.preferences(), json)


@household.command("show")
def show_household(url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Show your account and who is in it."""
    with connect(url) as api:
        show_account(api.account(), json)


@household.command("invite")
def invite(email: Annotated[str, typer.Argument(help="Their email address.")], url: Url = DEFAULT_URL) -> None:
    """Invite somebody by mail."""
    with connect(url) as api:
        invitation = api.invite_to_account(email)
        say(f"invited {clean(invitation.email)} until {moment(invitation.expires_at)} UTC")


@household.command("invitations")
def invitations(url: Url = DEFAULT_URL) -> None:
    """List the invitations that you have sent."""
    with connect(url) as api:
        for one in api.account_invitations():
            stdout().print(f"{one.id}  {one.status:8}  {clean(one.email)}", markup=False, soft_wrap=True)


@household.command("revoke")
def revoke(invitation_id: Invitation, url: Url = DEFAULT_URL) -> None:
    """Take an invitation back."""
    with connect(url) as api:
        say(f"the invitation is {api.revoke_account_invitation(invitation_id).status}")


@household.command("join")
def join(token: Token, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Accept an invitation with the token of its mail."""
    with connect(url) as api:
        show_account(api.join_account(token), json)


@household.command("decline")
def decline(token: Token, url: Url = DEFAULT_URL) -> None:
    """Decline an invitation with the token of its mail."""
    with connect(url) as api:
        api.decline_account_invitation(token)
        say("declined")


@household.command("leave")
def leave(url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Leave a household for an account of your own."""
    with connect(url) as api:
        show_account(api.leave_account(), json)


@household.command("remove")
def remove(member_id: Member, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Remove a member from your household."""
    with connect(url) as api:
        show_account(api.remove_account_member(member_id), json)


@household.command("hand-over")
def hand_over(member_id: Member, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Make another member the owner."""
    with connect(url) as api:
        show_account(api.make_account_owner(member_id), json)


def fields(assignments: list[str]) -> Mapping[str, Any]:
    """What `FIELD=VALUE` says; true, false and JSON objects are read as such, all else is text."""
    found: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not name or not equals:
            raise usage(f"--set takes FIELD=VALUE, not {clean(assignment)}")
        found[name] = value
        if value in ("true", "false") or value.startswith("{"):
            try:
                found[name] = json_module.loads(value)
            except ValueError:
                raise usage(f"{clean(name)}: is no JSON") from None
    return found


def show(answer: BaseModel, json: bool) -> None:
    """One line a field, without what is not set."""
    if json:
        print_json(answer)
        return
    for name, value in answer.model_dump(mode="json", exclude_none=True).items():
        text = value if isinstance(value, str) else json_module.dumps(value)
        stdout().print(f"{name}: {clean(text)}", markup=False, soft_wrap=True)


def show_account(account: Account, json: bool) -> None:
    if json:
        print_json(account)
        return
    places = f"{len(account.members)} of {account.max_users}"
    stdout().print(f"{account.subscription_tier}, {account.subscription_status}, {places} people", soft_wrap=True)
    for member in account.members:
        name = clean(member.display_name) + (f" @{member.username}" if member.username else "")
        owner = ", owner" if member.is_owner else ""
        stdout().print(f"{member.id}  {name}{owner}".strip(), markup=False, soft_wrap=True)
