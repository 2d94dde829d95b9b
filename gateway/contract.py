"""What the descriptor set says about every RPC that HTTP reaches.

The set is the whole contract: routes, audiences, documented errors and
comments are read from it once, when the gateway starts.
"""

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from protobuf import DescEnum, DescFile, DescMessage, DescMethod, DescService, Registry
from protobuf.wkt import FileDescriptorSet

from services.kit.errors import register_reasons

HTTP_BODY = "google.api.HttpBody"


class ContractError(Exception):
    """The descriptors break a rule of the project; the gateway does not start."""


class Audience(IntEnum):
    """`vitalis.options.v1.Audience`."""

    PUBLIC = 1
    USER = 2
    ADMIN = 3
    INTERNAL = 4
    GATEWAY = 5


@dataclass(frozen=True, slots=True)
class Rule:
    """One HTTP binding of an RPC."""

    http_method: str
    template: str
    body: str
    response_body: str


@dataclass(frozen=True, slots=True)
class Rpc:
    """An RPC that HTTP reaches."""

    service: str
    path: str
    method: DescMethod
    audience: Audience
    scope: str
    errors: tuple[str, ...]
    rules: tuple[Rule, ...]
    # Whether administrators may call about anybody, besides who has the audience's leave.
    admins: bool = False
    # 0 if no client may keep the answer.
    cache_seconds: int = 0

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Contract:
    """A loaded descriptor set. `comments` are by full name (`pkg.Message.field`)."""

    registry: Registry
    rpcs: tuple[Rpc, ...]
    comments: dict[str, str]

    def option(self, name: str) -> Any:
        """The extension of that full name. Raises ContractError if the set lacks it."""
        extension = self.registry.extension(name)
        if extension is None:
            raise ContractError(f"the descriptor set lacks the option {name}")
        return extension.type


def load(path: Path, services: Iterable[str]) -> Contract:
    """Reads a descriptor set for the named services.

    A service's name is the second part of its proto package
    (`vitalis.<name>.v1`). Raises ContractError for what must not be served.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise ContractError(f"there is no descriptor set {path.name}; build the protos first") from None
    registry = FileDescriptorSet.from_binary(content).to_registry()
    files = [entry for entry in registry if isinstance(entry, DescFile)]
    comments: dict[str, str] = {}
    for file in files:
        comments.update(_comments(file))
    contract = Contract(registry, (), comments)
    names = set(services)
    found = [service for file in files for service in file.services if service_name(file) in names]
    packages = {service.file.proto.package for service in found}
    for file in files:
        if file.proto.package in packages:
            _register_reasons(file)
    rpcs = tuple(rpc for service in found for method in service.methods for rpc in _rpcs(contract, service, method))
    return Contract(registry, rpcs, comments)


def service_name(file: DescFile) -> str:
    """`tracking` for a file of the package `vitalis.tracking.v1`."""
    parts = str(file.proto.package).split(".")
    return parts[1] if len(parts) > 1 else ""


def _rpcs(contract: Contract, service: DescService, method: DescMethod) -> Iterator[Rpc]:
    options = method.proto.options
    http = contract.option("google.api.http")
    if options is None or http not in options:
        return
    path = f"/{service.type_name}/{method.name}"
    access = contract.option("vitalis.options.v1.access")
    if access not in options or not options[access].audience:
        raise ContractError(f"{path} has google.api.http and no (vitalis.options.v1.access)")
    audience = Audience(options[access].audience)
    if audience in (Audience.INTERNAL, Audience.GATEWAY):
        return
    first = options[http]
    rules = tuple(_rule(path, rule) for rule in (first, *first.additional_bindings))
    if method.method_kind == "bidi_streaming":
        raise ContractError(f"{path} streams both ways, which HTTP cannot carry")
    errors = tuple(options[contract.option("vitalis.options.v1.errors")])
    seconds = options[contract.option("vitalis.options.v1.cache_seconds")]
    if seconds < 0 or (seconds and not _can_be_kept(method, rules)):
        raise ContractError(f"{path} has cache_seconds, which are for GET and one answer, and not negative")
    name, scope, admins = service_name(service.file), options[access].scope, options[access].admins
    if admins and audience is not Audience.USER:
        raise ContractError(f"{path} lets admins in besides an audience that is not AUDIENCE_USER")
    yield Rpc(name, path, method, audience, scope, errors, rules, admins, seconds)


def _can_be_kept(method: DescMethod, rules: tuple[Rule, ...]) -> bool:
    return method.method_kind == "unary" and all(rule.http_method == "GET" for rule in rules)


def _rule(path: str, rule: Any) -> Rule:
    if rule.pattern is None:
        raise ContractError(f"{path} has a google.api.http rule without a path")
    kind, value = rule.pattern.field, rule.pattern.value
    method, template = (value.kind, value.path) if kind == "custom" else (kind.upper(), value)
    return Rule(method, template, rule.body, rule.response_body)


def _register_reasons(file: DescFile) -> None:
    if any(enum.name == "ErrorReason" for enum in file.enums):
        module = importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
        register_reasons(module.ErrorReason.DESCRIPTOR)


def _comments(file: DescFile) -> Iterator[tuple[str, str]]:
    info = file.proto.source_code_info
    if info is None:
        return
    by_path = {tuple(location.path): location.leading_comments for location in info.location}
    for path, name in _named(file):
        if comment := by_path.get(path):
            yield name, "\n".join(line.removeprefix(" ") for line in comment.rstrip().splitlines())


def _named(file: DescFile) -> Iterator[tuple[tuple[int, ...], str]]:
    """Source paths (field numbers of FileDescriptorProto and below) and full names."""
    for index, service in enumerate(file.services):
        yield (6, index), service.type_name
        for position, method in enumerate(service.methods):
            yield (6, index, 2, position), f"{service.type_name}.{method.name}"
    for index, enum in enumerate(file.enums):
        yield from _named_enum(enum, (5, index))
    for index, message in enumerate(file.messages):
        yield from _named_message(message, (4, index))


def _named_message(message: DescMessage, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, message.type_name
    for index, field in enumerate(message.fields):
        yield (*path, 2, index), f"{message.type_name}.{field.name}"
    for index, enum in enumerate(message.nested_enums):
        yield from _named_enum(enum, (*path, 4, index))
    # Map entries are messages to the compiler and none to the registry.
    positions = {nested.name: index for index, nested in enumerate(message.proto.nested_type)}
    for nested in message.nested_messages:
        yield from _named_message(nested, (*path, 3, positions[nested.name]))


def _named_enum(enum: DescEnum, path: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], str]]:
    yield path, enum.type_name
    for index, value in enumerate(enum.values):
        yield (*path, 2, index), f"{enum.type_name}.{value.name}"
