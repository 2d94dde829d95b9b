"""The command about what was done with a person's data."""

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL
from vitalis_client.cli.array import print_array
from vitalis_client.cli.privacy import PANEL
from vitalis_client.cli.tables import Column, print_table
from vitalis_client.cli.terminal import Json, Url, clean, connect, moment, say
from vitalis_client.contract.models import AuditEntry
from vitalis_client.http import MAX_PAGE


def add_to(app: typer.Typer) -> None:
    app.command("audit", rich_help_panel=PANEL)(audit)


def audit(
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many, the newest first.")] = 30,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show what was done with your data, by whom and from where; --json also has the values that changed."""
    with connect(url) as api:
        rows = islice(api.audit_trail(page_size=min(last, MAX_PAGE), on_missing=say_missing), last)
        if json:
            print_array(rows)
            return
        entries = list(rows)
        if not entries:
            say("there is nothing in your audit trail yet")
            return
        print_table(columns(api.me().id), entries)


def columns(me: str) -> Sequence[Column[AuditEntry]]:
    """The columns as a person reads them, who is `me`."""
    return (
        Column("When (UTC)", lambda entry: moment(entry.created_at), left=True),
        Column("What", what, left=True),
        Column("Of", place, left=True),
        Column("Who", lambda entry: who(entry, me), left=True),
        Column("From", lambda entry: clean(entry.ip_address or ""), left=True),
        Column("With", lambda entry: clean(entry.user_agent or ""), left=True),
        Column("Row", lambda entry: clean(entry.record_id or ""), left=True),
        Column("By grant", lambda entry: clean(entry.grant_id or ""), left=True),
    )


def what(entry: AuditEntry) -> str:
    """What was done, with the step where it was one of several."""
    step = (entry.new_values or {}).get("step") if not entry.table_name else None
    return clean(f"{entry.action} {step or ''}".strip()).replace("_", " ").lower()


def place(entry: AuditEntry) -> str:
    """The service, and the table if there is one."""
    return clean(f"{entry.service} {entry.table_name or ''}".strip())


def who(entry: AuditEntry, me: str) -> str:
    """Who did it, and in which role if it is somebody else who has one."""
    if entry.action_by == me:
        return "you"
    role = entry.actor_role if entry.actor_role in ("coach", "admin") else ""
    return clean(f"{role or ''} {entry.action_by}".strip())


def say_missing(services: Sequence[str]) -> None:
    say(f"what {', '.join(map(clean, services))} recorded is missing, because it could not be asked; try again later")
