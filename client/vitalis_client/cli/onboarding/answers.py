"""What somebody types as the value of a field that the server describes, and the other way round."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from vitalis_client.cli.terminal import clean
from vitalis_client.cli.units import Units, trim
from vitalis_client.contract.models import OnboardingField

YES, NO = {"y", "yes", "true", "1"}, {"n", "no", "false", "0"}
CLOCK = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?(?::00)?\s*(am|pm)?")


def read(field: OnboardingField, text: str, units: Units) -> Any:
    """The value of what was typed, as JSON has it. Raises ValueError, which says what is expected.

    A repeated field has commas between its values. What the server alone can
    judge, such as a rule across fields, is left to it.
    """
    if not field.repeated:
        return read_one(field, text.strip(), units)
    values = [read_one(field, part.strip(), units) for part in text.split(",") if part.strip()]
    if field.max_items is not None and len(values) > field.max_items:
        raise ValueError(f"takes {field.max_items} values at the most")
    return values


def read_one(field: OnboardingField, text: str, units: Units) -> Any:
    return READERS.get(field.type, read_text)(field, text, units)


def read_boolean(field: OnboardingField, text: str, units: Units) -> bool:
    if text.lower() in YES | NO:
        return text.lower() in YES
    raise ValueError("is y or n")


def read_choice(field: OnboardingField, text: str, units: Units) -> str:
    """One of the values: in full, by its number, or by its beginning if no other begins so."""
    values = field.allowed_values
    wanted = re.sub(r"[\s-]+", "_", text.lower())
    if wanted in values:
        return wanted
    if wanted.isdecimal() and 1 <= int(wanted) <= len(values):
        return values[int(wanted) - 1]
    begun = [value for value in values if wanted and value.startswith(wanted)]
    if len(begun) == 1:
        return begun[0]
    raise ValueError(f"is one of: {choices(field)}")


def read_number(field: OnboardingField, text: str, units: Units) -> float | int:
    if units.of(field.name):
        number: float | int = units.read(field.name, text)
    else:
        pattern = r"[+-]?\d+" if field.type == "integer" else r"[+-]?\d+(?:[.,]\d+)?"
        if not re.fullmatch(pattern, text):
            whole = "whole " if field.type == "integer" else ""
            raise ValueError(f"is a {whole}number, without a unit and thousands separators")
        number = int(text) if field.type == "integer" else float(text.replace(",", "."))
    low, high = field.minimum, field.maximum
    too_low = low is not None and (number < low or (field.exclusive_minimum and number == low))
    too_high = high is not None and (number > high or (field.exclusive_maximum and number == high))
    if too_low or too_high:
        raise ValueError(f"is {bounds(field, units)}")
    return number


def read_date(field: OnboardingField, text: str, units: Units) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError("is a date, such as 2027-06-30") from None


def read_time(field: OnboardingField, text: str, units: Units) -> str:
    found = CLOCK.fullmatch(text.lower())
    if found and (found[2] or found[3]):
        hour, minute = int(found[1]), int(found[2] or 0)
        if found[3] and 1 <= hour <= 12:
            hour = hour % 12 + (12 if found[3] == "pm" else 0)
        elif found[3]:
            hour = 24
        if hour < 24 and minute < 60:
            return f"{hour:02d}:{minute:02d}"
    raise ValueError("is a time of day, such as 07:30")


def read_text(field: OnboardingField, text: str, units: Units) -> str:
    if field.min_length is not None and len(text) < field.min_length:
        raise ValueError(f"has {field.min_length} characters at the least")
    if field.max_length is not None and len(text) > field.max_length:
        raise ValueError(f"has {field.max_length} characters at the most")
    if field.pattern and not matches(field.pattern, text):
        raise ValueError(f"is written as {field.example}" if field.example else "is not written as it should be")
    return text


READERS: Mapping[str, Callable[[OnboardingField, str, Units], Any]] = {
    "boolean": read_boolean,
    "choice": read_choice,
    "integer": read_number,
    "number": read_number,
    "date": read_date,
    "time": read_time,
}


def matches(pattern: str, text: str) -> bool:
    """Whether a text matches a pattern of the server's; one that Python does not know is the server's to check."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def choices(field: OnboardingField) -> str:
    """The values of a choice, numbered."""
    return ", ".join(f"{number} {words(value)}" for number, value in enumerate(field.allowed_values, 1))


def words(value: str) -> str:
    return clean(value).replace("_", " ")


def bounds(field: OnboardingField, units: Units) -> str:
    """What a number may be: `from 500 to 10000`, `above 0 kg`."""
    parts = []
    if field.minimum is not None:
        parts.append(("above " if field.exclusive_minimum else "from ") + number(field, field.minimum, units))
    if field.maximum is not None:
        parts.append(("below " if field.exclusive_maximum else "to ") + number(field, field.maximum, units))
    return " ".join(parts)


def number(field: OnboardingField, value: float, units: Units) -> str:
    return units.show(field.name, value) if units.of(field.name) else trim(value)


def show(field: OnboardingField, value: Any, units: Units) -> str:
    """A value of the API as somebody would type it."""
    if field.repeated and isinstance(value, list):
        return ", ".join(show_one(field, one, units) for one in value)
    return show_one(field, value, units)


def show_one(field: OnboardingField, value: Any, units: Units) -> str:
    if isinstance(value, Mapping):
        parts = (show(sub, value[sub.name], units) for sub in field.fields if sub.name in value)
        return ", ".join(part for part in parts if part)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(field, value, units)
    return words(str(value)) if field.type == "choice" else clean(str(value))


def explain(field: OnboardingField, units: Units) -> str:
    """What can be answered, in a line."""
    several = "several with commas between, each " if field.repeated else ""
    if field.type == "choice":
        return f"{several}one of: {choices(field)}"
    expected = {
        "boolean": "y or n",
        "integer": "a whole number",
        "number": "a number",
        "date": "a date, such as 2027-06-30",
        "time": "a time of day, such as 07:30",
        "text": f"a text, such as {clean(field.example)}" if field.example else "a text",
    }.get(field.type, "an answer")
    if units.of(field.name):
        expected = f"a number in {units.of(field.name)}, or with its unit"
    allowed = bounds(field, units)
    return several + expected + (f", {allowed}" if allowed else "")
