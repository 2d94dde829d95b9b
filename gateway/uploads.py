"""Uploads: a body streamed into a client-streaming RPC.

A service of grpc.aio sees a broken-off stream as one that has ended, and its
cancellation only at its next await. So the last message of a whole file has no
data: a stream that ends with data was broken off.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import grpc
from protobuf import DescField, DescFieldValueMessage, Message

from gateway.bodies import FileBody, file_body
from gateway.calls import Route
from gateway.contract import ContractError, Rpc, Rule
from gateway.decode import is_upload
from gateway.exchange import Exchange, Watch, refuse_encoding, too_large
from gateway.replies import etag_header
from gateway.template import Template
from services.kit.errors import from_rpc_error

# What a multipart form adds around its file.
FORM_OVERHEAD = 2**20
EARLY = (grpc.aio.AioRpcError, asyncio.InvalidStateError)


class UploadRoute(Route):
    """A file in, one message out. The first message carries the path's and the query's fields."""

    def __init__(
        self,
        rpc: Rpc,
        rule: Rule,
        template: Template,
        call: Callable[..., Any],
        deadline: float,
        max_upload_bytes: int,
        idle_seconds: float,
    ) -> None:
        super().__init__(rpc, rule, template, call, deadline, max_upload_bytes)
        self._idle_seconds = idle_seconds
        field = self.decoder.body_field
        if field is None or not is_upload(field) or not isinstance(field.value, DescFieldValueMessage):
            raise ContractError(f"{rpc.path} streams requests and its body is no google.api.HttpBody")
        self._file = field
        self._chunk = field.value.message
        self._chunk_fields: dict[str, DescField] = {inner.name: inner for inner in self._chunk.fields}

    async def answer(self, exchange: Exchange) -> None:
        self._check_head(exchange)
        # What the URL and the headers carry is checked before any of the file is read.
        self._first(exchange, exchange.query, None)
        source = file_body(exchange, self._max_body_bytes, self._idle_seconds)
        chunks = source.chunks()
        data = await anext(chunks, b"")
        query = "&".join(part for part in (exchange.query, urlencode(source.fields)) if part)
        first = self._first(exchange, query, source)
        call = self._call(timeout=self._deadline, metadata=await exchange.admission.metadata())
        with Watch(exchange, call, client=False) as watch:
            try:
                reply = await self._stream(exchange, call, self._message(first, data, source.content_type), chunks)
            except grpc.aio.AioRpcError as error:
                raise from_rpc_error(error) from None
            except asyncio.CancelledError:
                if watch.why:
                    raise watch.why from None
                raise
            finally:
                call.cancel()
        answer = self.encode(reply)
        await exchange.reply(200, answer.body, answer.content_type, etag_header(answer.etag))

    async def _stream(self, exchange: Exchange, call: Any, first: bytes, chunks: AsyncIterator[bytes]) -> bytes:
        """The service's answer, which may come before the end of the file."""
        pump = asyncio.create_task(self._pump(call, first, chunks))
        result = asyncio.create_task(_result(call))
        try:
            await asyncio.wait((pump, result), return_when=asyncio.FIRST_COMPLETED)
            if pump.done() and not result.done():
                pump.result()
                with Watch(exchange, call) as watch:
                    try:
                        return await result
                    except asyncio.CancelledError:
                        if watch.why:
                            raise watch.why from None
                        raise
            return await result
        finally:
            for task in (pump, result):
                task.cancel()
            await asyncio.gather(pump, result, return_exceptions=True)

    async def _pump(self, call: Any, first: bytes, chunks: AsyncIterator[bytes]) -> None:
        try:
            await call.write(first)
            async for data in chunks:
                await call.write(self._message(self.decoder.empty(), data, ""))
            await call.write(self._message(self.decoder.empty(), b"", ""))
            await call.done_writing()
        except EARLY:
            # The service has answered already; its answer says why.
            return

    def _first(self, exchange: Exchange, query: str, source: FileBody | None) -> Message:
        message = self.decoder.bind_url(self.decoder.empty(), exchange.match, query, exchange.caller_id)
        self.bind_headers(message, exchange)
        chain = self.decoder.file_name
        if source and chain and not message[chain[0]]:
            message[chain[0]] = source.file_name
        return message

    def _message(self, message: Message, data: bytes, content_type: str) -> bytes:
        chunk = self._chunk.type()
        chunk[self._chunk_fields["data"]] = data
        chunk[self._chunk_fields["content_type"]] = content_type
        message[self._file] = chunk
        return message.to_binary()

    def _check_head(self, exchange: Exchange) -> None:
        refuse_encoding(exchange.headers)
        length = exchange.headers.get(b"content-length")
        if length is not None and int(length) > self._max_body_bytes + FORM_OVERHEAD:
            raise too_large(self._max_body_bytes)


async def _result(call: Any) -> bytes:
    data: bytes = await call
    return data
