"""Commands about what was recorded: days, nights, workouts."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel

from vitalis_client.api import DEFAULT_URL
from vitalis_client.cli.array import print_array
from vitalis_client.cli.tables import DAYS, NIGHTS, WORKOUTS, Column, print_table
from vitalis_client.cli.terminal import Json, Url, connect, hint, say
from vitalis_client.http import MAX_PAGE

PANEL = "Records"
LAST = 30
Row = TypeVar("Row", bound=BaseModel)

From = Annotated[
    datetime | None,
    typer.Option(
        "--from", formats=["%Y-%m-%d"], metavar="DATE", help="The first date, as 2026-11-01.", show_default=False
    ),
]
To = Annotated[
    datetime | None,
    typer.Option("--to", formats=["%Y-%m-%d"], metavar="DATE", help="The last date.", show_default=False),
]
Last = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="How many, the newest first; 30 if no dates are given.", show_default=False),
]
Person = Annotated[
    str, typer.Option(metavar="ID", help="Of this person, who shares with you (vitalis shares).", show_default=False)
]
Source = Annotated[str, typer.Option(help="Only from this source, such as apple_health.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    app.command("days", rich_help_panel=PANEL)(days)
    app.command("nights", rich_help_panel=PANEL)(nights)
    app.command("workouts", rich_help_panel=PANEL)(workouts)


def days(
    start: From = None,
    end: To = None,
    last: Last = None,
    person: Person = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show days: steps, energy, heart, each value from the best source that has one."""
    with connect(url) as api:
        wanted = limit(start, end, last)
        rows = islice(api.days(text(start), text(end), page_size=page(wanted), person=person), wanted)
        if json:
            print_array(rows)
        else:
            show(list(rows), DAYS, "day", url, person)


def nights(
    start: From = None,
    end: To = None,
    last: Last = None,
    source: Source = "",
    person: Person = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show nights by the date they ended on. Times are the night's own; those with a Z are UTC."""
    with connect(url) as api:
        wanted = limit(start, end, last)
        listed = api.nights(text(start), text(end), source=source, page_size=page(wanted), person=person)
        rows = islice(listed, wanted)
        if json:
            print_array(rows)
        else:
            show(list(rows), NIGHTS, "night", url, person)


def workouts(
    start: From = None,
    end: To = None,
    last: Last = None,
    source: Source = "",
    person: Person = "",
    type: Annotated[str, typer.Option(help="Only of this type, such as running.", show_default=False)] = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show workouts and other activities. Times are those of the place; those with a Z are UTC."""
    with connect(url) as api:
        wanted = limit(start, end, last)
        kinds = {"source": source, "activity_type": type}
        listed = api.workouts(text(start), text(end), **kinds, page_size=page(wanted), person=person)
        rows = islice(listed, wanted)
        if json:
            print_array(rows)
        else:
            show(list(rows), WORKOUTS, "workout", url, person)


def show(rows: Sequence[Row], columns: Sequence[Column[Row]], what: str, url: str, person: str) -> None:
    """Prints rows as a table, in the API's order: the newest first."""
    if not rows:
        bring = "" if person else f"; bring some in with: {hint('import FILE', url)}"
        say(f"there is no {what} to show{bring}")
        return
    print_table(columns, rows)


def limit(start: datetime | None, end: datetime | None, last: int | None) -> int | None:
    """How many rows to show; None for all."""
    if last is None and start is None and end is None:
        return LAST
    return last


def page(wanted: int | None) -> int:
    return min(wanted or MAX_PAGE, MAX_PAGE)


def text(day: datetime | None) -> str:
    return day.date().isoformat() if day else ""
