"""Commands about laboratories' files of results, as other systems export them; a report on paper goes its own way."""

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL
from vitalis_client.cli import imports, lab_reports
from vitalis_client.cli.lab_reports import Add, Again, Collected, Correct, Drop, Lab, Yes
from vitalis_client.cli.progress import bar
from vitalis_client.cli.records import text
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, say, usage
from vitalis_client.contract.models import LabImport

GROUP = "labs "
# Of records that say no day, where the import names none.
NO_DATE = "no_date"
Id = Annotated[str, typer.Argument(help="The import's id, as `vitalis labs imports` lists it.", show_default=False)]


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
    collected: Collected = None,
    date_order: Annotated[
        str, typer.Option(help="day_first or month_first: how a CSV file's 03/04/2026 is read.", show_default=False)
    ] = "",
    correct: Correct = None,
    add: Add = None,
    drop: Drop = None,
    lab: Lab = "",
    yes: Yes = False,
    again: Again = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until the file is read.")] = True,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Bring in a laboratory's file: its results, or a report, whose values you confirm."""
    with connect(url) as api:
        changes = lab_reports.changes_of(correct, add, drop)
        if lab_reports.is_document(file):
            document = lab_reports.upload(api, file)
            if not wait:
                lab_reports.leave(document, url, json)
                return
            document = lab_reports.watched(api, document)
            said = {"day": text(collected), "lab": lab}
            lab_reports.finish(api, document, changes, **said, yes=yes, again=again, url=url, json=json)
            return
        if changes or lab or yes or again:
            raise usage(f"{clean(file.name)} is no report as PDF or picture: what it says is imported as it is")
        with imports.uploading(f"{GROUP}imports", url), bar() as shown:
            queued = api.labs.upload(
                file, time_zone=time_zone, collected=text(collected), date_order=date_order, on_progress=shown.upload
            )
        imports.go_on(api.labs, queued, url, wait=wait, json=json, group=GROUP)
        if wait and not json:
            advise(api.labs.get_import(queued.id), url)


def advise(done: LabImport, url: str) -> None:
    """What comes next."""
    if done.result and done.result.rejected_by_reason.get(NO_DATE):
        say(f"give results without a day theirs: {hint(f'{GROUP}import FILE --date DATE', url)}")
    if done.result and done.result.panels_stored:
        say(f"see the panels: {hint('labs', url)}")


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
