"""What a change makes of a coaching profile: the fields of its mask, defaults, ids and instants."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.identity.coaching_profile.parts import PARTS
from services.identity.coaching_profile.reference import REFERENCE
from services.kit.contract import OUTPUT_ONLY, fields_with
from services.kit.database import uuid7_texts
from services.kit.errors import Violation
from vitalis.identity.v1 import coaching_parts_pb2 as pb
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

DEFAULTS: dict[type[Message], dict[str, Any]] = {
    pb.FitnessGoal: {"pace_preference": "moderate", "priority": 1, "status": "active"},
    pb.PhysicalConstraint: {"is_active": True},
    pb.MealSchedule: {"notification_offset_minutes": -15, "is_active": True},
    pb.WorkoutSchedule: {
        **{field.name: False for field in pb.WorkoutSchedule.DESCRIPTOR.fields if field.name.endswith("day_workout")},
        "workout_reminder_enabled": True,
        "reminder_offset_minutes": -30,
    },
    pb.HydrationPreferences: {
        "daily_water_target_ml": 2000,
        "reminder_enabled": True,
        "reminder_frequency_minutes": 60,
        "reminder_start_time": "08:00",
        "reminder_end_time": "22:00",
        "reminder_tone": "gentle",
        "auto_remind_with_meals": True,
    },
}
# The numbers of a meal plan; when one of them changes it was worked out anew.
PLANNED = frozenset(
    field.name
    for field in pb.MealPlan.DESCRIPTOR.fields
    if field.name.endswith(("_target", "_min", "_max", "_percentage", "meals_per_day"))
)
Some = TypeVar("Some", bound=Message)
ETAG = "etag"


def masked(sent: CoachingProfile, before: CoachingProfile, paths: list[str]) -> CoachingProfile:
    """`before` with the fields of the mask as they are in `sent`; those that `sent` carries without a mask."""
    sent, after = _copy(sent), _copy(before)
    strip(sent)
    if paths == ["*"]:
        paths = [field.name for field in sent.DESCRIPTOR.fields if field.name not in _fixed(sent)]
    for path in paths or _populated(sent):
        _take(path.split("."), sent, after)
    return after


def unmaskable(paths: list[str]) -> list[Violation]:
    """The paths of a mask that are no fields, or fields that nobody can set."""
    return [] if paths == ["*"] else [Violation("update_mask", rule) for path in paths for rule in _wrong(path)]


def strip(message: Message) -> None:
    """Clears what is only ever answered, in the message and all that are in it."""
    for name in _fixed(message):
        message.ClearField(name)
    for field, value in message.ListFields():
        if _is_ours(field):
            for item in value if field.is_repeated else [value]:
                strip(item)


def without(message: Some, paths: Iterable[str]) -> Some:
    """A copy without the fields that the paths name; what stands in a list stays, so that the rest keeps its place."""
    copy = _copy(message)
    for path in paths:
        *above, name = path.split(".")
        holder: Any = copy
        for part in above:
            field, _, index = part.removesuffix("]").partition("[")
            holder = getattr(holder, field)[int(index)] if index else getattr(holder, field)
        if name in holder.DESCRIPTOR.fields_by_name:
            holder.ClearField(name)
    return copy


def round_numbers(message: Message) -> None:
    """Rounds the numbers of a message, and of those inside it, as columns keep them."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_DOUBLE:
            setattr(message, field.name, round(value, 2))
        elif _is_ours(field):
            for item in value if field.is_repeated else [value]:
                round_numbers(item)


def settle(profile: CoachingProfile, before: CoachingProfile, now: datetime) -> None:
    """Completes what a change leads to as it is stored: defaults, rounding, ids and instants of the items."""
    # Of a goal that nobody can have above all nothing is made.
    if not profile.goals and profile.primary_goal in REFERENCE.serves.get(profile.primary_goal, ()):
        profile.goals.add(goal_type="primary", goal_category=profile.primary_goal)
    profile.hydration_preferences.SetInParent()
    for part in PARTS:
        known = {_identity(part, item): item for item in part.items(before)}
        unnamed = [item for item in part.items(profile) if part.key == "id" and not item.id]
        for item, row_id in zip(unnamed, sorted(uuid7_texts(len(unnamed))), strict=True):
            item.id = row_id
        for item in part.items(profile):
            strip(item)
            _complete(item)
            stored = known.get(_identity(part, item))
            if stored is not None and _same(stored, item):
                item.CopyFrom(stored)
            else:
                _stamp(item, stored, now)


def _identity(part: Any, item: Any) -> Any:
    return getattr(item, part.key) if part.key else ""


def _same(stored: Message, item: Message) -> bool:
    stored = _copy(stored)
    strip(stored)
    return bool(stored == item)


def _complete(item: Any) -> None:
    for name, default in DEFAULTS.get(type(item), {}).items():
        field = item.DESCRIPTOR.fields_by_name[name]
        if not (item.HasField(name) if field.has_presence else getattr(item, name)):
            setattr(item, name, default)
    round_numbers(item)


def _stamp(item: Any, stored: Any, now: datetime) -> None:
    """The instants of an item that is new or has changed."""
    moment = Timestamp()
    moment.FromDatetime(now)
    fields = item.DESCRIPTOR.fields_by_name
    if "created_at" in fields:
        item.created_at.CopyFrom(stored.created_at if stored is not None else moment)
        item.updated_at.CopyFrom(moment)
    ended = {
        "completed_at": getattr(item, "status", "") == "completed",
        "resolved_at": not getattr(item, "is_active", True),
    }
    for name, has_ended in ended.items():
        if name in fields and has_ended:
            already = stored is not None and stored.HasField(name)
            getattr(item, name).CopyFrom(getattr(stored, name) if already else moment)
    if isinstance(item, pb.MealPlan):
        is_as_before = stored is not None and all(getattr(stored, name) == getattr(item, name) for name in PLANNED)
        item.last_recalculated_at.CopyFrom(stored.last_recalculated_at if is_as_before else moment)


def _copy(message: Some) -> Some:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy


def _fixed(message: Message) -> tuple[str, ...]:
    """The fields that a caller cannot set."""
    names = fields_with(message.DESCRIPTOR, OUTPUT_ONLY)
    return (*names, ETAG) if ETAG in message.DESCRIPTOR.fields_by_name else names


def _is_ours(field: Any) -> bool:
    return field.message_type is not None and field.message_type.full_name.startswith("vitalis.")


def _populated(message: Message, prefix: str = "") -> Iterator[str]:
    for field, value in message.ListFields():
        if _is_ours(field) and not field.is_repeated:
            yield from _populated(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _take(path: list[str], sent: Any, after: Any) -> None:
    name, *rest = path
    if rest:
        if sent.HasField(name) or after.HasField(name):
            _take(rest, getattr(sent, name), getattr(after, name))
        return
    after.ClearField(name)
    field = sent.DESCRIPTOR.fields_by_name[name]
    value = getattr(sent, name)
    if field.is_repeated:
        getattr(after, name).extend(value)
    elif field.message_type is not None:
        if sent.HasField(name):
            getattr(after, name).CopyFrom(value)
    elif not field.has_presence or sent.HasField(name):
        setattr(after, name, value)


def _wrong(path: str) -> Iterator[str]:
    message: Any = CoachingProfile.DESCRIPTOR
    names = path.split(".")
    for number, name in enumerate(names, 1):
        field = message.fields_by_name.get(name)
        if field is None:
            yield f"{path} is not a field"
            return
        if name == ETAG or name in fields_with(message, OUTPUT_ONLY):
            yield f"{path} cannot be set"
            return
        if number < len(names):
            if field.is_repeated or not _is_ours(field):
                yield f"{path} is not a field: {name} changes as a whole"
                return
            message = field.message_type
