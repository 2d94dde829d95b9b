"""Commands about scans, tests and visits."""

import json as json_module
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Generic

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.api.collection import Collection, Row
from vitalis_client.cli import lab_reports
from vitalis_client.cli.array import print_array
from vitalis_client.cli.assign import changed
from vitalis_client.cli.labs import PANELS
from vitalis_client.cli.outline import label, outline, text
from vitalis_client.cli.records import Person
from vitalis_client.cli.tables import Column, number, print_table, words
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, print_json, say, stdout, usage
from vitalis_client.cli.units import KILOGRAMS, Units, preferred, trim, unit_words
from vitalis_client.contract.models import DexaChange, DexaScan, DoctorVisit, EpigeneticTest
from vitalis_client.http import MAX_PAGE

HIDDEN = frozenset({"user_id", "created_at", "updated_at", "deleted_at", "etag", "figures", "raw_data"})
STDIN = "-"
CAUTIONS = {
    "different_provider": "two providers' scanners differ: a change may be the machine's",
    "unknown_provider": "who made the scans is not stated: a change may be the machine's",
}
Fields = Annotated[
    list[str] | None,
    typer.Argument(metavar="FIELD=VALUE", help="What to state; a list is JSON.", show_default=False),
]
File = Annotated[
    str, typer.Option("--file", metavar="FILE", help="The fields as JSON, - for standard input.", show_default=False)
]
Id = Annotated[str, typer.Argument(metavar="ID", help="As the list has it.", show_default=False)]
Last = Annotated[int, typer.Option(min=1, metavar="N", help="How many, the newest first.")]


@dataclass(frozen=True, slots=True)
class Kind(Generic[Row]):
    """What a group of commands is about."""

    name: str
    one: str
    example: str
    model: type[Row]
    columns: Callable[[Units], Sequence[Column[Row]]]
    of: Callable[[Vitalis], Collection[Row]]
    # What follows from it, in lines.
    follows: Callable[[Row], Iterator[str]] = lambda row: iter(())
    # The type of documents about it, and the field of a confirmation that it is.
    document_type: str = ""
    record: str = ""


def figures(scan: DexaScan) -> Iterator[str]:
    """`FMI 5.1 kg/m2 = total fat / height²`, or what it needs."""
    for figure in scan.figures:
        name = figure.name.upper() if len(figure.name) < 5 else label(figure.name)
        if figure.value is None:
            yield f"{clean(name)}: needs {clean(', '.join(figure.missing))}"
        else:
            yield clean(
                f"{name} {trim(figure.value)} {unit_words(figure.unit)}".rstrip()
                + f" = {figure.formula} ({figure.source})"
            )


def scan_columns(units: Units) -> Sequence[Column[DexaScan]]:
    weight, factor = units.weight, KILOGRAMS["lbs"] / KILOGRAMS[units.weight]
    return (
        Column("Id", lambda scan: scan.id, left=True),
        words("scan_date", "Scanned"),
        words("provider", "By"),
        number("total_body_fat_pct", "Fat %", 1),
        number("total_mass_lbs", f"Mass {weight}", 1, factor),
        number("total_fat_lbs", f"Fat {weight}", 1, factor),
        number("total_lean_lbs", f"Lean {weight}", 1, factor),
        number("visceral_fat_lbs", f"Visceral {weight}", 2, factor),
    )


def change_columns(units: Units) -> Sequence[Column[DexaChange]]:
    return (
        Column("What", what, left=True),
        Column("Before", lambda change: measure(change, change.earlier_value, units)),
        Column("After", lambda change: measure(change, change.later_value, units)),
        Column("Change %", lambda change: "" if change.change_pct is None else f"{change.change_pct:+.1f}"),
    )


def what(change: DexaChange) -> str:
    """`Arms lean` of `regions.arms.lean_lbs`."""
    parts = change.path.split(".")
    named = " ".join(label(part) for part in (parts[1:] if len(parts) > 1 else parts)).lower()
    return named[:1].upper() + named[1:]


def measure(change: DexaChange, value: float, units: Units) -> str:
    return text(change.path.rpartition(".")[2], value, units)


SCANS: Kind[DexaScan] = Kind(
    "scans",
    "scan",
    "scan_date=2026-11-19 provider=BodySpec total_body_fat_pct=22.4",
    DexaScan,
    scan_columns,
    lambda api: api.labs.scans,
    figures,
    "dexa",
    "dexa_scan",
)
TESTS: Kind[EpigeneticTest] = Kind(
    "tests",
    "test",
    "collected_at=2026-11-19 provider=TruDiagnostic biological_age=41.2",
    EpigeneticTest,
    lambda _: (
        Column("Id", lambda test: test.id, left=True),
        words("collected_at", "Collected"),
        words("provider", "By"),
        number("biological_age", "Biological", 1),
        number("chronological_age", "Age", 1),
        number("delta_years", "Difference", 1),
        number("pace_score", "Pace", 2),
        words("methylation_clock", "Clock"),
    ),
    lambda api: api.labs.tests,
    document_type="epigenetics",
    record="epigenetic_test",
)
VISITS: Kind[DoctorVisit] = Kind(
    "visits",
    "visit",
    "visit_date=2026-11-19 'provider_name=Dr. Vogel' specialty=Cardiology",
    DoctorVisit,
    lambda _: (
        Column("Id", lambda visit: visit.id, left=True),
        words("visit_date", "Day"),
        Column("With", lambda visit: clean(visit.provider_name or ""), left=True),
        Column("Specialty", lambda visit: clean(visit.specialty or ""), left=True),
        words("follow_up_date", "Come again"),
    ),
    lambda api: api.labs.visits,
)


def add_to(labs: typer.Typer) -> None:
    scans, visits = commands(SCANS), commands(VISITS)
    scans.command("import")(importer(SCANS))
    scans.command("compare")(compare)
    visits.command("panels")(panels)
    tests = commands(TESTS)
    tests.command("import")(importer(TESTS))
    labs.add_typer(scans, name="scans", help="Show your DEXA scans; add some, and compare them.")
    labs.add_typer(tests, name="tests", help="Show your epigenetic tests; add some.")
    labs.add_typer(visits, name="visits", help="Show your visits to doctors; add some, and what was ordered there.")


def commands(kind: Kind[Row]) -> typer.Typer:
    """Listing, showing, adding, changing, taking out and bringing back."""
    group = typer.Typer(invoke_without_command=True)

    @group.callback()
    def list_(
        context: typer.Context, last: Last = 20, person: Person = "", url: Url = DEFAULT_URL, json: Json = False
    ) -> None:
        if context.invoked_subcommand is not None:
            return
        with connect(url) as api:
            rows = islice(kind.of(api).all(page_size=min(last, MAX_PAGE), person=person), last)
            if json:
                print_array(rows)
            elif found := list(rows):
                print_table(kind.columns(units(api)), found)
            else:
                say(f"there is no {kind.one} yet; add one with: {hint(f'labs {kind.name} add {kind.example}', url)}")

    @group.command("show", help=f"Show one {kind.one} with all that it says.")
    def show_one(id: Id, person: Person = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
        with connect(url) as api:
            tell(api, kind, kind.of(api).get(id, person=person), json)

    @group.command("add", help=f"Add a {kind.one}, such as {kind.example}.")
    def add(fields: Fields = None, file: File = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
        with connect(url) as api:
            row = kind.of(api).add(given(api, kind, fields, file))
            tell(api, kind, row, json)
            say(f"stored; all of them: {hint(f'labs {kind.name}', url)}")

    @group.command("set", help=f"Change a {kind.one}; FIELD= clears.")
    def set_(id: Id, fields: Fields = None, file: File = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
        with connect(url) as api:
            before = kind.of(api).get(id)
            values = {**read(file), **changed(before, fields or (), units(api))}
            stated = {name: value for name, value in values.items() if value is not None}
            if not values:
                raise usage(f"say what to change, such as {kind.example}")
            clear = [name for name in values if name not in stated]
            tell(api, kind, kind.of(api).change(id, stated, clear=clear), json)

    @group.command("remove", help=f"Take a {kind.one} out.")
    def remove(id: Id, url: Url = DEFAULT_URL) -> None:
        with connect(url) as api:
            kind.of(api).delete(id)
            say(f"taken out; bring it back with: {hint(f'labs {kind.name} restore {id}', url)}")

    @group.command("restore", help=f"Bring a {kind.one} back that was taken out.")
    def restore(id: Id, url: Url = DEFAULT_URL, json: Json = False) -> None:
        with connect(url) as api:
            tell(api, kind, kind.of(api).restore(id), json)

    return group


def importer(kind: Kind[Row]) -> Callable[..., None]:
    """The command that stores something with its report."""

    def import_report(
        report: Annotated[
            str, typer.Argument(help="Its report as PDF or picture, or the id of one that is there already.")
        ],
        fields: Fields = None,
        file: File = "",
        url: Url = DEFAULT_URL,
        json: Json = False,
    ) -> None:
        with connect(url) as api:
            values = given(api, kind, fields, file)
            if Path(report).exists():
                document = lab_reports.upload(api, Path(report), kind.document_type)
            else:
                document = api.labs.get_document(report)
            document = lab_reports.watched(api, document)
            confirmed = api.labs.confirm_document(document.id, record={kind.record: values})
            row = kind.of(api).get(confirmed.linked_record_id or "")
            tell(api, kind, row, json)
            say(f"stored; all of them: {hint(f'labs {kind.name}', url)}")

    import_report.__doc__ = f"Add a {kind.one} with its report, which is kept with it."
    return import_report


def given(api: Vitalis, kind: Kind[Row], fields: Sequence[str] | None, file: str) -> dict[str, Any]:
    """What a file and the arguments state, of which the latter go first."""
    values = {**read(file), **changed(kind.model.model_construct(), fields or (), units(api))}
    if not values:
        raise usage(f"say what it says, such as {kind.example}, or --file FILE")
    return values


def units(api: Vitalis) -> Units:
    return preferred(api.preferences())


def read(file: str) -> dict[str, Any]:
    """The object of JSON in a file; nothing without one."""
    if not file:
        return {}
    try:
        found = json_module.loads(sys.stdin.read() if file == STDIN else Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise usage(f"{file}: {error.strerror if isinstance(error, OSError) else 'is no JSON'}") from None
    if not isinstance(found, dict):
        raise usage(f"{file}: is no object of fields")
    return found


def tell(api: Vitalis, kind: Kind[Row], row: Row, json: bool) -> None:
    """Prints one whole, in the person's units."""
    if json:
        print_json(row)
        return
    for line in (*outline(row.model_dump(mode="json", exclude_none=True), units(api), HIDDEN), *kind.follows(row)):
        stdout().print(line, markup=False, soft_wrap=True)


def compare(
    later: Annotated[str, typer.Argument(metavar="ID", help="A scan; the newest if left out.")] = "",
    earlier: Annotated[str, typer.Argument(metavar="EARLIER", help="Another; the one before if left out.")] = "",
    person: Person = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show what two scans both measured, and how it changed."""
    with connect(url) as api:
        newest = later or next((scan.id for scan in api.labs.scans.all(page_size=1, person=person)), "")
        if not newest:
            say(f"there is no scan yet; add one with: {hint(f'labs scans add {SCANS.example}', url)}")
            return
        found = api.labs.compare_scans(newest, earlier, person=person)
        if json:
            print_json(found)
            return
        if not found.earlier_id:
            say("there is no earlier scan to compare it with")
            return
        stdout().print(f"{found.earlier_date} to {found.later_date}, {found.days} days")
        print_table(change_columns(units(api)), found.changes)
        for caution in found.cautions:
            say(CAUTIONS.get(caution, clean(caution)))


def panels(
    id: Id,
    ordered: Annotated[
        list[str] | None,
        typer.Argument(metavar="PANEL", help="What was ordered, in place of what is stated.", show_default=False),
    ] = None,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show which panels were ordered at a visit, or say so."""
    with connect(url) as api:
        found = api.labs.set_visit_panels(id, ordered) if ordered else api.labs.visit_panels(id)
        if json:
            print_array(found)
        elif found:
            print_table(PANELS, found)
        else:
            say(f"no panel is stated; say which with: {hint(f'labs visits panels {id} PANEL', url)}")
