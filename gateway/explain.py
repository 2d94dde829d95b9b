"""Says which field of a JSON value breaks its type, without quoting the value."""

import json
from collections.abc import Mapping

from protobuf import (
    DescEnum,
    DescField,
    DescFieldValueEnum,
    DescFieldValueList,
    DescFieldValueMap,
    DescFieldValueMessage,
    DescFieldValueScalar,
    DescMessage,
    ScalarType,
)

from services.kit.errors import ServiceError, Violation, invalid

MAX_NAME = 100
INTEGERS_32 = frozenset({ScalarType.INT32, ScalarType.SINT32, ScalarType.SFIXED32})
UNSIGNED = frozenset({ScalarType.UINT32, ScalarType.FIXED32, ScalarType.UINT64, ScalarType.FIXED64})
FLOATS = frozenset({ScalarType.FLOAT, ScalarType.DOUBLE})
SPECIAL = {
    "google.protobuf.Timestamp": "must be an RFC 3339 time such as 2026-11-19T07:30:00Z",
    "google.protobuf.Duration": "must be a duration in seconds such as 1.5s",
    "google.protobuf.FieldMask": "must be field names separated by commas",
    "google.protobuf.Struct": "must be a JSON object",
    "google.protobuf.ListValue": "must be a JSON array",
    "google.protobuf.Value": "must be a JSON value",
    "google.protobuf.Any": "must be an object with @type",
}
WRAPPERS = {
    "google.protobuf.BoolValue": ScalarType.BOOL,
    "google.protobuf.StringValue": ScalarType.STRING,
    "google.protobuf.BytesValue": ScalarType.BYTES,
    "google.protobuf.DoubleValue": ScalarType.DOUBLE,
    "google.protobuf.FloatValue": ScalarType.FLOAT,
    "google.protobuf.Int32Value": ScalarType.INT32,
    "google.protobuf.Int64Value": ScalarType.INT64,
    "google.protobuf.UInt32Value": ScalarType.UINT32,
    "google.protobuf.UInt64Value": ScalarType.UINT64,
}


def is_plain(message: DescMessage) -> bool:
    """Whether the message's JSON is an object of its fields."""
    return message.type_name not in SPECIAL and message.type_name not in WRAPPERS


def explain(message: DescMessage, content: str | bytes, name: str = "body") -> ServiceError:
    """The error of JSON text that does not parse as `message`."""
    try:
        value = json.loads(content)
    except RecursionError:
        return invalid(name, "is nested too deeply")
    except ValueError:
        return invalid(name, "must be valid JSON in UTF-8")
    violation = find(message, value, "")
    if violation is None:
        return invalid(name, "does not fit the request")
    field, rule = violation.field or name, violation.description
    return invalid(field, rule)


def find(message: DescMessage, value: object, path: str) -> Violation | None:
    """The first field of a JSON value that does not fit `message`; None if all fit."""
    if not is_plain(message):
        return None if _parses(message, value) else Violation(path, rule_of(message))
    if not isinstance(value, dict):
        return Violation(path, "must be a JSON object")
    fields = {name: field for field in message.fields for name in (field.json_name, field.name)}
    for key, item in value.items():
        field = fields.get(key)
        if field is None:
            return Violation(_join(path, key[:MAX_NAME]), "is not a field of this request")
        if violation := _find_in_field(message, field, item, _join(path, field.name)):
            return violation
    return None


def _find_in_field(message: DescMessage, field: DescField, value: object, path: str) -> Violation | None:
    if _parses(message, {field.name: value}):
        return None
    match field.value:
        case DescFieldValueMessage(message=inner):
            return find(inner, value, path) or Violation(path, rule_of(inner))
        case DescFieldValueList(element=element):
            if not isinstance(value, list):
                return Violation(path, "must be a JSON array")
            index = _first_misfit(message, field, value)
            misfit = f"{path}[{index}]"
            inside = find(element, value[index], misfit) if isinstance(element, DescMessage) else None
            return inside or Violation(misfit, rule_of(element))
        case DescFieldValueMap(value=element):
            if not isinstance(value, Mapping):
                return Violation(path, "must be a JSON object")
            return Violation(path, f"each value {rule_of(element)}")
        case DescFieldValueEnum(enum=enum):
            return Violation(path, rule_of(enum))
        case DescFieldValueScalar(scalar=scalar):
            return Violation(path, rule_of(scalar))


def _first_misfit(message: DescMessage, field: DescField, items: list[object]) -> int:
    """The first item that does not parse, by halving: in all, every item is parsed about once."""
    low, high = 0, len(items)
    while high - low > 1:
        middle = (low + high) // 2
        if _parses(message, {field.name: items[low:middle]}):
            low = middle
        else:
            high = middle
    return low


def rule_of(kind: DescMessage | DescEnum | ScalarType) -> str:
    """What a JSON value of that type must be."""
    if isinstance(kind, DescMessage):
        wrapped = WRAPPERS.get(kind.type_name)
        return SPECIAL.get(kind.type_name, "must be a JSON object") if wrapped is None else rule_of(wrapped)
    if isinstance(kind, DescEnum):
        return "must be one of " + ", ".join(value.name for value in kind.values)
    if kind is ScalarType.STRING:
        return "must be a string"
    if kind is ScalarType.BOOL:
        return "must be true or false"
    if kind is ScalarType.BYTES:
        return "must be base64"
    if kind in FLOATS:
        return "must be a number"
    if kind in UNSIGNED:
        return "must be an integer that is not negative"
    return "must be a 32-bit integer" if kind in INTEGERS_32 else "must be a 64-bit integer"


def _parses(message: DescMessage, value: object) -> bool:
    try:
        message.type.from_json(json.dumps(value))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return False
    return True


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
