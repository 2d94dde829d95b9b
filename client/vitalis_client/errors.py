"""What can go wrong, as one exception with a reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from vitalis_client.contract.models import LogInChallenge

REQUEST_ID_HEADER = "x-request-id"


@dataclass(frozen=True, slots=True)
class Violation:
    """A field of the request and the rule that it breaks."""

    field: str
    description: str


class VitalisError(Exception):
    """A request failed.

    `status` is the HTTP status, 0 if there was no answer. `reason` is the name
    that the API documents (`NOT_FOUND`, `WRONG_CREDENTIALS`), `message` is for people,
    and `request_id` finds the request in the server's log.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        violations: Iterable[Violation] = (),
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.request_id = request_id


class Unreachable(VitalisError):
    """There was no answer: nobody listens there, the connection broke, or it took too long."""

    def __init__(self, url: str, cause: httpx.TransportError) -> None:
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout):
            reason, why = "UNREACHABLE", "cannot reach"
        elif isinstance(cause, httpx.TimeoutException):
            reason, why = "TIMED_OUT", "waited too long for an answer of"
        else:
            reason, why = "CONNECTION_LOST", "lost the connection to"
        super().__init__(0, reason, f"{why} {url}")


class NotLoggedIn(VitalisError):
    """There is no session for this server, or it has ended: log in (again)."""

    def __init__(self, message: str, *, status: int = 401, reason: str = "UNAUTHENTICATED") -> None:
        super().__init__(status, reason, message)


class SecondFactorNeeded(VitalisError):
    """The password is right, and the person has a second factor: `challenge` asks for it."""

    def __init__(self, challenge: LogInChallenge) -> None:
        super().__init__(200, "SECOND_FACTOR_NEEDED", "a second factor is needed")
        self.challenge = challenge


def from_response(response: httpx.Response) -> VitalisError:
    """The error that an answer with a status of 400 or more tells of; its body has been read."""
    request_id = response.headers.get(REQUEST_ID_HEADER, "")
    try:
        body = response.json()
    except ValueError:
        body = None
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        return from_json(body["error"], response.status_code, request_id)
    return unexpected(response.status_code, f"answered {response.status_code} without saying why", request_id)


def from_json(error: Mapping[str, Any], status: int, request_id: str = "") -> VitalisError:
    """The error of the API's JSON form `{"code", "status", "message", "details"}`."""
    reason, violations = str(error.get("status", "UNKNOWN")), []
    details = error.get("details")
    for detail in filter(_is_object, details if isinstance(details, list) else ()):
        kind = str(detail.get("@type", ""))
        if kind.endswith("google.rpc.ErrorInfo"):
            reason = str(detail.get("reason", reason))
        elif kind.endswith("google.rpc.BadRequest"):
            for broken in filter(_is_object, detail.get("field_violations", ())):
                violations.append(Violation(str(broken.get("field", "")), str(broken.get("description", ""))))
    message = str(error.get("message", "the request failed"))
    return VitalisError(status, reason, message, violations=violations, request_id=request_id)


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def unexpected(status: int, what: str, request_id: str = "") -> VitalisError:
    """The error of an answer that is not one of the API's."""
    return VitalisError(
        status,
        "UNEXPECTED_ANSWER",
        f"the server {what}; is it Vitalis, of a version like this client's?",
        request_id=request_id,
    )
