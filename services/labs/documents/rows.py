"""A row of a report's table, read from its words: a name, a result, and what else stands beside it.

No column has to be where it was: what a word is, it says itself. A row is
believed only if nothing of it is left over, and if a unit, a reference range
or a flag stands beside the result; so addresses and page numbers are none.
Where cells stand apart (a tab), a name ends at one's end if it can.
"""

import re
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from services.labs.documents.vocabulary import DECISIVE, INTERPRETATIONS, NO_NAMES, NO_RANGES, NUMBERED, VERDICTS
from services.labs.documents.words import (
    COMPARED,
    is_flag,
    is_measured,
    is_number,
    is_unit,
    previous,
    range_of,
    results,
)
from services.labs.values import read_flag, read_range, read_result

# A comparator that stands apart from its number, or is spelled out: "< 5.0", "> OR = 60".
APART = re.compile(r"([<>≤≥])\s*(?:(?:OR\s*)?(=))?\s*(?=\d)", re.IGNORECASE)
CAPTION = re.compile(
    r"\b(?:(?:Reference|Ref\.?|Normal|Standard)\s+(?:Range|Interval|Values?)|Referenzbereich|Normbereich|Normal(?:wert)?"
    r"|Valeurs?\s+de\s+r[ée]f[ée]rence|Valeurs\s+usuelles|Valores\s+de\s+referencia|Range|Referencia|Referenz)\s*:\s*"
    r"|\b(?:Reference|Ref\.?|Normal)\s+(?:Range|Interval)\s+",
    re.IGNORECASE,
)
# What is left of `70 - 99` without its end.
_TO = re.compile(r"\d\s(?:[-–—]|to|bis|à|a)$")
_LOOKS_LIKE_UNIT = re.compile(r"[^\W_][^\W_.^*]*/[^\W_][^\s:]*")
_SIGNS = re.compile(r"\*+|!+|↑+|↓+")
# LabCorp prints the site that did a test behind its name or at the end of the line.
LAB_CODE = re.compile(r"0\d|[A-Z]{2}")
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A row as printed. `flag` is as printed too."""

    name: str
    value: str
    flag: str = ""
    unit: str = ""
    reference_range: str = ""
    lab_code: str = ""
    # Whether it can be read in no other way.
    sure: bool = True


@lru_cache(maxsize=1024)
def read_row(text: str) -> Row | None:
    """The row that a line is, or None."""
    cells = [cell.split() for cell in _without_caption(text).split("\t")]
    words = [word for cell in cells for word in cell]
    starts = frozenset(accumulate(map(len, cells)))
    ends = sorted(range(1, len(words)), key=lambda end: (end not in starts, end))
    for read in (_value_first, _value_later):
        for end in ends:
            row = read(words, end, starts)
            if row and _is_name(row.name):
                return row
    return None


def is_range(text: str) -> bool:
    """Whether a line is a reference range, with its unit perhaps, and nothing else."""
    words = _without_caption(text).split()
    rest = [] if not words else words[range_of(words) :]
    return bool(words) and len(rest) < len(words) and (not rest or is_unit(rest)) and any(map(str.isdigit, text))


def begins_with_value(text: str) -> bool:
    """Whether a line begins with a result, whose name stands elsewhere."""
    return next(results(_without_caption(text).split(), 0), None) is not None


def _without_caption(text: str) -> str:
    return CAPTION.sub("", APART.sub(r"\1\2", text))


@dataclass(slots=True)
class _Beside:
    """What stands beside a result."""

    flag: str = ""
    unit: str = ""
    reference_range: str = ""
    lab_code: str = ""
    previous: str = ""


def _value_first(words: Sequence[str], end: int, starts: frozenset[int]) -> Row | None:
    """The row whose name ends there, with the result right behind it."""
    for value, flag, unit, taken in results(words, end):
        found = _beside(words[end + taken :], _Beside(flag=flag, unit=unit))
        if found is None:
            continue
        # A name's own number is easily taken for a result, and the result for a previous one.
        grouped = taken > 1 and value[0].isdigit()
        numbered = bool(NUMBERED.fullmatch(words[end - 1])) and words[end].isdigit() and end not in starts
        if numbered and grouped:
            continue
        known = end in starts or not (grouped or numbered or (found.previous and len(starts) > 1))
        whole = end in starts and end + taken in starts
        return _named(words[:end], value, found, sure=known, alone=whole and value.lower() in DECISIVE)
    return None


def _value_later(words: Sequence[str], end: int, starts: frozenset[int]) -> Row | None:
    """The row whose name ends there, with a unit or a range between it and the result."""
    if is_number(words[end - 1]) and not (end > 1 and NUMBERED.fullmatch(words[end - 2])):
        # That is a result already.
        return None
    for at in range(end + 1, len(words)):
        before = _beside(words[end:at], _Beside())
        if before is None or before.previous or not (before.unit or before.reference_range):
            continue
        for value, flag, unit, taken in results(words, at):
            if (flag and before.flag) or (unit and before.unit):
                continue
            known = replace(before, flag=before.flag or flag, unit=before.unit or unit)
            if found := _beside(words[at + taken :], known):
                return _named(words[:end], value, found, sure=True)
    return None


def _beside(words: Sequence[str], found: _Beside) -> _Beside | None:
    """What all of the words are, beside what was found; None if one of them belongs there not."""
    at = 0
    while at < len(words):
        for kind, taken in _possible(words[at:]):
            text = " ".join(words[at : at + taken])
            if kind == "unit" and found.unit and found.reference_range:
                # The range has a unit of its own.
                found.reference_range += f" {text}"
            elif kind in ("unit", "unknown_unit"):
                if found.unit:
                    continue
                found.unit = text.strip("()[]") if text[0] in "([" else text
            elif kind == "remark":
                if not (found.unit and found.reference_range):
                    continue
            elif kind != "nothing":
                if getattr(found, kind):
                    continue
                setattr(found, kind, text)
            at += taken
            break
        else:
            return None
    return found


def _possible(words: Sequence[str]) -> Iterator[tuple[str, int]]:
    """What the first words could be, and how many they are, the likeliest first."""
    if taken := previous(words):
        yield "previous", taken
    for taken in (2, 1):
        if taken <= len(words) and is_flag(words[:taken]):
            yield "flag", taken
    if taken := range_of(words):
        yield "reference_range", taken
    for taken in (3, 2, 1):
        if taken <= len(words) and is_unit(words[:taken]):
            yield "unit", taken
            break
    else:
        # One that nobody here knows is still no part of anything else.
        if _LOOKS_LIKE_UNIT.fullmatch(words[0]):
            yield "unknown_unit", 1
    if len(words) == 1 and LAB_CODE.fullmatch(words[0]):
        yield "lab_code", 1
    if words[0].lower().strip("()") in VERDICTS or words[0] in ("-", "--", "–", "—"):
        yield "nothing", 1
    if not any(map(str.isdigit, " ".join(words))):
        yield "remark", len(words)


def _named(words: Sequence[str], value: str, found: _Beside, *, sure: bool, alone: bool = False) -> Row | None:
    """The row of a name, which may carry flags, a unit in its end and the site that did the test."""
    name, flags = _flags_of(words, value, found)
    flag, unit = found.flag or flags, found.unit
    if not unit:
        name, unit = _unit_of(name)
        if unit and is_number(name[-1]):
            # That is a result of its own, and which of the two is meant nobody knows.
            return None
    name, code = (name[:-1], name[-1]) if len(name) > 1 and re.fullmatch(r"0\d", name[-1]) else (name, "")
    if value[0] in COMPARED + string.digits and (_has_range(name) or any(map(is_measured, name))):
        return None
    # A flag that is said twice does not say what it says.
    if (found.flag and flags) or _is_either(value, found.reference_range):
        sure = False
    if flag == "+" and not _agrees("H", value, found.reference_range):
        return None
    if not (unit or found.reference_range or flag or alone):
        return None
    text = " ".join(name).strip(" :.")
    return Row(text, value, flag, unit, found.reference_range, found.lab_code or code, sure)


def _is_either(value: str, reference_range: str) -> bool:
    """Whether the range could as well be the result, and the result the range: `<5 mg/L <0.3`."""
    if value[0] not in COMPARED or reference_range[:1] not in tuple(COMPARED):
        return False
    limits, number = read_range(reference_range), read_result(value).number
    if number is None or value[0] != reference_range[0]:
        return True
    # What is too little to be measured is less than what is normal.
    return (limits.high is not None and number > limits.high) or (limits.low is not None and number < limits.low)


def _flags_of(words: Sequence[str], value: str, found: _Beside) -> tuple[list[str], str]:
    """The name without the flag in front of it or behind it, and that flag.

    A letter or a word is a flag there only where the range agrees: else it is
    part of the name (`Vitamin A`, `H pylori`).
    """
    name = list(words)
    flag = ""
    for end in (-1, 0):
        word = name[end].strip("()[]")
        # H pylori and its like.
        is_species = end == 0 and len(name) > 1 and name[1][0].islower()
        if (
            len(name) > 1
            and not flag
            and not is_species
            and (_SIGNS.fullmatch(word) or _is_said(word, value, found.reference_range))
        ):
            flag = word
            del name[end]
        elif signs := re.search(r"[*!↑↓]+$" if end else r"^[*!↑↓]+", name[end]):
            flag = flag or signs[0]
            name[end] = name[end].strip("*!↑↓")
    return name, flag


def _is_said(word: str, value: str, reference_range: str) -> bool:
    flag = read_flag(word)
    if flag not in ("H", "L", "HH", "LL") or (len(word) == 1 and not word.isupper()):
        return False
    return _agrees(flag, value, reference_range)


def _agrees(flag: str, value: str, reference_range: str) -> bool:
    """Whether the range says of the result what the flag says."""
    number, limits = read_result(value).number, read_range(reference_range)
    if number is None:
        return False
    if flag[0] == "H":
        return limits.high is not None and number >= limits.high
    return limits.low is not None and number <= limits.low


def _unit_of(name: list[str]) -> tuple[list[str], str]:
    """The name and the unit in its end: `Glucose (mg/dL)`, `Leukozyten /nl`, `MCV fl`."""
    for taken in (3, 2, 1):
        text = " ".join(name[-taken:])
        bracketed = text[:1] + text[-1:] in ("()", "[]")
        if len(name) > taken and is_unit(name[-taken:]) and (bracketed or re.search(r"[/%]|^(?:f[lL]|pg)$", text)):
            return name[:-taken], text[1:-1] if bracketed else text
    return name, ""


def _has_range(name: Sequence[str]) -> bool:
    """Whether a name has a range in it, as two rows in one line have: `HDL 52 mg/dL 40-90 TSH`."""
    parts = [" ".join(name[at : at + taken]) for taken in (1, 2, 3) for at in range(1, len(name) - taken + 1)]
    if any(part[0] in COMPARED or part.lower() in NO_RANGES for part in parts) or _TO.search(" ".join(name)):
        return True
    ranges = map(read_range, parts)
    return any(read.low is not None and read.high is not None for read in ranges)


def _is_name(name: str) -> bool:
    words = [word.strip("()[]:,;.-") for word in name.lower().split()]
    return (
        len(name) <= LONGEST_NAME
        and bool(re.search(r"[^\W\d_]", name))
        and not NO_NAMES.match(name)
        and not all(word in INTERPRETATIONS or not word for word in words)
    )
