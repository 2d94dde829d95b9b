"""Commands about laboratories' files: results that other systems export, and reports on paper."""

from collections.abc import Sequence
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli import account, imports
from vitalis_client.cli.imports import Id
from vitalis_client.cli.labs import MARKERS, REPEATED, show, whose
from vitalis_client.cli.progress import bar
from vitalis_client.cli.records import text
from vitalis_client.cli.tables import Column
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, print_json, say, stdout, usage
from vitalis_client.cli.units import trim
from vitalis_client.contract.models import Document, DocumentValue
from vitalis_client.errors import VitalisError

GROUP = "labs "
# A scanner or a mail program may have put something before a PDF.
HEAD_BYTES = 1024
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")

VALUES: Sequence[Column[DocumentValue]] = (
    Column("No.", lambda value: str(value.position + 1)),
    Column("Marker", lambda value: clean(value.raw_name), left=True),
    Column("Result", lambda value: clean(value.value)),
    Column("Unit", lambda value: clean(value.unit or ""), left=True),
    Column("Sure", lambda value: "" if value.confidence is None else f"{value.confidence:.0%}"),
    Column("Doubtful", lambda value: clean(", ".join(value.doubts)).replace("_", " "), left=True),
    Column("Range", lambda value: clean(value.ref_range_text or ""), left=True),
    Column("Flag", lambda value: clean(value.flag or ""), left=True),
    Column("Known as", lambda value: clean(value.biomarker or "not known"), left=True),
    Column("Canonical", lambda value: canonical(value), left=True),
)


def add_to(labs: typer.Typer) -> None:
    labs.command("import")(import_file)
    labs.command("imports")(list_imports)
    labs.command("watch")(watch)
    labs.command("cancel")(cancel)
    labs.command("roll-back")(roll_back)


def import_file(
    file: Annotated[Path, typer.Argument(help="FHIR R4, HL7 v2, C-CDA or CSV; or a report as PDF, PNG, JPEG or TIFF.")],
    time_zone: Annotated[
        str, typer.Option(help="Of times without an offset, such as Europe/Vienna; UTC by default.", show_default=False)
    ] = "",
    collected: Annotated[
        datetime | None,
        typer.Option(
            "--date", formats=["%Y-%m-%d"], metavar="DATE", help="When it was collected, if that is not in it."
        ),
    ] = None,
    date_order: Annotated[
        str, typer.Option(help="day_first or month_first: how a CSV file's 03/04/2026 is read.", show_default=False)
    ] = "",
    drop: Annotated[
        list[int] | None, typer.Option(metavar="NO", help="Leave a report's value out, by its number; repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Confirm what was read in a report without being asked.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Let a panel that is there already take a report's results.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until a file is imported.")] = True,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Bring in a laboratory's file: its results, or a report, whose values you confirm."""
    with connect(url) as api:
        if is_document(file):
            document = read(api, file)
            document = complete(api, document, text(collected))
            review(api, document, set(drop or ()), yes=yes, again=again, url=url, json=json)
            return
        with imports.uploading(f"{GROUP}imports", url), bar() as shown:
            queued = api.labs.upload(
                file, time_zone=time_zone, collected=text(collected), date_order=date_order, on_progress=shown.upload
            )
        imports.go_on(api.labs, queued, url, wait=wait, json=json, group=GROUP)


def list_imports(
    status: Annotated[str, typer.Option(help="Only those with this status, such as succeeded.")] = "",
    last: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List imports of laboratories' files, the newest first."""
    with connect(url) as api:
        imports.show_list(islice(api.labs.imports(status=status), last), f"{GROUP}import FILE", url, json)


def watch(id: Id, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Watch an import until it has ended, and show its account."""
    with connect(url) as api:
        imports.follow(api.labs, id, url, json, GROUP)


def cancel(id: Id, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Stop an import; nothing of it is stored."""
    with connect(url) as api:
        imports.show(api.labs.cancel_import(id), json)


def roll_back(id: Id, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Take back everything that an import stored."""
    with connect(url) as api:
        imports.show(api.labs.roll_back_import(id), json)


def is_document(file: Path) -> bool:
    """Whether a file is a report on paper, by its content; what cannot be read is for the upload to complain of."""
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(PICTURES) or b"%PDF-" in head


def read(api: Vitalis, file: Path) -> Document:
    """Uploads a report and waits until it is read. Raises VitalisError with the reason if it cannot be."""
    with bar() as shown:
        document = api.labs.upload_document(file, on_progress=shown.upload)
    for step in api.labs.watch_document(document.id):
        document = step
        say(f"document {document.id}: {document.parse_status.replace('_', ' ')}")
    if document.parse_status == "failed":
        raise VitalisError(0, "DOCUMENT_FAILED", document.error_message or "the document could not be read")
    return document


def complete(api: Vitalis, document: Document, day: str) -> Document:
    """Says when the specimen was collected, and of whom, as far as the report does not."""
    if document.parse_status == "confirmed":
        return document
    header = document.report_header.model_dump(mode="json", exclude_none=True) if document.report_header else {}
    wanted: dict[str, Any] = dict(header)
    if day:
        wanted.pop("collected_at", None)
        wanted["collected_date"] = day
    if "collected_date" not in wanted:
        if not account.interactive():
            raise usage("the report does not say when it was collected: give the day with --date")
        wanted["collected_date"] = account.ask("Collected on (YYYY-MM-DD)")
    try:
        collected = date.fromisoformat(wanted["collected_date"])
    except ValueError:
        raise usage(f"{clean(wanted['collected_date'])} is no day such as 2026-11-02") from None
    wanted = {**whose(api, collected), **wanted}
    return document if wanted == header else api.labs.set_report_header(document.id, wanted)


def review(
    api: Vitalis, document: Document, dropped: set[int], *, yes: bool, again: bool, url: str, json: bool
) -> None:
    """Shows what was read, and makes a panel of it when the person says so."""
    if document.parse_status != "confirmed":
        values = api.labs.document_values(document.id)
        if unknown := dropped - {value.position + 1 for value in values}:
            raise usage(f"there is no value {min(unknown)} to leave out")
        for value in values:
            if value.position + 1 in dropped:
                api.labs.drop_document_value(value.id)
        left = [value for value in values if value.position + 1 not in dropped]
        # Changes of values are changes of the document.
        document = api.labs.get_document(document.id)
        if not json:
            tell(document, left)
        if not yes and (json or not account.interactive() or not typer.confirm("Are these your results?", err=True)):
            if json:
                print_json(document)
            say("nothing is stored yet; the same command with --yes confirms it, --drop NO leaves a value out")
            return
        try:
            document = api.labs.confirm_document(document.id, etag=document.etag, override=again)
        except VitalisError as error:
            if error.reason == "PANEL_REPEATED":
                error.message = REPEATED
            raise
    if json:
        print_json(document)
        return
    panel = document.linked_record_id or ""
    show(MARKERS, list(api.labs.markers(panel=panel)))
    say(f"stored as panel {panel}; see it again: {hint(f'labs show {panel}', url)}")


def tell(document: Document, values: Sequence[DocumentValue]) -> None:
    """The head of a report, its values, and how many are doubtful."""
    header = document.report_header
    where = clean(header.lab_name or "") if header else ""
    collected = f"collected {header.collected_date}" if header else ""
    line = ", ".join(part for part in (clean(document.original_filename), where, collected) if part)
    stdout().print(line, markup=False, soft_wrap=True)
    show(VALUES, values)
    doubtful = sum(bool(value.doubts) for value in values)
    say(f"{len(values)} values were read, {doubtful} of them doubtful")


def canonical(value: DocumentValue) -> str:
    if value.value_canonical is None:
        return ""
    return f"{value.comparator}{trim(value.value_canonical)} {clean(value.canonical_unit or '')}".rstrip()
