"""Commands about reports on paper: read by the server, reviewed, and panels once they are confirmed."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli import account, imports
from vitalis_client.cli.array import print_array
from vitalis_client.cli.lab_changes import Change, addition, correction
from vitalis_client.cli.lab_question import ask
from vitalis_client.cli.lab_review import Review, tell
from vitalis_client.cli.labs import print_panel
from vitalis_client.cli.progress import bar
from vitalis_client.cli.records import text
from vitalis_client.cli.tables import Column, print_table
from vitalis_client.cli.terminal import (
    INTERRUPTED,
    Json,
    Url,
    clean,
    connect,
    hint,
    moment,
    print_json,
    say,
    usage,
)
from vitalis_client.contract.models import Document, DocumentValue

# A scanner or a mail program may have put something before a PDF.
HEAD_BYTES = 1024
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\x00", b"MM\x00*")
# The commands that take what reports of these types say.
ENTERED = {"dexa": "scans", "epigenetics": "tests"}
STATES = {
    "pending": "waits to be read",
    "parsing": "is being read",
    "needs_review": "waits for your review",
    "confirmed": "confirmed",
    "failed": "could not be read",
}
REPORTS: Sequence[Column[Document]] = (
    Column("Id", lambda document: document.id, left=True),
    Column("State", lambda document: state(document), left=True),
    Column("File", lambda document: clean(document.original_filename), left=True),
    Column("Collected", lambda document: collected(document), left=True),
    Column("Laboratory", lambda document: clean(document.provider_name or ""), left=True),
    Column("Uploaded (UTC)", lambda document: moment(document.created_at), left=True),
    Column("Panel", lambda document: document.linked_record_id or "", left=True),
)

Report = Annotated[
    str, typer.Argument(metavar="ID", help="The report's id, as `vitalis labs reports` lists it.", show_default=False)
]
Correct = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NO=RESULT",
        help="Correct a report's value: '3=5.6 mmol/L', 3.unit=mmol/L; repeatable.",
        show_default=False,
    ),
]
Add = Annotated[
    list[str] | None,
    typer.Option(
        "--add",
        metavar="NAME=RESULT",
        help="Add what was not found: 'Ferritin=80 ng/mL'; repeatable.",
        show_default=False,
    ),
]
Drop = Annotated[
    list[int] | None,
    typer.Option(metavar="NO", help="Leave a report's value out, by its number; repeatable.", show_default=False),
]
Restore = Annotated[
    list[int] | None,
    typer.Option(metavar="NO", help="Bring back a value that was left out; repeatable.", show_default=False),
]
Collected = Annotated[
    datetime | None,
    typer.Option(
        "--date",
        formats=["%Y-%m-%d"],
        metavar="DATE",
        help="When it was collected, if that is not in it.",
        show_default=False,
    ),
]
Lab = Annotated[str, typer.Option(help="The laboratory, if that is not in a report.", show_default=False)]
Yes = Annotated[bool, typer.Option("--yes", help="Confirm what was read in a report without being asked.")]
Again = Annotated[bool, typer.Option("--again", help="Let a panel that is there already take a report's results.")]
reports = typer.Typer(invoke_without_command=True)


def add_to(labs: typer.Typer) -> None:
    labs.command("review")(review)
    labs.add_typer(reports, name="reports", help="List the reports on paper that you have uploaded; remove one.")


@reports.callback()
def list_reports(
    context: typer.Context,
    status: Annotated[str, typer.Option(help="Only those in this state, such as needs_review.")] = "",
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many, the newest first.")] = 20,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    if context.invoked_subcommand is not None:
        return
    with connect(url) as api:
        rows = islice(api.labs.documents(status=status), last)
        if json:
            print_array(rows)
            return
        found = list(rows)
        if not found:
            say(f"there is no such report; bring one in with: {hint('labs import REPORT', url)}")
            return
        print_table(REPORTS, found)
        if any(document.parse_status == "needs_review" for document in found):
            say(f"review one with: {hint('labs review ID', url)}")


@reports.command("remove")
def remove(
    id: Annotated[str, typer.Argument(help="The report's id, as `vitalis labs reports` lists it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it without being asked.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Remove a report for good, with its file; the panel that it has become stays."""
    with connect(url) as api:
        if not yes:
            if not account.interactive():
                raise usage("it cannot be brought back: give --yes")
            typer.confirm("It cannot be brought back. Remove it?", abort=True, err=True)
        api.labs.delete_document(id)
        say("removed")


def review(
    id: Report = "",
    correct: Correct = None,
    add: Add = None,
    drop: Drop = None,
    restore: Restore = None,
    collected: Collected = None,
    lab: Lab = "",
    yes: Yes = False,
    again: Again = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Go on with the review of a report, by default of the newest that waits for it."""
    with connect(url) as api:
        document = waiting(api, id)
        if document is None:
            say(f"no report waits for your review; see them all: {hint('labs reports', url)}")
            return
        changes = changes_of(correct, add, drop, restore)
        finish(api, document, changes, day=text(collected), lab=lab, yes=yes, again=again, url=url, json=json)


def changes_of(
    correct: Sequence[str] | None,
    add: Sequence[str] | None,
    drop: Sequence[int] | None,
    restore: Sequence[int] | None = None,
) -> list[Change]:
    """What options say. Raises VitalisError (USAGE)."""
    return [
        *(Change(number, dropped=False) for number in restore or ()),
        *(correction(typed) for typed in correct or ()),
        *(Change(number, dropped=True) for number in drop or ()),
        *(addition(typed) for typed in add or ()),
    ]


def waiting(api: Vitalis, id: str) -> Document | None:
    """The report of that id, or the newest that waits for the person; one that is being read is waited for."""
    if id:
        return watched(api, api.labs.get_document(id))
    for status in ("needs_review", "parsing", "pending", "failed"):
        for document in api.labs.documents(status=status, page_size=1):
            return watched(api, document)
    return None


def is_document(file: Path) -> bool:
    """Whether a file is a report on paper, by its content; what cannot be read is for the upload to complain of."""
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(PICTURES) or b"%PDF-" in head


def upload(api: Vitalis, file: Path, document_type: str = "") -> Document:
    """Uploads a report; the same file again is the report that there is."""
    with imports.uploading("labs reports", api.base_url), bar() as shown:
        document = api.labs.upload_document(file, document_type=document_type, on_progress=shown.upload)
    if document.parse_status not in ("pending", "parsing"):
        say(f"this report is there already, uploaded {moment(document.created_at)} UTC")
    return document


def leave(document: Document, url: str, json: bool) -> None:
    """What is said of a report whose reading nobody waits for."""
    if json:
        print_json(document)
    say(f"report {document.id} {state(document)}; review it: {hint(f'labs review {document.id}', url)}")


def watched(api: Vitalis, document: Document) -> Document:
    """The report once it has been read."""
    try:
        for step in api.labs.watch_document(document.id):
            if step.parse_status != document.parse_status:
                say(f"report {document.id} {state(step)}")
            document = step
    except KeyboardInterrupt:
        say("the server goes on reading it")
        say(f"  review it: {hint(f'labs review {document.id}', api.base_url)}")
        raise typer.Exit(INTERRUPTED) from None
    return document


def finish(
    api: Vitalis,
    document: Document,
    changes: Sequence[Change],
    *,
    day: str,
    lab: str,
    yes: bool,
    again: bool,
    url: str,
    json: bool,
) -> None:
    """Makes the changes, shows what there is, and makes a panel of it when the person says so."""
    if document.parse_status == "confirmed":
        if changes:
            correct = hint(f"labs add --to {document.linked_record_id} --again NAME=RESULT", url)
            raise usage(f"the report is confirmed already; correct a result with: {correct}")
        stored(api, document, url, json)
        return
    if group := ENTERED.get(document.document_type):
        entered = hint(f"labs {group} import {document.id} FIELD=VALUE...", url)
        raise usage(f"no values are read in such a report; store what it says with: {entered}")
    asked = account.interactive() and not json and not yes
    if document.parse_status == "failed" and not changes and not asked:
        say(f"vitalis: {clean(document.error_message or 'the report could not be read')}")
        say_by_hand(document, url)
        raise typer.Exit(1)
    under_review = Review(api, document)
    under_review.make(changes)
    said = {"collected_date": day, "lab_name": lab}
    under_review.set_header(**{name: value for name, value in said.items() if value})
    if json and not yes:
        print_review(under_review)
        return
    if not json:
        tell(under_review)
    if yes:
        stored(api, under_review.confirm(override=again), url, json)
    elif asked:
        if ask(under_review, url, again=again):
            stored(api, under_review.document, url, json)
    elif not under_review.living:
        say_by_hand(document, url)
    else:
        missing = "" if under_review.header.get("collected_date") else "--date DATE "
        say(f"nothing is stored yet; to store it: {hint(f'labs review {document.id} {missing}--yes', url)}")
        say("  before that, --set 3=RESULT corrects value 3, --drop 3 leaves it out, --add NAME=RESULT adds one")


def say_by_hand(document: Document, url: str) -> None:
    """What can be done about a report in which nothing was found."""
    by_hand = f"labs review {document.id} --add 'Glucose=99 mg/dL [70-99]' --date DATE --yes"
    say(f"  enter what it says: {hint(by_hand, url)}")
    say(f"  or remove it:       {hint(f'labs reports remove {document.id}', url)}")


class Reviewed(Document):
    """A report with its values, without its text."""

    document_values: list[DocumentValue]


def print_review(under_review: Review) -> None:
    light = under_review.document.model_dump(exclude={"document_text", "parse_result"})
    print_json(Reviewed(**light, document_values=under_review.living))


def stored(api: Vitalis, document: Document, url: str, json: bool) -> None:
    """What a report has become."""
    if json:
        print_json(document)
    elif document.linked_record_type == "blood_panel":
        panel = document.linked_record_id or ""
        print_panel(api, panel)
        say(f"stored as panel {panel}; see it again: {hint(f'labs show {panel}', url)}")
    else:
        say(f"confirmed: {document.linked_record_id or 'it is on file'}")


def state(document: Document) -> str:
    return STATES.get(document.parse_status, clean(document.parse_status))


def collected(document: Document) -> str:
    return (document.report_header.collected_date if document.report_header else None) or ""
