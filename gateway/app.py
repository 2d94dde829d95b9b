"""The gateway as an ASGI application: every request to an RPC passes through here."""

import asyncio
import contextlib
import time
import traceback
import uuid
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from re import compile as pattern

import structlog
from limits import RateLimitItem
from starlette.middleware.cors import CORSMiddleware

from gateway.backend import IDENTITY, Backends
from gateway.callback import PATH as CALLBACK
from gateway.callback import Callback
from gateway.callers import Admission, Callers
from gateway.calls import INTERNAL, Route, StreamRoute, UnaryRoute, draining
from gateway.contract import Audience, Contract, ContractError, Rpc, Rule, load
from gateway.exchange import ClientGoneError, Exchange
from gateway.limiting import RateLimits, client_address, limit_of
from gateway.observe import CLIENT_GONE, NO_ROUTE, Observer, Outcome
from gateway.openapi import describe
from gateway.pages import Pages
from gateway.replies import Headers, Receive, Scope, Send, error_body, error_headers, security_headers
from gateway.routing import Router
from gateway.settings import GatewaySettings
from gateway.template import parse
from gateway.tokens import AccessTokens, Jwks, Person
from gateway.uploads import UploadRoute
from services.kit.caller import GATEWAY, Caller, CallerSigner, describing, watch_private_key
from services.kit.errors import DENIALS, ServiceError, invalid
from vitalis.identity.v1 import callers_pb2

log = structlog.get_logger("gateway")

ISSUER = "gateway"
METHOD_NOT_ALLOWED = 405
REQUEST_ID = pattern(rb"[A-Za-z0-9._-]{8,64}")
NOT_PRINTABLE = pattern(rb"[^ -~]")
MAX_USER_AGENT = 500
BROWSER_HEADERS = ["Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "X-Request-Id"]
EXPOSED_HEADERS = ["ETag", "Retry-After", "X-Request-Id"]


class NoSuchRouteError(ServiceError):
    """The URL leads nowhere, or only by the methods in `allowed`."""

    def __init__(self, allowed: list[str]) -> None:
        super().__init__("NO_SUCH_ROUTE", "the URL or the HTTP method leads nowhere")
        self.allowed = allowed


class Gateway:
    """Transcodes HTTP to gRPC. Built inside the event loop that runs it.

    Raises ContractError, TemplateError or AmbiguousRouteError for a contract
    that must not be served.
    """

    def __init__(self, settings: GatewaySettings, contract: Contract, signer: CallerSigner) -> None:
        if IDENTITY not in settings.services:
            raise ContractError("GATEWAY_SERVICES needs identity, whose keys verify access tokens")
        self._settings = settings
        self._signer = signer
        self._headers: Headers = security_headers(settings.hsts)
        self._backends = Backends(settings, contract.rpcs)
        self._tokens = AccessTokens(self._key_set, settings.issuer, settings.audience)
        self._callers = Callers(self._resolve, settings.caller_memory_seconds)
        self._limits = RateLimits(settings.rate_limit_store)
        self._observer = Observer(traced=bool(settings.otlp_endpoint))
        self._router = build_routes(contract.rpcs, self._backends, settings)
        description = describe(contract, settings)
        self._pages = Pages(description, self._backends.health, self._headers, docs=settings.docs)
        self._callback = Callback(settings.oauth_app_url, self._headers)
        self._keys_task: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["path"] in self._pages.paths:
            await self._pages.app(scope, receive, send)
        elif CALLBACK.fullmatch(scope["path"]):
            await self._callback(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def open(self) -> None:
        """Starts to keep identity's keys fresh."""
        self._keys_task = asyncio.create_task(self._tokens.keys.keep_fresh(self._settings.key_refresh_seconds))

    async def close(self) -> None:
        """Closes the channels to the services."""
        if self._keys_task:
            self._keys_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keys_task
        await self._backends.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = dict(scope["headers"])
        request_id = _request_id(headers.get(b"x-request-id"))
        method = scope["method"]
        exchange = Exchange(
            scope["query_string"].decode("latin-1"),
            headers,
            receive,
            send,
            self._headers,
            request_id,
            head=method == "HEAD",
        )
        span = self._observer.begin(headers)
        reason = ""
        try:
            route = self._find(exchange, scope, method)
            await self._admit(exchange, route, scope)
            if span is not None:
                exchange.admission.trace = self._observer.carry(span)
            await route.answer(exchange)
        except ServiceError as error:
            reason = error.reason.name
            await self._fail(exchange, error)
        except ClientGoneError:
            exchange.status, reason = CLIENT_GONE, "CANCELLED"
        except TimeoutError:
            reason = "DEADLINE_EXCEEDED"
            await self._fail(exchange, ServiceError(reason, "the request took longer than its deadline"))
        except asyncio.CancelledError:
            # Only the server's end cancels a request whose client is still there.
            reason = "UNAVAILABLE"
            await self._fail(exchange, draining())
        except Exception as error:
            # The last boundary: an exception's text may hold a person's data, so only its place is logged.
            reason = "INTERNAL"
            places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            log.error("fault", error=type(error).__name__, places=places[-6:], request_id=request_id)
            await self._fail(exchange, ServiceError(reason, INTERNAL))
        target = exchange.match.target
        template = target.template.text if target else NO_ROUTE
        self._observer.end(Outcome(template, method, exchange.status, reason, request_id), started, span)

    def _find(self, exchange: Exchange, scope: Scope, method: str) -> Route:
        path = scope["raw_path"].decode("latin-1")
        try:
            match = self._router.match("GET" if method == "HEAD" else method, path)
        except UnicodeDecodeError:
            raise invalid("path", "must be UTF-8, percent-encoded") from None
        if match is None:
            raise NoSuchRouteError(self._router.allowed(path))
        if method == "HEAD" and not isinstance(match.target, UnaryRoute):
            raise NoSuchRouteError(self._router.allowed(path))
        exchange.match = match
        return match.target

    async def _admit(self, exchange: Exchange, route: Route, scope: Scope) -> None:
        """Finds out who calls, counts the request and asks whether they may reach whose data it is about."""
        address = self._address(scope)
        user_agent = _user_agent(exchange.headers.get(b"user-agent", b""))
        about = describing(exchange.request_id, address, user_agent)
        exchange.admission = Admission(self._signer, route.service, about)
        person = None
        if route.audience is not Audience.PUBLIC:
            person = await self._person(exchange)
            exchange.caller_id = person.id
        if route.limit:
            if route.per_address:
                await self._limits.hit(route.limit, route.rpc.path, address)
            else:
                await self._limits.hit(route.limit, exchange.caller_id)
        if person:
            subject = route.subject(exchange.match, person.id)
            as_admin = route.audience is Audience.ADMIN
            or_admin_for = route.rpc.scope if route.rpc.admins else None
            admit = partial(self._callers.admit, person, subject, as_admin=as_admin, or_admin_for=or_admin_for)
            try:
                await exchange.admission.admit(admit)
            except ServiceError as error:
                if error.reason.name in DENIALS:
                    itself = replace(GATEWAY, request_id=exchange.request_id, address=address, user_agent=user_agent)
                    await self._note_denial(person, route, error.reason.name, itself)
                raise

    async def _note_denial(self, person: Person, route: Route, reason: str, about: Caller) -> None:
        """Has it written into the person's audit trail; refused they are whether or not that can be done."""
        metadata = self._signer.metadata(about, IDENTITY)
        try:
            await self._backends.record_denial(person.id, route.rpc.path.lstrip("/"), reason, metadata)
        except ServiceError as error:
            log.error("a denied access was not recorded", reason=error.reason.name, request_id=about.request_id)

    async def _person(self, exchange: Exchange) -> Person:
        authorization = exchange.headers.get(b"authorization")
        if authorization is None:
            raise ServiceError("UNAUTHENTICATED", "sign in first")
        return self._tokens.remembered(authorization) or await self._tokens.verify(authorization)

    def _address(self, scope: Scope) -> str:
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        peer = scope.get("client")
        return client_address(peer[0] if peer else "", forwarded, self._settings.trusted_proxies)

    async def _resolve(self, actor: str, session: str, subject: str) -> callers_pb2.ResolveCallerResponse:
        return await self._backends.resolve_caller(
            actor, session, subject, self._signer.metadata(self._itself(), IDENTITY)
        )

    @staticmethod
    def _itself() -> Caller:
        return replace(GATEWAY, request_id=str(uuid.uuid4()))

    async def _key_set(self) -> Jwks:
        return await self._backends.key_set(self._signer.metadata(self._itself(), IDENTITY))

    async def _fail(self, exchange: Exchange, error: ServiceError) -> None:
        if exchange.status:
            # The answer has begun; ending it here makes the server close the connection.
            return
        status, extra = error.reason.http_status, error_headers(error)
        if isinstance(error, NoSuchRouteError) and error.allowed:
            status = METHOD_NOT_ALLOWED
            extra.append((b"allow", ", ".join(error.allowed).encode()))
        await exchange.reply(status, error_body(error, status), extra=extra)


def build_routes(rpcs: Iterable[Rpc], backends: Backends, settings: GatewaySettings) -> Router[Route]:
    """The router over every binding of every RPC."""
    router: Router[Route] = Router()
    public, general = limit_of(settings.public_rate), limit_of(settings.rate)
    for rpc in rpcs:
        call = backends.callable(rpc)
        for rule in rpc.rules:
            route = _route(rpc, rule, call, settings)
            route.limit = _limit(route, public, general)
            router.add(rule.http_method, route.template, route)
    return router


def _limit(route: Route, public: RateLimitItem, general: RateLimitItem) -> RateLimitItem:
    return public if route.per_address and route.rule.http_method != "GET" else general


def _route(rpc: Rpc, rule: Rule, call: object, settings: GatewaySettings) -> Route:
    assert callable(call)
    template = parse(rule.template)
    if rpc.method.method_kind == "client_streaming":
        return UploadRoute(
            rpc,
            rule,
            template,
            call,
            settings.upload_deadline_seconds,
            settings.max_upload_bytes,
            settings.upload_idle_seconds,
        )
    if rpc.method.method_kind == "server_streaming":
        return StreamRoute(rpc, rule, template, call, settings.watch_deadline_seconds, settings.max_body_bytes)
    return UnaryRoute(rpc, rule, template, call, settings.deadline_seconds, settings.max_body_bytes)


def create_app(settings: GatewaySettings) -> tuple[Gateway, CORSMiddleware | Gateway]:
    """The gateway, and what to serve: itself, or itself behind CORS if origins are set."""
    contract = load(settings.descriptor_set, settings.services)
    signer = CallerSigner(ISSUER, watch_private_key(settings.caller_key_file))
    gateway = Gateway(settings, contract, signer)
    if not settings.allowed_origins:
        return gateway, gateway
    served = CORSMiddleware(
        gateway,
        allow_origins=settings.allowed_origins,
        allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
        allow_headers=BROWSER_HEADERS,
        expose_headers=EXPOSED_HEADERS,
    )
    return gateway, served


def _user_agent(sent: bytes) -> str:
    """What the client says it is, in the characters that gRPC metadata can carry."""
    return NOT_PRINTABLE.sub(b"", sent)[:MAX_USER_AGENT].decode().strip()


def _request_id(sent: bytes | None) -> str:
    if sent and REQUEST_ID.fullmatch(sent):
        return sent.decode()
    return str(uuid.uuid4())
