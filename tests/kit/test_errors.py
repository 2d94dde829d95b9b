"""An error's journey over the wire and back, and what broken connections amount to."""

import base64
from typing import Any
from urllib.parse import quote

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import ServiceError, Violation, from_rpc_error, invalid, not_found, reason_of, to_status

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def received(status: status_pb2.Status) -> ServiceError:
    """The error as a client gets it."""
    sent = rpc_status.to_status(status)
    metadata: Any = grpc.aio.Metadata(*sent.trailing_metadata)
    return from_rpc_error(grpc.aio.AioRpcError(sent.code, grpc.aio.Metadata(), metadata, sent.details))


def bare(code: grpc.StatusCode, details: str = "") -> ServiceError:
    """What grpc itself says."""
    return from_rpc_error(grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details))


@given(
    TEXT,
    st.lists(st.builds(Violation, TEXT, TEXT), max_size=3),
    st.dictionaries(TEXT, TEXT, max_size=3),
    st.none() | st.integers(0, 10**7).map(lambda milliseconds: milliseconds / 1000),
)
def test_an_error_arrives_as_it_was_sent(
    message: str, violations: list[Violation], metadata: dict[str, str], retry_after: float | None
) -> None:
    sent = ServiceError(
        "UNAVAILABLE", message, violations=violations, metadata=metadata, retry_after_seconds=retry_after
    )
    arrived = received(to_status(sent))
    assert arrived.reason == sent.reason
    assert (arrived.message, arrived.violations, arrived.metadata) == (message, tuple(violations), metadata)
    assert arrived.retry_after_seconds == retry_after


@given(st.text("aä😀%", max_size=3000), st.integers(0, 300), st.integers(0, 200), st.integers(0, 600))
def test_an_error_fits_into_the_headers_that_peers_take(
    text: str, count: int, name_length: int, description_length: int
) -> None:
    violations = [Violation("f" * name_length, "é" * description_length)] * count
    sent = rpc_status.to_status(to_status(ServiceError("UNAVAILABLE", text, violations=violations)))
    metadata: Any = sent.trailing_metadata
    details = sum(len(base64.b64encode(value)) for _, value in metadata)
    # HTTP/2 as gRPC speaks it: the message in per cent notation, the details in Base64; 8 KiB with all other headers.
    assert len(quote(str(sent.details))) + details < 7500
    arrived = received(to_status(ServiceError("UNAVAILABLE", text, violations=violations)))
    assert bool(arrived.violations) == bool(violations)
    assert arrived.message.rstrip("…") == text[: len(arrived.message.rstrip("…"))]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
        (grpc.StatusCode.CANCELLED, "CANCELLED"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.UNKNOWN, "INTERNAL"),
        (grpc.StatusCode.UNIMPLEMENTED, "INTERNAL"),
    ],
)
def test_what_grpc_says_by_itself_becomes_ours_without_its_text(code: grpc.StatusCode, reason: str) -> None:
    error = bare(code, "secret.internal:7102 refused hunter2")
    assert error.reason.name == reason
    assert "hunter2" not in error.message


def test_a_stream_that_could_not_be_sent_is_a_connection_that_broke() -> None:
    error = bare(grpc.StatusCode.INTERNAL, 'Failed "execute_batch": (<SendMessageOperation>,)')
    assert (error.reason.name, error.retry_after_seconds) == ("UNAVAILABLE", 1)


def test_a_reason_that_nobody_knows_is_told_by_its_code() -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="FROM_THE_FUTURE", domain="elsewhere"))
    arrived = received(status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="x", details=[detail]))
    assert arrived.reason.name == "UNAVAILABLE"


def test_a_reason_has_its_code_and_its_http_status() -> None:
    assert (reason_of("NOT_FOUND").http_status, reason_of("NOT_FOUND").universal) == (404, False)
    assert (reason_of("TOO_LARGE").code, reason_of("TOO_LARGE").http_status) == (grpc.StatusCode.OUT_OF_RANGE, 413)
    with pytest.raises(KeyError):
        ServiceError("NO_SUCH_REASON", "x")
    assert invalid("page_size", "must be at least 0").violations == (Violation("page_size", "must be at least 0"),)
    assert not_found("import").message == "there is no such import"
