"""Commands about files that are brought in."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from vitalis_client.api import DEFAULT_URL
from vitalis_client.api.imports import Imports
from vitalis_client.api.lab_imports import LabImports
from vitalis_client.cli.accounting import print_account, print_lab_account
from vitalis_client.cli.array import print_array
from vitalis_client.cli.progress import bar
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
    size,
    stdout,
)
from vitalis_client.contract.models import Import, ImportResult, LabImport

PANEL = "Imports"
Id = Annotated[str, typer.Argument(help="The import's id, as `vitalis imports` lists it.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    app.command("import", rich_help_panel=PANEL)(import_file)
    app.command("imports", rich_help_panel=PANEL)(list_imports)
    app.command("watch", rich_help_panel=PANEL)(watch)
    app.command("cancel", rich_help_panel=PANEL)(cancel)
    app.command("roll-back", rich_help_panel=PANEL)(roll_back)


def import_file(
    file: Annotated[Path, typer.Argument(help="For instance export.zip or export.xml of an iPhone.")],
    source: Annotated[str, typer.Option(help="What kind of file it is.")] = "apple_health",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Stay until it is imported.")] = True,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Upload a file, watch its import, and show the account of every record."""
    with connect(url) as api:
        with uploading("imports", url), bar() as shown:
            queued = api.upload(file, source=source, on_progress=shown.upload)
        go_on(api, queued, url, wait=wait, json=json)


@contextmanager
def uploading(listing: str, url: str) -> Iterator[None]:
    """Says to somebody who stops an upload which command lists what may have arrived."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped while uploading; if it was complete already, this lists it: {hint(listing, url)}")
        raise typer.Exit(INTERRUPTED) from None


def go_on(
    api: Imports | LabImports, queued: Import | LabImport, url: str, *, wait: bool, json: bool, group: str = ""
) -> None:
    """What follows an upload: the import's end, or how to watch it. `group` stands before the commands' names."""
    if wait:
        follow(api, queued.id, url, json, group)
        return
    if json:
        print_json(queued)
        return
    stdout().print(f"import {queued.id} is queued", markup=False, soft_wrap=True)
    say(f"watch it: {hint(f'{group}watch {queued.id}', url)}")


def watch(id: Id, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Watch an import until it has ended, and show its account."""
    with connect(url) as api:
        follow(api, id, url, json)


def cancel(id: Id, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Stop an import; nothing of it is stored."""
    with connect(url) as api:
        show(api.cancel_import(id), json)


def roll_back(id: Id, url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Take back everything that an import stored."""
    with connect(url) as api:
        show(api.roll_back_import(id), json)


def list_imports(
    status: Annotated[str, typer.Option(help="Only those with this status, such as succeeded.")] = "",
    last: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List imports, the newest first."""
    with connect(url) as api:
        show_list(islice(api.imports(status=status), last), "import FILE", url, json)


def show_list(found: Iterable[Import] | Iterable[LabImport], example: str, url: str, json: bool) -> None:
    """Prints imports; `example` is the command that makes one."""
    if json:
        print_array(found)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Id", "Queued (UTC)", "Status", "File", "Size", "Records"):
        table.add_column(name, justify="right" if name in ("Size", "Records") else "left", no_wrap=name == "Id")
    for row in found:
        cells = (row.id, moment(row.queued_at), row.status, clean(row.file_name), size(row.file_size_bytes))
        table.add_row(*(Text(cell) for cell in cells), f"{row.records_read:,}")
    if table.row_count:
        stdout().print(table)
    else:
        say(f"nothing is imported yet: {hint(example, url)}")


def follow(api: Imports | LabImports, import_id: str, url: str, json: bool, group: str = "") -> None:
    """Shows an import's progress until it has ended, then its account. Exits with 1 unless it succeeded."""
    last: Import | LabImport | None = None
    try:
        with bar() as shown:
            for last in api.watch_import(import_id):
                shown.update(last)
    except KeyboardInterrupt:
        say("the import goes on without you")
        say(f"  watch it:  {hint(f'{group}watch {import_id}', url)}")
        say(f"  cancel it: {hint(f'{group}cancel {import_id}', url)}")
        raise typer.Exit(INTERRUPTED) from None
    if last is not None:
        show(last, json)
        if last.status != "succeeded":
            raise typer.Exit(1)


def show(file_import: Import | LabImport, json: bool) -> None:
    """Prints an import: as JSON, or as what became of it."""
    if json:
        print_json(file_import)
        return
    console = stdout()
    console.print(headline(file_import), markup=False, soft_wrap=True)
    if file_import.status == "rolled_back":
        console.print("what it had stored is taken back; what was changed since stays", soft_wrap=True)
    elif isinstance(file_import.result, ImportResult):
        print_account(console, file_import.result)
    elif file_import.result:
        print_lab_account(console, file_import.result)
    if file_import.status == "failed":
        say(f"vitalis: the import failed: {clean(file_import.error_message or 'the server does not say why')}")


def headline(file_import: Import | LabImport) -> str:
    """What became of an import, in a line."""
    line = f"import {file_import.id} of {clean(file_import.file_name)} ({size(file_import.file_size_bytes)}): "
    line += file_import.status.replace("_", " ")
    if file_import.started_at and file_import.completed_at:
        line += f" in {(file_import.completed_at - file_import.started_at).total_seconds():.1f} s"
    return line
