"""What the gateway's tests share: compiled protos, keys, tokens, a gRPC service that records."""

import asyncio
import hashlib
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from protobuf import Message, Registry

from protos import generate
from services.kit.caller import key_id, public_jwk
from services.kit.errors import ServiceError, to_status
from vitalis.identity.v1 import audit_pb2, callers_pb2, sessions_pb2

HERE = Path(__file__).resolve().parent
PROTOS = HERE / "protos"
THINGS = "vitalis.sample.v1.ThingsService"
ADA = "01930000-0000-7000-8000-00000000ada0"
BOB = "01930000-0000-7000-8000-00000000b0b0"
SESSION = "01930000-0000-7000-8000-000000005e55"

Handler = Callable[[Message, Any], Awaitable[Message]]


def compile_set(target: Path, *sources: Path) -> Path:
    """A descriptor set, comments included, of proto files that may import the project's own."""
    validate = target / "validate.binpb"
    validate.write_bytes(generate.validate_descriptors())
    folders = {source.parent for source in sources if not source.is_relative_to(PROTOS)}
    output = target / f"{uuid.uuid4().hex}.binpb"
    generate.run(
        *(f"-I{folder}" for folder in (*folders, PROTOS, generate.ROOT, *generate.INCLUDES)),
        f"--descriptor_set_in={validate}",
        "--include_imports",
        "--include_source_info",
        f"--descriptor_set_out={output}",
        *(str(source) for source in sources),
    )
    return output


def mint(key: Ed25519PrivateKey, person: str = ADA, role: str = "user", **changes: Any) -> str:
    """An access token as identity signs them; a change to None leaves a claim out."""
    now = int(time.time())
    headers = {"kid": changes.pop("kid", key_id(key))}
    claims = {
        "iss": "vitalis",
        "aud": "vitalis-api",
        "sub": person,
        "sid": SESSION,
        "role": role,
        "iat": now,
        "exp": now + 900,
        "jti": uuid.uuid4().hex,
    }
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    return jwt.encode(claims, key, algorithm="EdDSA", headers=headers)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Identity:
    """Publishes the keys that tests sign with, and says who calls as they tell it to.

    `roles` are by person, `ended` holds sessions, `grants` are by actor and
    subject. `resolve` happens before each answer. `denials` are what the
    gateway has refused, unless `records_denials` is false.
    """

    def __init__(self) -> None:
        self.keys = [Ed25519PrivateKey.generate()]
        self.fetches = 0
        self.roles: dict[str, str] = {}
        self.ended: set[str] = set()
        self.grants: dict[tuple[str, str], callers_pb2.ResolvedGrant] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.denials: list[tuple[str, str, str, dict[str, str]]] = []
        self.records_denials = True
        self.resolve: Callable[[], Awaitable[None]] = self._at_once
        self.handlers = (
            grpc.method_handlers_generic_handler(
                "vitalis.identity.v1.SessionsService", {"GetKeySet": grpc.unary_unary_rpc_method_handler(self._keys)}
            ),
            grpc.method_handlers_generic_handler(
                "vitalis.identity.v1.CallersService",
                {"ResolveCaller": grpc.unary_unary_rpc_method_handler(self._resolve)},
            ),
            grpc.method_handlers_generic_handler(
                "vitalis.identity.v1.DenialsService",
                {"RecordDenial": grpc.unary_unary_rpc_method_handler(self._deny)},
            ),
        )

    async def _at_once(self) -> None:
        pass

    async def _resolve(self, request: bytes, context: Any) -> bytes:
        asked = callers_pb2.ResolveCallerRequest.FromString(request)
        self.asked.append((asked.actor, asked.session, asked.subject))
        answer = callers_pb2.ResolveCallerResponse()
        if asked.session not in self.ended:
            grant = self.grants.get((asked.actor, asked.subject))
            role = self.roles.get(asked.actor, "user")
            answer = callers_pb2.ResolveCallerResponse(alive=True, role=role, grant=grant)
        try:
            await self.resolve()
        except ServiceError as error:
            await context.abort_with_status(rpc_status.to_status(to_status(error)))
        return answer.SerializeToString()

    async def _deny(self, request: bytes, context: Any) -> bytes:
        if self.records_denials:
            denial = audit_pb2.RecordDenialRequest.FromString(request)
            sent = {key: str(value) for key, value in context.invocation_metadata()}
            self.denials.append((denial.actor, denial.rpc, denial.reason, sent))
            return b""
        unavailable = ServiceError("UNAVAILABLE", "not now")
        await context.abort_with_status(rpc_status.to_status(to_status(unavailable)))
        raise AssertionError("unreachable")

    async def _keys(self, request: bytes, context: Any) -> bytes:
        self.fetches += 1
        keys = [sessions_pb2.Key(**public_jwk(key)) for key in self.keys]
        return sessions_pb2.GetKeySetResponse(keys=keys).SerializeToString()


class Things:
    """A service made of the descriptors: handlers by RPC name, and a record of what arrived."""

    def __init__(self, registry: Registry, service: str = THINGS) -> None:
        descriptor = registry.service(service)
        assert descriptor
        self.registry = registry
        self.requests: list[Any] = []
        self.metadata: dict[str, str] = {}
        self.handlers: dict[str, Any] = {}
        self.cancelled = asyncio.Event()
        self.reached = asyncio.Event()
        self._methods = {method.name: method for method in descriptor.methods}
        self.handler = grpc.method_handlers_generic_handler(
            service, {name: self._method(name) for name in self._methods}
        )

    def message(self, name: str, json: str = "{}") -> Message:
        descriptor = self.registry.message(f"vitalis.sample.v1.{name}")
        assert descriptor
        return descriptor.type.from_json(json)

    def _method(self, name: str) -> Any:
        kind = self._methods[name].method_kind
        if kind == "server_streaming":
            return grpc.unary_stream_rpc_method_handler(self._stream(name))
        if kind == "client_streaming":
            return grpc.stream_unary_rpc_method_handler(self._upload(name))
        return grpc.unary_unary_rpc_method_handler(self._unary(name))

    def _begin(self, name: str, context: Any) -> None:
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
        self.reached.set()

    def _unary(self, name: str) -> Any:
        async def call(data: bytes, context: Any) -> bytes:
            self._begin(name, context)
            request = self._methods[name].input.type.from_binary(data)
            self.requests.append(request)
            handler = self.handlers.get(name, self._echo)
            try:
                answer = await handler(request, context)
            except ServiceError as error:
                await context.abort_with_status(rpc_status.to_status(to_status(error)))
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return bytes(answer.to_binary())

        return call

    async def _echo(self, request: Message, context: Any) -> Message:
        return self.message("ThingResponse", '{"thing":{"id":"1","text":"echo","etag":"v1"}}')

    def _stream(self, name: str) -> Any:
        async def call(data: bytes, context: Any) -> AsyncIterator[bytes]:
            self._begin(name, context)
            request = self._methods[name].input.type.from_binary(data)
            self.requests.append(request)
            try:
                async for answer in self.handlers[name](request, context):
                    yield answer.to_binary()
            except ServiceError as error:
                await context.abort_with_status(rpc_status.to_status(to_status(error)))
            except (asyncio.CancelledError, GeneratorExit):
                self.cancelled.set()
                raise

        return call

    def _upload(self, name: str) -> Any:
        async def call(chunks: AsyncIterator[bytes], context: Any) -> bytes:
            self._begin(name, context)
            kind = self._methods[name].input.type
            messages = (kind.from_binary(chunk) async for chunk in chunks)
            try:
                answer = await self.handlers.get(name, self._store)(messages, context)
            except ServiceError as error:
                await context.abort_with_status(rpc_status.to_status(to_status(error)))
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return bytes(answer.to_binary())

        return call

    async def _store(self, messages: AsyncIterator[Any], context: Any) -> Any:
        digest, size, count, first, ended = hashlib.sha256(), 0, 0, None, False
        async for message in messages:
            first = first or message
            digest.update(message.file.data)
            size += len(message.file.data)
            count += 1
            ended = not message.file.data
        if not ended:
            # Broken off: grpc.aio cancels at the next await, not in the iteration.
            await asyncio.sleep(60)
        answer: Any = self.message("UploadFileResponse")
        answer.size_bytes, answer.sha256, answer.messages = float(size), digest.hexdigest(), count
        if first:
            answer.file_name, answer.source = first.file_name, first.source
            answer.request_id, answer.content_type = first.request_id, first.file.content_type
        return answer


class Backend:
    """One gRPC server that is identity and the sample service at once."""

    def __init__(self, registry: Registry) -> None:
        self.identity = Identity()
        self.things = Things(registry)
        self.health = health.aio.HealthServicer()
        self.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((self.things.handler, *self.identity.handlers))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    @property
    def key(self) -> Ed25519PrivateKey:
        return self.identity.keys[0]

    @property
    def services(self) -> Mapping[str, str]:
        return dict.fromkeys(("identity", "sample"), f"127.0.0.1:{self.port}")

    async def set_health(self, *, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        await self.health.set("", states.SERVING if serving else states.NOT_SERVING)
