"""What was answered: as a message, as it is stored, and how much of a flow it completes."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from protovalidate import Validator

from services.identity.coaching_profile.rules import violations
from services.identity.coaching_profile.settle import round_numbers, strip, without
from services.identity.onboarding.definitions import CONFIRMATION, Flow, Step
from services.identity.onboarding.outcome import COACHING_PROFILE, MESSAGES, path_in_answers, write_section
from services.kit.contract import RequiredFields, violation_of
from services.kit.errors import Violation
from vitalis.identity.v1 import onboarding_pb2 as pb
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

SECTIONS = tuple(pb.OnboardingAnswers.DESCRIPTOR.fields_by_name)
REQUIRED = RequiredFields()
VALIDATOR = Validator()


def to_text(answers: pb.OnboardingAnswers) -> str:
    """The answers as they are stored and exported: JSON by the names of the steps."""
    return orjson.dumps(json_format.MessageToDict(answers, preserving_proto_field_name=True)).decode()


def from_text(text: str) -> pb.OnboardingAnswers:
    """Stored answers, as far as the contract still has a place for them.

    A section that it has no more, or whose fields have another type now, is left
    out: the person is asked again.
    """
    answers = pb.OnboardingAnswers()
    for name, content in orjson.loads(text).items():
        if name not in SECTIONS:
            continue
        section = getattr(answers, name)
        section.SetInParent()
        try:
            # Twenty times as fast as the reader of JSON, which is for what the contract has no more.
            section.MergeFrom(type(section)(**content))
        except (TypeError, ValueError):
            try:
                json_format.ParseDict(content, section, ignore_unknown_fields=True)
            except json_format.ParseError:
                answers.ClearField(name)
    return answers


def with_section(answers: pb.OnboardingAnswers, name: str, given: pb.OnboardingAnswers) -> pb.OnboardingAnswers:
    """The answers with one section as given, with its numbers as they will be kept; empty if it is not there.

    What was confirmed was something else, unless it is the confirmation that is given.
    """
    changed = pb.OnboardingAnswers()
    changed.CopyFrom(answers)
    changed.ClearField(CONFIRMATION)
    section = getattr(changed, name)
    section.CopyFrom(getattr(given, name))
    section.SetInParent()
    strip(section)
    round_numbers(section)
    return changed


def assess(flow: Flow, answers: pb.OnboardingAnswers) -> Mapping[int, list[Violation]]:
    """The steps that are not done, by number, each with what it lacks as paths from the answers.

    A step lacks what it needs by itself, and agreement with the steps before it: of
    two that contradict each other, the later one is to be answered anew. One that
    does not hold by itself says nothing about those after it.
    """
    alone = {step.number: _problems(step, answers) for step in flow.steps}
    together = _contradictions(flow, answers, alone)
    return {number: found for number, lacks in alone.items() if (found := lacks + together.get(number, []))}


def _contradictions(
    flow: Flow, answers: pb.OnboardingAnswers, alone: Mapping[int, list[Violation]]
) -> dict[int, list[Violation]]:
    """What each step breaks of the rules between fields that those before it do not.

    `alone` is what steps lack by themselves: such a field is no part of it.
    """
    named = {number: {each.field for each in lacks} for number, lacks in alone.items()}
    sections: list[tuple[Step, Message]] = []
    for step in flow.steps:
        if not answers.HasField(step.name) or all(write.message != COACHING_PROFILE for write in step.writes):  # type: ignore[arg-type]
            continue
        section: Message = getattr(answers, step.name)
        if fields := [field.removeprefix(f"{step.name}.") for field in named[step.number]]:
            section = without(section, fields)
        sections.append((step, section))
    whole = CoachingProfile()
    for step, section in sections:
        write_section(step.writes, section, COACHING_PROFILE, whole)
    # A rule that a part of a profile breaks is not mended by the rest of it.
    if not violations(whole):
        return {}
    found: dict[int, list[Violation]] = {}
    profile, known = CoachingProfile(), set[Violation]()
    for step, section in sections:
        with_it = CoachingProfile()
        with_it.CopyFrom(profile)
        write_section(step.writes, section, COACHING_PROFILE, with_it)
        broken = [each for each in violations(with_it) if each not in known]
        if not alone[step.number]:
            profile, known = with_it, known.union(broken)
        told = [Violation(path_in_answers(flow.steps, each.field), each.description) for each in broken]
        found[step.number] = [each for each in told if each.field not in named[step.number]]
    return found


def compose(flow: Flow, answers: pb.OnboardingAnswers, name: str) -> Any:
    """What the answers make of the message of that name, see outcome.py."""
    message = MESSAGES[name]()
    answered = {field.name for field, _ in answers.ListFields()}
    for step in flow.steps:
        if step.name in answered:
            write_section(step.writes, getattr(answers, step.name), name, message)
    return message


def only(flow: Flow, answers: pb.OnboardingAnswers, name: str) -> pb.OnboardingAnswers:
    """The answers that the message of that name is made of."""
    rest = pb.OnboardingAnswers()
    for step in flow.steps:
        if any(write.message == name for write in step.writes):
            getattr(rest, step.name).CopyFrom(getattr(answers, step.name))
    return rest


def _problems(step: Step, answers: pb.OnboardingAnswers) -> list[Violation]:
    section: Any = getattr(answers, step.name)
    problems = REQUIRED.missing(section, f"{step.name}.")
    problems += [
        Violation(f"{step.name}.{name}", "is required") for name in step.required if not _is_given(section, name)
    ]
    if not answers.HasField(step.name):  # type: ignore[arg-type]
        return problems or [Violation(step.name, "is not answered")]
    for broken in map(violation_of, VALIDATOR.collect_violations(section)):
        problems.append(Violation(".".join(filter(None, (step.name, broken.field))), broken.description))
    # Said here and not when all of it is written, which is at the end.
    problems += [
        Violation(path, "must not hold NUL characters") for path, text in _texts(section, step.name) if "\0" in text
    ]
    return problems


def _texts(message: Message, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a message, with its path."""
    for field, value in message.ListFields():
        items = value if field.is_repeated else (value,)
        for index, item in enumerate(items):
            place = f"{path}.{field.name}[{index}]" if field.is_repeated else f"{path}.{field.name}"
            if isinstance(item, str):
                yield place, item
            elif field.message_type:
                yield from _texts(item, place)


def _is_given(section: Message, name: str) -> bool:
    return any(field.name == name for field, _ in section.ListFields())
