"""What somebody types to change a value of a report under review, such as `3=5.6 mmol/L`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vitalis_client.cli.labs import printed, read
from vitalis_client.cli.terminal import clean, usage

CORRECTION = re.compile(r"\s*(\d{1,4})\s*(?:\.\s*([A-Za-z]+)\s*)?=(.*)", re.DOTALL)
COUNTING = re.compile(r"\s*([+-])\s*(\d{1,4})\s*")
# What the parts of a value are called, and their fields.
PARTS = {
    "name": "raw_name",
    "result": "value",
    "unit": "unit",
    "range": "ref_range_text",
    "flag": "flag",
    "marker": "biomarker",
    "specimen": "specimen",
    "heading": "sub_panel",
}
NEEDED = ("name", "result")


@dataclass(frozen=True, slots=True)
class Change:
    """Of the value with a number as shown, or without one a value that is added."""

    number: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    clear: Sequence[str] = ()
    # Whether it is left out, or brought back.
    dropped: bool | None = None


def correction(typed: str) -> Change:
    """`3=5.6 mmol/L [3.9-5.5]`, where what is not said stays, or one part of it: `3.unit=mmol/L`, `3.range=`."""
    found = CORRECTION.fullmatch(typed)
    if found is None:
        raise usage(f"{clean(typed)}: is no NO=RESULT, such as '3=5.6 mmol/L' or 3.unit=mmol/L")
    number, part, text = int(found[1]), (found[2] or "").lower(), found[3].strip()
    if not part and text:
        return Change(number, read(text))
    if part and part not in PARTS:
        raise usage(f"{clean(typed)}: there is no {clean(part)}; there are {', '.join(PARTS)}")
    if text:
        return Change(number, {PARTS[part]: text})
    if part in NEEDED or not part:
        raise usage(f"{clean(typed)}: a value has a {part or 'result'}; -{number} leaves it out")
    return Change(number, clear=(PARTS[part],))


def addition(typed: str) -> Change:
    """`Ferritin=80 ng/mL [30-400]`."""
    return Change(fields=printed(typed))


def typed_change(typed: str) -> Change:
    """What is typed at the question: a correction, an addition, or `-3` and `+3`."""
    if counting := COUNTING.fullmatch(typed):
        return Change(int(counting[2]), dropped=counting[1] == "-")
    return correction(typed) if CORRECTION.fullmatch(typed) else addition(typed.removeprefix("+"))
