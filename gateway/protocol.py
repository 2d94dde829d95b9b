"""uvicorn's HTTP protocol with limits on what comes before a body.

httptools and uvicorn take headers of any size and wait for them for ever; here
a head has a size and ten seconds.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
TOO_LARGE = "Request header fields too large."


class LimitedProtocol(HttpToolsProtocol):
    """Closes connections whose request head is too large or does not end."""

    max_header_bytes = 32 * 2**10
    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > self.max_header_bytes:
            raise ValueError(TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if len(self.url) > self.max_header_bytes:
            raise ValueError(TOO_LARGE)
        super().on_headers_complete()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        # A header that never ends reaches no callback, so its bytes are counted here.
        began_in_head = self._in_head
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        if began_in_head:
            self._head_bytes += len(data)
        if self._head_bytes > self.max_header_bytes:
            self.send_400_response(TOO_LARGE)
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)


def protocol_for(max_header_bytes: int) -> type[LimitedProtocol]:
    """The protocol with that limit on a request's line and headers, in bytes."""
    return type("GatewayProtocol", (LimitedProtocol,), {"max_header_bytes": max_header_bytes})
