"""Commands about the second factor: an authenticator app and recovery codes."""

from functools import partial
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL
from vitalis_client.cli.account import PANEL, PasswordStdin, again, code, factor, password
from vitalis_client.cli.terminal import Commands, Json, Url, clean, connect, moment, print_json, say, stdout

Code = Annotated[
    str,
    typer.Option("--code", help="Prove who you are by a code of the app, or a recovery code, not the password."),
]


def add_to(app: typer.Typer) -> None:
    commands = typer.Typer(cls=Commands, no_args_is_help=True, help="Ask for a code besides the password.")
    commands.command("status")(status)
    commands.command("enable")(enable)
    commands.command("disable")(disable)
    commands.command("recovery-codes")(recovery_codes)
    app.add_typer(commands, name="second-factor", rich_help_panel=PANEL)


def status(url: Url = DEFAULT_URL, json: Json = False) -> None:
    """Show which second factors you have."""
    with connect(url) as api:
        has = api.second_factors()
        if json:
            print_json(has)
            return
        since = f"since {moment(has.totp_confirmed_at)} UTC" if has.totp_confirmed_at else "off"
        stdout().print(f"authenticator app: {since}")
        stdout().print(f"passkeys: {has.passkeys}")
        stdout().print(f"recovery codes left: {has.recovery_codes_left}")


def enable(code_given: Code = "", password_stdin: PasswordStdin = False, url: Url = DEFAULT_URL) -> None:
    """Turn on an authenticator app; one that is on is replaced."""
    with connect(url) as api:
        begun = api.begin_totp(proof(url, code_given, from_stdin=password_stdin))
        say("add this to your authenticator app, as a link, or the secret by hand:")
        stdout().print(clean(begun.otpauth_uri), markup=False, soft_wrap=True)
        stdout().print(clean(begun.secret), markup=False)
        ask = partial(code, "The code that the app shows", from_stdin=password_stdin)
        codes = again(lambda: api.confirm_totp(ask()), "totp_code")
        say("from now on logging in asks for a code of the app")
        show(codes)


def disable(code_given: Code = "", password_stdin: PasswordStdin = False, url: Url = DEFAULT_URL) -> None:
    """Turn the authenticator app off."""
    with connect(url) as api:
        api.remove_totp(proof(url, code_given, from_stdin=password_stdin))
        say("the authenticator app is off")


def recovery_codes(code_given: Code = "", password_stdin: PasswordStdin = False, url: Url = DEFAULT_URL) -> None:
    """Make new recovery codes; the earlier ones stop working."""
    with connect(url) as api:
        show(api.regenerate_recovery_codes(proof(url, code_given, from_stdin=password_stdin)))


def proof(url: str, code_given: str, *, from_stdin: bool) -> dict[str, str]:
    """What shows the server that it is really the person."""
    return factor(code_given) if code_given else {"password": password(url, from_stdin=from_stdin, confirm=False)}


def show(codes: list[str]) -> None:
    """Recovery codes, one a line."""
    if codes:
        say("keep these recovery codes; each logs you in once without the app, and they are not shown again:")
    for one in codes:
        stdout().print(clean(one), markup=False)
