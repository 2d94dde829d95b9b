"""The OpenAPI 3.1 description of the API, from the descriptors alone."""

import json
from collections.abc import Iterator
from typing import Any

from protobuf import DescField, DescFieldValueList, DescFieldValueMessage, DescMessage

from gateway.contract import HTTP_BODY, Audience, Contract, Rpc, Rule
from gateway.decode import ME, PERSON_FIELD, WHOLE, RequestDecoder, is_upload
from gateway.explain import is_plain
from gateway.query import leaf_kind
from gateway.schemas import Schema, Schemas
from gateway.settings import GatewaySettings
from gateway.template import Template, Wild, parse
from services.kit.errors import PREFIX, reason_of

METHODS = frozenset({"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"})
BEARER = "bearer"
MAX_QUERY_DEPTH = 4
REQUEST_ID_HEADER: Schema = {
    "description": "The request's id, as sent or made up; it finds the request in the log.",
    "schema": {"type": "string"},
}
IDEMPOTENCY_KEY = "Makes a repeat of the same request answer as the first did; the same as the field request_id."
IF_MATCH = "The etag that the resource must still have; the same as the field etag."
IF_NONE_MATCH = "The ETag of an answer that was kept; 304 if it is still the same."
ERROR: Schema = {
    "type": "object",
    "description": "What went wrong.",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "status", "message", "details"],
            "properties": {
                "code": {"type": "integer", "description": "The HTTP status."},
                "status": {"type": "string", "description": "The gRPC code's name.", "examples": ["NOT_FOUND"]},
                "message": {"type": "string", "description": "For people; it may change."},
                "details": {
                    "type": "array",
                    "description": "google.rpc.ErrorInfo always; BadRequest and RetryInfo where they apply.",
                    "items": {
                        "type": "object",
                        "required": ["@type"],
                        "properties": {
                            "@type": {"type": "string"},
                            "reason": {"type": "string", "description": "For programs; it never changes."},
                            "domain": {"type": "string"},
                            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                            "field_violations": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                                },
                            },
                            "retry_delay": {"type": "string", "examples": ["1.000s"]},
                        },
                    },
                },
            },
        }
    },
}


def describe(contract: Contract, settings: GatewaySettings) -> bytes:
    """The description as JSON."""
    return json.dumps(_Description(contract, settings).build(), ensure_ascii=False).encode()


class _Description:
    def __init__(self, contract: Contract, settings: GatewaySettings) -> None:
        self._contract = contract
        self._settings = settings
        self._schemas = Schemas(contract)
        self._schemas.components["Error"] = ERROR
        self._paths: dict[str, dict[str, Any]] = {}
        # The paths by their form without names: /x/{id} and /x/{thing.id} are one path.
        self._forms: dict[str, tuple[str, list[str]]] = {}
        self._operation_ids: set[str] = set()

    def build(self) -> dict[str, Any]:
        for rpc in self._contract.rpcs:
            for rule in rpc.rules:
                if rule.http_method in METHODS:
                    self._add(rpc, rule)
        services = {rpc.method.parent.type_name: rpc.method.parent for rpc in self._contract.rpcs}
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Vitalis",
                "version": "v1",
                "description": "One account for what a person wears, eats, lifts, feels and has measured.",
            },
            "servers": [{"url": "/"}],
            "tags": [
                {"name": _tag(service.name), "description": self._schemas.comment(name)}
                for name, service in services.items()
            ],
            "paths": dict(sorted(self._paths.items())),
            "components": {
                "schemas": dict(sorted(self._schemas.components.items())),
                "securitySchemes": {BEARER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }

    def _add(self, rpc: Rpc, rule: Rule) -> None:
        template = parse(rule.template)
        path, names = self._path(template)
        comment = self._schemas.comment(f"{rpc.method.parent.type_name}.{rpc.method.name}")
        operation: dict[str, Any] = {
            "operationId": self._operation_id(rpc),
            "tags": [_tag(rpc.method.parent.name)],
            "summary": _first_sentence(comment) or rpc.method.name,
            "description": comment + _who(rpc),
            "security": [] if rpc.audience is Audience.PUBLIC else [{BEARER: []}],
            "responses": self._responses(rpc, rule),
        }
        decoder = RequestDecoder(rpc.method.input, rule, template)
        parameters = [*self._path_parameters(rpc, template, names), *self._query_parameters(rpc, rule, template)]
        if decoder.etag:
            parameters.append(_header("If-Match", IF_MATCH))
        if decoder.request_id:
            parameters.append(_header("Idempotency-Key", IDEMPOTENCY_KEY))
        if rpc.cache_seconds:
            parameters.append(_header("If-None-Match", IF_NONE_MATCH))
        if parameters:
            operation["parameters"] = parameters
        if body := self._body(rpc, rule, template, decoder):
            operation["requestBody"] = body
        if rpc.method.deprecated:
            operation["deprecated"] = True
        self._paths.setdefault(path, {})[rule.http_method.lower()] = operation

    def _path(self, template: Template) -> tuple[str, list[str]]:
        """The OpenAPI path, and the name in it of each segment that is no literal."""
        labels = _labels(template)
        form = "/".join("{}" if isinstance(segment, Wild) else segment for segment in template.segments)
        verb = f":{template.verb}" if template.verb else ""
        own = "/" + "/".join(labels.get(at, str(segment)) for at, segment in enumerate(template.segments)) + verb
        path, names = self._forms.setdefault(form + verb, (own, list(labels.values())))
        return path, [name.strip("{}") for name in names]

    def _path_parameters(self, rpc: Rpc, template: Template, names: list[str]) -> Iterator[Schema]:
        positions = list(_labels(template))
        for position, name in zip(positions, names, strict=True):
            variable = next((v for v in template.variables if position in range(*_span(v.start, v.end))), None)
            field = _field_at(rpc.method.input, variable.field) if variable else None
            schema: Schema = {"type": "string"}
            if field is not None and variable is not None and variable.single:
                schema = self._schemas.of_field(field)
            description = schema.pop("description", "")
            if template.segments[position] is Wild.REST:
                description = f"{description}\n\nMay contain slashes.".strip()
            if variable and variable.field == PERSON_FIELD and rpc.audience is not Audience.PUBLIC:
                schema = {"anyOf": [{"const": ME}, schema], "examples": [ME]}
            yield {"name": name, "in": "path", "required": True, "description": description, "schema": schema}

    def _query_parameters(self, rpc: Rpc, rule: Rule, template: Template) -> Iterator[Schema]:
        if rule.body == WHOLE:
            return
        bound = {variable.field for variable in template.variables} | {rule.body}
        for name, field in _leaves(rpc.method.input, "", bound, 0):
            schema = self._schemas.of_field(field)
            description = schema.pop("description", "")
            required = "." not in name and self._schemas.is_required(field)
            yield {"name": name, "in": "query", "required": required, "description": description, "schema": schema}

    def _body(self, rpc: Rpc, rule: Rule, template: Template, decoder: RequestDecoder) -> Schema | None:
        if not rule.body:
            return None
        field = decoder.body_field
        if is_upload(field):
            return self._upload(rpc, rule, template)
        if field is not None:
            required = self._schemas.is_required(field)
            return {"required": required, "content": {"application/json": {"schema": self._schemas.of_field(field)}}}
        bound = frozenset(variable.field for variable in template.variables)
        schema = {**self._schemas.of_fields(rpc.method.input, bound), "additionalProperties": False}
        return {"required": "required" in schema, "content": {"application/json": {"schema": schema}}}

    def _upload(self, rpc: Rpc, rule: Rule, template: Template) -> Schema:
        fields = {
            parameter["name"]: {**parameter["schema"], "description": parameter["description"]}
            for parameter in self._query_parameters(rpc, rule, template)
        }
        file = {"type": "string", "contentMediaType": "application/octet-stream", "description": "The file, last."}
        limit = f"The file, at most {self._settings.max_upload_bytes} bytes. It is streamed."
        return {
            "required": True,
            "description": f"{limit} A form's text fields come before the file and may replace query parameters.",
            "content": {
                "application/octet-stream": {"schema": {}},
                "multipart/form-data": {
                    "schema": {"type": "object", "required": ["file"], "properties": {**fields, "file": file}}
                },
            },
        }

    def _responses(self, rpc: Rpc, rule: Rule) -> dict[str, Schema]:
        shown: DescField | DescMessage = rpc.method.output
        if rule.response_body:
            shown = _field_at(rpc.method.output, rule.response_body) or rpc.method.output
        schema = self._schemas.of_message(shown) if isinstance(shown, DescMessage) else self._schemas.of_field(shown)
        message = shown if isinstance(shown, DescMessage) else _message_of(shown)
        description = schema.pop("description", "") or self._schemas.comment(rpc.method.output.type_name) or "Done."
        headers: dict[str, Schema] = {"X-Request-Id": REQUEST_ID_HEADER}
        if message and any(field.name == "etag" for field in message.fields):
            headers["ETag"] = {"description": "The resource's etag.", "schema": {"type": "string"}}
        kept: dict[str, Schema] = {}
        if rpc.cache_seconds:
            headers |= {
                "ETag": {"description": "Changes with the answer.", "schema": {"type": "string"}},
                "Cache-Control": {
                    "description": "For how many seconds the answer may be kept; it is asked about before each use.",
                    "schema": {"const": f"private, no-cache, max-age={rpc.cache_seconds}"},
                },
            }
            kept = {"304": {"description": "What `If-None-Match` names is what there is.", "headers": headers}}
        content_type = "application/json"
        if message and message.type_name == HTTP_BODY:
            content_type, schema = "application/octet-stream", {}
        elif rpc.method.method_kind == "server_streaming":
            content_type = "application/x-ndjson"
            description += "\n\nOne JSON object a line; a line with `error` ends the stream early."
        answer = {"description": description, "headers": headers, "content": {content_type: {"schema": schema}}}
        return {"200": answer, **kept, **self._errors(rpc, rule)}

    def _errors(self, rpc: Rpc, rule: Rule) -> dict[str, Schema]:
        reasons = ["INVALID_FIELD", "RATE_LIMITED", *rpc.errors]
        if rpc.audience is not Audience.PUBLIC:
            reasons += ["UNAUTHENTICATED", "SCOPE_MISSING", "SUBJECT_MISMATCH"]
        if rule.body:
            reasons.append("TOO_LARGE")
        by_status: dict[int, list[str]] = {}
        for name in reasons:
            by_status.setdefault(reason_of(name).http_status, []).append(f"`{name}`: {self._meaning(name)}")
        responses = {str(status): _error("\n\n".join(texts)) for status, texts in sorted(by_status.items())}
        return {**responses, "default": _error("Any other error.")}

    def _meaning(self, reason: str) -> str:
        return self._schemas.comment(f"{reason_of(reason).domain}.ErrorReason.{PREFIX}{reason}")

    def _operation_id(self, rpc: Rpc) -> str:
        name, number = rpc.method.name, 2
        if name in self._operation_ids:
            name = f"{rpc.method.parent.name}_{rpc.method.name}"
        base = name
        while name in self._operation_ids:
            name, number = f"{base}_{number}", number + 1
        self._operation_ids.add(name)
        return name


def _labels(template: Template) -> dict[int, str]:
    """The `{name}` of each segment that is no literal, by its position."""
    labels: dict[int, str] = {}
    for variable in template.variables:
        wild = [at for at in range(*_span(variable.start, variable.end)) if at < len(template.segments)]
        wild = [at for at in wild if isinstance(template.segments[at], Wild)]
        for number, at in enumerate(wild, 1):
            labels[at] = f"{{{variable.field}}}" if len(wild) == 1 else f"{{{variable.field}_{number}}}"
    for at, segment in enumerate(template.segments):
        if isinstance(segment, Wild):
            labels.setdefault(at, f"{{segment_{at}}}")
    return dict(sorted(labels.items()))


def _span(start: int, end: int | None) -> tuple[int, int]:
    return start, 1_000 if end is None else end


def _leaves(message: DescMessage, prefix: str, bound: set[str], depth: int) -> Iterator[tuple[str, DescField]]:
    for field in message.fields:
        name = prefix + field.name
        if name in bound:
            continue
        inner = _message_of(field)
        if inner and is_plain(inner):
            if depth < MAX_QUERY_DEPTH and not isinstance(field.value, DescFieldValueList):
                yield from _leaves(inner, f"{name}.", bound, depth + 1)
        elif leaf_kind(field) is not None:
            yield name, field


def _message_of(field: DescField) -> DescMessage | None:
    return field.value.message if isinstance(field.value, DescFieldValueMessage) else None


def _field_at(message: DescMessage, path: str) -> DescField | None:
    current: DescMessage | None = message
    field: DescField | None = None
    for name in path.split("."):
        field = next((field for field in current.fields if field.name == name), None) if current else None
        current = _message_of(field) if field else None
    return field


def _header(name: str, description: str) -> Schema:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


def _error(description: str) -> Schema:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }


def _who(rpc: Rpc) -> str:
    scope = f"\n\nNeeds the scope `{rpc.scope}`." if rpc.scope else ""
    return scope + ("\n\nAdministrators may call it about anybody, which is recorded." if rpc.admins else "")


def _first_sentence(comment: str) -> str:
    text = " ".join(comment.split())
    return text.partition(". ")[0].rstrip(".")


def _tag(service: str) -> str:
    return service.removesuffix("Service")
