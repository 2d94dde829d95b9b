"""An HTTP/1.1 client that costs little: one keep-alive connection, one request at a time.

A full client library would take more of the processor than the gateway does,
and it is the gateway's that is measured.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Self, cast

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length: "


class Reply(NamedTuple):
    """An answer's status and body."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body. Raises RuntimeError for an answer that is no success."""
        if not 200 <= self.status < 300:
            raise RuntimeError(f"answered {self.status}: {self.body[:300]!r}")
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """A connection to a server whose answers say their length."""

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None
        self._reply: asyncio.Future[Reply] | None = None

    @classmethod
    async def open(cls, port: int) -> Self:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def exchange(self, request: bytes) -> Reply:
        """Sends a whole request and waits for the answer. Raises ConnectionError if it does not come."""
        assert self._transport
        self._reply = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._reply

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(HEAD_END)
        if not found or self._reply is None:
            return
        _, found, rest = (head.lower() + b"\r\n").partition(LENGTH)
        if not found:
            self._reply.set_exception(ConnectionError("an answer without a length"))
            return
        if len(body) >= int(rest.partition(b"\r\n")[0]):
            self._received = b""
            self._reply.set_result(Reply(int(head[9:12]), body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._reply and not self._reply.done():
            self._reply.set_exception(error or ConnectionError("the server closed the connection"))


def request(method: str, target: str, headers: Mapping[str, str] | None = None, body: Any = None) -> bytes:
    """A request's bytes; `body` becomes JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join(lines).encode() + HEAD_END + content


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}
