"""The one interceptor of a service: caller, access, deadline, validation, errors, one log line, one span.

Read `_Method.guard` from top to bottom: it is the whole way of a request into
a servicer method and of an error out of it.

A request that breaks the contract reaches no servicer. What else is wrong with
it, such as rules between its fields and what is stored, is told in the same
answer where the method says how to find that: see `also_wrong`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

import grpc
import structlog
from google.protobuf import descriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_status import rpc_status
from prometheus_client import Counter, Histogram
from protovalidate import CompilationError, Validator

from services.kit import database
from services.kit.access import AccessLog
from services.kit.caller import (
    ADDRESS_METADATA,
    ANONYMOUS,
    GATEWAY_ROLE,
    REQUEST_ID_METADATA,
    TOKEN_METADATA,
    USER_AGENT_METADATA,
    Caller,
    CallerVerifier,
    calling,
)
from services.kit.contract import ContractError, RequiredFields, Rpc, grantable_scopes, rpcs_of, violation_of
from services.kit.errors import ServiceError, Violation, all_wrong, to_status
from services.kit.telemetry import span, where
from vitalis.options.v1 import options_pb2

log = structlog.get_logger()
HANDLED = Counter("vitalis_rpcs_total", "RPCs by their outcome", ["method", "code"])
SECONDS = Histogram(
    "vitalis_rpc_seconds",
    "Duration of RPCs",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
)
# Infrastructure of gRPC itself; it says nothing about anybody.
EXEMPT = ("/grpc.health.v1.Health/", "/grpc.reflection.")
CALLER_METADATA = frozenset({TOKEN_METADATA, REQUEST_ID_METADATA, ADDRESS_METADATA, USER_AGENT_METADATA})
HTTP_BODY = "google.api.HttpBody"
UNDOCUMENTED = "answered an error that the proto does not document"
Behavior = TypeVar("Behavior", bound=Callable[..., Any])


def also_wrong(find: Callable[[Any, Any], Awaitable[list[Violation]]]) -> Callable[[Behavior], Behavior]:
    """Marks a servicer method with `find(servicer, request)`, which says what else is wrong with a refused request.

    It is asked for requests that break the contract, and answers all violations
    that the method would find; those of fields that are refused anyway are not
    told twice. It changes nothing, and raises nothing but ServiceError, which
    means that there is no more to tell.
    """

    def mark(behavior: Behavior) -> Behavior:
        behavior.also_wrong = find  # type: ignore[attr-defined]
        return behavior

    return mark


class Interceptor(grpc.aio.ServerInterceptor):
    """Guards every RPC of the given services; refuses to be built for one without an access option."""

    def __init__(
        self,
        services: list[descriptor.ServiceDescriptor],
        verifier: CallerVerifier,
        default_deadline_seconds: float,
        access: AccessLog,
    ) -> None:
        self._verifier = verifier
        self._access = access
        self._default_deadline = default_deadline_seconds
        self._validator = Validator()
        self._required = RequiredFields()
        self._rpcs = {rpc.path: rpc for service in services for rpc in rpcs_of(service)}
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        for service in services:
            for method in service.methods:
                self._compile_rules(method.input_type)

    def _compile_rules(self, message: descriptor.Descriptor) -> None:
        """Compiles the validation rules now, so that a wrong one stops the start and not a request."""
        try:
            self._validator.collect_violations(GetMessageClass(message)())
        except CompilationError as error:
            raise ContractError(f"{message.full_name}: {error}") from None

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        path: str = handler_call_details.method
        if handler := self._handlers.get(path):
            return handler
        handler = await continuation(handler_call_details)
        if handler is None or path.startswith(EXEMPT):
            return handler
        method = _Method(
            self._rpcs[path], self._verifier, self._default_deadline, self._validator, self._required, self._access
        )
        self._handlers[path] = handler = method.wrap(handler)
        return handler


class _Method:
    """One guarded RPC."""

    def __init__(
        self,
        rpc: Rpc,
        verifier: CallerVerifier,
        default_deadline: float,
        validator: Validator,
        required: RequiredFields,
        access: AccessLog,
    ) -> None:
        self._rpc = rpc
        self._access = access
        self._verifier = verifier
        self._default_deadline = default_deadline
        self._validator = validator
        self._required = required
        self._grantable = grantable_scopes()
        self._name = rpc.path.rpartition(".")[2]
        self._is_upload = any(
            field.message_type and field.message_type.full_name == HTTP_BODY for field in rpc.request.fields
        )
        self._seconds = SECONDS.labels(self._name)
        self._ok = HANDLED.labels(self._name, "OK")

    def wrap(self, handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
        """The same handler with `guard` around it, for each of the kinds of RPC."""
        if handler.request_streaming and handler.response_streaming:
            raise ContractError(f"{self._rpc.path}: streaming both ways is not used in this project")
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._stream_unary(handler.stream_unary), handler.request_deserializer, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._unary_stream(handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary_unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )

    def _unary_unary(self, behavior: Callable[..., Any]) -> Callable[..., Any]:
        async def call(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with self.guard(context) as caller:
                if violations := self.check(request, caller):
                    raise all_wrong(
                        "INVALID_FIELD", violations + await self.others(behavior, request, caller, violations)
                    )
                await self._access.admit(caller, self._rpc)
                return await behavior(request, context)

        return call

    def _unary_stream(self, behavior: Callable[..., Any]) -> Callable[..., Any]:
        # It writes instead of yielding: a generator that is left behind when its
        # caller goes would be closed by another task, without this caller.
        async def call(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            async with self.guard(context) as caller:
                if violations := self.check(request, caller):
                    raise all_wrong("INVALID_FIELD", violations)
                await self._access.admit(caller, self._rpc)
                async with aclosing(behavior(request, context)) as responses:
                    async for response in responses:
                        await context.write(response)

        return call

    def _stream_unary(self, behavior: Callable[..., Any]) -> Callable[..., Any]:
        async def call(requests: AsyncIterator[Message], context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            async with self.guard(context) as caller:

                async def checked() -> AsyncIterator[Message]:
                    is_first = True
                    async for request in requests:
                        if violations := self.check(request, caller, is_first=is_first):
                            raise all_wrong("INVALID_FIELD", violations)
                        if is_first:
                            await self._access.admit(caller, self._rpc)
                        is_first = False
                        yield request

                return await behavior(checked(), context)

        return call

    @asynccontextmanager
    async def guard(self, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Caller]:
        started = time.perf_counter()
        failure: ServiceError | None = None
        caller = ANONYMOUS
        try:
            caller = self.authenticate(context)
            self.authorize(caller)
            # grpc.aio itself cancels the handler at a deadline that the client set.
            limit = None if context.time_remaining() is not None else self._default_deadline
            with calling(caller), span(self._name, context.invocation_metadata()):
                async with asyncio.timeout(limit):
                    yield caller
        except ServiceError as error:
            failure = self.documented(error, caller)
            await self._access.deny(caller, self._rpc, failure.reason.name)
        except TimeoutError:
            failure = ServiceError("DEADLINE_EXCEEDED", "the request took longer than its deadline")
        except asyncio.CancelledError:
            self.record(started, caller, "CANCELLED")
            raise
        except grpc.aio.InternalError:
            # What there was to send did not reach the caller, who is gone.
            self.record(started, caller, "CANCELLED")
            raise asyncio.CancelledError from None
        except Exception as error:
            failure = self.documented(database.to_service_error(error) or self.fault(error, caller), caller)
        self.record(started, caller, failure.reason.code.name if failure else "OK")
        if failure:
            await context.abort_with_status(rpc_status.to_status(to_status(failure)))

    def authenticate(self, context: grpc.aio.ServicerContext[Any, Any]) -> Caller:
        sent = {key: str(value) for key, value in context.invocation_metadata() or () if key in CALLER_METADATA}
        token = sent.get(TOKEN_METADATA)
        if not token:
            raise ServiceError("UNAUTHENTICATED", "the call carries no caller")
        return self._verifier.verify(
            token,
            sent.get(REQUEST_ID_METADATA, ""),
            sent.get(ADDRESS_METADATA, ""),
            sent.get(USER_AGENT_METADATA, ""),
        )

    def authorize(self, caller: Caller) -> None:
        """Holds the caller against the RPC's access option."""
        audience = self._rpc.audience
        if audience == options_pb2.AUDIENCE_PUBLIC:
            return
        if not caller.actor:
            raise ServiceError("UNAUTHENTICATED", "sign in first")
        if audience == options_pb2.AUDIENCE_INTERNAL and not caller.is_service:
            raise ServiceError("SCOPE_MISSING", "this RPC is for services only")
        if audience == options_pb2.AUDIENCE_GATEWAY and caller.role != GATEWAY_ROLE:
            raise ServiceError("SCOPE_MISSING", "this RPC is for the gateway only")
        if audience == options_pb2.AUDIENCE_ADMIN and caller.role != "admin":
            raise ServiceError("SCOPE_MISSING", "this RPC is for admins only")
        if not caller.may(self._rpc.scope):
            raise ServiceError("SCOPE_MISSING", f"needs the scope {self._rpc.scope}")
        if audience == options_pb2.AUDIENCE_USER and caller.is_delegate:
            self.authorize_delegate(caller)

    def authorize_delegate(self, caller: Caller) -> None:
        """What no grant can hold is the owner's alone, whatever the caller's token says; or admins may do it too."""
        if self._rpc.admins and caller.role == "admin" and not caller.grant_id:
            return
        if not caller.grant_id or self._rpc.scope not in self._grantable:
            raise ServiceError("SCOPE_MISSING", "only the person themselves may do this")
        if self._rpc.scope not in caller.scopes:
            raise ServiceError("SCOPE_MISSING", f"needs the scope {self._rpc.scope}")

    def check(self, request: Message, caller: Caller, *, is_first: bool = True) -> list[Violation]:
        """What of the contract a message breaks: its required fields, its rules. Raises SUBJECT_MISMATCH."""
        subject = getattr(request, "user_id", "")
        if subject and self._rpc.audience != options_pb2.AUDIENCE_PUBLIC and subject != caller.subject:
            raise ServiceError("SUBJECT_MISMATCH", "you have no access to this person's data")
        # What follows an upload's first message is the file alone.
        violations = self._required.missing(request) if is_first or not self._is_upload else []
        violations += map(violation_of, self._validator.collect_violations(request))
        return violations

    async def others(
        self, behavior: Any, request: Message, caller: Caller, violations: list[Violation]
    ) -> list[Violation]:
        """What is wrong besides with a request that is refused for `violations`."""
        find = getattr(behavior, "also_wrong", None)
        if find is None:
            return []
        # It may look at what is stored, as the method would.
        await self._access.admit(caller, self._rpc)
        told = {violation.field for violation in violations}
        try:
            return [found for found in await find(behavior.__self__, request) if found.field not in told]
        except ServiceError:
            return []

    def documented(self, error: ServiceError, caller: Caller) -> ServiceError:
        """The error itself, or INTERNAL if the proto does not say that this RPC answers it."""
        if error.reason.universal or error.reason.name in self._rpc.errors:
            return error
        log.error(UNDOCUMENTED, method=self._name, reason=error.reason.name, request_id=caller.request_id)
        return ServiceError("INTERNAL", f"{self._name} {UNDOCUMENTED}: {error.reason.name}")

    def fault(self, error: Exception, caller: Caller) -> ServiceError:
        """A bug: the log gets its place, the caller gets nothing of it."""
        kind = type(error).__name__
        log.error("fault", method=self._name, kind=kind, where=where(error), request_id=caller.request_id)
        return ServiceError("INTERNAL", "something went wrong; the request id finds it in the log")

    def record(self, started: float, caller: Caller, code: str) -> None:
        elapsed = time.perf_counter() - started
        self._seconds.observe(elapsed)
        (self._ok if code == "OK" else HANDLED.labels(self._name, code)).inc()
        log.info("rpc", method=self._name, code=code, ms=round(elapsed * 1000, 2), request_id=caller.request_id)
