"""Who is logged in, and with what: a part of `Vitalis`."""

from collections.abc import Callable, Iterator

import httpx

from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import CompleteOAuthResponse, LogInChallenge, LogInResponse, Session, User
from vitalis_client.errors import SecondFactorNeeded, unexpected
from vitalis_client.loopback import landing


class LogIn(Area):
    """Signing up, logging in and out, passwords, addresses and sessions."""

    def register(self, email: str, password: str, display_name: str) -> None:
        """Signs a person up; a mail brings the code for `verify_email`. PASSWORD_WEAK if it is easy to guess.

        It tells nobody whether the address has an account: its owner is told by mail.
        """
        self._http.open(routes.REGISTER, {"email": email, "password": password, "display_name": display_name})

    def verify_email(self, code: str, password: str) -> User:
        """Proves the address of a registration and begins a session. VERIFICATION_TOKEN_INVALID, WRONG_CREDENTIALS."""
        answer, headers = self._http.open(routes.VERIFY_EMAIL, {"token": code, "password": password})
        self._http.start(answer.user.id, answer.user.email, answer.tokens, headers)
        return answer.user

    def request_email_verification(self, email: str) -> None:
        """Has another mail sent with a code for `verify_email`; the older code stops working."""
        self._http.open(routes.REQUEST_EMAIL_VERIFICATION, {"email": email})

    def request_password_reset(self, email: str) -> None:
        """Has a mail sent with a code for `reset_password`, if somebody has the address."""
        self._http.open(routes.REQUEST_PASSWORD_RESET, {"email": email})

    def reset_password(self, code: str, new_password: str) -> None:
        """Sets a new password and ends all sessions. VERIFICATION_TOKEN_INVALID, PASSWORD_WEAK."""
        self._http.open(routes.RESET_PASSWORD, {"token": code, "new_password": new_password})

    def change_password(self, old_password: str, new_password: str) -> None:
        """Changes the password and ends the person's other sessions. PASSWORD_WRONG, PASSWORD_WEAK."""
        self._http.post(routes.CHANGE_PASSWORD, {"old_password": old_password, "new_password": new_password})

    def request_email_change(self, password: str, new_email: str) -> None:
        """Has a mail sent to a new address with a code for `confirm_email_change`. PASSWORD_WRONG."""
        self._http.post(routes.REQUEST_EMAIL_CHANGE, {"password": password, "new_email": new_email})

    def confirm_email_change(self, code: str) -> None:
        """Makes the new address the person's, who has to be logged in. VERIFICATION_TOKEN_INVALID."""
        self._http.post(routes.CONFIRM_EMAIL_CHANGE, {"token": code})

    def sessions(self) -> Iterator[Session]:
        """Where the person is logged in, the newest first."""
        return self._http.pages(routes.LIST_SESSIONS, {}, lambda page: page.sessions)

    def revoke_session(self, session_id: str) -> None:
        """Ends one of the person's sessions. NOT_FOUND if there is no such living one."""
        self._http.post(routes.REVOKE_SESSION, {}, id=session_id)

    def revoke_other_sessions(self) -> int:
        """Ends all of the person's sessions but this one; how many."""
        return self._http.post(routes.REVOKE_SESSIONS, {"keep_current": True}).revoked

    def revoke_all_sessions(self) -> int:
        """Ends all of the person's sessions, and forgets this one; how many."""
        revoked = self._http.post(routes.REVOKE_SESSIONS, {"keep_current": False}).revoked
        self._http.end()
        return revoked

    def log_in(self, email: str, password: str) -> User:
        """Begins a session. WRONG_CREDENTIALS if the address or the password is wrong.

        SecondFactorNeeded if the person has a second factor: go on with `complete_log_in`.
        """
        answer, headers = self._http.open(routes.LOG_IN, {"email": email, "password": password})
        return self._logged_in(answer, headers)

    def log_in_elsewhere(self, provider: str, show: Callable[[str], object]) -> User:
        """Begins a session with an account at a provider that the server knows.

        `show` is called once with the URL for the person's browser, which has to run
        on this machine. Waits until the browser is back, ten minutes at most.
        LOG_IN_REFUSED, LOG_IN_TIMED_OUT, OAUTH_LINK_FIRST if the address has an
        account, SecondFactorNeeded as in `log_in`.
        """
        with landing() as page:
            begun, _ = self._http.open(routes.START_OAUTH, {"redirect_uri": page.url}, provider=provider)
            show(begun.authorization.authorization_url)
            came = page.wait(begun.authorization.state)
        end = {"code": came["code"], "iss": came.get("iss", ""), "state": came["state"]}
        answer, headers = self._http.open(
            routes.COMPLETE_OAUTH, {**end, "binding": begun.authorization.binding}, provider=provider
        )
        return self._logged_in(answer, headers)

    def _logged_in(self, answer: LogInResponse | CompleteOAuthResponse, headers: httpx.Headers) -> User:
        if answer.challenge is not None:
            raise SecondFactorNeeded(answer.challenge)
        if answer.user is None or answer.tokens is None:
            raise unexpected(200, "logged nobody in")
        self._http.start(answer.user.id, answer.user.email, answer.tokens, headers)
        return answer.user

    def complete_log_in(self, challenge: LogInChallenge, *, totp_code: str = "", recovery_code: str = "") -> User:
        """Begins the session that a second factor held back. SECOND_FACTOR_WRONG; CHALLENGE_INVALID: begin again."""
        factor = {"totp_code": totp_code} if totp_code else {"recovery_code": recovery_code}
        answer, headers = self._http.open(routes.COMPLETE_LOG_IN, {"challenge": challenge.challenge, **factor})
        self._http.start(answer.user.id, answer.user.email, answer.tokens, headers)
        return answer.user

    def log_out(self) -> None:
        """Ends the session, and forgets it even when the server cannot be told."""
        self._http.end()
