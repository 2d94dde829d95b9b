"""Keyset page tokens, bound to the list and the parameters that they belong to."""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.errors import ServiceError, invalid

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
Value = TypeVar("Value")


def page_size(wanted: int) -> int:
    """AIP-158: 0 means the default, more than the most means the most, negative is an error."""
    if wanted < 0:
        raise invalid("page_size", "must be at least 0")
    return min(wanted or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def encode_token(position: list[str], *bound_to: str) -> str:
    """The token of the page that begins after `position`, the order's values of a row as text."""
    content = json.dumps([_fingerprint(bound_to), *position], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def decode_token(token: str, length: int, *bound_to: str) -> list[str]:
    """The position of a token. Raises INVALID_PAGE_TOKEN for one of another list or other parameters."""
    try:
        content = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        content = None
    if (
        isinstance(content, list)
        and len(content) == length + 1
        and all(isinstance(item, str) and "\0" not in item for item in content)
        and content[0] == _fingerprint(bound_to)
    ):
        return content[1:]
    raise bad_token()


def read_position(kind: Callable[[str], Value], text: str) -> Value:
    """A position's text as the value that rows are compared with. Raises INVALID_PAGE_TOKEN for text that is none."""
    try:
        return kind(text)
    except (ValueError, OverflowError):
        raise bad_token() from None


def instant_text(moment: datetime) -> str:
    """An instant in a position: microseconds since 1970."""
    return str((moment - EPOCH) // MICROSECOND)


def read_instant(text: str) -> datetime:
    """What `instant_text` has written. Raises INVALID_PAGE_TOKEN."""
    return read_position(lambda microseconds: EPOCH + int(microseconds) * MICROSECOND, text)


def instant_of(name: str, moment: Timestamp) -> datetime:
    """The field `name` of a request. Raises INVALID_FIELD for an instant that no row can have."""
    try:
        return moment.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise invalid(name, "must be an instant of the years 1 to 9999") from None


def bad_token() -> ServiceError:
    return ServiceError("INVALID_PAGE_TOKEN", "page_token: is not one of this list with these parameters")


def _fingerprint(parts: tuple[str, ...]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
