"""Each bound that the contract sets to a field of a coaching profile is broken once at the API."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor

from services.kit.contract import OUTPUT_ONLY, fields_with
from tests.harness import failure
from tests.identity.coaching.coached import Coached
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile


def wrong_values(field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Iterator[Any]:
    """Values on the wrong side of each bound that the contract sets to a field, or to an item of it."""
    kind = rules.WhichOneof("type")
    if kind in ("int32", "double"):
        limits: Any = getattr(rules, kind)
        step = 1 if kind == "int32" else 0.01
        for name, beyond in (("gte", -step), ("gt", 0), ("lte", step), ("lt", 0)):
            if limits.HasField(name):
                yield getattr(limits, name) + beyond
    elif kind == "string":
        if rules.string.HasField("max_len"):
            yield "x" * (rules.string.max_len + 1)
        if rules.string.HasField("min_len"):
            yield ""
        if any(rule.is_extension for rule, _ in rules.string.ListFields()) or rules.string.HasField("pattern"):
            yield "?\n"


def everywhere(message: Any, seen: set[str], path: str = "") -> Iterator[tuple[str, Any]]:
    """Each way to break a rule of a single field of a message, or of what is in it: the path, and what does it.

    A field that is in several items is broken in the first.
    """
    for field in message.DESCRIPTOR.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        place, value = f"{path}{field.name}", getattr(message, field.name)
        if field.name in (*fields_with(message.DESCRIPTOR, OUTPUT_ONLY), "etag"):
            continue
        if field.message_type and field.is_repeated:
            if len(value):
                yield place, partial(crowd, place, rules.repeated.max_items)
            for index, item in enumerate(value):
                yield from everywhere(item, seen, f"{place}[{index}].")
        elif field.message_type:
            if message.HasField(field.name) and field.message_type.full_name.startswith("vitalis."):
                yield from everywhere(value, seen, f"{place}.")
        elif field.full_name in seen:
            continue
        elif field.is_repeated:
            seen.add(field.full_name)
            yield place, partial(crowd, place, rules.repeated.max_items)
            for value in wrong_values(field, rules.repeated.items):
                yield f"{place}[0]", partial(put, place, [value])
        else:
            seen.add(field.full_name)
            for value in wrong_values(field, rules):
                yield place, partial(put, place, value)


def at(profile: Any, path: str) -> tuple[Any, str]:
    """The message that holds the last name of a path, and that name."""
    *above, name = re.findall(r"[a-z_]+|[0-9]+", path)
    for part in above:
        profile = profile[int(part)] if part.isdigit() else getattr(profile, part)
    return profile, name


def put(path: str, value: Any, profile: CoachingProfile) -> None:
    holder, name = at(profile, path)
    if isinstance(value, list):
        getattr(holder, name)[:] = value
    else:
        setattr(holder, name, value)


def crowd(path: str, most: int, profile: CoachingProfile) -> None:
    """One more than can be."""
    holder, name = at(profile, path)
    items = getattr(holder, name)
    more = [items[0]] * (most + 1) if items and not isinstance(items[0], str) else map(str, range(most + 1))
    del items[:]
    items.extend(more)


async def test_each_bound_of_each_field_is_held_and_named_alone(ada: Coached) -> None:
    """However the rest hangs together with a field: what does not hold by itself is no part of other rules."""
    await ada.unlock()
    before = await ada.read()
    cases = list(everywhere(before, set()))
    assert len(cases) > 100
    for path, broken in cases:
        sent = CoachingProfile()
        sent.CopyFrom(before)
        sent.ClearField("etag")
        broken(sent)
        error = await failure(ada.change(sent, path.partition(".")[0].partition("[")[0]))
        named = {violation.field for violation in error.violations}
        assert (error.reason.name, named) == ("INVALID_FIELD", {f"profile.{path}"}), path
    assert await ada.read() == before
