"""The command `vitalis`."""

from typing import Annotated

import typer

from vitalis_client.cli import (
    account,
    audit,
    clinic,
    coaching,
    credentials,
    health,
    imports,
    lab_files,
    lab_reports,
    lab_trends,
    labs,
    onboarding,
    people,
    privacy,
    records,
    second_factor,
    sessions,
    sharing,
)
from vitalis_client.cli.terminal import Commands
from vitalis_client.version import __version__

EPILOG = """
[bold]For instance[/bold]

  vitalis sign-up ada@example.com --name Ada

  vitalis import ~/Downloads/export.zip

  vitalis days --last 14

  vitalis nights --from 2026-11-01 --json | jq '.[].total_sleep_minutes'

The server is [cyan]--url[/cyan] or [cyan]VITALIS_URL[/cyan], by default http://127.0.0.1:8080, where `make up` serves.
A password is asked for, or comes from [cyan]VITALIS_PASSWORD[/cyan] or [cyan]--password-stdin[/cyan].
Tokens are kept in your configuration directory, or in [cyan]VITALIS_CONFIG_DIR[/cyan].
"""

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vitalis {__version__}")
        raise typer.Exit


@app.callback()
def vitalis(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Your health data on your own server: bring it in, read it back."""


account.add_to(app)
sessions.add_to(app)
credentials.add_to(app)
people.add_to(app)
second_factor.add_to(app)
imports.add_to(app)
records.add_to(app)
onboarding.add_to(app)
coaching.add_to(app)
health.add_to(app)
labs.add_to(app)
lab_trends.add_to(labs.labs)
lab_files.add_to(labs.labs)
lab_reports.add_to(labs.labs)
clinic.add_to(labs.labs)
sharing.add_to(app)
privacy.add_to(app)
audit.add_to(app)
