"""Domain errors, and their journey as `google.rpc.Status` over the wire and back.

The reasons are the values of each package's proto enum `ErrorReason`; the enum
carries the gRPC code (and, where it differs, the HTTP status) of every reason,
so that code only names the reason: `raise ServiceError("NOT_FOUND", "…")`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import grpc
from google.protobuf import any_pb2, descriptor, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from vitalis.options.v1 import errors_pb2, options_pb2

PREFIX = "ERROR_REASON_"
# With this text, and the code INTERNAL, grpc.aio ends a stream whose connection broke while it sent.
UNSENT = 'Failed "execute_batch"'
# What tells somebody who is known that something is not theirs; it is recorded in their audit trail.
DENIALS = frozenset({"SCOPE_MISSING", "SUBJECT_MISMATCH"})
CODES = {code.value[0]: code for code in grpc.StatusCode}
# An error travels in headers, of which a peer may refuse more than 8 KiB. In them bytes grow by a third, and what is
# not ASCII in the message threefold.
MOST_VIOLATIONS = 50
MOST_VIOLATION_BYTES = 4200
MOST_TEXT_BYTES = 400
# https://cloud.google.com/apis/design/errors: the HTTP status of each gRPC code.
HTTP_STATUS = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "DATA_LOSS": 500,
    "UNKNOWN": 500,
    "INTERNAL": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


class Reason(NamedTuple):
    """What an error reason means on the wire."""

    name: str
    code: grpc.StatusCode
    domain: str
    http_status: int
    universal: bool


_reasons: dict[str, Reason] = {}


def register_reasons(enum: descriptor.EnumDescriptor) -> None:
    """Makes the values of an `ErrorReason` enum known; every value needs a code."""
    for value in enum.values:
        options = value.GetOptions()
        if value.number == 0:
            continue
        number = options.Extensions[options_pb2.code]
        if not number:
            raise ValueError(f"{enum.full_name}.{value.name} has no (vitalis.options.v1.code)")
        code = code_pb2.Code.Name(number)
        name = value.name.removeprefix(PREFIX)
        reason = Reason(
            name,
            CODES[number],
            enum.file.package,
            options.Extensions[options_pb2.http_status] or HTTP_STATUS[code],
            options.Extensions[options_pb2.universal],
        )
        if _reasons.setdefault(name, reason) != reason:
            raise ValueError(f"{name} is an error reason of {_reasons[name].domain} and of {reason.domain}")


register_reasons(errors_pb2.ErrorReason.DESCRIPTOR)


def reason_of(name: str) -> Reason:
    """The registered reason of that name; KeyError if there is none."""
    return _reasons[name]


@dataclass(frozen=True, slots=True)
class Violation:
    """A field and the rule that it breaks, never the field's value."""

    field: str
    description: str


class ServiceError(Exception):
    """A failure that the caller is told about.

    `message` is for people and carries no SQL, no secret and nobody's data.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason_of(reason)
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after_seconds = retry_after_seconds


def invalid(field: str, rule: str) -> ServiceError:
    """The error of one field that breaks a rule: `invalid("page_size", "must be at least 0")`."""
    return ServiceError("INVALID_FIELD", f"{field}: {rule}", violations=[Violation(field, rule)])


def etag_mismatch(what: str, etag: str) -> ServiceError:
    """The error of a change to what has changed since it was read; `etag` is the present one."""
    return ServiceError("ETAG_MISMATCH", f"the {what} has changed since it was read", metadata={"etag": etag})


def not_found(what: str) -> ServiceError:
    """The error of a row that is not there, or not the caller's: `not_found("import")`."""
    return ServiceError("NOT_FOUND", f"there is no such {what}")


def all_wrong(reason: str, violations: Sequence[Violation], advice: str = "") -> ServiceError:
    """The error of several fields at once, each named in the message as far as there is room, with `advice` behind."""
    rules = [f"{violation.field}: {violation.description}" for violation in violations[:MOST_VIOLATIONS]]
    return ServiceError(reason, "; ".join([*rules, advice] if advice else rules), violations=violations)


def to_status(error: ServiceError) -> status_pb2.Status:
    """The error as `google.rpc.Status` with ErrorInfo, BadRequest and RetryInfo; as much of it as can be sent."""
    details = [any_pb2.Any() for _ in range(1 + bool(error.violations) + (error.retry_after_seconds is not None))]
    details[0].Pack(
        error_details_pb2.ErrorInfo(reason=error.reason.name, domain=error.reason.domain, metadata=error.metadata)
    )
    if error.violations:
        details[1].Pack(error_details_pb2.BadRequest(field_violations=_sendable(error.violations)))
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(round(error.retry_after_seconds * 1000))
        details[-1].Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status_pb2.Status(code=error.reason.code.value[0], message=_short(error.message), details=details)


def _sendable(violations: Sequence[Violation]) -> Iterator[error_details_pb2.BadRequest.FieldViolation]:
    room = MOST_VIOLATION_BYTES
    for violation in violations[:MOST_VIOLATIONS]:
        sent = error_details_pb2.BadRequest.FieldViolation(
            field=violation.field, description=_short(violation.description)
        )
        room -= sent.ByteSize()
        if room < 0:
            return
        yield sent


def _short(text: str) -> str:
    """A text that may quote what was sent, such as a path, cut where it is too long."""
    encoded = text.encode()
    if len(encoded) <= MOST_TEXT_BYTES:
        return text
    return encoded[: MOST_TEXT_BYTES - 3].decode(errors="ignore") + "…"


def from_rpc_error(error: grpc.aio.AioRpcError) -> ServiceError:
    """The error that a service answered with, or what a broken connection amounts to."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    if status is None:
        unsent = str(error.details()).startswith(UNSENT)
        return _from_code(grpc.StatusCode.UNAVAILABLE if unsent else error.code())
    reason, metadata, violations, retry = "", {}, [], None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            violations = [Violation(v.field, v.description) for v in bad.field_violations]
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            info_retry = error_details_pb2.RetryInfo()
            detail.Unpack(info_retry)
            retry = info_retry.retry_delay.ToMilliseconds() / 1000
    if reason not in _reasons:
        return _from_code(error.code())
    return ServiceError(reason, status.message, violations=violations, metadata=metadata, retry_after_seconds=retry)


def _from_code(code: grpc.StatusCode) -> ServiceError:
    """What a failure of the transport itself amounts to; its text stays out of the answer."""
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return ServiceError("DEADLINE_EXCEEDED", "the request took longer than its deadline")
    if code is grpc.StatusCode.UNAVAILABLE:
        return ServiceError("UNAVAILABLE", "a service cannot be reached; try again", retry_after_seconds=1)
    if code is grpc.StatusCode.CANCELLED:
        return ServiceError("CANCELLED", "the request was cancelled")
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return ServiceError("TOO_LARGE", "a message is larger than the limit")
    return ServiceError("INTERNAL", "something went wrong; the request id finds it in the log")
