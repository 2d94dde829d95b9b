"""Writes the client's types and routes from the contract's descriptor set.

    python client/generate.py gen/vitalis.binpb

`vitalis_client/contract/models.py` gets a frozen pydantic model for every message
that an HTTP answer can hold, `routes.py` the method, path and answer of every RPC
that has an HTTP rule. Both are built, never committed; the wheel carries them.

Other generators were weighed in docs/decisions/0040-client.md: what decides is
that a value that nobody measured reads as None here, and never as 0.
"""

import keyword
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

Field = descriptor_pb2.FieldDescriptorProto
Message = descriptor_pb2.DescriptorProto
Method = descriptor_pb2.MethodDescriptorProto

TARGET = Path(__file__).resolve().parent / "vitalis_client" / "contract"
INTEGERS = {Field.TYPE_INT32, Field.TYPE_INT64, Field.TYPE_UINT32, Field.TYPE_UINT64, Field.TYPE_SINT32}
FLOATS = {Field.TYPE_DOUBLE, Field.TYPE_FLOAT}
WELL_KNOWN = {
    ".google.protobuf.Timestamp": "datetime",
    ".google.protobuf.Struct": "dict[str, Any]",
    ".google.protobuf.Value": "Any",
}
SCALAR_DEFAULTS = {"int": "0", "float": "0.0", "bool": "False", "str": '""'}
HEADER = '"""Generated from the contract by client/generate.py; do not edit."""\n\n'


FILE = ".google.api.HttpBody"


class Contract:
    """The messages and RPCs of a descriptor set, with their comments."""

    def __init__(self, files: descriptor_pb2.FileDescriptorSet) -> None:
        self.messages: dict[str, Message] = {}
        self.methods: list[tuple[Method, str]] = []
        self.comments: dict[str, str] = {}
        for file in files.file:
            if not file.package.startswith("vitalis."):
                continue
            comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
            for index, message in enumerate(file.message_type):
                self._add(f".{file.package}.{message.name}", message, (4, index), comments)
            for index, service in enumerate(file.service):
                for number, method in enumerate(service.method):
                    if method.options.HasExtension(annotations_pb2.http):
                        self.methods.append((method, comment(comments.get((6, index, 2, number), ""))))
        # A file has no model: an answer holds the URL that leads to it.
        self.methods = [known for known in self.methods if self.answer(known[0]) != FILE]

    def _add(self, name: str, message: Message, path: tuple[int, ...], comments: dict[tuple[int, ...], str]) -> None:
        self.messages[name] = message
        self.comments[name] = comment(comments.get(path, ""))
        for index, field in enumerate(message.field):
            self.comments[f"{name}.{field.name}"] = comment(comments.get((*path, 2, index), ""))
        for index, nested in enumerate(message.nested_type):
            self._add(f"{name}.{nested.name}", nested, (*path, 3, index), comments)

    def answer(self, method: Method) -> str:
        """The full name of the message that an HTTP caller of the RPC gets."""
        body = method.options.Extensions[annotations_pb2.http].response_body
        if not body:
            return method.output_type
        return next(field.type_name for field in self.messages[method.output_type].field if field.name == body)

    def reachable(self) -> list[str]:
        """Every message that an answer can hold, each after the messages that it holds, but for itself."""
        found: list[str] = []
        seen: set[str] = set()

        def visit(name: str) -> None:
            if name in seen or name not in self.messages:
                return
            seen.add(name)
            for field in self.messages[name].field:
                if field.type == Field.TYPE_MESSAGE:
                    visit(field.type_name)
            if not self.messages[name].options.map_entry:
                found.append(name)

        for method, _ in self.methods:
            visit(self.answer(method))
        return found

    def type_of(self, field: Field, owner: str) -> str:
        """The Python type of one value of a field, without repetition and presence."""
        if field.type in INTEGERS:
            return "int"
        if field.type in FLOATS:
            return "float"
        if field.type == Field.TYPE_BOOL:
            return "bool"
        if field.type in (Field.TYPE_STRING, Field.TYPE_ENUM):
            return "str"
        if field.type_name in WELL_KNOWN:
            return WELL_KNOWN[field.type_name]
        if field.type == Field.TYPE_MESSAGE and field.type_name in self.messages:
            return short(field.type_name)
        raise SystemExit(f"client/generate.py knows no Python type for {owner}.{field.name}")

    def declaration(self, field: Field, owner: str) -> str:
        """The field as a line of Python; one whose name is a word of the language has an underscore after it."""
        kind, default = self.kind_and_default(field, owner)
        if keyword.iskeyword(field.name):
            given = default.removeprefix("Field(").removesuffix(")")
            values = ", ".join(filter(None, (given, f'alias="{field.name}"')))
            return f"{field.name}_: {kind} = Field({values})"
        return f"{field.name}: {kind} = {default}" if default else f"{field.name}: {kind}"

    def kind_and_default(self, field: Field, owner: str) -> tuple[str, str]:
        """The field's annotation and its default, "" without one."""
        if field.label == Field.LABEL_REPEATED:
            entry = self.messages.get(field.type_name)
            if entry is not None and entry.options.map_entry:
                key, value = (self.type_of(part, owner) for part in entry.field)
                return f"dict[{key}, {value}]", "Field(default_factory=dict)"
            return f"list[{self.type_of(field, owner)}]", "Field(default_factory=list)"
        kind = self.type_of(field, owner)
        if field.HasField("oneof_index"):
            return f"{kind} | None", "None"
        return kind, SCALAR_DEFAULTS.get(kind, "")


def comment(text: str) -> str:
    return re.sub(r"\s*\n\s*", "\n", text.strip())


def short(name: str) -> str:
    return name.rpartition(".")[2]


def docstring(text: str, indent: str) -> Iterator[str]:
    """The lines of a docstring that holds `text`."""
    lines = text.replace("\\", "\\\\").replace('"""', "'''").split("\n")
    if len(lines) == 1:
        yield f'{indent}"""{lines[0]}"""'
        return
    yield f'{indent}"""{lines[0]}'
    yield from (f"{indent}{line}".rstrip() for line in lines[1:])
    yield f'{indent}"""'


def models(contract: Contract) -> str:
    lines = [
        "from __future__ import annotations",
        "",
        "from datetime import datetime",
        "from typing import Any",
        "",
        "from pydantic import BaseModel, ConfigDict, Field",
        "",
        "",
        "class Model(BaseModel):",
        '    """An answer of the API; fields that a newer server adds are ignored."""',
        "",
        "    model_config = ConfigDict(",
        '        extra="ignore", frozen=True, serialize_by_alias=True, use_attribute_docstrings=True',
        "    )",
    ]
    names = contract.reachable()
    if doubled := {short(name) for name in names if [short(other) for other in names].count(short(name)) > 1}:
        raise SystemExit(f"client/generate.py: several messages are called {', '.join(sorted(doubled))}")
    for name in names:
        lines += ["", "", f"class {short(name)}(Model):", *docstring(contract.comments[name], "    ")]
        for field in contract.messages[name].field:
            declared = contract.declaration(field, short(name))
            lines += ["", f"    {declared}", *docstring(contract.comments[f"{name}.{field.name}"], "    ")]
    return HEADER + "\n".join(lines) + "\n"


def routes(contract: Contract) -> str:
    lines = ["from vitalis_client.contract import models", "from vitalis_client.route import Route"]
    for method, text in contract.methods:
        rule = method.options.Extensions[annotations_pb2.http]
        verb = str(rule.WhichOneof("pattern"))
        constant = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", method.name).upper()
        answer = short(contract.answer(method))
        lines += [
            "",
            f'{constant} = Route("{verb.upper()}", "{getattr(rule, verb)}", models.{answer})',
            *docstring(text, ""),
        ]
    return HEADER + "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Writes a file unless it holds that text, so that nothing that reads it meanwhile sees half of it."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    scratch = path.with_suffix(".new")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def main(descriptor_set: Path, target: Path = TARGET) -> None:
    contract = Contract(descriptor_pb2.FileDescriptorSet.FromString(descriptor_set.read_bytes()))
    target.mkdir(parents=True, exist_ok=True)
    write(target / "models.py", models(contract))
    write(target / "routes.py", routes(contract))
    write(target / "__init__.py", '"""What the contract says; generated by client/generate.py."""\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
