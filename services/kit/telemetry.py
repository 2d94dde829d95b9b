"""Logs, metrics and spans of a process. None of them carries personal data.

Log lines name RPCs, codes, durations and request ids; never a user id, an
address, a field's value or an exception's text from the database.
"""

import logging
import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import structlog
from opentelemetry import propagate, trace
from prometheus_client import start_http_server

from services.kit.settings import ProcessSettings

_tracing = False


def start(settings: ProcessSettings, process: str) -> None:
    """Sets up logs, metrics and spans as the settings say."""
    configure_logging(settings.log_format, settings.log_level, process)
    if settings.metrics_listen:
        start_metrics(settings.metrics_listen)
    if settings.otlp_endpoint:
        start_tracing(settings.otlp_endpoint, process)


def configure_logging(log_format: str, level: str, process: str) -> None:
    """One line an event on stderr: JSON, or coloured text for a person."""
    number = logging.getLevelNamesMapping()[level]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[structlog.typing.Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                pad_event_to=0,
                # A traceback with local variables would show passwords and people's data.
                exception_formatter=structlog.dev.plain_traceback,
            )
        ]
    )
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    if log_format == "json":
        structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    # Libraries' own lines may quote arguments, so only their warnings are kept.
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    # It logs a failed job with its arguments and its error's text; jobs.py says what may be said.
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    # It quotes hosts, roles and what it cannot read of a URL; server.py tells when the database is gone.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)


def start_metrics(listen: str) -> None:
    """Serves Prometheus metrics on `host:port`."""
    host, _, port = listen.rpartition(":")
    start_http_server(int(port), addr=host)


def start_tracing(endpoint: str, process: str) -> None:
    """Sends spans to an OpenTelemetry collector over OTLP/gRPC."""
    # Not at the top: they take memory that a process without spans need not have.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    global _tracing
    _tracing = True
    provider = TracerProvider(resource=Resource.create({"service.name": f"vitalis-{process}"}))
    insecure = not endpoint.startswith("https://")
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=insecure)))
    trace.set_tracer_provider(provider)


def span(name: str, metadata: Iterable[tuple[str, str | bytes]] | None) -> AbstractContextManager[object]:
    """A span of the trace that the metadata's `traceparent` names; nothing where no endpoint is configured.

    An exception's text may quote a value, so it is not recorded.
    """
    if not _tracing:
        return nullcontext()
    carrier = {key: str(value) for key, value in metadata or ()}
    return trace.get_tracer("vitalis").start_as_current_span(
        name,
        context=propagate.extract(carrier),
        kind=trace.SpanKind.SERVER,
        record_exception=False,
        set_status_on_exception=False,
    )


def where(error: BaseException) -> str:
    """File and line of each frame of a traceback, without the error's text, which may quote a value."""
    frames = []
    step = error.__traceback__
    while step:
        code = step.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/')[2]}:{step.tb_lineno}")
        step = step.tb_next
    return " ".join(frames[-8:])
