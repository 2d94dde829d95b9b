"""Every RPC of the project out of the built descriptor set, and valid requests for them.

What later proto files add is found here by itself.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from buf.validate import validate_pb2
from google.api import annotations_pb2, field_behavior_pb2
from google.protobuf import descriptor, descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.message import Message
from protovalidate import Validator

from protos.generate import DESCRIPTOR_SET, GEN
from vitalis.options.v1 import options_pb2

MOMENT = timestamp_pb2.Timestamp(seconds=1_767_225_600)
TOMORROW = timestamp_pb2.Timestamp(seconds=int(time.time()) + 86_400)
# What asks for a special treatment of the request, or is not the caller's to set.
NEVER_SET = frozenset(
    {"request_id", "page_token", "page_size", "update_mask", "etag", "show_deleted"}
    # What must be there before it can be named.
    | {"document_id"}
)
VALIDATOR = Validator()
# The package of what every service serves (kit/server.py), and who they are.
COMMON = "common"
PROCESSES = ("identity", "tracking", "labs")


@cache
def descriptor_set() -> descriptor_pb2.FileDescriptorSet:
    """What the protos were compiled to, comments included."""
    return descriptor_pb2.FileDescriptorSet.FromString((GEN / DESCRIPTOR_SET).read_bytes())


@cache
def ours() -> tuple[descriptor_pb2.FileDescriptorProto, ...]:
    """The project's own files."""
    return tuple(file for file in descriptor_set().file if file.package.startswith("vitalis."))


@dataclass(frozen=True)
class Rpc:
    """One RPC; `process` is the service of ours that serves it (`tracking`)."""

    method: descriptor.MethodDescriptor
    process: str

    @property
    def path(self) -> str:
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def request(self) -> type[Message]:
        return message_factory.GetMessageClass(self.method.input_type)

    @property
    def options(self) -> Any:
        return self.method.GetOptions()

    @property
    def access(self) -> options_pb2.Access:
        access: options_pb2.Access = self.options.Extensions[options_pb2.access]
        return access

    @property
    def errors(self) -> tuple[str, ...]:
        return tuple(self.options.Extensions[options_pb2.errors])

    @property
    def http(self) -> Any:
        return self.options.Extensions[annotations_pb2.http]

    @property
    def url(self) -> str:
        """The URL's template; empty for an RPC that is not public."""
        pattern = self.http.WhichOneof("pattern")
        return str(getattr(self.http, pattern)) if pattern else ""

    @property
    def collection(self) -> str:
        """What it is about, by its URL: `imports` in `/api/v1/users/{user_id}/imports/{id}:cancel`."""
        match = re.search(r"\{user_id\}/([a-z-]+)", self.url)
        return match[1] if match else "users" if self.url else ""

    def takes(self, field: str) -> bool:
        return field in self.method.input_type.fields_by_name

    @property
    def only_reads(self) -> bool:
        return bool(self.http.get) if self.url else self.access.scope.endswith(".read")

    def ask(self, **given: Any) -> list[Message]:
        """The requests of one call. One that reads asks for everything, one that writes sets every field."""
        given = {name: wanted for name, wanted in given.items() if self.takes(name)}
        requests = [self._reading(**given) if self.only_reads else sample(self.request, **given)]
        if self.method.client_streaming and self.takes("file"):
            # An upload ends with a message without data.
            requests.append(self.request())
        return requests

    def _reading(self, **given: Any) -> Message:
        """A request with no more than it must have."""
        fields = self.request.DESCRIPTOR.fields
        required = {field.name: value(field) for field in fields if is_required(field) and field.name != "id"}
        return self.request(**{**required, **given})

    def call(self, channel: Any, requests: list[Message], metadata: Any) -> Any:
        """The call as an awaitable of its last answer."""
        if self.method.server_streaming:
            return self._last(self._multicallable(channel)(requests[0], metadata=metadata, timeout=30))
        request = iter(requests) if self.method.client_streaming else requests[0]
        return self._multicallable(channel)(request, metadata=metadata, timeout=30)

    async def _last(self, call: Any) -> Any:
        response = await call.read()
        call.cancel()
        return response

    def _multicallable(self, channel: Any) -> Any:
        kinds = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
        }
        response = message_factory.GetMessageClass(self.method.output_type)
        return kinds[self.method.client_streaming, self.method.server_streaming](
            self.path, request_serializer=self.request.SerializeToString, response_deserializer=response.FromString
        )


def rpcs() -> list[Rpc]:
    """Every RPC of every service, in the order of the files; what all of them serve once for each."""
    return list(_rpcs())


def _rpcs() -> Iterator[Rpc]:
    for file in ours():
        if file.service:
            import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")
            found: Any = descriptor_pool.Default().FindFileByName(file.name)
            process = found.package.split(".")[1]
            for served_by in PROCESSES if process == COMMON else (process,):
                for service in found.services_by_name.values():
                    yield from (Rpc(method, served_by) for method in service.methods)


def ids(rpc: Rpc) -> str:
    return f"{rpc.path.rpartition('.')[2]}-{rpc.process}"


def sample(kind: type[Message], **given: Any) -> Any:
    """A valid message with a value in every field that a caller may set; `given` replaces some.

    Fails if the field rules ask for more than this can make up.
    """
    made_up = {field.name: value(field) for field in kind.DESCRIPTOR.fields if is_settable(field)}
    message = kind(**{**made_up, **given})
    violations = [str(violation.proto) for violation in VALIDATOR.collect_violations(message)]
    assert not violations, f"no valid {kind.DESCRIPTOR.full_name} can be made up: {violations}"
    return message


def is_settable(field: Any) -> bool:
    behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field.name not in NEVER_SET and field_behavior_pb2.OUTPUT_ONLY not in behaviors


def is_required(field: Any) -> bool:
    return field_behavior_pb2.REQUIRED in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]


def value(field: Any) -> Any:
    """A value that the field's own rules allow."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if not field.is_repeated:
        return single(field, rules)
    if field.message_type and field.message_type.GetOptions().map_entry:
        return {}
    return [single(field, rules.repeated.items)]


def single(field: Any, rules: Any) -> Any:
    if field.message_type:
        if field.message_type.full_name == MOMENT.DESCRIPTOR.full_name:
            return TOMORROW if rules.timestamp.gt_now else MOMENT
        return sample(message_factory.GetMessageClass(field.message_type))
    if field.enum_type:
        return field.enum_type.values[-1].number
    kind = field.type
    if kind == field.TYPE_STRING:
        return text(rules.string)
    if kind == field.TYPE_BYTES:
        # What any upload takes.
        return b"%PDF-1.7 sample"
    if kind == field.TYPE_BOOL:
        return True
    limits = getattr(rules, rules.WhichOneof("type") or "int32")
    return limits.gte + 1 if limits.HasField("gte") else 1


def text(rules: validate_pb2.StringRules) -> str:
    if rules.example:
        return rules.example[0]
    if rules.uuid:
        return "01930000-0000-7000-8000-000000000001"
    if getattr(rules, "in"):
        return str(getattr(rules, "in")[0])
    for extension, given in rules.ListFields():
        if extension.is_extension and given:
            if extension.name == "date":
                return "2026-01-15"
            expression = extension.GetOptions().Extensions[validate_pb2.predefined].cel[0].expression
            # A rule over a closed set is written as one CEL list (options/v1/rules.proto).
            if match := re.search(r"in \['([^']+)'", expression):
                return match[1]
    return "sample".ljust(rules.min_len, "x")
