"""Asks for what the server describes, one question after the other."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vitalis_client.cli.onboarding.answers import explain, read, show
from vitalis_client.cli.terminal import clean
from vitalis_client.cli.units import Units
from vitalis_client.contract.models import OnboardingField
from vitalis_client.errors import Violation

INDEX = re.compile(r"\[(\d+)\]")
Answers = dict[str, Any]


class Back(Exception):
    """To the question before."""


class Leave(Exception):
    """No more questions."""


@dataclass(frozen=True, slots=True)
class Interview:
    """`ask(prompt)` gives the line that was typed, `tell(line)` shows one."""

    units: Units
    ask: Callable[[str], str]
    tell: Callable[[str], None]

    def all(self, fields: Sequence[OnboardingField], answers: Answers) -> None:
        """Asks for every field, into `answers`. Raises Back from the first, Leave anywhere."""
        self._in_turn([partial(self.one, field, answers) for field in fields])

    def again(self, fields: Sequence[OnboardingField], answers: Answers, violations: Iterable[Violation]) -> bool:
        """Asks anew for those fields that are violated, by paths such as `goals[0].target_date`.

        Whether there was one: a violation may be of something that nobody asked for.
        """
        questions: dict[tuple[str, ...], Callable[[], None]] = {}
        for violation in violations:
            steps = INDEX.sub(r".\1", violation.field).split(".")
            if found := self._find(fields, answers, steps):
                questions.setdefault(*found)
        self._in_turn(list(questions.values()))
        return bool(questions)

    def _find(
        self, fields: Sequence[OnboardingField], answers: Answers, steps: Sequence[str]
    ) -> tuple[tuple[str, ...], Callable[[], None]] | None:
        """The question that a path leads to, with the part of the path that it stands for."""
        field = next((field for field in fields if field.name == steps[0]), None)
        if field is None:
            return None
        inner: Any = answers.get(field.name)
        used, rest = steps[:1], steps[1:]
        if field.repeated and field.fields and rest and rest[0].isdecimal():
            used, rest = steps[:2], steps[2:]
            inner = inner[int(used[1])] if isinstance(inner, list) and int(used[1]) < len(inner) else None
        if rest and isinstance(inner, dict) and (found := self._find(field.fields, inner, rest)):
            return (*used, *found[0]), found[1]
        return tuple(used[:1]), partial(self.one, field, answers)

    def _in_turn(self, questions: Sequence[Callable[[], None]]) -> None:
        place = 0
        while place < len(questions):
            try:
                questions[place]()
            except Back:
                if place == 0:
                    raise
                place -= 1
            else:
                place += 1

    def one(self, field: OnboardingField, answers: Answers) -> None:
        """Asks for a field, into `answers`; what is there stays when nothing is typed."""
        if field.fields and field.repeated:
            self._list(field, answers)
        elif field.fields:
            self._group(field, answers)
        else:
            self._value(field, answers)

    def _value(self, field: OnboardingField, answers: Answers) -> None:
        if field.type == "choice":
            self.tell(f"  {explain(field, self.units)}")
        present = self._present(field, answers)
        # What is there already shows its unit.
        unit = "" if present else self.units.of(field.name)
        question = f"{field.question} ({unit})" if unit else field.question
        while True:
            typed = self._line(question, present)
            if typed == "?":
                self.tell(f"  {explain(field, self.units)}")
            elif not typed and field.required and answers.get(field.name) in (None, []) and not field.default_value:
                self.tell(f"  this has to be answered: {explain(field, self.units)}")
            elif not typed:
                return
            elif typed == "-" and not field.required:
                answers.pop(field.name, None)
                return
            else:
                try:
                    answers[field.name] = read(field, literal(typed), self.units)
                    return
                except ValueError as error:
                    self.tell(f"  the answer {error}")

    def _present(self, field: OnboardingField, answers: Answers) -> str:
        """What holds if nothing is typed."""
        if field.name in answers:
            return show(field, answers[field.name], self.units)
        if field.default_value and field.type == "boolean":
            return "yes" if field.default_value == "true" else "no"
        return clean(field.default_value or "").replace("_", " ")

    def _group(self, field: OnboardingField, answers: Answers) -> None:
        inner = answers.get(field.name)
        if not field.required and not self._agree(field.question, bool(inner)):
            answers.pop(field.name, None)
            return
        values: Answers = dict(inner or {})
        self.all(field.fields, values)
        answers[field.name] = values

    def _agree(self, question: str, usual: bool) -> bool:
        while (typed := self._line(question, "yes" if usual else "no").lower()) not in ("", "y", "yes", "n", "no"):
            self.tell("  the answer is y or n")
        return usual if not typed else typed.startswith("y")

    def _list(self, field: OnboardingField, answers: Answers) -> None:
        """Asks for the entries of a list, each of which has fields of its own."""
        entries: list[Answers] = answers.setdefault(field.name, [])
        self.tell(clean(field.question))
        if field.required and not entries:
            self._entry(field, entries, 0)
        while True:
            for number, entry in enumerate(entries, 1):
                self.tell(f"  {number}. {show(field, [entry], self.units)}")
            typed = self._line("  y adds one, its number changes one, -1 removes the first, Enter goes on", "").lower()
            number = int(typed.lstrip("-")) if re.fullmatch(r"-?\d{1,3}", typed) else 0
            if typed in ("y", "yes", "+"):
                if field.max_items is not None and len(entries) >= field.max_items:
                    self.tell(f"  there can be {field.max_items} at the most")
                else:
                    self._entry(field, entries, len(entries))
            elif typed in ("", "n", "no") and (entries or not field.required):
                return
            elif 1 <= number <= len(entries) and typed.startswith("-"):
                del entries[number - 1]
            elif 1 <= number <= len(entries):
                self._entry(field, entries, number - 1)
            else:
                self.tell("  there has to be one" if typed in ("", "n", "no") else "  that is none of these")

    def _entry(self, field: OnboardingField, entries: list[Answers], place: int) -> None:
        entry = dict(entries[place]) if place < len(entries) else {}
        try:
            self.all(field.fields, entry)
        except Back:
            return
        entries[place : place + 1] = [entry]

    def _line(self, question: str, present: str) -> str:
        typed = self.ask(clean(question) + (f" [{present}]" if present else "")).strip()
        if typed.lower() == "back":
            raise Back
        if typed.lower() in ("q", "quit"):
            raise Leave
        return typed


def literal(typed: str) -> str:
    """What was meant by a line: in quotes even a word that would be a command is text."""
    return typed[1:-1] if len(typed) > 1 and typed[0] == typed[-1] == '"' else typed
