"""Query parameters: which names a request takes, and their values as JSON."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    ScalarType,
)

from gateway.explain import MAX_NAME, WRAPPERS, is_plain
from services.kit.errors import invalid

MAX_PARAMETERS = 1000
# Requests can be recursive; nobody writes a parameter deeper than this.
MAX_DEPTH = 8
BOOLS = {"true": True, "false": False}
UNSUPPORTED = frozenset(f"google.protobuf.{name}" for name in ("Struct", "ListValue", "Value", "Any"))

FIELD_MASK = "google.protobuf.FieldMask"
SNAKE = re.compile("_([a-z])")

Kind = ScalarType | DescEnum | DescMessage


class Parameter(NamedTuple):
    """A query parameter: the names of the fields down to it, and what it holds."""

    path: tuple[str, ...]
    kind: Kind
    repeated: bool


class QueryFields:
    """The query parameters of a request: every leaf field that nothing else binds."""

    def __init__(self, request: DescMessage, bound: Iterable[str]) -> None:
        self._request = request
        self._bound = frozenset(bound)
        self._known: dict[str, Parameter] = {}

    def parse(self, query: str) -> dict[str, Any]:
        """The query string as the JSON object of the request's fields.

        Raises INVALID_FIELD naming a parameter that is unknown, given twice or
        of the wrong form.
        """
        try:
            pairs = parse_qsl(
                query, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_PARAMETERS
            )
        except ValueError:
            raise invalid("query", "must be UTF-8 name=value pairs, percent-encoded") from None
        content: dict[str, Any] = {}
        for name, text in pairs:
            parameter = self._known.get(name) or self._resolve(name)
            target = content
            for part in parameter.path[:-1]:
                target = target.setdefault(part, {})
            leaf = parameter.path[-1]
            value = as_json(parameter.kind, text, name)
            if parameter.repeated:
                target.setdefault(leaf, []).append(value)
            elif leaf in target:
                raise invalid(name, "is given more than once")
            else:
                target[leaf] = value
        return content

    def _resolve(self, name: str) -> Parameter:
        unknown = invalid(name[:MAX_NAME], "is not a parameter of this request")
        parts = name.split(".")
        if len(parts) > MAX_DEPTH:
            raise unknown
        message: DescMessage | None = self._request
        path: list[str] = []
        field: DescField | None = None
        for part in parts:
            field = field_named(message, part) if message else None
            if field is None:
                raise unknown
            path.append(field.name)
            if ".".join(path) in self._bound:
                raise invalid(name, "belongs in the URL's path or the body")
            value = field.value
            message = value.message if isinstance(value, DescFieldValueMessage) and is_plain(value.message) else None
        if field is None or (kind := leaf_kind(field)) is None:
            raise unknown
        parameter = Parameter(tuple(path), kind, isinstance(field.value, DescFieldValueList))
        self._known[name] = parameter
        return parameter


def field_named(message: DescMessage, name: str) -> DescField | None:
    """A message's field by its proto name or its JSON name."""
    return next((field for field in message.fields if name in (field.name, field.json_name)), None)


def leaf_kind(field: DescField) -> Kind | None:
    """What one URL text can hold of the field; None for a message of fields, and for maps."""
    value = field.value
    if isinstance(value, DescFieldValueMap):
        return None
    kind: Kind
    if isinstance(value, DescFieldValueList):
        kind = value.element
    elif isinstance(value, DescFieldValueMessage):
        kind = value.message
    else:
        kind = value.scalar if isinstance(value, DescFieldValueScalar) else value.enum
    if isinstance(kind, DescMessage) and (is_plain(kind) or kind.type_name in UNSUPPORTED):
        return None
    return kind


def as_json(kind: Kind, text: str, name: str) -> object:
    """The proto JSON value of a URL's text. Raises INVALID_FIELD for a bad truth value or enum name."""
    if isinstance(kind, DescMessage):
        if kind.type_name == FIELD_MASK:
            # Its JSON has camel case only, but names are read in both spellings everywhere else.
            return SNAKE.sub(lambda found: found.group(1).upper(), text)
        kind = WRAPPERS.get(kind.type_name, ScalarType.STRING)
    if kind is ScalarType.BOOL:
        if text not in BOOLS:
            raise invalid(name, "must be true or false")
        return BOOLS[text]
    if isinstance(kind, DescEnum) and text.lstrip("-").isascii() and text.lstrip("-").isdigit() and len(text) < 12:
        return int(text)
    return text
