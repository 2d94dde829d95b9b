"""What the gateway tells about its requests: one log line, one histogram, one span each.

Routes are named by their template. Paths, queries, addresses and people's ids
appear nowhere.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

import structlog
from opentelemetry import trace
from opentelemetry.propagate import extract, inject
from prometheus_client import Histogram

log = structlog.get_logger("gateway")

NO_ROUTE = "none"
CLIENT_GONE = 499
DURATION = Histogram(
    "http_server_request_duration_seconds",
    "How long requests took, by the template of their route.",
    ("route", "method", "status"),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Outcome(NamedTuple):
    """How a request ended."""

    route: str
    method: str
    status: int
    reason: str
    request_id: str


class Observer:
    """Records requests; spans only if an OpenTelemetry endpoint is set."""

    def __init__(self, *, traced: bool) -> None:
        self._tracer = trace.get_tracer("vitalis.gateway") if traced else None
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def begin(self, headers: Mapping[bytes, bytes]) -> trace.Span | None:
        """The span of a request, which continues the client's trace if it sent one."""
        if self._tracer is None:
            return None
        parent = headers.get(b"traceparent", b"").decode("latin-1")
        return self._tracer.start_span(
            "request", context=extract({"traceparent": parent}) if parent else None, kind=trace.SpanKind.SERVER
        )

    def carry(self, span: trace.Span) -> tuple[tuple[str, str], ...]:
        """The gRPC metadata that makes a service's span a child of this one."""
        carrier: dict[str, str] = {}
        inject(carrier, context=trace.set_span_in_context(span))
        return tuple(carrier.items())

    def end(self, outcome: Outcome, started: float, span: trace.Span | None) -> None:
        """Records a request that began at `started` (`time.perf_counter`)."""
        seconds = time.perf_counter() - started
        method = outcome.method if outcome.method in KNOWN_METHODS else "other"
        key = (outcome.route, method, outcome.status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = DURATION.labels(*key)
        child.observe(seconds)
        log.info(
            "request",
            route=outcome.route,
            method=method,
            status=outcome.status,
            reason=outcome.reason,
            ms=round(seconds * 1000, 2),
            request_id=outcome.request_id,
        )
        if span is not None:
            span.update_name(f"{method} {outcome.route}")
            span.set_attributes(
                {
                    "http.route": outcome.route,
                    "http.request.method": method,
                    "http.response.status_code": outcome.status,
                    "vitalis.request_id": outcome.request_id,
                }
            )
            span.end()
