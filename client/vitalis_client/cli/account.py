"""Commands about who is logged in."""

import os
import sys
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import httpx
import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli.terminal import (
    Json,
    Url,
    clean,
    connect,
    explain,
    hint,
    moment,
    print_json,
    say,
    stdout,
    usage,
)
from vitalis_client.contract.models import LogInChallenge, User
from vitalis_client.errors import SecondFactorNeeded, VitalisError
from vitalis_client.http import LOOPBACK

PANEL = "Account"
Answer = TypeVar("Answer")
Email = Annotated[str, typer.Argument(help="The email address; asked for if left out.", show_default=False)]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


def add_to(app: typer.Typer) -> None:
    app.command("sign-up", rich_help_panel=PANEL)(sign_up)
    app.command("verify-email", rich_help_panel=PANEL)(verify_email)
    app.command("log-in", rich_help_panel=PANEL)(log_in)
    app.command("log-out", rich_help_panel=PANEL)(log_out)
    app.command("whoami", rich_help_panel=PANEL)(whoami)


def sign_up(
    email: Email = "",
    name: Annotated[str, typer.Option(help="What you are called; asked for if left out.", show_default=False)] = "",
    password_stdin: PasswordStdin = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Open an account: a mail brings a code that proves the address."""
    with connect(url) as api:
        email = email or ask("Email")
        name = name or ask("Name")
        chosen = password(url, from_stdin=password_stdin, confirm=True)
        api.register(email, chosen, name)
        say(f"a mail with a code is on its way to {clean(email)}")
        say_where_mail_is(url)
        if not interactive():
            say(f"to go on: {hint('verify-email CODE', url)}")
            return
        try:
            user = again(lambda: api.verify_email(ask("Code").strip(), chosen), "VERIFICATION_TOKEN_INVALID")
        except typer.Abort:
            say(f"\nto go on later: {hint('verify-email CODE', url)}")
            raise
        say(f"signed up and logged in as {clean(user.email)}")


def verify_email(
    code: Annotated[str, typer.Argument(help="The code out of the mail; asked for if left out.")] = "",
    password_stdin: PasswordStdin = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Finish signing up with the code out of the mail, and log in."""
    with connect(url) as api:
        code = code or ask("Code")
        # Who signs up with the same address again, before it is proved, is mailed another code.
        with another_code("sign-up", url):
            user = api.verify_email(code, password(url, from_stdin=password_stdin, confirm=False))
        say(f"signed up and logged in as {clean(user.email)}")


def log_in(
    email: Email = "",
    provider: Annotated[
        str, typer.Option(help="Log in with an account at this provider (such as google), in the browser.")
    ] = "",
    password_stdin: PasswordStdin = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Log in; the tokens are kept for the commands that follow."""
    with connect(url) as api:
        try:
            if provider:
                user = api.log_in_elsewhere(provider, browse)
            else:
                email = email or ask("Email")
                user = api.log_in(email, password(url, from_stdin=password_stdin, confirm=False))
        except SecondFactorNeeded as needed:
            user = complete(api, needed.challenge, from_stdin=password_stdin)
        say(f"logged in as {clean(user.email)}")


def complete(api: Vitalis, challenge: LogInChallenge, *, from_stdin: bool) -> User:
    """Completes a log-in; at a terminal it asks again for a code that was wrong."""
    what = "Code of the app, or recovery code" if "totp" in challenge.methods else "Recovery code"
    return again(
        lambda: api.complete_log_in(challenge, **factor(code(what, from_stdin=from_stdin))), "SECOND_FACTOR_WRONG"
    )


def log_out(url: Url = DEFAULT_URL) -> None:
    """End the session and forget its tokens."""
    with connect(url) as api:
        api.log_out()
        say("logged out")


def whoami(url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Show who is logged in."""
    with connect(url) as api:
        user = api.me()
        if json:
            print_json(user)
            return
        username = f" @{clean(user.username)}" if user.username else ""
        role = "" if user.role == "user" else f", {clean(user.role)}"
        line = f"{clean(user.display_name)}{username} <{clean(user.email)}>{role}"
        stdout().print(line, markup=False, soft_wrap=True)
        stdout().print(f"id {user.id}, signed up {moment(user.created_at)} UTC, at {api.base_url}", soft_wrap=True)


def browse(url: str) -> None:
    """Opens the person's browser, and shows where it goes in case there is none."""
    say(f"your browser opens {clean(url)}")
    webbrowser.open(url)


def ask(what: str) -> str:
    """Asks for something that is no secret."""
    if not interactive():
        raise usage(f"there is no terminal to ask at: give the {what.lower()} in the command")
    return str(typer.prompt(what, err=True))


def line(what: str) -> str:
    """Asks at a terminal for something that may be left out: "" then."""
    return str(typer.prompt(what, default="", show_default=False, err=True))


def say_where_mail_is(url: str) -> None:
    """Tells where to look for a mail that may never come: on one's own machine there is rarely a mail server."""
    if httpx.URL(url).host in LOOPBACK:
        say("unless the server has a mail server it is a file in mail/ of the data directory, named in the log")


def warn_of_open_line(url: str) -> None:
    """Says so if a password would be sent for others to read."""
    if url.startswith("http://") and httpx.URL(url).host not in LOOPBACK:
        say(f"warning: {url} is not encrypted; others in the network can read the password")


def password(url: str, *, from_stdin: bool, confirm: bool, what: str = "Password") -> str:
    """The password, from where the person wants it to come; never from an argument, which others could see."""
    warn_of_open_line(url)
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if given := os.environ.get("VITALIS_PASSWORD"):
        return given
    if not interactive():
        raise usage("there is no terminal to ask for the password: use --password-stdin or set VITALIS_PASSWORD")
    return str(typer.prompt(what, hide_input=True, confirmation_prompt=confirm, err=True))


def code(what: str, *, from_stdin: bool) -> str:
    """A code, typed or from the next line of standard input; it works once, so it may be seen."""
    if interactive():
        return str(typer.prompt(what, err=True)).strip()
    given = sys.stdin.readline().strip() if from_stdin else ""
    if not given:
        raise usage("there is no terminal to ask for a code: use --password-stdin, and give it in the next line")
    return given


def factor(given: str) -> dict[str, str]:
    """What somebody typed as the field of a request: an app's code has six digits."""
    return {"totp_code": given} if len(given) == 6 and given.isdecimal() else {"recovery_code": given}


@contextmanager
def another_code(command: str, url: str) -> Iterator[None]:
    """Adds to the error of a code that is wrong how to get another."""
    try:
        yield
    except VitalisError as error:
        if error.reason == "VERIFICATION_TOKEN_INVALID":
            error.message += f": {hint(command, url)}"
        raise


def again(attempt: Callable[[], Answer], mistyped: str) -> Answer:
    """What the attempt gives; at a terminal it is made anew while the server says `mistyped`, a reason or a field."""
    while True:
        try:
            return attempt()
        except VitalisError as error:
            told = {error.reason, *(violation.field for violation in error.violations)}
            if mistyped not in told or not interactive():
                raise
            say(f"vitalis: {explain(error)}")


def interactive() -> bool:
    """Whether somebody sits at standard input."""
    return sys.stdin.isatty()
