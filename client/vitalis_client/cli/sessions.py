"""Commands about where a person is logged in."""

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from vitalis_client.api import DEFAULT_URL
from vitalis_client.cli.account import PANEL
from vitalis_client.cli.array import print_array
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, moment, say, stdout, usage
from vitalis_client.contract.models import Session

HELP = "Show where you are logged in, the newest first, or end sessions."
COLUMNS = ("Id", "Device", "Address", "Started (UTC)", "Last used (UTC)", "This one")


def add_to(app: typer.Typer) -> None:
    commands = typer.Typer(invoke_without_command=True, help=HELP, callback=list_sessions)
    commands.command("end")(end)
    app.add_typer(commands, name="sessions", rich_help_panel=PANEL)


def list_sessions(context: typer.Context, url: Url = DEFAULT_URL, json: Json = False) -> None:
    if context.invoked_subcommand:
        return
    with connect(url) as api:
        found = api.sessions()
        if json:
            print_array(found)
            return
        # It wraps, because the last column is as needed as the first, and a browser's name for itself is long.
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in COLUMNS:
            table.add_column(name, no_wrap=name == "Id", overflow="fold")
        for one in found:
            table.add_row(*(Text(cell) for cell in cells(one)))
        stdout().print(table)


def cells(session: Session) -> tuple[str, ...]:
    started, used = moment(session.created_at), moment(session.last_used_at)
    device, address = clean(session.user_agent or ""), clean(session.last_address or session.address or "")
    return session.id, device, address, started, used, "yes" if session.current else ""


def end(
    context: typer.Context,
    id: Annotated[str, typer.Argument(help="The session's id, as `vitalis sessions` lists it.")] = "",
    others: Annotated[bool, typer.Option("--others", help="All sessions but this one.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="All sessions, this one too.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """End a session, all others or all; within 30 seconds nothing can be done with it any more."""
    if [bool(id), others, all_].count(True) != 1:
        raise usage("say what to end: an id, --others or --all")
    named = context.get_parameter_source("url")
    if context.parent and (named is None or named.name != "COMMANDLINE"):
        # `vitalis sessions --url URL end …` must not end anything elsewhere.
        url = context.parent.params["url"]
    with connect(url) as api:
        if others:
            say(f"{count(api.revoke_other_sessions(), 'other session')} ended")
        elif all_:
            say(f"{count(api.revoke_all_sessions(), 'session')} ended, this one too; {again(url)}")
        elif any(one.current for one in api.sessions() if one.id == id):
            api.log_out()
            say(f"ended; it was this one; {again(url)}")
        else:
            api.revoke_session(id)
            say("ended")


def count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def again(url: str) -> str:
    return f"to come back: {hint('log-in', url)}"
