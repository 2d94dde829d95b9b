"""What becomes of answers: the messages that a confirmed onboarding is written as.

A step writes its section as one field of such a message (`coaching_profile.meal_plan`),
or the section's fields as those of the same names (`coaching_profile`).
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from google.protobuf import descriptor
from google.protobuf.message import Message

from services.kit.contract import OUTPUT_ONLY, REQUIRED, ContractError, fields_with
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile
from vitalis.identity.v1.health_profile_pb2 import HealthProfile
from vitalis.tracking.v1.wellbeing_pb2 import LifestyleBaseline

COACHING_PROFILE, HEALTH_PROFILE, LIFESTYLE_BASELINE = "coaching_profile", "health_profile", "lifestyle_baseline"
MESSAGES: dict[str, type[Message]] = {
    COACHING_PROFILE: CoachingProfile,
    HEALTH_PROFILE: HealthProfile,
    LIFESTYLE_BASELINE: LifestyleBaseline,
}


class Write(NamedTuple):
    """What a step writes: the whole section as one `field` of a message, or its fields as `same` ones."""

    message: str
    field: str
    same: frozenset[str]


def parse(name: str, section: descriptor.Descriptor, texts: Sequence[str]) -> Iterator[Write]:
    """What the texts of a flow say. Raises ContractError for what does not fit, or leaves an answer behind."""
    left = set(section.fields_by_name) if texts else set()
    for text in texts:
        message, _, field = text.partition(".")
        if message not in MESSAGES:
            raise ContractError(f"{name} writes {message}, which is none of {', '.join(MESSAGES)}")
        target = MESSAGES[message].DESCRIPTOR
        same = frozenset[str]() if field else frozenset(section.fields_by_name) & frozenset(target.fields_by_name)
        if field:
            found = target.fields_by_name.get(field)
            if found is None or found.message_type is not section:
                raise ContractError(f"{name} writes {text}, which is no {section.full_name}")
            left.clear()
        for each in same:
            if not _alike(section.fields_by_name[each], target.fields_by_name[each]):
                raise ContractError(f"{name} writes {each} of {message}, which is of another type")
        left -= same
        yield Write(message, field, same)
    if left:
        raise ContractError(f"{name} writes {', '.join(sorted(left))} nowhere")


def _alike(ours: Any, theirs: Any) -> bool:
    kinds = [(field.type, field.is_repeated, field.message_type) for field in (ours, theirs)]
    return kinds[0] == kinds[1] and theirs.name not in fields_with(theirs.containing_type, OUTPUT_ONLY)


def refuse_incomplete(version: str, writes: Iterable[Write]) -> None:
    """Raises ContractError for a flow that leaves something out that a message requires."""
    written: dict[str, set[str]] = {COACHING_PROFILE: set()}
    for write in writes:
        written.setdefault(write.message, set()).update(write.same, [write.field])
    for message, fields in written.items():
        if missing := set(fields_with(MESSAGES[message].DESCRIPTOR, REQUIRED)) - fields:
            raise ContractError(f"flow {version} writes no {', '.join(sorted(missing))} of {message}")


def write_section(writes: Iterable[Write], section: Message, name: str, message: Message) -> None:
    """Adds what a section writes into the message of that name."""
    for write in writes:
        if write.message == name and write.field:
            getattr(message, write.field).CopyFrom(section)
        elif write.message == name:
            same = {field.name: value for field, value in section.ListFields() if field.name in write.same}
            message.MergeFrom(type(message)(**same))


def path_in_answers(steps: Iterable[Any], path: str) -> str:
    """Where an answer stands that became `path` of the coaching profile: `goals.primary_goal`."""
    root = path.partition(".")[0].partition("[")[0]
    for step in steps:
        for write in step.writes:
            if write.message == COACHING_PROFILE and write.field == root:
                return f"{step.name}{path.removeprefix(root)}"
            if write.message == COACHING_PROFILE and root in write.same:
                return f"{step.name}.{path}"
    return path
