"""JSON Schemas (2020-12) of messages: types, comments, and the rules of `buf.validate`."""

import ast
import re
from collections.abc import Mapping
from typing import Any

from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    Message,
    ScalarType,
)

from gateway.contract import HTTP_BODY, Contract
from gateway.explain import WRAPPERS

Schema = dict[str, Any]

# The numbers of google/api/field_behavior.proto.
REQUIRED, OUTPUT_ONLY, INPUT_ONLY = 2, 3, 4
COMPONENTS = "#/components/schemas/"
# ProtoJSON writes the 64-bit integers, which are not here, as strings.
SCALARS: dict[ScalarType, Schema] = {
    ScalarType.DOUBLE: {"type": "number", "format": "double"},
    ScalarType.FLOAT: {"type": "number", "format": "float"},
    ScalarType.BOOL: {"type": "boolean"},
    ScalarType.STRING: {"type": "string"},
    ScalarType.BYTES: {"type": "string", "contentEncoding": "base64"},
    ScalarType.INT32: {"type": "integer", "format": "int32"},
    ScalarType.SINT32: {"type": "integer", "format": "int32"},
    ScalarType.SFIXED32: {"type": "integer", "format": "int32"},
    ScalarType.UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    ScalarType.FIXED32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
}
LONG: Schema = {"type": "string", "format": "int64"}
WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?\d+(\.\d+)?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.ListValue": {"type": "array", "items": {}},
    "google.protobuf.Value": {},
    "google.protobuf.Any": {"type": "object", "properties": {"@type": {"type": "string"}}},
    "google.protobuf.Empty": {"type": "object"},
    HTTP_BODY: {"type": "string", "contentMediaType": "application/octet-stream"},
}
NUMBERS = {"gt": "exclusiveMinimum", "gte": "minimum", "lt": "exclusiveMaximum", "lte": "maximum", "const": "const"}
STRINGS = {"min_len": "minLength", "max_len": "maxLength", "const": "const"}
FORMATS = {
    "email": "email",
    "uuid": "uuid",
    "hostname": "hostname",
    "ipv4": "ipv4",
    "ipv6": "ipv6",
    "uri": "uri",
    "uri_ref": "uri-reference",
}
LISTS = {"min_items": "minItems", "max_items": "maxItems", "unique": "uniqueItems"}
MAPS = {"min_pairs": "minProperties", "max_pairs": "maxProperties"}
# Shared rules that JSON Schema has a format for.
RULE_FORMATS = {"date": "date"}
CLOSED_SET = re.compile(r"this in (\[[^\]]*\])")


class Schemas:
    """Makes the schemas of messages; `components` gathers those that are referred to."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._behavior = contract.option("google.api.field_behavior")
        self._rules = contract.option("buf.validate.field")
        self._predefined = contract.option("buf.validate.predefined")
        self._names: dict[str, str] = {}
        self.components: dict[str, Schema] = {}

    def of_message(self, message: DescMessage) -> Schema:
        """A reference to the message's schema, or the schema itself of a well-known type."""
        if message.type_name in WELL_KNOWN:
            return dict(WELL_KNOWN[message.type_name])
        if message.type_name in WRAPPERS:
            schema = of_scalar(WRAPPERS[message.type_name])
            return {**schema, "type": [schema["type"], "null"]}
        name = self._name(message)
        if name not in self.components:
            # Claimed first, because messages may contain themselves.
            self.components[name] = {}
            self.components[name] = self.of_fields(message)
        return {"$ref": COMPONENTS + name}

    def of_fields(self, message: DescMessage, without: frozenset[str] = frozenset()) -> Schema:
        """The object schema of a message, without some of its fields."""
        fields = [field for field in message.fields if field.name not in without]
        schema: Schema = {
            "type": "object",
            "properties": {field.name: self.of_field(field) for field in fields},
        }
        if comment := self.comment(message.type_name):
            schema["description"] = comment
        if required := [field.name for field in fields if self.is_required(field)]:
            schema["required"] = required
        return schema

    def of_field(self, field: DescField) -> Schema:
        """A field's schema, with its comment and its rules."""
        schema = self._type_of(field)
        if comment := self.comment(f"{field.parent.type_name}.{field.name}"):
            schema["description"] = comment
        behavior = self.behavior(field)
        if OUTPUT_ONLY in behavior:
            schema["readOnly"] = True
        if INPUT_ONLY in behavior:
            schema["writeOnly"] = True
        if field.deprecated:
            schema["deprecated"] = True
        options = field.proto.options
        if options is not None and self._rules in options:
            self._add_rules(schema, options[self._rules])
        return schema

    def comment(self, name: str) -> str:
        """The comment of a full name; "" if it has none."""
        return self._contract.comments.get(name, "")

    def behavior(self, field: DescField) -> frozenset[int]:
        """The field's `google.api.field_behavior` numbers."""
        options = field.proto.options
        return frozenset(int(value) for value in options[self._behavior]) if options is not None else frozenset()

    def is_required(self, field: DescField) -> bool:
        """Whether a request must carry the field."""
        options = field.proto.options
        rules = options[self._rules] if options is not None and self._rules in options else None
        return REQUIRED in self.behavior(field) or bool(rules is not None and _set_fields(rules).get("required"))

    def _type_of(self, field: DescField) -> Schema:
        match field.value:
            case DescFieldValueList(element=element):
                return {"type": "array", "items": self._of_kind(element)}
            case DescFieldValueMap(value=kind):
                return {"type": "object", "additionalProperties": self._of_kind(kind)}
            case DescFieldValueMessage(message=message):
                return self.of_message(message)
            case DescFieldValueEnum(enum=enum):
                return self._of_kind(enum)
            case DescFieldValueScalar(scalar=scalar):
                return of_scalar(scalar)

    def _of_kind(self, kind: DescMessage | DescEnum | ScalarType) -> Schema:
        if isinstance(kind, DescMessage):
            return self.of_message(kind)
        if isinstance(kind, DescEnum):
            return {"type": "string", "enum": [value.name for value in kind.values]}
        return of_scalar(kind)

    def _name(self, message: DescMessage) -> str:
        """The message's name, with its package if another message has that name."""
        short = message.type_name.removeprefix(f"{message.file.proto.package}.")
        return short if self._names.setdefault(short, message.type_name) == message.type_name else message.type_name

    def _add_rules(self, schema: Schema, rules: Message) -> None:
        for kind, value in _set_fields(rules).items():
            if not isinstance(value, Message):
                continue
            own = _set_fields(value)
            if kind == "string":
                _add_string(schema, own)
            elif kind == "repeated":
                _add(schema, own, LISTS)
                if "items" in own:
                    self._add_rules(schema["items"], own["items"])
            elif kind == "map":
                _add(schema, own, MAPS)
                if "values" in own:
                    self._add_rules(schema["additionalProperties"], own["values"])
            elif schema.get("type") in ("integer", "number"):
                _add(schema, own, NUMBERS)
            if own.get("in") and kind != "enum":
                schema["enum"] = list(own["in"])
            if examples := own.get("example"):
                schema["examples"] = list(examples)
            self._add_shared_rules(schema, value)

    def _add_shared_rules(self, schema: Schema, rules: Message) -> None:
        for extension in self._contract.registry.extensions_for(rules):
            options = extension.proto.options
            if extension.type not in rules or not rules[extension.type] or options is None:
                continue
            if extension.name in RULE_FORMATS:
                schema["format"] = RULE_FORMATS[extension.name]
                continue
            for cel in options[self._predefined].cel:
                if found := CLOSED_SET.search(cel.expression):
                    schema["enum"] = ast.literal_eval(found.group(1))
                elif cel.message:
                    _add_rule_text(schema, cel.message)


def of_scalar(scalar: ScalarType) -> Schema:
    """The schema of a scalar type."""
    return dict(SCALARS.get(scalar, LONG))


def _add_string(schema: Schema, rules: Mapping[str, Any]) -> None:
    _add(schema, rules, STRINGS)
    for name in FORMATS:
        if rules.get(name):
            schema["format"] = FORMATS[name]
    if "len" in rules:
        schema |= {"minLength": rules["len"], "maxLength": rules["len"]}
    if pattern := rules.get("pattern"):
        # A pattern that only RE2 knows is told in words, because JSON Schema's readers would refuse it.
        if _is_portable(pattern):
            schema["pattern"] = pattern
        else:
            _add_rule_text(schema, f"must match `{pattern}` (RE2)")


def _is_portable(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return "(?" not in pattern.replace("(?:", "")


def _add_rule_text(schema: Schema, text: str) -> None:
    schema["description"] = f"{schema.get('description', '')}\n\nRule: {text}.".strip()


def _add(schema: Schema, rules: Mapping[str, Any], names: Mapping[str, str]) -> None:
    schema |= {names[name]: value for name, value in rules.items() if name in names}


def _set_fields(message: Message) -> dict[str, Any]:
    return {field.name: message[field] for field in message}
