"""Turns an HTTP request into an RPC's request message, as its rule says."""

import json
from typing import Any

from protobuf import (
    DescField,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    Message,
    ScalarType,
    merge_from_json,
)

from gateway.contract import HTTP_BODY, ContractError, Rule
from gateway.depth import is_too_deep
from gateway.explain import explain
from gateway.query import QueryFields, as_json, leaf_kind
from gateway.routing import Match
from gateway.template import Template, Variable
from services.kit.errors import ServiceError, invalid

ME = "me"
PERSON_FIELD = "user_id"
WHOLE = "*"
MISFITS = (ValueError, TypeError, OverflowError)


class RequestDecoder:
    """Decodes the requests of one HTTP binding."""

    def __init__(self, request: DescMessage, rule: Rule, template: Template) -> None:
        self._desc = request
        self._type = request.type
        self._variables = [(variable, _chain(request, variable.field, rule)) for variable in template.variables]
        self.body_field = _body_field(request, rule)
        self.takes_body = bool(rule.body)
        bound = [variable.field for variable in template.variables]
        self._query = None if rule.body == WHOLE else QueryFields(request, [*bound, *filter(None, [rule.body])])
        self.etag = _header_chain(request, self.body_field, "etag")
        self.request_id = _header_chain(request, None, "request_id")
        self.file_name = _header_chain(request, None, "file_name")

    def decode(self, match: Match[Any], query: str, body: bytes, caller_id: str) -> Message:
        """The request message. Raises INVALID_FIELD naming what does not fit.

        `caller_id` stands in for `me`; "" for nobody.
        """
        if is_too_deep(body):
            raise invalid("body", "is nested too deeply")
        if not self.takes_body:
            if body:
                raise invalid("body", "must be empty")
            message = self._type()
        elif self.body_field is None:
            message = self._read_whole(body)
        else:
            message = self._type()
            if body:
                self._read_field(message, self.body_field, body)
        return self.bind_url(message, match, query, caller_id)

    def empty(self) -> Message:
        """A request without any field."""
        return self._type()

    def bind_url(self, message: Message, match: Match[Any], query: str, caller_id: str) -> Message:
        """Adds what the path and the query carry to the message."""
        if query:
            if self._query is None:
                name = query.partition("=")[0].partition("&")[0][:100]
                raise invalid(name, "is not a parameter of this request; everything belongs in the body")
            content = json.dumps(self._query.parse(query))
            try:
                merge_from_json(message, content)
            except MISFITS:
                raise explain(self._desc, content, "query") from None
        for variable, chain in self._variables:
            self._bind_variable(message, variable, chain, match.value(variable), caller_id)
        return message

    def _bind_variable(
        self, message: Message, variable: Variable, chain: list[DescField], text: str, caller_id: str
    ) -> None:
        if text == ME and variable.field == PERSON_FIELD:
            if not caller_id:
                raise ServiceError("UNAUTHENTICATED", "sign in first; `me` is nobody without a token")
            bind(message, chain, caller_id, variable.field, also=ME)
            return
        bind(message, chain, _scalar(chain[-1], text, variable.field), variable.field)

    def _read_whole(self, body: bytes) -> Message:
        # A custom method without fields may be called without a body.
        if not body:
            return self._type()
        try:
            return self._type.from_json(body)
        except RecursionError:
            raise invalid("body", "is nested too deeply") from None
        except MISFITS:
            raise explain(self._desc, body) from None

    def _read_field(self, message: Message, field: DescField, body: bytes) -> None:
        try:
            if isinstance(field.value, DescFieldValueMessage):
                message[field] = field.value.message.type.from_json(body)
            else:
                merge_from_json(message, json.dumps({field.name: json.loads(body)}))
        except RecursionError:
            raise invalid("body", "is nested too deeply") from None
        except MISFITS:
            if isinstance(field.value, DescFieldValueMessage):
                raise explain(field.value.message, body) from None
            raise invalid("body", f"must be the JSON of the field {field.name}") from None


def bind(message: Message, chain: list[DescField], value: object, name: str, also: object = None) -> None:
    """Sets a field. Raises INVALID_FIELD if another value (neither `value` nor `also`) is there already."""
    for field in chain[:-1]:
        inner = message[field]
        if inner is None and isinstance(field.value, DescFieldValueMessage):
            inner = field.value.message.type()
            message[field] = inner
        message = inner
    leaf = chain[-1]
    current = message[leaf]
    if current and current != value and (also is None or current != also):
        raise invalid(name, "contradicts the URL or a header")
    message[leaf] = value


def _scalar(field: DescField, text: str, name: str) -> object:
    value = field.value
    if isinstance(value, DescFieldValueScalar) and value.scalar is ScalarType.STRING:
        return text
    kind = leaf_kind(field)
    content = json.dumps({field.name: as_json(kind, text, name) if kind is not None else text})
    try:
        return field.parent.type.from_json(content)[field]
    except MISFITS:
        raise explain(field.parent, content) from None


def _chain(request: DescMessage, path: str, rule: Rule) -> list[DescField]:
    """The fields down to `path`. Raises ContractError for one that a path cannot carry."""
    chain: list[DescField] = []
    message: DescMessage | None = request
    for name in path.split("."):
        field = next((field for field in message.fields if field.name == name), None) if message else None
        if field is None:
            raise ContractError(f"{rule.template}: {request.type_name} has no field {path}")
        chain.append(field)
        message = field.value.message if isinstance(field.value, DescFieldValueMessage) else None
    if message is not None or isinstance(chain[-1].value, DescFieldValueList | DescFieldValueMap):
        raise ContractError(f"{rule.template}: {path} is no single primitive value")
    return chain


def _body_field(request: DescMessage, rule: Rule) -> DescField | None:
    if rule.body in ("", WHOLE):
        return None
    field = next((field for field in request.fields if field.name == rule.body), None)
    if field is None:
        raise ContractError(f"{rule.template}: {request.type_name} has no field {rule.body} for the body")
    return field


def is_upload(field: DescField | None) -> bool:
    """Whether a body field takes raw bytes."""
    value = field.value if field else None
    return isinstance(value, DescFieldValueMessage) and value.message.type_name == HTTP_BODY


def _header_chain(request: DescMessage, body_field: DescField | None, name: str) -> list[DescField] | None:
    """Where a header's value goes: the request's own string field, else that of the resource in the body."""
    for field in request.fields:
        if field.name == name and _is_string(field):
            return [field]
    if body_field is not None and isinstance(body_field.value, DescFieldValueMessage):
        for field in body_field.value.message.fields:
            if field.name == name and _is_string(field):
                return [body_field, field]
    return None


def _is_string(field: DescField) -> bool:
    return isinstance(field.value, DescFieldValueScalar) and field.value.scalar is ScalarType.STRING
