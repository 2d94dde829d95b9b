"""The HTTP form of answers: headers on everything, and one JSON form of errors."""

import json
import math
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.tokens import InvalidTokenError
from services.kit.errors import ServiceError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

TYPES = "type.googleapis.com/google.rpc."
YEAR_SECONDS = 31_536_000
SECURITY: Headers = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


def security_headers(hsts: bool) -> Headers:
    """The headers that every answer of the API carries."""
    strict = [(b"strict-transport-security", f"max-age={YEAR_SECONDS}; includeSubDomains".encode())]
    return SECURITY + (strict if hsts else [])


def error_json(error: ServiceError, status: int | None = None) -> dict[str, Any]:
    """`{"error": {"code", "status", "message", "details"}}`; details are those of google.rpc as JSON."""
    reason = error.reason
    details: list[dict[str, Any]] = [
        {"@type": TYPES + "ErrorInfo", "reason": reason.name, "domain": reason.domain, "metadata": error.metadata}
    ]
    if error.violations:
        violations = [{"field": v.field, "description": v.description} for v in error.violations]
        details.append({"@type": TYPES + "BadRequest", "field_violations": violations})
    if error.retry_after_seconds is not None:
        details.append({"@type": TYPES + "RetryInfo", "retry_delay": f"{error.retry_after_seconds:.3f}s"})
    return {
        "error": {
            "code": status or reason.http_status,
            "status": reason.code.name,
            "message": error.message,
            "details": details,
        }
    }


def error_body(error: ServiceError, status: int | None = None) -> bytes:
    """The error's JSON in UTF-8."""
    return json.dumps(error_json(error, status), ensure_ascii=False).encode("utf-8", "replace")


def error_headers(error: ServiceError) -> Headers:
    """What HTTP says beside the body: `Retry-After` in seconds, `WWW-Authenticate`, the `ETag` of what has changed."""
    headers: Headers = []
    if error.retry_after_seconds is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after_seconds))).encode()))
    if isinstance(error, InvalidTokenError):
        headers.append((b"www-authenticate", b'Bearer error="invalid_token"'))
    elif error.reason.http_status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.reason.name == "ETAG_MISMATCH":
        headers += etag_header(error.metadata.get("etag", ""))
    return headers


def etag_header(etag: str) -> Headers:
    """`ETag` with its quotes; nothing for a resource that has none."""
    if not etag or not etag.isascii() or not etag.isprintable() or '"' in etag:
        return []
    return [(b"etag", f'"{etag}"'.encode())]
