"""The mapping between a table's rows and a proto message, compiled once at start-up.

A column and a field belong together by their name. Reading, each column is
selected in the form that costs least to turn into its field (ids and dates as
text, times of day as HH:MM, instants as microseconds, numerics as doubles), and
one generated function builds the message. Writing, another one makes a dict of
column values.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from google.protobuf import json_format, struct_pb2, timestamp_pb2
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from services.kit.contract import IMMUTABLE, OUTPUT_ONLY, ContractError, fields_with
from services.kit.errors import Violation, all_wrong, invalid

ETAG = "etag"
TIMESTAMP = timestamp_pb2.Timestamp.DESCRIPTOR.full_name
STRUCT = struct_pb2.Struct.DESCRIPTOR.full_name
MICROSECONDS = 1_000_000
# What a person's row has that its message need not show.
HIDDEN = frozenset({"user_id"})


class RowMapping:
    """Rows of `table` as `message`.

    Raises ContractError if a field has no column or a column no field; `heavy`
    names the columns that lists leave out, `hidden` those that no message shows,
    `encrypted` those that are read with a key; `computed` the fields that no
    column holds, which the service fills in.
    """

    def __init__(
        self,
        message: type[Message],
        table: sa.Table,
        heavy: tuple[str, ...] = (),
        hidden: tuple[str, ...] = (),
        encrypted: tuple[str, ...] = (),
        computed: tuple[str, ...] = (),
    ) -> None:
        self.message = message
        self.table = table
        self._encrypted = encrypted
        self._descriptor = message.DESCRIPTOR
        fields = {field.name for field in self._descriptor.fields} - {ETAG, *computed}
        columns = {column.name for column in table.columns}
        if wrong := (fields - columns) | (columns - fields - HIDDEN - set(hidden)):
            raise ContractError(
                f"{table.name} and {self._descriptor.full_name} do not match: "
                f"{', '.join(sorted(wrong))} is in one of them only"
            )
        self.has_etag = ETAG in self._descriptor.fields_by_name
        self.names = tuple(column.name for column in table.columns if column.name in fields)
        self.light_names = tuple(name for name in self.names if name not in heavy)
        self.read = self._reader(self.names)
        self.read_light = self._reader(self.light_names)
        self.output_only = frozenset(fields_with(self._descriptor, OUTPUT_ONLY)) | {ETAG}
        self.immutable = frozenset(fields_with(self._descriptor, IMMUTABLE))
        self.values = self._writer()

    def columns(self, names: tuple[str, ...]) -> list[sa.ColumnElement[Any]]:
        """The select list that `read` (all names) or `read_light` takes rows of."""
        return [_selected(self.table.c[name]).label(name) for name in names]

    def _reader(self, names: tuple[str, ...]) -> Callable[..., Any]:
        """What turns a row, with the key of its owner if something is encrypted, into the message."""
        arguments = []
        scope: dict[str, Any] = {"Message": self.message}
        if self._encrypted:
            # Not at the top: a service that encrypts nothing does without the vault's libraries.
            from services.kit.sealed import decrypt

            scope["decrypt"] = decrypt
        for index, name in enumerate(names):
            field = self._descriptor.fields_by_name[name]
            convert = _reader(field)
            value = f"r[{index}]"
            if name in self._encrypted:
                if field.type != field.TYPE_STRING or field.is_repeated:
                    raise ContractError(f"{self.table.name}.{name} is encrypted, so its field must be a string")
                # A person's one row has no id: it goes by its owner, which the key knows.
                row_id = f"r[{names.index('id')}]" if "id" in names else "key and key.owner"
                place = f"{self.table.name!r}, {name!r}, {row_id}"
                value = f"None if {value} is None else decrypt(key, {place}, {value})"
            elif convert:
                scope[f"read_{name}"] = convert
                empty = "()" if field.is_repeated else "None"
                value = f"{empty} if {value} is None else read_{name}({value})"
            elif not field.has_presence:
                value = f"{value} or {field.default_value!r}"
            arguments.append(f"{name}={value}")
        if self.has_etag:
            arguments.append(f"etag=format(r[{names.index('updated_at')}], 'x')")
        # The source is made of names from our own descriptors only.
        exec(f"def read(r, key=None):\n    return Message({', '.join(arguments)})", scope)
        read: Callable[..., Any] = scope["read"]
        return read

    def _writer(self) -> Callable[[Message], dict[str, Any]]:
        """What turns a message into the column values of the fields that it carries.

        OUTPUT_ONLY fields are ignored (AIP-203).
        """
        scope: dict[str, Any] = {}
        lines = ["def values(message):", "    row = {}"]
        for field in self._descriptor.fields:
            name = field.name
            if name in self.output_only or name not in self.names:
                continue
            value = f"message.{name}"
            carried = f"message.HasField({name!r})" if field.has_presence else value
            if convert := _writer(field):
                scope[f"write_{name}"] = convert
                value = f"write_{name}({value})"
            lines.append(f"    if {carried}: row[{name!r}] = {value}")
        exec("\n".join([*lines, "    return row"]), scope)
        values: Callable[[Message], dict[str, Any]] = scope["values"]
        return values

    def values_list(self, messages: Iterable[Message]) -> list[dict[str, Any]]:
        """`values` of each message."""
        return [self.values(message) for message in messages]

    def values_of(self, message: Message, names: Mapping[str, Any] | frozenset[str]) -> dict[str, Any]:
        """The column values of the named fields; None for one that the message does not carry."""
        carried = self.values(message)
        return {name: carried.get(name) for name in names}

    def changes(self, sent: Message, stored: Message, paths: list[str]) -> dict[str, Any]:
        """The columns that an update with this mask sets (AIP-134); all that `sent` carries without one.

        Raises INVALID_FIELD for all unknown paths, and for all fields that cannot change so.
        """
        if paths == ["*"]:
            names = frozenset(self.names) - self.output_only - self.immutable
        elif paths:
            known = self._descriptor.fields_by_name
            if wrong := [path for path in paths if path not in known or path in self.output_only]:
                rules = (f"{path} {'cannot be set' if path in known else 'is not a field'}" for path in wrong)
                raise all_wrong("INVALID_FIELD", [Violation("update_mask", rule) for rule in rules])
            names = frozenset(paths)
        else:
            names = frozenset(self.values(sent))
        values, before = self.values_of(sent, names), self.values_of(stored, names)
        fixed = names & self.immutable
        broken = {name: "cannot be changed" for name in fixed if values.pop(name) != before[name]}
        broken |= {
            name: "is required" for name, value in values.items() if value is None and not self.table.c[name].nullable
        }
        if broken:
            ordered = [Violation(name, broken[name]) for name in self.names if name in broken]
            raise all_wrong("INVALID_FIELD", ordered)
        return values


def _selected(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, (sa.Uuid, sa.Date)):
        return sa.cast(column, sa.Text)
    if isinstance(column.type, sa.DateTime):
        return sa.cast(sa.extract("epoch", column) * sa.literal_column(str(MICROSECONDS)), sa.BigInteger)
    if isinstance(column.type, sa.Numeric):
        return sa.cast(column, sa.Double)
    if isinstance(column.type, sa.Time):
        return sa.func.to_char(column, "HH24:MI")
    return column


def _reader(field: Any) -> Callable[[Any], Any] | None:
    """What turns a selected value into the constructor's argument; None if it is one already."""
    if field.message_type is None:
        return None
    if field.message_type.full_name == TIMESTAMP:
        return _timestamp
    if field.message_type.full_name == STRUCT:
        return _struct
    if field.is_repeated and not field.message_type.GetOptions().map_entry:
        item = _nested_reader(field.message_type)
        return lambda value: [item(element) for element in value]
    kind = GetMessageClass(field.message_type)
    return lambda value: json_format.ParseDict(value, kind())


def _timestamp(microseconds: int) -> timestamp_pb2.Timestamp:
    seconds, rest = divmod(microseconds, MICROSECONDS)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1000)


def _struct(value: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(value)
    return struct


def _nested_reader(message: Any) -> Callable[[dict[str, Any]], Any]:
    """Reads the JSON objects of a JSONB list; instants in them are RFC 3339 text."""
    kind = GetMessageClass(message)
    instants = [f.name for f in message.fields if f.message_type and f.message_type.full_name == TIMESTAMP]

    def read(value: dict[str, Any]) -> Any:
        arguments = dict(value)
        for name in instants:
            if name in arguments:
                instant = datetime.fromisoformat(arguments[name])
                arguments[name] = _timestamp(round(instant.timestamp() * MICROSECONDS))
        return kind(**arguments)

    return read


def _writer(field: Any) -> Callable[[Any], Any] | None:
    if field.message_type is None:
        return list if field.is_repeated else None
    if field.message_type.full_name == TIMESTAMP:
        return _refusing(field.name, "must be an instant of the years 1 to 9999", _instant)
    if field.is_repeated and not field.message_type.GetOptions().map_entry:
        rule = "must hold instants of the years 1 to 9999, and numbers that JSON has"
        return _refusing(field.name, rule, lambda value: [_json(item) for item in value])
    return _refusing(field.name, "must not hold numbers that JSON does not have", _json)


def _refusing(name: str, rule: str, write: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`write`, which answers INVALID_FIELD for what the wire can carry and a row cannot hold."""

    def refusing(value: Any) -> Any:
        try:
            return write(value)
        except (ValueError, OverflowError, json_format.Error):
            raise invalid(name, rule) from None

    return refusing


def _json(message: Message) -> Any:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


def _instant(timestamp: timestamp_pb2.Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
