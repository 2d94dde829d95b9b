"""Channels to other services: deadlines, retries, load balancing and the caller's token."""

import json
from collections.abc import Callable
from typing import Any

import grpc

from services.kit.caller import CallerSigner, current

DEFAULT_DEADLINE_SECONDS = 30.0
# Retried only for UNAVAILABLE, which grpc answers before the RPC has begun or
# a service while it drains; writes are idempotent by their request id.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}
OPTIONS: list[tuple[str, Any]] = [
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.max_receive_message_length", 16 * 2**20),
]


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
    intercept_unary_unary = _CarryCaller._intercept


class _UnaryStream(_CarryCaller, grpc.aio.UnaryStreamClientInterceptor):
    intercept_unary_stream = _CarryCaller._intercept


class _StreamUnary(_CarryCaller, grpc.aio.StreamUnaryClientInterceptor):
    intercept_stream_unary = _CarryCaller._intercept


class _StreamStream(_CarryCaller, grpc.aio.StreamStreamClientInterceptor):
    intercept_stream_stream = _CarryCaller._intercept


def open_channel(target: str, signer: CallerSigner, audience: str) -> grpc.aio.Channel:
    """A channel to the service `audience` at `target`; calls carry the current caller."""
    interceptors = [kind(signer, audience) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]
    return grpc.aio.insecure_channel(target, options=OPTIONS, interceptors=interceptors)
