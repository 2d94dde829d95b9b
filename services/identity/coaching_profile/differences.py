"""What two states of a coaching profile differ in, as paths with both values."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message

from services.identity.coaching_profile.parts import PARTS
from services.identity.coaching_profile.settle import strip
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

# By which of its fields an item of a list is known.
KEYS = {part.field: part.key for part in PARTS if part.key}


class Difference(NamedTuple):
    """A field's path, as in `ProfileVersion.changed_fields`, and its values in JSON; None for one that is absent."""

    field: str
    before: Any
    after: Any


def differences(before: CoachingProfile, after: CoachingProfile) -> list[Difference]:
    """Every field that differs, in the order of the profile: what people set, and whether it is locked."""
    found = list(_within(_chosen(before), _chosen(after), ""))
    if before.is_locked != after.is_locked:
        found.append(Difference("is_locked", before.is_locked, after.is_locked))
    return found


def _chosen(profile: CoachingProfile) -> CoachingProfile:
    copy = CoachingProfile()
    copy.CopyFrom(profile)
    strip(copy)
    return copy


def _within(before: Any, after: Any, prefix: str) -> Iterator[Difference]:
    for field in before.DESCRIPTOR.fields:
        name, path = field.name, prefix + field.name
        if name in KEYS and not prefix:
            yield from _items(getattr(before, name), getattr(after, name), KEYS[name], path)
        elif field.message_type and not field.is_repeated and before.HasField(name) and after.HasField(name):
            yield from _within(getattr(before, name), getattr(after, name), f"{path}.")
        elif (one := _json(before, field)) != (other := _json(after, field)):
            yield Difference(path, one, other)


def _items(before: Any, after: Any, key: str, path: str) -> Iterator[Difference]:
    stored = {getattr(item, key): item for item in before}
    wanted = {getattr(item, key): item for item in after}
    for name in dict.fromkeys((*stored, *wanted)):
        where = f"{path}[{name}]"
        if name in stored and name in wanted:
            yield from _within(stored[name], wanted[name], f"{where}.")
        else:
            yield Difference(where, _as_dict(stored.get(name)), _as_dict(wanted.get(name)))


def _json(message: Any, field: Any) -> Any:
    value = getattr(message, field.name)
    if field.is_repeated:
        return [_as_dict(item) if field.message_type else item for item in value] or None
    if field.message_type:
        return _as_dict(value) if message.HasField(field.name) else None
    is_carried = message.HasField(field.name) if field.has_presence else bool(value)
    return value if is_carried else None


def _as_dict(message: Message | None) -> Any:
    return message and json_format.MessageToDict(message, preserving_proto_field_name=True)
