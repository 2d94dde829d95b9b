"""Channels to the services: raw bytes, deadlines, keepalive, round robin, health."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from gateway.contract import Rpc
from gateway.settings import GatewaySettings
from services.kit.errors import from_rpc_error
from services.kit.tls import open_channel
from vitalis.identity.v1 import (
    audit_pb2,
    audit_pb2_grpc,
    callers_pb2,
    callers_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)

IDENTITY = "identity"
HEALTH_TIMEOUT_SECONDS = 2.0
# A public health page must not turn into load on the services.
HEALTH_MEMORY_SECONDS = 1.0
KEY_SET_TIMEOUT_SECONDS = 5.0
# Somebody waits for it with every request, and goes on without it if identity hangs.
RESOLVE_TIMEOUT_SECONDS = 2.0
RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}

Metadata = tuple[tuple[str, str], ...]


def service_config(rpcs: Iterable[Rpc]) -> str:
    """Round robin for all, and retries where HTTP promises that repeating is harmless (GET)."""
    names = [
        {"service": rpc.method.parent.type_name, "method": rpc.method.name}
        for rpc in rpcs
        if all(rule.http_method == "GET" for rule in rpc.rules)
    ]
    methods = [{"name": names, "retryPolicy": RETRY}] if names else []
    return json.dumps({"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": methods})


class Backends:
    """One channel per service; opened inside the event loop."""

    def __init__(self, settings: GatewaySettings, rpcs: Iterable[Rpc]) -> None:
        rpcs = tuple(rpcs)
        self._channels = {
            name: open_channel(
                settings,
                name,
                target,
                [
                    ("grpc.keepalive_time_ms", 60_000),
                    ("grpc.keepalive_timeout_ms", 10_000),
                    # A service that was away is found again soon after it is back, however long it was away.
                    ("grpc.max_reconnect_backoff_ms", 2_000),
                    ("grpc.max_receive_message_length", settings.max_reply_bytes),
                    ("grpc.service_config", service_config(rpc for rpc in rpcs if rpc.service == name)),
                ],
            )
            for name, target in settings.services.items()
        }
        self._callers = callers_pb2_grpc.CallersServiceStub(self._channels[IDENTITY])
        self._denials = audit_pb2_grpc.DenialsServiceStub(self._channels[IDENTITY])
        self._health: tuple[float, dict[str, bool]] = (0.0, {})

    def callable(self, rpc: Rpc) -> Callable[..., Any]:
        """What calls the RPC: bytes in, bytes out."""
        channel = self._channels[rpc.service]
        kinds: dict[str, Callable[[str], Any]] = {
            "unary": channel.unary_unary,
            "server_streaming": channel.unary_stream,
            "client_streaming": channel.stream_unary,
        }
        call: Callable[..., Any] = kinds[rpc.method.method_kind](rpc.path)
        return call

    async def key_set(self, metadata: Metadata) -> list[dict[str, str]]:
        """Identity's public keys as JSON Web Keys."""
        stub = sessions_pb2_grpc.SessionsServiceStub(self._channels[IDENTITY])
        try:
            response = await stub.GetKeySet(
                sessions_pb2.GetKeySetRequest(), timeout=KEY_SET_TIMEOUT_SECONDS, metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        return [
            {"kty": key.kty, "crv": key.crv, "x": key.x, "kid": key.kid, "use": key.use, "alg": key.alg}
            for key in response.keys
        ]

    async def resolve_caller(
        self, actor: str, session: str, subject: str, metadata: Metadata
    ) -> callers_pb2.ResolveCallerResponse:
        """What identity says of a session, and of a grant for the subject."""
        request = callers_pb2.ResolveCallerRequest(actor=actor, session=session, subject=subject)
        try:
            return await self._callers.ResolveCaller(request, timeout=RESOLVE_TIMEOUT_SECONDS, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def record_denial(self, actor: str, rpc: str, reason: str, metadata: Metadata) -> None:
        """Has identity write into a person's audit trail that they were refused. Raises as `resolve_caller`."""
        request = audit_pb2.RecordDenialRequest(actor=actor, rpc=rpc, reason=reason)
        try:
            await self._denials.RecordDenial(request, timeout=RESOLVE_TIMEOUT_SECONDS, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def health(self) -> dict[str, bool]:
        """Whether each service says that it serves (grpc.health.v1)."""
        asked, health = self._health
        if time.monotonic() - asked >= HEALTH_MEMORY_SECONDS:
            answers = await asyncio.gather(*(self._serves(channel) for channel in self._channels.values()))
            health = dict(zip(self._channels, answers, strict=True))
            self._health = time.monotonic(), health
        return health

    async def _serves(self, channel: grpc.aio.Channel) -> bool:
        check: Callable[..., Any] = channel.unary_unary(
            "/grpc.health.v1.Health/Check", response_deserializer=health_pb2.HealthCheckResponse.FromString
        )
        try:
            # The empty request asks about the whole server.
            answer = await check(b"", timeout=HEALTH_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))
