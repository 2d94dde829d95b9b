"""The command that draws a marker over time."""

import re
from datetime import date
from itertools import islice
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli.chart import Point, chart
from vitalis_client.cli.records import From, Person, To, text
from vitalis_client.cli.terminal import Json, Url, clean, connect, print_json, say, stdout, usage
from vitalis_client.cli.units import trim, unit_words
from vitalis_client.contract.models import BiomarkerTrend, MarkerMatch, ReferenceInterval
from vitalis_client.errors import VitalisError

# What the dictionary calls its markers.
SLUG = re.compile(r"[a-z][a-z0-9_]*")
LARGEST_CHART = 100
# How many markers are named that may have been meant.
MOST_MEANT = 3
# How many results are told one by one, the newest.
LISTED = 30
Marker = Annotated[str, typer.Argument(help="A biomarker, such as glucose, or its name as a report prints it.")]


def add_to(labs: typer.Typer) -> None:
    labs.command("trend")(trend)


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
        console.print(f"{clean(found.display_name)}, {clean(unit_words(found.unit))}".rstrip(", "), markup=False)
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
            begun = islice(api.labs.biomarkers(search=marker.replace("_", " "), page_size=MOST_MEANT), MOST_MEANT)
            if likely := meant(match) or " or ".join(biomarker.slug for biomarker in begun):
                error.message += f"; perhaps {clean(likely)}"
            raise
        return api.labs.trend(match.slug, **wanted)


def slug_of(api: Vitalis, name: str) -> str:
    """The dictionary's name of a marker, of a name as it is printed."""
    (match,) = api.labs.match([name])
    if not match.slug:
        likely = f": {clean(meant(match))}" if match.candidates else ""
        raise usage(f"{clean(name)} may be several markers, or none{likely}")
    return match.slug


def meant(match: MarkerMatch) -> str:
    return " or ".join(candidate.slug for candidate in match.candidates)


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
    if earlier := len(found.points[:-LISTED]):
        lines.append(f"{earlier} earlier results are drawn; --from, --to and --json tell them")
    for point in found.points[-LISTED:]:
        value = clean(point.value_text or "") if point.value is None else f"{point.comparator}{trim(point.value)}"
        as_printed = f"{point.printed_value} {point.printed_unit or ''}".strip()
        place = f", {clean(point.lab_name)}" if point.lab_name else ""
        out = ", out of range" if point.in_range is False else ""
        lines.append(f"{point.collected_date}  {value:>8}  {clean(as_printed)}{place}{out}")
    if slope := found.slope:
        error = f" ± {slope.standard_error_per_year:.3g}" if slope.standard_error_per_year else ""
        lines.append(
            f"slope {slope.per_year:+.3g}{error} {clean(unit_words(found.unit))} a year, of {slope.results} results"
        )
    if change := found.change:
        line = f"last change {change.change_pct:+.1f} %"
        if change.reference_change_value_pct is not None:
            more = "more than" if change.exceeds else "within"
            line += f", {more} the {change.reference_change_value_pct:.1f} % that come by themselves"
        lines.append(line)
    return lines
