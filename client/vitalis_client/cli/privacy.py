"""Commands for taking one's data along, and for leaving."""

from pathlib import Path
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL
from vitalis_client.api.privacy import WITH_FILE
from vitalis_client.cli.account import PasswordStdin, interactive, password
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, moment, print_json, say, size, usage
from vitalis_client.errors import VitalisError

PANEL = "Privacy"


def add_to(app: typer.Typer) -> None:
    app.command("export", rich_help_panel=PANEL)(export)
    app.command("delete-account", rich_help_panel=PANEL)(delete_account)
    app.command("cancel-deletion", rich_help_panel=PANEL)(cancel_deletion)


def export(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("vitalis-export.zip"),
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Get everything that is held about you, in one zip."""
    if file.exists() and not force:
        raise usage(f"{file} is there already: name another file, or use --force")
    if not file.parent.is_dir():
        # Before the server collects anything for it.
        raise usage(f"there is no folder {file.parent}")
    with connect(url) as api:
        asked = api.privacy.export()
        say("your data is being collected; a mail will bring a link to it too")
        done = api.privacy.wait_for_export(asked.id)
        if done.status not in WITH_FILE:
            raise VitalisError(0, "EXPORT_FAILED", "the export could not be made; try again later")
        api.privacy.download(done, file)
        if json:
            print_json(done)
        say(f"{file}: {size(done.file_size_bytes or 0)}, {done.row_count or 0:.0f} rows, {done.file_count or 0} files")


def delete_account(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
    password_stdin: PasswordStdin = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Have your account and everything in it deleted, in thirty days."""
    with connect(url) as api:
        email = api.me().email
        if not yes:
            if not interactive():
                raise usage("there is no terminal to ask at whether you are sure: use --yes")
            typed = typer.prompt(f"Everything will be deleted in 30 days. Type {clean(email)} to confirm", err=True)
            if typed.strip().lower() != email:
                raise usage("that is not your address; nothing was asked for")
        deletion = api.privacy.delete_account(password(url, from_stdin=password_stdin, confirm=False))
        if json:
            print_json(deletion)
        say(f"your account will be deleted on {moment(deletion.grace_period_ends_at)} UTC; until then nothing changes")
        say(f"to change your mind: {hint('cancel-deletion', url)}")


def cancel_deletion(
    token: Annotated[
        str, typer.Option(help="The token of the mail; without it, as who is logged in.", show_default=False)
    ] = "",
    url: Url = DEFAULT_URL,
) -> None:
    """Keep your account after all."""
    with connect(url) as api:
        if token:
            api.privacy.cancel_deletion_by_token(token)
        else:
            pending = [d for d in api.privacy.deletions() if d.status == "pending" and not d.category]
            if not pending:
                raise usage("there is no deletion to cancel")
            api.privacy.cancel_deletion(pending[0].id)
        say("cancelled: your account stays")
