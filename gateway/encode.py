"""Turns an RPC's answer into an HTTP body, as its rule says."""

import json
from typing import NamedTuple

from protobuf import (
    DescField,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    Message,
    ScalarType,
    message_to_json_value,
)

from gateway.contract import HTTP_BODY, ContractError

JSON = b"application/json"


class Answer(NamedTuple):
    """An HTTP body. `etag` is "" for a resource that has none."""

    body: bytes
    content_type: bytes
    etag: str


class ResponseEncoder:
    """Encodes the answers of one HTTP binding.

    JSON has the proto's field names, and fields that are zero but not optional.
    """

    def __init__(self, response: DescMessage, response_body: str) -> None:
        self._type = response.type
        self._field = _named(response, response_body) if response_body else None
        value = self._field.value if self._field else None
        self._inner = value.message if isinstance(value, DescFieldValueMessage) else None
        shown = self._inner if self._field else response
        self.is_raw = shown is not None and shown.type_name == HTTP_BODY
        self._etag = _etag_field(shown)

    def encode(self, data: bytes) -> Answer:
        """The body for a serialised response. Raises ValueError for bytes that are no such message."""
        message = self._type.from_binary(data)
        shown = message
        if self._field is not None:
            if self._inner is None:
                value = message_to_json_value(message, always_emit_implicit=True, use_proto_field_name=True)
                part = value[self._field.name] if isinstance(value, dict) else None
                return Answer(json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode(), JSON, "")
            shown = message[self._field]
            if shown is None:
                shown = self._inner.type()
        if self.is_raw:
            return _raw(shown)
        text = shown.to_json(always_emit_implicit=True, use_proto_field_name=True)
        return Answer(text.encode(), JSON, shown[self._etag] if self._etag else "")


def _raw(body: Message) -> Answer:
    fields = {field.name: body[field] for field in body.desc().fields}
    content_type = fields["content_type"] or "application/octet-stream"
    # A header must not carry what a service could have taken from a person.
    if not content_type.isascii() or not content_type.isprintable():
        content_type = "application/octet-stream"
    return Answer(fields["data"], content_type.encode(), "")


def _named(message: DescMessage, name: str) -> DescField:
    field = next((field for field in message.fields if field.name == name), None)
    if field is None:
        raise ContractError(f"{message.type_name} has no field {name} for the response body")
    return field


def _etag_field(message: DescMessage | None) -> DescField | None:
    for field in message.fields if message else ():
        if field.name == "etag" and isinstance(field.value, DescFieldValueScalar):
            return field if field.value.scalar is ScalarType.STRING else None
    return None
