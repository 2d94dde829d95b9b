"""The file in an upload's body, raw or in a multipart form, in chunks.

Nothing reads ahead: a chunk is taken from the connection when the one before
has been passed on, so a slow service slows the client down.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from email.message import Message as MailMessage

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from gateway.exchange import ClientGoneError, Exchange, too_large
from services.kit.errors import ServiceError, invalid

CHUNK_BYTES = 256 * 2**10
# All the text fields of a form together.
MAX_FIELD_BYTES = 64 * 2**10
MAX_FIELDS = 100
FORM = b"multipart/form-data"


class FileBody:
    """A body that is the file itself.

    `file_name`, `content_type` and `fields` (a form's text fields) are known
    once the first chunk has been read.
    """

    def __init__(self, exchange: Exchange, limit: int, idle_seconds: float) -> None:
        self._exchange = exchange
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._total = 0
        self.file_name = _disposition_file_name(exchange.headers)
        self.content_type = exchange.headers.get(b"content-type", b"").decode("latin-1")
        self.fields: list[tuple[str, str]] = []

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file in chunks of about 256 KiB.

        Raises TOO_LARGE, INVALID_FIELD for a broken form, DEADLINE_EXCEEDED for
        a client that stops sending, and ClientGoneError.
        """
        more = True
        while more:
            data, more = await self._receive()
            self._feed(data)
            if self._pending_bytes >= CHUNK_BYTES:
                yield self._take()
        self._exchange.drained = True
        self._finish()
        if self._pending:
            yield self._take()

    async def _receive(self) -> tuple[bytes, bool]:
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._exchange.receive()
        except TimeoutError:
            raise ServiceError("DEADLINE_EXCEEDED", "the upload has stopped; nothing was stored") from None
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        return message.get("body", b""), bool(message.get("more_body"))

    def _feed(self, data: bytes) -> None:
        if data:
            self._add(data)

    def _finish(self) -> None:
        """Checks that the body was whole."""

    def _add(self, data: bytes) -> None:
        self._total += len(data)
        if self._total > self._limit:
            raise too_large(self._limit)
        self._pending.append(data)
        self._pending_bytes += len(data)

    def _take(self) -> bytes:
        data = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        return data


class FormBody(FileBody):
    """A multipart form (RFC 7578): text fields first, then one file."""

    def __init__(self, exchange: Exchange, limit: int, idle_seconds: float, boundary: bytes) -> None:
        super().__init__(exchange, limit, idle_seconds)
        self.file_name = ""
        self._headers: dict[bytes, bytes] = {}
        self._header_name = b""
        self._header_value = b""
        self._field_name: str | None = None
        self._field_value = b""
        self._field_bytes = 0
        self._has_file = False
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise invalid("Content-Type", "has a boundary that is too long") from None

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.write(data)
        except FormParserError:
            raise invalid("body", "must be a well-formed multipart form") from None

    def _finish(self) -> None:
        if not self._ended:
            raise invalid("body", "ends before its multipart form does")
        if not self._has_file:
            raise invalid("body", "must have a file among the form's fields")

    def _on_part_begin(self) -> None:
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" not in options:
            if self._has_file:
                raise invalid(name, "must come before the file")
            if len(self.fields) >= MAX_FIELDS:
                raise invalid("body", f"must have {MAX_FIELDS} form fields at most")
            self._field_name, self._field_value = name, b""
            return
        if self._has_file:
            raise invalid(name, "is a second file; a form has one")
        self._has_file, self._field_name = True, None
        self.file_name = base_name(options[b"filename"].decode("utf-8", "replace"))
        self.content_type = self._headers.get(b"content-type", b"").decode("latin-1")

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field_name is None:
            self._add(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > MAX_FIELD_BYTES:
            raise too_large(MAX_FIELD_BYTES)
        self._field_value += data[start:end]

    def _on_part_end(self) -> None:
        if self._field_name is not None:
            self.fields.append((self._field_name, self._field_value.decode("utf-8", "replace")))

    def _on_end(self) -> None:
        self._ended = True


def file_body(exchange: Exchange, limit: int, idle_seconds: float) -> FileBody:
    """The file of a request. Raises INVALID_FIELD for a form without a boundary."""
    kind, options = parse_options_header(exchange.headers.get(b"content-type"))
    if kind != FORM:
        return FileBody(exchange, limit, idle_seconds)
    if not options.get(b"boundary"):
        raise invalid("Content-Type", "must have the form's boundary")
    return FormBody(exchange, limit, idle_seconds, options[b"boundary"])


def base_name(name: str) -> str:
    """A file's name without the folders that some clients send along."""
    return name.replace("\\", "/").rpartition("/")[2]


def _disposition_file_name(headers: Mapping[bytes, bytes]) -> str:
    value = headers.get(b"content-disposition")
    if value is None:
        return ""
    # The standard library reads `filename*=UTF-8''…` (RFC 6266), the form parser does not.
    mail = MailMessage()
    mail["Content-Disposition"] = value.decode("latin-1")
    try:
        return base_name(mail.get_filename() or "")
    except ValueError:
        # Of a charset that cannot read it; whoever sends such a name can do without.
        return ""
