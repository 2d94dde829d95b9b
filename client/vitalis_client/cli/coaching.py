"""Commands about the coaching profile: as it is, as it was, and changes for a reason."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli.account import PasswordStdin
from vitalis_client.cli.array import print_array
from vitalis_client.cli.assign import changed
from vitalis_client.cli.health import PANEL
from vitalis_client.cli.moments import moment_of
from vitalis_client.cli.outline import outline, text
from vitalis_client.cli.second_factor import Code, proof
from vitalis_client.cli.tables import Column, print_table
from vitalis_client.cli.terminal import Json, Url, clean, connect, hint, moment, print_json, say, stdout, usage
from vitalis_client.cli.units import Units, preferred
from vitalis_client.contract.models import CoachingProfile, ProfileDifference, ProfileVersion
from vitalis_client.errors import VitalisError
from vitalis_client.http import MAX_PAGE

# What the headline says, and what only programs need.
HIDDEN = frozenset(
    {"id", "user_id", "version", "previous_version", "is_locked", "locked_at", "created_at", "updated_at", "etag"}
    | {"last_modified_by", "modification_reason", "last_recalculated_at"}
)
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the version that this makes.")]
Person = Annotated[
    str, typer.Option(metavar="ID", help="Of this person, who shares with you (vitalis shares).", show_default=False)
]
commands = typer.Typer(invoke_without_command=True)


def add_to(app: typer.Typer) -> None:
    help_ = "Show your coaching profile; its history, and what it was; change it for a reason."
    app.add_typer(commands, name="profile", help=help_, rich_help_panel=PANEL)


@commands.callback()
def profile(context: typer.Context, person: Person = "", url: Url = DEFAULT_URL, json: Json = False) -> None:
    if context.invoked_subcommand is None:
        with connect(url) as api:
            show(api, read(api, url, person), json)


def read(api: Vitalis, url: str, person: str = "") -> CoachingProfile:
    """The profile as it is; somebody without one is told where it comes from."""
    try:
        return api.coaching.profile(person=person)
    except VitalisError as error:
        if error.reason == "NOT_FOUND" and not person:
            error.message = f"you have no coaching profile yet; make one with: {hint('onboard', url)}"
        raise


@commands.command("set")
def set_(
    changes: Annotated[
        list[str], typer.Argument(metavar="PATH=VALUE", help="Such as meal_plan.daily_calories_target=2100.")
    ],
    reason: Reason,
    code_given: Code = "",
    password_stdin: PasswordStdin = False,
    person: Person = "",
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Change the profile; an entry of a list is named by its number, as in goals[0].priority=1, and PATH= clears."""
    with connect(url) as api:
        before = read(api, url, person)
        values = changed(before, changes, preferred(api.preferences()))
        clear = [name for name, value in values.items() if value is None]
        proved = proof(url, code_given, from_stdin=password_stdin) if before.is_locked and not person else None
        after = api.coaching.update(
            {name: value for name, value in values.items() if value is not None},
            reason,
            clear=clear,
            proof=proved,
            etag=before.etag,
            person=person,
        )
        if json:
            print_json(after)
        elif after.version == before.version:
            say("that is what it says already")
        else:
            say(headline(after, zone_of(api)))


@commands.command("history")
def history(
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many, the newest first.")] = 20,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """List the versions: since when each held, what changed, and why."""
    with connect(url) as api:
        rows = islice(api.coaching.versions(page_size=min(last, MAX_PAGE)), last)
        if json:
            print_array(rows)
            return
        versions = list(rows)
        if not versions:
            say(f"there is no version yet; make the first with: {hint('onboard', url)}")
            return
        print_table(columns(zone_of(api)), versions)


@commands.command("at")
def at(
    when: Annotated[
        list[str],
        typer.Argument(metavar="WHEN", help="A date, meaning its end, an instant, as in 3 weeks ago, or version 2."),
    ],
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show the profile as it was."""
    with connect(url) as api:
        zone = zone_of(api)
        version = version_of(api, " ".join(when), zone, url)
        if not json:
            held = f"from {moment(version.valid_from, zone)}"
            held += f" until {moment(version.valid_until, zone)}" if version.valid_until else ""
            say(f"as it was {held} ({zone})")
        if version.profile:
            show(api, version.profile, json)


def version_of(api: Vitalis, when: str, zone: tzinfo, url: str) -> ProfileVersion:
    """The version of that number, or the one that held at that moment."""
    if number := re.fullmatch(r"v(?:ersion)?\s*(\d{1,9})", when.strip().lower()):
        return api.coaching.version(int(number[1]))
    try:
        instant = moment_of(when, zone, datetime.now(UTC))
    except ValueError as error:
        raise usage(clean(str(error))) from None
    try:
        return api.coaching.at(instant)
    except VitalisError as error:
        if error.reason == "NOT_FOUND":
            error.message = f"there was no profile at {moment(instant, zone)}; see {hint('profile history', url)}"
        raise


@commands.command("compare")
def compare(
    from_version: Annotated[int, typer.Argument(min=0, help="A version; the one before the other if left out.")] = 0,
    to_version: Annotated[int, typer.Argument(min=0, help="Another; the newest if left out.")] = 0,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Show what two versions differ in."""
    with connect(url) as api:
        compared = api.coaching.compare(from_version, to_version)
        if json:
            print_json(compared)
            return
        units, console = preferred(api.preferences()), stdout()
        console.print(f"version {compared.from_version} to version {compared.to_version}")
        for difference in compared.differences:
            console.print(line(difference, units), markup=False, soft_wrap=True)
        if not compared.differences:
            say("they do not differ")


@commands.command("roll-back")
def roll_back(
    version: Annotated[int, typer.Argument(min=1, help="The version to go back to.")],
    reason: Reason,
    code_given: Code = "",
    password_stdin: PasswordStdin = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Make the profile what it was in a version, as a new version."""
    with connect(url) as api:
        proved = proof(url, code_given, from_stdin=password_stdin)
        tell(api, api.coaching.roll_back(version, reason, proved), json)


@commands.command("lock")
def lock(url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Lock the profile, so that a change takes your password."""
    with connect(url) as api:
        tell(api, api.coaching.lock(), json)


@commands.command("unlock")
def unlock(
    reason: Reason,
    code_given: Code = "",
    password_stdin: PasswordStdin = False,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Unlock the profile, so that whoever may write it can, until you lock it."""
    with connect(url) as api:
        proved = proof(url, code_given, from_stdin=password_stdin)
        tell(api, api.coaching.unlock(reason, proved), json)


def tell(api: Vitalis, changed_: CoachingProfile, json: bool) -> None:
    if json:
        print_json(changed_)
    else:
        say(headline(changed_, zone_of(api)))


def show(api: Vitalis, shown: CoachingProfile, json: bool) -> None:
    """Prints a profile: as JSON, or in the person's units and time zone."""
    if json:
        print_json(shown)
        return
    console = stdout()
    console.print(headline(shown, zone_of(api)), markup=False, soft_wrap=True)
    for one in outline(shown.model_dump(mode="json", exclude_none=True), preferred(api.preferences()), HIDDEN):
        console.print(one, markup=False, soft_wrap=True)


def headline(shown: CoachingProfile, zone: tzinfo) -> str:
    locked = f"locked since {moment(shown.locked_at, zone)}" if shown.is_locked else "unlocked"
    return f"coaching profile, version {shown.version} of {moment(shown.updated_at, zone)}, {locked}"


def columns(zone: tzinfo) -> Sequence[Column[ProfileVersion]]:
    """The columns of the history, in a person's time zone."""
    return (
        Column("Version", lambda version: str(version.version)),
        Column("Since", lambda version: moment(version.valid_from, zone), left=True),
        Column("By", lambda version: clean(version.changed_by), left=True),
        Column("Why", lambda version: clean(version.change_reason), left=True),
        Column("Changed", lambda version: clean(", ".join(version.changed_fields)), left=True),
    )


def line(difference: ProfileDifference, units: Units) -> str:
    """A difference, such as `stress_level: high -> low`."""
    name = difference.field.rpartition(".")[2]
    was, is_ = ("nothing" if value is None else text(name, value, units) for value in (difference.from_, difference.to))
    return f"{clean(difference.field)}: {was} -> {is_}"


def zone_of(api: Vitalis) -> tzinfo:
    """The time zone of the person's preferences."""
    return ZoneInfo(api.preferences().timezone)
