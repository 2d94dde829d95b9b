"""What can be asked, from the contract: a field's type, its allowed values, its range."""

from collections.abc import Iterator, Sequence
from typing import Any

from buf.validate import validate_pb2
from google.protobuf import descriptor
from google.protobuf.message_factory import GetMessageClass
from protovalidate import Validator
from pydantic import BaseModel, ConfigDict

from services.kit.contract import OUTPUT_ONLY, REQUIRED, ContractError, closed_values, fields_with, violation_of
from vitalis.identity.v1 import onboarding_pb2 as pb

VALIDATOR = Validator()
# The shared rules that make a text something of its own.
FORMATS = {"date": "date", "time_of_day": "time"}
KINDS = {
    descriptor.FieldDescriptor.TYPE_BOOL: "boolean",
    descriptor.FieldDescriptor.TYPE_INT32: "integer",
    descriptor.FieldDescriptor.TYPE_DOUBLE: "number",
}


class Asked(BaseModel):
    """A field that a flow asks for; `required` if it has to be answered though the contract does not say so."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    path: str
    question: str
    required: bool = False
    default: bool | int | float | str | None = None


def describe(section: descriptor.Descriptor, asked: Sequence[Asked], above: str = "") -> Iterator[pb.OnboardingField]:
    """The fields below the path `above`, in the order in which they are asked.

    Raises ContractError for a path that is none, a field that nobody can set, a
    required one that is not asked for, and a default that is no answer.
    """
    here = [each for each in asked if each.path.rpartition(".")[0] == above]
    names = [each.path.rpartition(".")[2] for each in here]
    if missing := sorted(set(fields_with(section, REQUIRED)) - set(names)):
        raise ContractError(f"{section.full_name}: {', '.join(missing)} is required and not asked for")
    for name, each in zip(names, here, strict=True):
        field = section.fields_by_name.get(name)
        if field is None or name in fields_with(section, OUTPUT_ONLY):
            raise ContractError(f"{section.full_name}: {each.path} is nothing that can be answered")
        yield _describe(section, field, each, asked)


def _describe(
    section: descriptor.Descriptor, field: descriptor.FieldDescriptor, each: Asked, asked: Sequence[Asked]
) -> pb.OnboardingField:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    described = pb.OnboardingField(
        name=field.name,
        path=each.path,
        repeated=field.is_repeated,
        required=each.required or field.name in fields_with(section, REQUIRED),
        question=each.question,
    )
    if field.is_repeated:
        if rules.repeated.HasField("max_items"):
            described.max_items = rules.repeated.max_items
        rules = rules.repeated.items
    if field.message_type:
        described.type = "group"
        described.fields.extend(describe(field.message_type, asked, each.path))
    elif field.type == field.TYPE_STRING:
        _describe_text(described, rules.string)
    else:
        described.type = KINDS[field.type]
        _describe_range(described, rules)
    if each.default is not None:
        described.default_value = _default(section, field, each)
    return described


def _describe_text(described: pb.OnboardingField, rules: validate_pb2.StringRules) -> None:
    described.type = "text"
    limits: Any = rules
    # The shared rules of options/v1/rules.proto; one over a closed set is written as one CEL list.
    for extension, given in rules.ListFields():
        if extension.is_extension and given:
            described.type = FORMATS.get(extension.name, described.type)
            described.allowed_values.extend(closed_values(extension))
    described.allowed_values.extend(getattr(limits, "in"))
    if described.allowed_values:
        described.type = "choice"
    for ours, theirs in (("min_length", "min_len"), ("max_length", "max_len"), ("pattern", "pattern")):
        if described.type == "text" and limits.HasField(theirs):
            setattr(described, ours, getattr(limits, theirs))
    if rules.example:
        described.example = rules.example[0]


def _describe_range(described: pb.OnboardingField, rules: validate_pb2.FieldRules) -> None:
    kind = rules.WhichOneof("type")
    if kind not in ("int32", "double"):
        return
    limits: Any = getattr(rules, kind)
    if lower := limits.WhichOneof("greater_than"):
        described.minimum = getattr(limits, lower)
        described.exclusive_minimum = lower == "gt"
    if upper := limits.WhichOneof("less_than"):
        described.maximum = getattr(limits, upper)
        described.exclusive_maximum = upper == "lt"


def _default(section: descriptor.Descriptor, field: descriptor.FieldDescriptor, each: Asked) -> str:
    """The default as it would be typed. Raises ContractError for one that the field's rules refuse."""
    try:
        answered = GetMessageClass(section)(**{field.name: each.default})
    except (TypeError, ValueError):
        raise ContractError(f"{section.full_name}: the default of {each.path} is of another type") from None
    if field.name in {violation_of(found).field for found in VALIDATOR.collect_violations(answered)}:
        raise ContractError(f"{section.full_name}: the default of {each.path} breaks its rule")
    return str(each.default).lower() if isinstance(each.default, bool) else str(each.default)
