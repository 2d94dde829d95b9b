"""What the descriptors say about an RPC, read once at start."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message

from services.kit.errors import Violation, reason_of, register_reasons
from vitalis.options.v1 import options_pb2, rules_pb2

REQUIRED = field_behavior_pb2.REQUIRED
OUTPUT_ONLY = field_behavior_pb2.OUTPUT_ONLY
IMMUTABLE = field_behavior_pb2.IMMUTABLE


class ContractError(Exception):
    """A proto file breaks a rule of the project; the service does not start."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC's contract."""

    path: str
    audience: int
    scope: str
    # Whether administrators may call about anybody, besides who has the audience's leave.
    admins: bool
    errors: frozenset[str]
    request: descriptor.Descriptor
    only_reads: bool
    # By the kind of sensitivity, the fields of the response as paths.
    sensitive: Mapping[str, Sequence[str]]


def generated_base(servicer: type) -> type:
    """The class in a *_pb2_grpc module whose RPCs a servicer implements. Raises ContractError for none, or several."""
    bases = [base for base in servicer.__mro__ if base.__module__.endswith("_pb2_grpc")]
    if len(bases) != 1:
        raise ContractError(f"{servicer.__name__} implements {len(bases)} services instead of one")
    return bases[0]


def service_of(servicer: type) -> descriptor.ServiceDescriptor:
    """The service that a servicer implements. Raises ContractError as `generated_base` does."""
    base = generated_base(servicer)
    package = base.__module__.rpartition(".")[0]
    return Default().FindServiceByName(f"{package}.{base.__name__.removesuffix('Servicer')}")


def rpcs_of(service: descriptor.ServiceDescriptor) -> Iterator[Rpc]:
    """The RPCs of a service. Raises ContractError for one without access option or with unknown errors."""
    register_reasons(import_module(f"{service.file.package}.errors_pb2").ErrorReason.DESCRIPTOR)
    for method in service.methods:
        options = method.GetOptions()
        access = options.Extensions[options_pb2.access]
        if not access.audience:
            raise ContractError(f"{method.full_name} has no (vitalis.options.v1.access)")
        if access.admins and access.audience != options_pb2.AUDIENCE_USER:
            raise ContractError(f"{method.full_name} lets admins in besides an audience that is not AUDIENCE_USER")
        reasons = frozenset(options.Extensions[options_pb2.errors])
        for reason in reasons:
            try:
                reason_of(reason)
            except KeyError:
                raise ContractError(f"{method.full_name} documents the unknown error {reason}") from None
        yield Rpc(
            f"/{service.full_name}/{method.name}",
            access.audience,
            access.scope,
            access.admins,
            reasons,
            method.input_type,
            only_reads(method),
            sensitive_fields(method.output_type),
        )


def only_reads(method: descriptor.MethodDescriptor) -> bool:
    """Whether an RPC changes nothing: its HTTP method is GET, or it has no URL and its scope is one of reading."""
    options = method.GetOptions()
    http = options.Extensions[annotations_pb2.http]
    if http.WhichOneof("pattern"):
        return bool(http.get)
    return str(options.Extensions[options_pb2.access].scope).endswith(".read")


def sensitive_fields(message: descriptor.Descriptor) -> dict[str, list[str]]:
    """What a message may carry that is sensitive: `{"health": ["entries.old_values"], …}`; secrets are nobody's."""
    found: dict[str, list[str]] = {}

    def visit(inside: descriptor.Descriptor, path: str, above: tuple[str, ...]) -> None:
        for field in inside.fields:
            number = field.GetOptions().Extensions[options_pb2.sensitivity]
            if number not in (options_pb2.SENSITIVITY_UNSPECIFIED, options_pb2.SENSITIVITY_SECRET):
                name = options_pb2.Sensitivity.Name(number).removeprefix("SENSITIVITY_").lower()
                found.setdefault(name, []).append(path + field.name)
            # A message that contains itself has been looked at already.
            if field.message_type and field.message_type.full_name not in above:
                visit(field.message_type, f"{path}{field.name}.", (*above, field.message_type.full_name))

    visit(message, "", (message.full_name,))
    return found


def grantable_scopes() -> frozenset[str]:
    """The scopes that a person can grant to somebody else; every other one is its owner's alone."""
    (rule,) = rules_pb2.grantable_scope.GetOptions().Extensions[validate_pb2.predefined].cel
    return frozenset(re.findall(r"'([a-z_]+\.(?:read|write))'", rule.expression))


def closed_values(rule: Any) -> tuple[str, ...]:
    """The values of a closed set out of options/v1/rules.proto: `closed_values(rules_pb2.fitness_level)`."""
    (cel,) = rule.GetOptions().Extensions[validate_pb2.predefined].cel
    return tuple(re.findall(r"'([^']+)'", cel.expression.partition(" this in ")[2]))


# The values of every closed set by the id of its rule.
CLOSED_SETS: Mapping[str, tuple[str, ...]] = {
    rule.GetOptions().Extensions[validate_pb2.predefined].cel[0].id: values
    for rule in rules_pb2.DESCRIPTOR.extensions_by_name.values()
    if (values := closed_values(rule))
}


def violation_of(found: Any) -> Violation:
    """What protovalidate has found, as the field's path and its rule, with the values of a closed set."""
    rule = found.proto.message or found.proto.rule_id
    values = CLOSED_SETS.get(found.proto.rule_id, ())
    if any(value not in rule for value in values):
        rule = f"{rule}: {', '.join(values)}"
    return Violation(field_path(found.proto), rule)


def field_path(violation: Any) -> str:
    """A protovalidate field path as `a.b[2].c`."""
    parts = []
    for element in violation.field.elements if violation.field else ():
        subscript = element.subscript
        index = "" if subscript is None else f"[{subscript.value}]"
        parts.append(f"{element.field_name}{index}")
    return ".".join(parts)


def fields_with(message: Any, behavior: int) -> tuple[str, ...]:
    """The names of the message's fields that carry a `google.api.field_behavior`."""
    extension = field_behavior_pb2.field_behavior
    return tuple(f.name for f in message.fields if behavior in f.GetOptions().Extensions[extension])


def ranges_of(message: descriptor.Descriptor) -> dict[str, tuple[float, float]]:
    """The lowest and highest value of each number of the message that has both (`buf.validate`)."""
    found = {}
    for field in message.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        kind = rules.WhichOneof("type")
        if kind in ("int32", "double"):
            limits = getattr(rules, kind)
            if limits.HasField("gte") and limits.HasField("lte"):
                found[field.name] = (float(limits.gte), float(limits.lte))
    return found


class RequiredFields:
    """Finds the REQUIRED fields that a message, or one inside it, does not carry.

    The resource inside an update is exempt: its mask says which fields count.
    """

    def __init__(self) -> None:
        self._plans: dict[str, tuple[tuple[descriptor.FieldDescriptor, ...], tuple[descriptor.FieldDescriptor, ...]]]
        self._plans = {}

    def missing(self, message: Message, prefix: str = "") -> list[Violation]:
        required, nested = self._plan(message.DESCRIPTOR)
        found: list[Violation] = []
        for field in required:
            present = message.HasField(field.name) if field.has_presence else bool(getattr(message, field.name))
            if not present:
                found.append(Violation(prefix + field.name, "is required"))
        for field in nested:
            if field.is_repeated:
                for index, item in enumerate(getattr(message, field.name)):
                    found += self.missing(item, f"{prefix}{field.name}[{index}].")
            elif message.HasField(field.name):
                found += self.missing(getattr(message, field.name), f"{prefix}{field.name}.")
        return found

    def _plan(
        self, message: Any
    ) -> tuple[tuple[descriptor.FieldDescriptor, ...], tuple[descriptor.FieldDescriptor, ...]]:
        if plan := self._plans.get(message.full_name):
            return plan
        required = tuple(message.fields_by_name[name] for name in fields_with(message, REQUIRED))
        # Set first, so that a message that contains itself finds its own plan.
        self._plans[message.full_name] = (required, ())
        nested: tuple[descriptor.FieldDescriptor, ...] = ()
        if "update_mask" not in message.fields_by_name:
            nested = tuple(f for f in message.fields if _is_ours(f) and any(self._plan(f.message_type)))
        self._plans[message.full_name] = (required, nested)
        return required, nested


def _is_ours(field: descriptor.FieldDescriptor) -> bool:
    inner = field.message_type
    return inner is not None and inner.full_name.startswith("vitalis.") and not inner.GetOptions().map_entry
