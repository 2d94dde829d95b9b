"""Channels to other services: deadlines, retries, load balancing and the caller's token."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from google.api import annotations_pb2
from google.protobuf import descriptor

from services.kit import tls
from services.kit.caller import CallerSigner, current, watch_private_key
from services.kit.settings import ServiceSettings

DEFAULT_DEADLINE_SECONDS = 30.0
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A service that was away is found again soon after it is back, however long it was away.
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 16 * 2**20),
]
RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.1s",
    "maxBackoff": "1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}


def service_config(services: Sequence[descriptor.ServiceDescriptor]) -> str:
    """gRPC's service config: calls go round the replicas, and RPCs that only read are retried.

    An RPC only reads if its HTTP method is GET.
    """
    safe = [
        {"service": service.full_name, "method": method.name}
        for service in services
        for method in service.methods
        if method.GetOptions().Extensions[annotations_pb2.http].get
    ]
    return json.dumps(
        {"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": safe, "retryPolicy": RETRY}]}
    )


class _CarryCaller:
    """Adds the current caller's token and a deadline to a call."""

    def __init__(self, signer: CallerSigner, audience: str) -> None:
        self._signer = signer
        self._audience = audience

    async def _intercept(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return await continuation(
            grpc.aio.ClientCallDetails(
                details.method,
                details.timeout or DEFAULT_DEADLINE_SECONDS,
                grpc.aio.Metadata(*self._signer.metadata(current(), self._audience)),
                details.credentials,
                details.wait_for_ready,
            ),
            request,
        )


# grpc files an interceptor under the first kind of call that it is for, so
# each kind needs an object of its own.
class _UnaryUnary(_CarryCaller, grpc.aio.UnaryUnaryClientInterceptor):
    intercept_unary_unary: Any = _CarryCaller._intercept


class _UnaryStream(_CarryCaller, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream: Any = _CarryCaller._intercept


class _StreamUnary(_CarryCaller, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary: Any = _CarryCaller._intercept


class _StreamStream(_CarryCaller, grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream: Any = _CarryCaller._intercept


def open_channels(
    name: str, settings: ServiceSettings, services: Sequence[descriptor.ServiceDescriptor]
) -> dict[str, grpc.aio.Channel]:
    """A channel to each other service that the service `name` knows; for calls to `services`, in its own name."""
    signer = CallerSigner(name, watch_private_key(settings.caller_key_file))
    return {other: open_channel(settings, signer, other, services) for other in settings.services}


def open_channel(
    settings: ServiceSettings, signer: CallerSigner, audience: str, services: Sequence[descriptor.ServiceDescriptor]
) -> grpc.aio.Channel:
    """A channel to the services of `audience`, where the settings say that it is; calls carry the current caller."""
    interceptors = [kind(signer, audience) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]
    options = [*OPTIONS, ("grpc.service_config", service_config(services))]
    return tls.open_channel(settings, audience, settings.services[audience], options, interceptors)
