"""What mails say. None of them quotes what somebody typed: the reader may not be who typed it."""

from typing import NamedTuple
from urllib.parse import urlencode

SIGNATURE = "\n-- \nVitalis\n"


class Letter(NamedTuple):
    """A mail without its address."""

    subject: str
    body: str


class Letters:
    """The mails of one installation; with the URL of its web application, they link to its pages."""

    def __init__(self, app_url: str) -> None:
        self._app_url = app_url

    def verify_email(self, token: str) -> Letter:
        return Letter(
            "Confirm your email address",
            "Somebody, probably you, has signed up for Vitalis with this address.\n\n"
            + self._code("verify-email", token)
            + "The code works once, for a day, together with the password of the sign-up.\n"
            "If it was not you, do nothing: without the code nobody has an account with your address.\n" + SIGNATURE,
        )

    def prove_email(self, token: str) -> Letter:
        return Letter(
            "Confirm your email address",
            "Somebody, probably you, has signed up for Vitalis with an account elsewhere that has this address.\n\n"
            + self._code("prove-email", token)
            + "The code works once, for a day, for who is logged in with that account.\n"
            "If it was not you, do nothing: without the code nobody has an account with your address.\n" + SIGNATURE,
        )

    def identity_linked(self, provider: str) -> Letter:
        return Letter(
            "A new way to log in",
            f"An account at {provider} has been linked to your account at Vitalis: from now on it logs you in.\n"
            "If it was not you, unlink it, end your other sessions and change your password.\n" + SIGNATURE,
        )

    def already_registered(self) -> Letter:
        return Letter(
            "You have an account already",
            "Somebody, probably you, has tried to sign up for Vitalis with this address, which has an account.\n"
            "Nothing has changed. To get in, log in with your password, or ask for a new one.\n" + SIGNATURE,
        )

    def reset_password(self, token: str) -> Letter:
        return Letter(
            "Set a new password",
            "Somebody, probably you, has asked for a new password of your account at Vitalis.\n\n"
            + self._code("reset-password", token)
            + "The code works once, for an hour.\n"
            "If it was not you, do nothing: your password stays as it is.\n" + SIGNATURE,
        )

    def password_set(self) -> Letter:
        return Letter(
            "Your password has changed",
            "The password of your account at Vitalis has been changed, and your other sessions have ended.\n"
            "If it was not you, ask for a new password at once and look at your sessions.\n" + SIGNATURE,
        )

    def change_email(self, token: str) -> Letter:
        return Letter(
            "Confirm your new email address",
            "Somebody, probably you, wants to use this address for an account at Vitalis.\n\n"
            + self._code("confirm-email-change", token)
            + "The code works once, for a day, for who is logged in with that account.\n"
            "If it was not you, do nothing: the account keeps the address that it has.\n" + SIGNATURE,
        )

    def email_changes(self) -> Letter:
        return Letter(
            "Your email address is about to change",
            "A change of the email address of your account at Vitalis has been asked for, with your password.\n"
            "It becomes effective when the new address has been confirmed.\n"
            "If it was not you, change your password at once: that takes the request back.\n" + SIGNATURE,
        )

    def _code(self, page: str, token: str) -> str:
        if not self._app_url:
            return f"Enter this code:\n\n    {token}\n\n"
        # Behind a # it stays in the browser: no server's log and no other site learns it.
        link = f"{self._app_url}/{page}#{urlencode({'token': token})}"
        return f"Open\n\n    {link}\n\nor enter this code:\n\n    {token}\n\n"
