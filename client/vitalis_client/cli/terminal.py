"""What every command shares: the consoles, the server's URL, errors on one line."""

import errno
import os
import sys
from datetime import datetime, tzinfo
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.errors import NotLoggedIn, VitalisError
from vitalis_client.sessions import FileSessions

# How wide a table may be where nobody looks at it in a terminal.
UNLIMITED_WIDTH = 240
# What shells expect of a command that Ctrl-C ended.
INTERRUPTED = 130
MISUSE = {"FILE_UNUSABLE", "USAGE"}

Url = Annotated[
    str,
    typer.Option("--url", envvar="VITALIS_URL", help="The server.", metavar="URL", rich_help_panel="Server and output"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", rich_help_panel="Server and output")]


def stdout() -> Console:
    """The console of results; as wide as the terminal, or wide enough where there is none."""
    return _console(stderr=False)


def stderr() -> Console:
    """The console of progress, hints and errors."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNLIMITED_WIDTH
    return console


def connect(url: str) -> Vitalis:
    """The API of the server as the person whose tokens are stored."""
    try:
        return Vitalis(url, sessions=FileSessions())
    except ValueError as error:
        raise usage(str(error)) from None


def usage(message: str) -> VitalisError:
    """The error of a command that was given something wrong; the exit code is 2."""
    return VitalisError(0, "USAGE", message)


def clean(text: str) -> str:
    """Text from a server or a file without what would steer the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def say(message: str) -> None:
    """One line on stderr."""
    stderr().print(Text(message), soft_wrap=True)


def hint(command: str, url: str) -> str:
    """A command to type, with `--url` where it is needed to reach the same server."""
    usual = os.environ.get("VITALIS_URL", DEFAULT_URL).rstrip("/")
    return f"vitalis {command}" if url.rstrip("/") == usual else f"vitalis {command} --url {url}"


def explain(error: VitalisError) -> str:
    """The line that tells a person what went wrong and what to do."""
    message = error.message
    if len(error.violations) > 1:
        message = "; ".join(f"{broken.field}: {broken.description}" for broken in error.violations)
    elif error.reason == "PASSWORD_WEAK" and error.violations:
        broken = error.violations[0]
        message = f"the {broken.field.replace('_', ' ')} {broken.description}"
    if error.reason == "UNREACHABLE":
        message += ": is it running? (make up)"
    elif isinstance(error, NotLoggedIn) and "log in" not in message:
        message += ": vitalis log-in, or vitalis sign-up"
    elif error.status >= 500 and error.request_id:
        message += f" (request {error.request_id})"
    return clean(message)


class Commands(TyperGroup):
    """The commands; where one fails, a line on stderr says so."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except VitalisError as error:
            say(f"vitalis: {explain(error)}")
            raise typer.Exit(2 if error.reason in MISUSE else 1) from None
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except typer.Abort as stopped:
            if interrupted(stopped):
                say("")
                raise typer.Exit(INTERRUPTED) from None
            raise
        except OSError as error:
            # A reader of our output that went away, such as `head`, is no failure; typer deals with it.
            if error.errno == errno.EPIPE:
                raise
            say(f"vitalis: {error.filename}: {error.strerror}" if error.filename else f"vitalis: {error.strerror}")
            raise typer.Exit(1) from None


def interrupted(stopped: BaseException) -> bool:
    """Whether it was Ctrl-C; a prompt says the same of that and of an input that has ended."""
    return isinstance(stopped, KeyboardInterrupt) or (
        isinstance(stopped, typer.Abort) and isinstance(stopped.__context__, KeyboardInterrupt)
    )


def print_json(answer: BaseModel) -> None:
    """One object of the API as JSON: the API's names, without what is not set."""
    sys.stdout.write(answer.model_dump_json(exclude_none=True) + "\n")


def moment(instant: datetime | None, zone: tzinfo | None = None) -> str:
    """An instant for people, in UTC or in a zone."""
    if instant is None:
        return ""
    local = instant.astimezone(zone) if zone else instant
    return local.strftime("%Y-%m-%d %H:%M")


def duration(seconds: float | None) -> str:
    """Hours and minutes: `7:42`."""
    if seconds is None:
        return ""
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def size(count: float) -> str:
    """Bytes in the decimal units of file managers: `72.4 MB`."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
