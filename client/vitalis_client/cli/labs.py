"""Commands about what laboratories measured."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli import account
from vitalis_client.cli.array import print_array
from vitalis_client.cli.chart import Point, chart
from vitalis_client.cli.records import From, Person, To, text
from vitalis_client.cli.tables import Column, table
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, print_json, say, stdout, usage
from vitalis_client.cli.units import trim
from vitalis_client.contract.models import BiomarkerTrend, BloodMarker, BloodPanel, ReferenceInterval
from vitalis_client.errors import VitalisError
from vitalis_client.http import MAX_PAGE

PANEL = "Labs"
SEXES = ("female", "male")
# `99 mg/dL [70-99]`: a number with what stands before it, a unit, and the range in brackets.
PRINTED = re.compile(r"\s*((?:[<>]=?|≤|≥)?\s*[+-]?\d[\d.,]*)\s*([^\[\]]*?)\s*(?:\[([^\[\]]*)\]\s*)?")
# What the dictionary calls its markers.
SLUG = re.compile(r"[a-z][a-z0-9_]*")
LARGEST_CHART = 100
REPEATED = "there is such a panel of that day and laboratory; --again lets it take these results"
FLAGS = {"LL": "▼▼", "L": "▼", "H": "▲", "HH": "▲▲", "ABNORMAL": "!"}
Marker = Annotated[str, typer.Argument(help="A biomarker, such as glucose, or its name as a report prints it.")]
labs = typer.Typer(invoke_without_command=True)

EXAMPLE = "labs add 'Glucose=99 mg/dL [70-99]'"
PANELS: Sequence[Column[BloodPanel]] = (
    Column("Id", lambda panel: panel.id, left=True),
    Column("Collected", lambda panel: panel.collected_date, left=True),
    Column("Laboratory", lambda panel: clean(panel.lab_name or ""), left=True),
    Column("Panel", lambda panel: clean(panel.panel_name or ""), left=True),
    Column("Fasting", lambda panel: "" if panel.fasting is None else "yes" if panel.fasting else "no", left=True),
)
MARKERS: Sequence[Column[BloodMarker]] = (
    Column("Marker", lambda marker: clean(marker.raw_name), left=True),
    Column("Result", lambda marker: clean(marker.value)),
    Column("Unit", lambda marker: clean(marker.unit or ""), left=True),
    Column("", lambda marker: flag(marker), left=True),
    Column("Range", lambda marker: clean(marker.ref_range_text or ""), left=True),
    Column("Known as", lambda marker: clean(marker.biomarker or "not known"), left=True),
    Column("Collected", lambda marker: marker.collected_date, left=True),
    Column("Flag of the lab", lambda marker: clean(marker.flag or ""), left=True),
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
        elif panels := list(rows):
            show(PANELS, panels)
        else:
            say(f"there is no panel yet; add one with: {hint(EXAMPLE, url)}")


@labs.command("show")
def show_panel(
    panel: Annotated[
        str, typer.Argument(metavar="[ID]", help="The panel's id, as `vitalis labs` lists it; the newest by default.")
    ] = "",
    person: Person = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show what a panel measured."""
    with connect(url) as api:
        newest = panel or next((one.id for one in api.labs.panels(page_size=1, person=person)), "")
        if not newest:
            say(f"there is no panel yet; add one with: {hint(EXAMPLE, url)}")
            return
        rows = api.labs.markers(panel=newest, person=person)
        if json:
            print_array(rows)
        else:
            show(MARKERS, list(rows))


@labs.command("add")
def add(
    results: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=RESULT...",
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
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Add a panel; each result is read, converted and judged by its range, and by your sex and age."""
    with connect(url) as api:
        day = collected.date() if collected else datetime.now().astimezone().date()
        markers = [printed(result) for result in results or []] or asked()
        header = {"lab_name": lab, "panel_name": name, "fasting": fasting, "collected_date": day.isoformat()}
        given = {field: value for field, value in header.items() if value not in ("", None)}
        try:
            stored = api.labs.add_panel({**given, **whose(api, day)}, markers, override=again)
        except VitalisError as error:
            if error.reason == "PANEL_REPEATED":
                error.message = REPEATED
            elif error.reason == "MARKER_REPEATED":
                twice = "; ".join(f"{one.field}: {one.description}" for one in error.violations)
                error.message = f"{clean(twice)}; with --again the last result counts"
            raise
        if json:
            print_json(stored)
            return
        show(MARKERS, stored.markers)
        say(f"stored as panel {stored.blood_panel.id}")


def printed(result: str) -> dict[str, str]:
    """A marker as it is printed, of `Glucose=99 mg/dL [70-99]`."""
    name, equals, rest = result.partition("=")
    if not equals or not name.strip() or not rest.strip():
        raise usage(f"{clean(result)}: is no NAME=RESULT, such as 'Glucose=99 mg/dL [70-99]'")
    return {"raw_name": name.strip(), **read(rest)}


def read(result: str) -> dict[str, str]:
    """The value, the unit and the range of a result; one that is no number is the value as a whole."""
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
            show(MARKERS, rows)
        else:
            say("nothing is out of range")


@labs.command("trend")
def trend(
    marker: Marker,
    unit: Annotated[str, typer.Option(help="The unit to show; the marker's usual one by default.")] = "",
    start: From = None,
    end: To = None,
    person: Person = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Draw a marker over time, across panels and laboratories, in one unit."""
    with connect(url) as api:
        found = trend_of(api, marker, unit=unit, start=text(start), end=text(end), person=person)
        if json:
            print_json(found)
            return
        if not found.points:
            say(f"there is no result of {clean(found.display_name)} yet")
            return
        console = stdout()
        console.print(f"{clean(found.display_name)}, {clean(found.unit)}".rstrip(", "), markup=False)
        for line in drawn(found, min(console.width, LARGEST_CHART)):
            console.print(line, markup=False, soft_wrap=True)
        for line in told(found):
            console.print(line, markup=False, soft_wrap=True)


def trend_of(api: Vitalis, marker: str, **wanted: str) -> BiomarkerTrend:
    """The trend of a marker, by the dictionary's name or by one as it is printed, which can look like the former."""
    if not SLUG.fullmatch(marker):
        return api.labs.trend(slug_of(api, marker), **wanted)
    try:
        return api.labs.trend(marker, **wanted)
    except VitalisError as error:
        if error.reason != "NOT_FOUND":
            raise
        (match,) = api.labs.match([marker])
        if match.slug in ("", marker):
            raise
        return api.labs.trend(match.slug, **wanted)


def slug_of(api: Vitalis, name: str) -> str:
    """The dictionary's name of a marker, of a name as it is printed."""
    (match,) = api.labs.match([name])
    if not match.slug:
        meant = ", ".join(candidate.slug for candidate in match.candidates)
        raise VitalisError(
            0, "USAGE", f"{clean(name)} may be several markers, or none" + (f": {clean(meant)}" if meant else "")
        )
    return match.slug


def drawn(found: BiomarkerTrend, width: int) -> list[str]:
    points = [
        Point(date.fromisoformat(point.collected_date), point.value, bool(point.comparator))
        for point in found.points
        if point.value is not None
    ]
    if not points:
        return []
    interval = usual(found)
    return chart(points, low=interval.low if interval else None, high=interval.high if interval else None, width=width)


def usual(found: BiomarkerTrend) -> ReferenceInterval | None:
    """The normal range of the dictionary, if there is one and not several."""
    normal = [interval for interval in found.reference_intervals if interval.kind == "normal"]
    return normal[0] if len(normal) == 1 else None


def told(found: BiomarkerTrend) -> list[str]:
    """What the results are, and what they come to."""
    lines = []
    for point in found.points:
        value = clean(point.value_text or "") if point.value is None else f"{point.comparator}{trim(point.value)}"
        as_printed = f"{point.printed_value} {point.printed_unit or ''}".strip()
        place = f", {clean(point.lab_name)}" if point.lab_name else ""
        out = ", out of range" if point.in_range is False else ""
        lines.append(f"{point.collected_date}  {value:>8}  {clean(as_printed)}{place}{out}")
    if slope := found.slope:
        error = f" ± {trim(slope.standard_error_per_year)}" if slope.standard_error_per_year else ""
        lines.append(f"slope {slope.per_year:+.3g}{error} {clean(found.unit)} a year, of {slope.results} results")
    if change := found.change:
        line = f"last change {change.change_pct:+.1f} %"
        if change.reference_change_value_pct is not None:
            more = "more than" if change.exceeds else "within"
            line += f", {more} the {change.reference_change_value_pct:.1f} % that come by themselves"
        lines.append(line)
    return lines


def show(columns: Sequence[Column[Any]], rows: Sequence[Any]) -> None:
    console = stdout()
    shown, left_out = table(columns, rows, console.width)
    console.print(shown)
    if left_out:
        say(f"a wider terminal or --json also shows: {', '.join(left_out)}")


def flag(marker: BloodMarker) -> str:
    """Our own flag, as a sign; what is not judged has none."""
    own = marker.own_flag or ""
    return FLAGS.get(own, clean(own))
