"""The routes: how a request of each kind of RPC is answered."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import grpc
from limits import RateLimitItem
from protobuf import Message

from gateway.contract import Audience, Rpc, Rule
from gateway.decode import ME, PERSON_FIELD, RequestDecoder, bind
from gateway.encode import Answer, ResponseEncoder
from gateway.exchange import Exchange, Watch, header_text, if_match, is_json, is_kept
from gateway.replies import Headers, error_body, etag_header
from gateway.routing import Match
from gateway.template import Template
from services.kit.errors import ServiceError, from_rpc_error, invalid

NDJSON = b"application/x-ndjson"
# Proxies that buffer would hold a watch's lines back.
UNBUFFERED: Headers = [(b"x-accel-buffering", b"no")]
MAX_REQUEST_ID = 128
INTERNAL = "something went wrong; the request id finds it in the log"


class Route:
    """One HTTP binding of an RPC."""

    def __init__(
        self,
        rpc: Rpc,
        rule: Rule,
        template: Template,
        call: Callable[..., Any],
        deadline: float,
        max_body_bytes: int,
    ) -> None:
        self.rpc = rpc
        self.rule = rule
        self.template = template
        self.audience = rpc.audience
        self.service = rpc.service
        # Set once the settings are known: what is counted, and whether per address.
        self.limit: RateLimitItem | None = None
        self.per_address = rpc.audience is Audience.PUBLIC
        self._person = next((found for found in template.variables if found.field == PERSON_FIELD), None)
        self.decoder = RequestDecoder(rpc.method.input, rule, template)
        self.encoder = ResponseEncoder(rpc.method.output, rule.response_body)
        self._call = call
        self._deadline = deadline
        self._max_body_bytes = max_body_bytes

    def __str__(self) -> str:
        return self.rpc.path

    def subject(self, match: Match[Any], caller_id: str) -> str:
        """Whose data the path is about: the caller's own if it names nobody."""
        named = match.value(self._person) if self._person else ME
        return caller_id if named == ME else named

    async def answer(self, exchange: Exchange) -> None:
        """Calls the RPC and sends its answer. Raises ServiceError before an answer has begun."""
        raise NotImplementedError

    async def _request(self, exchange: Exchange) -> bytes:
        body = await exchange.read_body(self._max_body_bytes, self._deadline)
        if body and self.decoder.takes_body and not is_json(exchange.headers):
            raise invalid("Content-Type", "must be application/json")
        message = self.decoder.decode(exchange.match, exchange.query, body, exchange.caller_id)
        self.bind_headers(message, exchange)
        return _to_binary(message)

    def bind_headers(self, message: Message, exchange: Exchange) -> None:
        """Adds what `If-Match` and `Idempotency-Key` carry."""
        headers = exchange.headers
        if self.decoder.etag and b"if-match" in headers and (etag := if_match(headers)):
            bind(message, self.decoder.etag, etag, "etag")
        if self.decoder.request_id and b"idempotency-key" in headers:
            key = header_text(headers, b"idempotency-key", MAX_REQUEST_ID)
            bind(message, self.decoder.request_id, key, "request_id")

    def encode(self, data: bytes) -> Answer:
        """The answer for a response. Raises INTERNAL for bytes that are none."""
        try:
            return self.encoder.encode(data)
        except ValueError:
            raise ServiceError("INTERNAL", INTERNAL) from None


class UnaryRoute(Route):
    """One message in, one out."""

    async def answer(self, exchange: Exchange) -> None:
        request = await self._request(exchange)
        metadata = await exchange.admission.metadata()
        call = self._call(request, timeout=self._deadline, metadata=metadata)
        with Watch(exchange, call) as watch:
            try:
                data = await call
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from None
            except asyncio.CancelledError:
                if watch.why:
                    raise watch.why from None
                call.cancel()
                raise
        answer = self.encode(data)
        if not self.rpc.cache_seconds:
            await exchange.reply(200, answer.body, answer.content_type, etag_header(answer.etag))
            return
        etag = answer.etag or fingerprint(answer.body)
        exchange.may_be_kept(self.rpc.cache_seconds)
        if is_kept(exchange.headers, etag):
            await exchange.not_modified(etag_header(etag))
        else:
            await exchange.reply(200, answer.body, answer.content_type, etag_header(etag))


class StreamRoute(Route):
    """One message in, many out: as newline-delimited JSON, or as the bytes of `google.api.HttpBody`."""

    async def answer(self, exchange: Exchange) -> None:
        request = await self._request(exchange)
        metadata = await exchange.admission.metadata()
        call = self._call(request, timeout=self._deadline, metadata=metadata)
        with Watch(exchange, call) as watch:
            try:
                await self._relay(exchange, call)
            except asyncio.CancelledError:
                call.cancel()
                why = watch.why or draining()
                # Bytes have no place for an error: a body that breaks off says it.
                if not isinstance(why, ServiceError) or not exchange.status or self.encoder.is_raw:
                    raise why from None
                await self._end(exchange, why)

    async def _relay(self, exchange: Exchange, call: Any) -> None:
        raw = self.encoder.is_raw
        try:
            # The status is that of the first answer: an error before it is a plain error.
            data = await call.read()
            while data is not grpc.aio.EOF:
                answer = self.encode(data)
                if not exchange.status:
                    await exchange.start(200, answer.content_type if raw else NDJSON, UNBUFFERED)
                body = answer.body if raw else answer.body + b"\n"
                await exchange.send({"type": "http.response.body", "body": body, "more_body": True})
                data = await call.read()
        except (grpc.aio.AioRpcError, ServiceError) as error:
            call.cancel()
            failure = error if isinstance(error, ServiceError) else from_rpc_error(error)
            # Bytes have no place for an error: a body that breaks off says it.
            if not exchange.status or raw:
                raise failure from None
            await self._end(exchange, failure)
            return
        if not exchange.status:
            await exchange.start(200, NDJSON, UNBUFFERED)
        await exchange.send({"type": "http.response.body", "body": b""})

    async def _end(self, exchange: Exchange, error: ServiceError) -> None:
        await exchange.send({"type": "http.response.body", "body": error_body(error) + b"\n"})


def fingerprint(body: bytes) -> str:
    """The etag of an answer that has none of its own."""
    return hashlib.sha256(body).hexdigest()[:32]


def draining() -> ServiceError:
    """The error of a request that the gateway's end cut short."""
    return ServiceError("UNAVAILABLE", "the gateway is shutting down; try again", retry_after_seconds=1)


def _to_binary(message: Message) -> bytes:
    try:
        return message.to_binary()
    except (ValueError, TypeError, OverflowError):
        raise invalid("body", "does not fit the request") from None
