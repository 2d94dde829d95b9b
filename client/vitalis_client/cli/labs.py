"""Commands about what laboratories measured."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli import account
from vitalis_client.cli.array import print_array
from vitalis_client.cli.records import Person
from vitalis_client.cli.tables import Column, print_table
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, print_json, say, stdout, usage
from vitalis_client.cli.units import unit_words
from vitalis_client.contract.models import (
    AddBloodMarkersResponse,
    BloodMarker,
    BloodPanel,
    CreateBloodPanelResponse,
)
from vitalis_client.errors import VitalisError
from vitalis_client.http import MAX_PAGE

PANEL = "Labs"
SEXES = ("female", "male")
# `99 mg/dL [70-99]`: a number with what stands before it, a unit, and the range in brackets.
PRINTED = re.compile(r"\s*((?:[<>]=?|≤|≥)?\s*[+-]?\d[\d.,]*)\s*([^\[\]]*?)\s*(?:\[([^\[\]]*)\]\s*)?")
# How the server numbers the markers that it was sent.
PLACE = re.compile(r"markers\[(\d+)\]")
REPEATED = "there is such a panel of that day and laboratory; --again lets it take these results"
FLAGS = {"LL": "▼▼", "L": "▼", "H": "▲", "HH": "▲▲", "ABNORMAL": "!"}
PanelId = Annotated[str, typer.Argument(metavar="ID", help="The panel's id, as `vitalis labs` lists it.")]
labs = typer.Typer(invoke_without_command=True)

EXAMPLE = "labs add 'Glucose=99 mg/dL [70-99]'"
PANELS: Sequence[Column[BloodPanel]] = (
    Column("Id", lambda panel: panel.id, left=True),
    Column("Collected", lambda panel: panel.collected_date, left=True),
    Column("Laboratory", lambda panel: clean(panel.lab_name or ""), left=True),
    Column("Panel", lambda panel: clean(panel.panel_name or ""), left=True),
    Column("Fasting", lambda panel: yes_no(panel.fasting), left=True),
)
RESULTS: Sequence[Column[BloodMarker]] = (
    Column("Marker", lambda marker: clean(marker.raw_name), left=True),
    Column("Result", lambda marker: clean(marker.value)),
    Column("Unit", lambda marker: clean(marker.unit or ""), left=True),
    Column("", lambda marker: flag(marker), left=True),
    Column("Range", lambda marker: clean(marker.ref_range_text or ""), left=True),
    Column("Known as", lambda marker: clean(marker.biomarker or "not known"), left=True),
    Column("Optimal", lambda marker: yes_no(marker.in_optimal), left=True),
    Column("Flag of the lab", lambda marker: clean(marker.flag or ""), left=True),
)
OUT_OF_RANGE: Sequence[Column[BloodMarker]] = (
    *RESULTS[:5],
    Column("Collected", lambda marker: marker.collected_date, left=True),
    RESULTS[5],
    Column("Panel", lambda marker: marker.panel_id, left=True),
)


def add_to(app: typer.Typer) -> None:
    app.add_typer(labs, name="labs", help="Show your lab panels; add some, and see trends.", rich_help_panel=PANEL)


@labs.callback()
def list_panels(
    context: typer.Context,
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many, the newest first.")] = 20,
    person: Person = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    with connect(url) as api:
        rows = islice(api.labs.panels(page_size=min(last, MAX_PAGE), person=person), last)
        if json:
            print_array(rows)
            return
        if panels := list(rows):
            print_table(PANELS, panels)
        else:
            say(f"there is no panel yet; add one with: {hint(EXAMPLE, url)}")
        if not person and any(api.labs.documents(status="needs_review", page_size=1)):
            say(f"a report waits for your review: {hint('labs review', url)}")


@labs.command("show")
def show_panel(
    panel: Annotated[
        str, typer.Argument(metavar="ID", help="The panel's id, as `vitalis labs` lists it; the newest by default.")
    ] = "",
    person: Person = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show what a panel measured, by category and in the dictionary's order; what is not known comes last."""
    with connect(url) as api:
        newest = panel or next((one.id for one in api.labs.panels(page_size=1, person=person)), "")
        if not newest:
            say(f"there is no panel yet; add one with: {hint(EXAMPLE, url)}")
        elif json:
            print_array(markers_of(api, newest, person))
        else:
            print_panel(api, newest, person)


def print_panel(api: Vitalis, panel_id: str, person: str = "") -> None:
    """A panel's head and its markers."""
    panel = api.labs.panel(panel_id, person=person)
    fasting = {True: "fasting", False: "not fasting", None: ""}[panel.fasting]
    parts = (clean(panel.lab_name or ""), clean(panel.panel_name or ""), f"collected {panel.collected_date}", fasting)
    stdout().print(", ".join(part for part in parts if part), markup=False, soft_wrap=True)
    if panel.notes:
        stdout().print(clean(panel.notes), markup=False, soft_wrap=True)
    print_table(RESULTS, markers_of(api, panel_id, person))


def markers_of(api: Vitalis, panel_id: str, person: str = "") -> list[BloodMarker]:
    """A panel's markers by the dictionary's order; what that does not know comes last, as it was entered."""
    places = {biomarker.slug: place for place, biomarker in enumerate(api.labs.biomarkers())}
    markers = api.labs.markers(panel=panel_id, person=person)
    return sorted(markers, key=lambda marker: (places.get(marker.biomarker or "", len(places)), marker.id))


@labs.command("add")
def add(
    results: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=RESULT",
            help="As printed, the range in brackets: 'Glucose=99 mg/dL [70-99]'. Asked for if left out.",
            show_default=False,
        ),
    ] = None,
    collected: Annotated[
        datetime | None,
        typer.Option("--date", formats=["%Y-%m-%d"], metavar="DATE", help="When it was collected; today by default."),
    ] = None,
    lab: Annotated[str, typer.Option(help="The laboratory.", show_default=False)] = "",
    name: Annotated[str, typer.Option(help="What was ordered.", show_default=False)] = "",
    fasting: Annotated[bool | None, typer.Option("--fasting/--not-fasting", help="Whether you had fasted.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Let a panel that is there already take these results.")
    ] = False,
    to: Annotated[
        str,
        typer.Option(metavar="ID", help="Add to this panel; with --again, correct what it has.", show_default=False),
    ] = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Add a panel; each result is read, converted and judged by its range, and by your sex and age."""
    with connect(url) as api:
        day = collected.date() if collected else datetime.now().astimezone().date()
        header = {"lab_name": lab, "panel_name": name, "fasting": fasting}
        given = {field: value for field, value in header.items() if value not in ("", None)}
        if to and (given or collected):
            raise usage("--to names a panel, which has its day, laboratory and name")
        markers = [printed(result) for result in results or []] or asked()
        stored: CreateBloodPanelResponse | AddBloodMarkersResponse
        try:
            if to:
                stored = api.labs.add_markers(to, markers, override=again)
            else:
                head = {**given, "collected_date": day.isoformat(), **whose(api, day)}
                stored = api.labs.add_panel(head, markers, override=again)
        except VitalisError as error:
            explain_repeated(error, markers)
            raise
        if json:
            print_json(stored)
            return
        print_table(RESULTS, stored.markers)
        panel = to or stored.markers[0].panel_id
        say(f"stored as panel {panel}")
        for line in kept_as_printed(api, stored.markers):
            say(line)


def kept_as_printed(api: Vitalis, markers: Sequence[BloodMarker]) -> Iterator[str]:
    """Why results are of no marker that is known, and so in no trend: their name, or their unit."""
    unknown = [marker for marker in markers if not marker.biomarker]
    for marker, match in zip(unknown, api.labs.match([marker.raw_name for marker in unknown]), strict=True):
        if match.slug:
            units = ", ".join(unit_words(unit.ucum) for unit in api.labs.biomarker(match.slug).units)
            why = f"{match.slug} is measured in {units}"
        else:
            why = "no marker of that name is known"
        yield clean(f"{marker.raw_name} is kept as printed and in no trend: {why}")


def explain_repeated(error: VitalisError, markers: Sequence[Mapping[str, str]]) -> None:
    """Says it by the names that were typed, and what can be done."""
    if error.reason == "PANEL_REPEATED":
        error.message = REPEATED
    elif error.reason == "MARKER_REPEATED":
        places = [PLACE.fullmatch(broken.field) for broken in error.violations]
        twice = dict.fromkeys(clean(markers[int(place[1])]["raw_name"]) for place in places if place)
        error.message = f"already there, or typed twice: {', '.join(twice)}; with --again the last result counts"
        error.violations = ()


def printed(result: str) -> dict[str, str]:
    """A marker as it is printed, of `Glucose=99 mg/dL [70-99]`."""
    name, equals, rest = result.partition("=")
    if not equals or not name.strip() or not rest.strip():
        raise usage(f"{clean(result)}: is no NAME=RESULT, such as 'Glucose=99 mg/dL [70-99]'")
    return {"raw_name": name.strip(), **read(rest)}


def read(result: str) -> dict[str, str]:
    """The value, the unit and the range of a result; one that is no number is the value as a whole.

    Raises VitalisError (USAGE) for a range whose bracket is not closed.
    """
    if result.count("[") != result.count("]"):
        raise usage(f"{clean(result.strip())}: a range stands in brackets, [70-99]")
    found = PRINTED.fullmatch(result)
    if found is None:
        return {"value": result.strip()}
    fields = {"value": found[1].strip(), "unit": found[2].strip(), "ref_range_text": (found[3] or "").strip()}
    return {name: value for name, value in fields.items() if value}


def asked() -> list[dict[str, str]]:
    """Markers typed one by one."""
    markers: list[dict[str, str]] = []
    while account.interactive() and (name := account.line("Marker (Enter when done)")):
        markers.append({"raw_name": name, **read(account.ask("Result with its unit, and [range]"))})
    if not markers:
        raise usage(f"say what was measured, such as {EXAMPLE}")
    return markers


def whose(api: Vitalis, day: date) -> dict[str, Any]:
    """The person's sex and their age on a day, as far as they have stated them: ranges depend on them."""
    me = api.me()
    known: dict[str, Any] = {"sex": me.biological_sex} if me.biological_sex in SEXES else {}
    if me.date_of_birth:
        born = date.fromisoformat(me.date_of_birth)
        known["age_years"] = max(day.year - born.year - ((day.month, day.day) < (born.month, born.day)), 0)
    return known


@labs.command("flags")
def flags(person: Person = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Show the markers whose newest result is out of range."""
    with connect(url) as api:
        rows = api.labs.out_of_range(person=person)
        if json:
            print_array(rows)
        elif rows:
            print_table(OUT_OF_RANGE, rows)
        else:
            say("nothing is out of range")


@labs.command("remove")
def remove(
    panel: PanelId,
    marker: Annotated[str, typer.Argument(help="Only this result of it, by its name as printed.")] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Take a panel out with what it measured, or one result."""
    with connect(url) as api:
        if not marker:
            api.labs.delete_panel(panel)
            say(f"taken out; bring it back with: {hint(f'labs restore {panel}', url)}")
            return
        named = [row for row in api.labs.markers(panel=panel) if row.raw_name.lower() == marker.lower()]
        if not named:
            raise usage(f"the panel has no {clean(marker)}")
        for row in named:
            api.labs.delete_marker(row.id)
            say(f"{clean(row.raw_name)} {clean(row.value)} is taken out")


@labs.command("restore")
def restore(panel: PanelId, url: Url = DEFAULT_URL) -> None:
    """Bring a panel back that was taken out."""
    with connect(url) as api:
        api.labs.restore_panel(panel)
        print_panel(api, panel)


def yes_no(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def flag(marker: BloodMarker) -> str:
    """Our own flag, as a sign; what is not judged has none."""
    own = marker.own_flag or ""
    return FLAGS.get(own, clean(own))
