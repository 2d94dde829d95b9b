"""The API as Python: `Vitalis`."""

import json
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from vitalis_client import upload
from vitalis_client.contract import routes
from vitalis_client.contract.models import (
    Account,
    AccountInvitation,
    AuditEntry,
    BeginTotpResponse,
    CompleteOAuthResponse,
    Day,
    GetSecondFactorsResponse,
    Import,
    ListAuditTrailResponse,
    LogInChallenge,
    LogInResponse,
    Preferences,
    Session,
    User,
    WearableActivity,
    WearableDaily,
    WearableSleep,
)
from vitalis_client.errors import SecondFactorNeeded, Unreachable, VitalisError, from_json, unexpected
from vitalis_client.http import TIMEOUT, Http, decode_json
from vitalis_client.loopback import landing
from vitalis_client.privacy import Privacy
from vitalis_client.route import Route
from vitalis_client.sessions import MemorySessions, Sessions
from vitalis_client.sharing import Sharing
from vitalis_client.version import __version__

DEFAULT_URL = "http://127.0.0.1:8080"
# The statuses that an import does not leave by itself.
ENDED = frozenset({"succeeded", "failed", "cancelled", "rolled_back"})
MAX_PAGE = 1000
# After the last byte the server still has to hash and store what it was sent.
UPLOAD_TIMEOUT = httpx.Timeout(30.0, connect=5.0, read=300.0, write=60.0)
POLL_SECONDS = 1.0
# What a watch can end with while the import goes on.
PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNAUTHENTICATED"})

Page = TypeVar("Page", bound=BaseModel)
Row = TypeVar("Row", bound=BaseModel)


class Vitalis:
    """One person's view of one server.

    Every method raises VitalisError, of which NotLoggedIn and Unreachable are
    special cases. Lists are iterators that fetch page after page, the newest
    first. `person` is the id of somebody who shares with them; oneself without
    it. Dates are `datetime.date` or ISO 8601 text; instants in answers are
    aware datetimes in UTC; units are in the fields' names. An optional field
    that nobody measured is None.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        *,
        sessions: Sessions | None = None,
        timeout: httpx.Timeout | float | None = None,
    ) -> None:
        """`sessions` keeps the tokens: in memory by default, `FileSessions()` for those of the `vitalis` command.

        `timeout` in seconds is for every request but uploads. Raises ValueError for a URL that is none.
        """
        agent = f"vitalis-client/{__version__} python/{platform.python_version()}"
        self._http = Http(base_url, sessions or MemorySessions(), agent, httpx.Timeout(timeout or TIMEOUT))
        self.sharing = Sharing(self._http, self._pages)
        self.privacy = Privacy(self._http, self._pages)

    @property
    def base_url(self) -> str:
        return self._http.base_url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections; the session lives on in its store."""
        self._http.close()

    # Sessions

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
        return self._pages(routes.LIST_SESSIONS, {}, lambda page: page.sessions)

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

    def audit_trail(
        self,
        *,
        action: str = "",
        table_name: str = "",
        grant: str = "",
        page_size: int = 0,
        on_missing: Callable[[Sequence[str]], object] | None = None,
    ) -> Iterator[AuditEntry]:
        """What was done with the person's data and by whom: all, or an action such as `LOGIN`, a table, a grant.

        `on_missing(services)` is called when a page lacks the entries of services that could not be asked.
        """

        def entries(page: ListAuditTrailResponse) -> list[AuditEntry]:
            if page.unavailable_services and on_missing:
                on_missing(page.unavailable_services)
            return page.entries

        params = {"action": action, "table_name": table_name, "grant": grant}
        return self._pages(routes.LIST_AUDIT_TRAIL, params, entries, page_size)

    def me(self) -> User:
        """Who is logged in."""
        return self._http.get(routes.GET_USER)

    def update_profile(self, *, clear: Sequence[str] = (), **values: Any) -> User:
        """Changes fields of the profile: `update_profile(username="ada", clear=["bio"])`. USERNAME_TAKEN."""
        return self._http.patch(routes.UPDATE_USER, values, clear)

    def preferences(self) -> Preferences:
        """Units, time zone, notifications and dashboard."""
        return self._http.get(routes.GET_PREFERENCES)

    def update_preferences(self, *, clear: Sequence[str] = (), **values: Any) -> Preferences:
        """Changes preferences: `update_preferences(weight_unit="kg")`; what is cleared goes back to its default."""
        return self._http.patch(routes.UPDATE_PREFERENCES, values, clear)

    # Household

    def account(self) -> Account:
        """The account that the person is in, with its members."""
        return self._http.get(routes.GET_ACCOUNT)

    def invite_to_account(self, email: str) -> AccountInvitation:
        """Invites somebody by mail into the person's account. FAMILY_TIER_NEEDED, ACCOUNT_FULL, ALREADY_EXISTS."""
        return self._http.post(routes.CREATE_ACCOUNT_INVITATION, {"email": email})

    def account_invitations(self, *, status: str = "") -> Iterator[AccountInvitation]:
        """The invitations that the person has sent, all or those with a status such as `open`."""
        params = {"status": status}
        return self._pages(routes.LIST_ACCOUNT_INVITATIONS, params, lambda page: page.account_invitations)

    def revoke_account_invitation(self, invitation_id: str) -> AccountInvitation:
        """Takes an open invitation back."""
        return self._http.post(routes.REVOKE_ACCOUNT_INVITATION, {}, id=invitation_id)

    def join_account(self, token: str) -> Account:
        """Accepts an invitation. INVITATION_INVALID, ACCOUNT_FULL, ACCOUNT_HAS_MEMBERS."""
        return self._http.post(routes.JOIN_ACCOUNT, {"token": token})

    def decline_account_invitation(self, token: str) -> None:
        """Declines an invitation. INVITATION_INVALID."""
        self._http.post(routes.DECLINE_ACCOUNT_INVITATION, {"token": token})

    def leave_account(self) -> Account:
        """Leaves a household for an account of the person's own. OWNER_CANNOT_LEAVE."""
        return self._http.post(routes.LEAVE_ACCOUNT, {})

    def remove_account_member(self, member_id: str) -> Account:
        """Removes a member from the person's household. NOT_ACCOUNT_OWNER."""
        return self._http.post(routes.REMOVE_ACCOUNT_MEMBER, {}, id=member_id)

    def make_account_owner(self, member_id: str) -> Account:
        """Hands the account over to another member. NOT_ACCOUNT_OWNER."""
        return self._http.post(routes.MAKE_ACCOUNT_OWNER, {}, id=member_id)

    # Second factors. What changes them takes the password or a factor: PROOF_REFUSED.

    def second_factors(self) -> GetSecondFactorsResponse:
        """Which second factors the person has."""
        return self._http.get(routes.GET_SECOND_FACTORS)

    def begin_totp(self, proof: Mapping[str, str]) -> BeginTotpResponse:
        """A secret for an authenticator app; it counts once `confirm_totp` has seen a code of it.

        `proof` has one of `password`, `totp_code` and `recovery_code`.
        """
        return self._http.post(routes.BEGIN_TOTP, {"proof": dict(proof)})

    def confirm_totp(self, totp_code: str) -> list[str]:
        """Turns the authenticator app on. Recovery codes, if there were none. CODE_WRONG."""
        return self._http.post(routes.CONFIRM_TOTP, {"totp_code": totp_code}).recovery_codes

    def remove_totp(self, proof: Mapping[str, str]) -> None:
        """Turns the authenticator app off. NOT_FOUND if it is not on."""
        self._http.post(routes.REMOVE_TOTP, {"proof": dict(proof)})

    def regenerate_recovery_codes(self, proof: Mapping[str, str]) -> list[str]:
        """Ten new recovery codes; the earlier ones stop working. NOT_FOUND without a second factor."""
        return self._http.post(routes.REGENERATE_RECOVERY_CODES, {"proof": dict(proof)}).recovery_codes

    # Imports

    def upload(
        self,
        path: Path | str,
        *,
        source: str = "apple_health",
        on_progress: Callable[[int, int], None] | None = None,
        idempotency_key: str = "",
    ) -> Import:
        """Uploads a file and queues its import; the file is streamed from the disk.

        `on_progress(sent, total)` is called with bytes; `sent` starts over if a
        broken connection makes the upload begin again. Uploads with the same
        `idempotency_key` (by default a new one for each call) are imported once.
        """
        file = Path(path)
        size = upload.open_file(file)
        headers = {
            "content-length": str(size),
            "content-type": "application/octet-stream",
            "idempotency-key": idempotency_key or str(uuid.uuid4()),
        }
        return self._http.call(
            routes.CREATE_IMPORT,
            {},
            repeat=True,
            # A name that is not UTF-8 would fit no URL.
            params={"source": source, "file_name": file.name.encode("utf-8", "replace").decode()},
            headers=headers,
            content=partial(upload.chunks, file, size, on_progress),
            timeout=UPLOAD_TIMEOUT,
        )

    def get_import(self, import_id: str) -> Import:
        """One import as it is now."""
        return self._http.get(routes.GET_IMPORT, id=import_id)

    def imports(self, *, status: str = "") -> Iterator[Import]:
        """The person's imports, all or those with a status such as `succeeded`."""
        return self._pages(routes.LIST_IMPORTS, {"status": status}, lambda page: page.imports)

    def watch_import(self, import_id: str) -> Iterator[Import]:
        """The import whenever it has come further, until it has ended; asks every second if watching fails."""
        last: Import | None = None
        try:
            for last in self._watch(import_id):
                yield last
        except VitalisError as error:
            if not isinstance(error, Unreachable) and error.reason not in PASSING:
                raise
        while last is None or last.status not in ENDED:
            now = self.get_import(import_id)
            if now != last:
                last = now
                yield now
            if now.status not in ENDED:
                self._http.pause(POLL_SECONDS)

    def cancel_import(self, import_id: str) -> Import:
        """Stops an import; nothing of it is stored. IMPORT_ENDED if it has ended already."""
        return self._http.post(routes.CANCEL_IMPORT, {}, id=import_id)

    def roll_back_import(self, import_id: str) -> Import:
        """Takes back what an import stored. IMPORT_NOT_ENDED if it is queued or running."""
        return self._http.post(routes.ROLL_BACK_IMPORT, {}, id=import_id)

    # What was recorded

    def days(
        self,
        start: date | str = "",
        end: date | str = "",
        *,
        preferred_sources: Sequence[str] = (),
        page_size: int = 0,
        person: str = "",
    ) -> Iterator[Day]:
        """Days from `start` to `end`, both included, each value from the most preferred source that has one."""
        params = _bounds(start, end) | {"preferred_sources": list(preferred_sources)}
        return self._pages(routes.LIST_DAYS, params, lambda page: page.days, page_size, person)

    def daily(
        self, start: date | str = "", end: date | str = "", *, source: str = "", page_size: int = 0, person: str = ""
    ) -> Iterator[WearableDaily]:
        """Daily rows as each source has them: several a day if there are several sources."""
        params = _bounds(start, end) | {"source": source}
        return self._pages(routes.LIST_WEARABLE_DAILY, params, lambda page: page.wearable_daily, page_size, person)

    def nights(
        self, start: date | str = "", end: date | str = "", *, source: str = "", page_size: int = 0, person: str = ""
    ) -> Iterator[WearableSleep]:
        """Nights by the date they ended on."""
        params = _bounds(start, end) | {"source": source}
        return self._pages(routes.LIST_WEARABLE_SLEEP, params, lambda page: page.wearable_sleep, page_size, person)

    def get_night(self, night_id: str) -> WearableSleep:
        """One night, with its raw data, which lists leave out."""
        return self._http.get(routes.GET_WEARABLE_SLEEP, id=night_id)

    def workouts(
        self,
        start: date | str = "",
        end: date | str = "",
        *,
        source: str = "",
        activity_type: str = "",
        page_size: int = 0,
        person: str = "",
    ) -> Iterator[WearableActivity]:
        """Workouts and other activities, by the date they began on."""
        params = _bounds(start, end) | {"source": source, "activity_type": activity_type}
        rows = routes.LIST_WEARABLE_ACTIVITY
        return self._pages(rows, params, lambda page: page.wearable_activities, page_size, person)

    def get_workout(self, workout_id: str) -> WearableActivity:
        """One workout, with its raw data, which lists leave out."""
        return self._http.get(routes.GET_WEARABLE_ACTIVITY, id=workout_id)

    def _pages(
        self,
        route: Route[Page],
        params: Mapping[str, str | list[str]],
        rows: Callable[[Page], list[Row]],
        page_size: int = 0,
        person: str = "",
    ) -> Iterator[Row]:
        fixed = {name: value for name, value in params.items() if value}
        fields = {"user_id": person} if person else {}
        token = ""
        while True:
            # The size of a page may change between pages; the other parameters may not.
            wanted = {**fixed, "page_size": page_size or MAX_PAGE, "page_token": token}
            page = self._http.get(route, wanted, **fields)
            yield from rows(page)
            token = str(getattr(page, "next_page_token", ""))
            if not token:
                return

    def _watch(self, import_id: str) -> Iterator[Import]:
        with self._http.stream(routes.WATCH_IMPORT, id=import_id) as response:
            for line in response.iter_lines():
                if not line.strip():
                    continue
                try:
                    failure = json.loads(line).get("error")
                except (ValueError, AttributeError):
                    raise unexpected(response.status_code, "sent a line that is no JSON object") from None
                if failure is not None:
                    raise from_json(failure, int(failure.get("code", 500)))
                yield decode_json(Import, line, response.status_code)


def _bounds(start: date | str, end: date | str) -> dict[str, str | list[str]]:
    return {"start_date": str(start), "end_date": str(end)}
