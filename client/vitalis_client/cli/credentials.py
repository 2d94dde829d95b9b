"""Commands about the password and the address that a person logs in with."""

import sys
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL
from vitalis_client.cli import account
from vitalis_client.cli.account import PANEL, Email, PasswordStdin
from vitalis_client.cli.terminal import Url, clean, connect, hint, say, usage

Code = Annotated[str, typer.Argument(help="The code out of the mail; asked for if left out.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    passwords = typer.Typer(no_args_is_help=True, help="Change your password, or replace one that is forgotten.")
    passwords.command("change")(change_password)
    passwords.command("forgot")(forgot_password)
    passwords.command("reset")(reset_password)
    app.add_typer(passwords, name="password", rich_help_panel=PANEL)
    addresses = typer.Typer(no_args_is_help=True, help="Change the address that you log in with.")
    addresses.command("change")(change_email)
    addresses.command("confirm")(confirm_email)
    app.add_typer(addresses, name="email", rich_help_panel=PANEL)


def change_password(password_stdin: PasswordStdin = False, url: Url = DEFAULT_URL) -> None:
    """Change the password; your other sessions end. From standard input: the old one, and the new in the next line."""
    with connect(url) as api:
        old = account.password(url, from_stdin=password_stdin, confirm=False, what="Old password")
        api.change_password(old, new_password(from_stdin=password_stdin))
        say("the password is changed, and your other sessions have ended")


def forgot_password(email: Email = "", url: Url = DEFAULT_URL) -> None:
    """Have a code mailed that `vitalis password reset` sets a new password with."""
    with connect(url) as api:
        email = email or account.ask("Email")
        api.request_password_reset(email)
        say(f"if {clean(email)} is somebody's address, a mail with a code is on its way to it")
        account.say_where_mail_is(url)
        say(f"to go on: {hint('password reset CODE', url)}")


def reset_password(code: Code = "", password_stdin: PasswordStdin = False, url: Url = DEFAULT_URL) -> None:
    """Set a new password with the code out of the mail; all your sessions end."""
    with connect(url) as api, account.another_code("password forgot", url):
        code = (code or account.ask("Code")).strip()
        account.warn_of_open_line(url)
        api.reset_password(code, new_password(from_stdin=password_stdin))
        say(f"the password is set, and all your sessions have ended; log in with it: {hint('log-in', url)}")


def change_email(
    new: Annotated[str, typer.Argument(help="The new address.", show_default=False)],
    password_stdin: PasswordStdin = False,
    url: Url = DEFAULT_URL,
) -> None:
    """Have a code mailed to a new address, which `vitalis email confirm` makes yours."""
    with connect(url) as api:
        api.request_email_change(account.password(url, from_stdin=password_stdin, confirm=False), new)
        say(f"a mail with a code is on its way to {clean(new)}; until you confirm it nothing changes")
        account.say_where_mail_is(url)
        say(f"to go on: {hint('email confirm CODE', url)}")


def confirm_email(code: Code = "", url: Url = DEFAULT_URL) -> None:
    """Take the new address, with the code out of the mail to it."""
    with connect(url) as api, account.another_code("email change NEW", url):
        api.confirm_email_change((code or account.ask("Code")).strip())
        say(f"the address is changed: from now on you log in as {clean(api.me().email)}")


def new_password(*, from_stdin: bool) -> str:
    """The password to be, which is not in VITALIS_PASSWORD: that holds the present one."""
    if from_stdin:
        if given := sys.stdin.readline().rstrip("\r\n"):
            return given
        raise usage("there is no new password in standard input: give it in a line of its own")
    if not account.interactive():
        raise usage("there is no terminal to ask for the new password: use --password-stdin")
    return str(typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))
