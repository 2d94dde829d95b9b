"""Commands about who may see what: sharing, and what others share."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli.account import interactive
from vitalis_client.cli.array import print_array
from vitalis_client.cli.tables import Column, print_table
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, moment, print_json, say, stdout, usage
from vitalis_client.contract.models import Grant, ReceivedGrant

PANEL = "Sharing"
ACTIONS = ("accept", "decline", "leave", "revoke")
SCOPES = (
    "profile.read",
    "wearables.read",
    "wearables.write",
    "imports.read",
    "imports.write",
    "health_profile.read",
    "health_profile.write",
    "wellbeing.read",
    "wellbeing.write",
    "coaching_profile.read",
    "coaching_profile.write",
    "labs.read",
    "labs.write",
)
# The command that shows what a scope lets one read.
READ_WITH = {
    "wearables.read": "days",
    "coaching_profile.read": "profile",
    "health_profile.read": "health",
    "labs.read": "labs",
}

GIVEN: Sequence[Column[Grant]] = (
    # First, for what is last gives way in a narrow terminal, and nothing can be revoked without it.
    Column("Id", lambda grant: grant.id, left=True),
    Column("With", lambda grant: clean(grant.grantee_email), left=True),
    Column("Is", lambda grant: grant.status, left=True),
    Column("May", lambda grant: ", ".join(grant.scopes), left=True),
    Column("Until (UTC)", lambda grant: moment(grant.expires_at), left=True),
    Column("As", lambda grant: grant.relation, left=True),
)
RECEIVED: Sequence[Column[ReceivedGrant]] = (
    Column("Person", lambda grant: grant.owner_id, left=True),
    Column("From", lambda grant: clean(grant.owner_name), left=True),
    Column("Is", lambda grant: grant.status, left=True),
    Column("Id", lambda grant: grant.id, left=True),
    Column("May", lambda grant: ", ".join(grant.scopes), left=True),
    Column("Until (UTC)", lambda grant: moment(grant.expires_at), left=True),
)


def add_to(app: typer.Typer) -> None:
    app.command("share", rich_help_panel=PANEL)(share)
    app.command("shares", rich_help_panel=PANEL)(shares)


def share(
    what: Annotated[
        str, typer.Argument(metavar="EMAIL|accept|decline|leave|revoke", help="With whom, or what to do instead.")
    ],
    value: Annotated[
        str,
        typer.Argument(metavar="TOKEN|ID", help="The mailed token to accept or decline, the grant to leave or revoke."),
    ] = "",
    scopes: Annotated[
        str, typer.Option(metavar="SCOPES", help=f"What they may, with commas between: {', '.join(SCOPES)}.")
    ] = "",
    until: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d"], metavar="DATE", help="The last day; no end if left out.", show_default=False
        ),
    ] = None,
    coach: Annotated[bool, typer.Option("--coach", help="They are your coach; their account has to be one.")] = False,
    note: Annotated[str, typer.Option(help="A word to them.", show_default=False)] = "",
    agree: Annotated[bool, typer.Option("--agree", help="Agree to the sharing terms without being asked.")] = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Share your data with somebody, or accept, decline, leave or revoke what is shared."""
    with connect(url) as api:
        if what in ACTIONS:
            act(api, what, value, url)
            return
        if value or "@" not in what:
            raise usage(f"{clean(what)} is neither an email address nor one of {', '.join(ACTIONS)}")
        if not scopes:
            raise usage("say what they may: --scopes wearables.read")
        if until and until.date() < datetime.now().astimezone().date():
            raise usage(f"--until {until.date()} has passed")
        grant = api.sharing.offer(
            what,
            [scope.strip() for scope in scopes.split(",")],
            consent_version=consent(api, agree=agree),
            relation="coach" if coach else "person",
            until=(until + timedelta(days=1)).astimezone() if until else None,
            note=note,
        )
        if json:
            print_json(grant)
        say(f"offered to {clean(grant.grantee_email)}, who gets a mail")
        say(f"take it back with: {hint(f'share revoke {grant.id}', url)}")


def act(api: Vitalis, what: str, value: str, url: str) -> None:
    if not value:
        raise usage(f"share {what} needs {'the token' if what in ('accept', 'decline') else 'the id'}")
    if what == "accept":
        given = api.sharing.accept(value)
        say(f"{clean(given.owner_name)} shares {', '.join(given.scopes)} with you")
        for scope in given.scopes:
            if scope in READ_WITH:
                say(f"read it with: {hint(f'{READ_WITH[scope]} --person {given.owner_id}', url)}")
    elif what == "decline":
        api.sharing.decline(value)
        say("declined")
    elif what == "leave":
        api.sharing.leave(value)
        say("left")
    else:
        grant = api.sharing.revoke(value)
        say(f"{clean(grant.grantee_email)}: {grant.status}")


def consent(api: Vitalis, *, agree: bool) -> str:
    """The version of the terms that the person agrees to, having seen them."""
    terms = api.sharing.terms()
    for paragraph in terms.text.strip().split("\n\n"):
        say(clean(" ".join(paragraph.split())))
    if not agree:
        if not interactive():
            raise usage("there is no terminal to ask at: give --agree to agree to these terms")
        typer.confirm("Do you agree?", abort=True, err=True)
    return terms.version


def shares(url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Show what you share, and what others share with you."""
    with connect(url) as api:
        given, received = list(api.sharing.given()), list(api.sharing.received())
        if json:
            print_array([*given, *received])
            return
        if not given and not received:
            say(f"nothing is shared; share with: {hint('share EMAIL --scopes wearables.read', url)}")
        if given:
            stdout().print("You share")
            print_table(GIVEN, given)
        if received:
            stdout().print("Shared with you")
            print_table(RECEIVED, received)
