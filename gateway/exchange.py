"""One HTTP request on its way to an RPC, and its answer."""

import asyncio
from collections.abc import Mapping
from re import compile as pattern
from types import TracebackType
from typing import Any, Protocol

from gateway.callers import Admission
from gateway.encode import JSON
from gateway.replies import Headers, Receive, Send
from gateway.routing import Match
from services.kit.errors import ServiceError, invalid

# A request that is answered sooner than this costs no watching of its client.
WATCH_AFTER_SECONDS = 0.05
# A connection is closed after an answer that came before the end of a body
# larger than this; what still arrives is thrown away for a moment, because a
# client that is writing would lose the answer to a reset connection.
SMALL_BODY = 64 * 2**10
DRAIN_SECONDS = 5.0
DRAIN_BYTES = 64 * 2**20


NOT_MODIFIED = 304
# RFC 9110, 8.8.3. Whether an etag is weak does not count here (13.1.2).
ETAG = pattern(rb'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')

NO_MATCH: Match[Any] = Match(None, [], [])


class ClientGoneError(Exception):
    """The client closed the connection before the answer."""


class Call(Protocol):
    """A gRPC call that can be given up."""

    def cancel(self) -> bool: ...


class Exchange:
    """What a route needs to answer a request.

    `admission` is set before a route is asked, `status` is that of the answer
    once it has begun, 0 before.
    """

    admission: Admission

    __slots__ = (
        "_common",
        "_head",
        "admission",
        "caller_id",
        "drained",
        "headers",
        "match",
        "query",
        "receive",
        "request_id",
        "send",
        "status",
    )

    def __init__(
        self,
        query: str,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        send: Send,
        common: Headers,
        request_id: str,
        *,
        head: bool,
    ) -> None:
        self.match: Match[Any] = NO_MATCH
        self.query = query
        self.headers = headers
        self.receive = receive
        self.send = send
        self.request_id = request_id
        self.caller_id = ""
        self.status = 0
        # Whether the request's body has been read to its end.
        self.drained = False
        self._common = common
        self._head = head

    async def reply(self, status: int, body: bytes, content_type: bytes = JSON, extra: Headers | None = None) -> None:
        """Sends a whole answer."""
        headers = [(b"content-length", str(len(body)).encode()), *(extra or ())]
        content = b"" if self._head else body
        if self.drained or not has_large_body(self.headers):
            await self.start(status, content_type, headers)
            await self.send({"type": "http.response.body", "body": content})
            return
        await self.start(status, content_type, [*headers, (b"connection", b"close")])
        await self.send({"type": "http.response.body", "body": content, "more_body": True})
        await self._drain()
        await self.send({"type": "http.response.body", "body": b""})

    def may_be_kept(self, seconds: int) -> None:
        """Lets the client keep the answer that follows, and ask about it before each use."""
        kept = f"private, no-cache, max-age={seconds}".encode()
        common = [header for header in self._common if header[0] != b"cache-control"]
        self._common = [*common, (b"cache-control", kept), (b"vary", b"Authorization")]

    async def not_modified(self, etag: Headers) -> None:
        """Says that what the client keeps is what there is."""
        await self._start(NOT_MODIFIED, etag)
        await self.send({"type": "http.response.body", "body": b""})

    async def start(self, status: int, content_type: bytes, extra: Headers) -> None:
        """Sends an answer's status and headers."""
        await self._start(status, [(b"content-type", content_type), *extra])

    async def _start(self, status: int, own: Headers) -> None:
        self.status = status
        headers = [(b"x-request-id", self.request_id.encode()), *self._common, *own]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def _drain(self) -> None:
        if b"expect" in self.headers:
            return
        left = DRAIN_BYTES
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while left > 0:
                    message = await self.receive()
                    left -= len(message.get("body", b""))
                    if not message.get("more_body"):
                        return
        except TimeoutError:
            return

    async def read_body(self, limit: int, seconds: float) -> bytes:
        """The request's body. Raises TOO_LARGE beyond `limit` bytes, TimeoutError after `seconds`."""
        headers = self.headers
        length = headers.get(b"content-length")
        if length is None and b"transfer-encoding" not in headers:
            return b""
        if length is not None and int(length) > limit:
            raise too_large(limit)
        refuse_encoding(headers)
        chunks: list[bytes] = []
        size = 0
        async with asyncio.timeout(seconds):
            while True:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                chunks.append(chunk)
                if not message.get("more_body"):
                    self.drained = True
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class Watch:
    """Cancels a call when the client goes away, or loses the leave to make it; `why` says which.

    Starts to watch only after a moment, because most requests are over by then.
    """

    __slots__ = ("_call", "_client", "_exchange", "_tasks", "_timer", "why")

    def __init__(self, exchange: Exchange, call: Call, *, client: bool = True) -> None:
        """`client` is false while somebody else reads what the client sends."""
        self._exchange = exchange
        self._call = call
        self._client = client
        self._tasks: list[asyncio.Task[None]] = []
        self.why: Exception | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._start)

    def _start(self) -> None:
        self._tasks.append(asyncio.create_task(self._wait_for_refusal()))
        if self._client:
            self._tasks.append(asyncio.create_task(self._wait_for_disconnect()))

    async def _wait_for_disconnect(self) -> None:
        while (await self._exchange.receive())["type"] != "http.disconnect":
            pass
        self._end(ClientGoneError())

    async def _wait_for_refusal(self) -> None:
        self._end(await self._exchange.admission.lost())

    def _end(self, why: Exception) -> None:
        self.why = self.why or why
        self._call.cancel()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        for task in self._tasks:
            task.cancel()


def has_large_body(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a request announces a body that is large, or of unknown length."""
    if b"transfer-encoding" in headers:
        return True
    return b"content-length" in headers and int(headers[b"content-length"]) > SMALL_BODY


def refuse_encoding(headers: Mapping[bytes, bytes]) -> None:
    """Raises INVALID_FIELD for a body that is compressed."""
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise invalid("Content-Encoding", "must be identity")


def too_large(limit: int) -> ServiceError:
    """The error of a request that is larger than a limit in bytes."""
    return ServiceError("TOO_LARGE", f"the request is larger than the limit of {limit} bytes")


def header_text(headers: Mapping[bytes, bytes], name: bytes, limit: int) -> str:
    """A header's value as text; "" if it was not sent. Raises INVALID_FIELD for one that is not printable ASCII."""
    value = headers.get(name)
    if value is None:
        return ""
    title = name.decode().title()
    text = value.decode("latin-1").strip()
    if not text.isascii() or not text.isprintable():
        raise invalid(title, "must be printable ASCII")
    if len(text) > limit:
        raise invalid(title, f"must have {limit} characters at most")
    return text


def if_match(headers: Mapping[bytes, bytes]) -> str:
    """The etag of `If-Match` without its quotes; "" for none and for `*`, which every resource matches."""
    text = header_text(headers, b"if-match", 200)
    if text in ("", "*"):
        return ""
    if text.startswith("W/") or "," in text:
        raise invalid("If-Match", "must be one strong etag")
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def is_kept(headers: Mapping[bytes, bytes], etag: str) -> bool:
    """Whether `If-None-Match` names the etag, or is `*`; whatever else it says matches nothing."""
    sent = headers.get(b"if-none-match", b"").strip()
    return sent == b"*" or etag.encode() in ETAG.findall(sent)


def is_json(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the body is declared as JSON, or not declared at all."""
    content_type = headers.get(b"content-type")
    if content_type is None or content_type == b"application/json":
        return True
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))
