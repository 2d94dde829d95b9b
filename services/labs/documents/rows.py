"""A row of a report's table, read from its words: a name, a result, and what else stands beside it.

No column has to be where it was: what a word is, it says itself. A row is
believed only if nothing of it is left over, and if a unit, a reference range
or a flag stands beside the result; so addresses and page numbers are none.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from services.labs.units import is_unit
from services.labs.values import NoResult, read_flag, read_range, read_result

DATE = re.compile(r"\d{1,2}/\d{1,2}/\d{2,4}|\d{4}-\d\d-\d\d|\d{1,2}\.\d{1,2}\.\d{2,4}")
NUMBER = re.compile(r"[<>≤≥]?=?[+-]?\d[\d.,]*[*!]?")
# A comparator that stands apart from its number, or is spelled out: "< 5.0", "> OR = 60".
APART = re.compile(r"([<>≤≥])\s*(?:(?:OR\s*)?(=))?\s*(?=\d)", re.IGNORECASE)
CAPTION = re.compile(r"\b(?:Reference|Ref\.?|Normal)\s+(?:Range|Interval)\s*:?\s*", re.IGNORECASE)
# LabCorp prints the site that did a test behind its name or at the end of the line.
LAB_CODE = re.compile(r"0\d|[A-Z]{2}")
# Results that are no numbers.
WORDS = frozenset(
    re.findall(
        r"\S+",
        """
        negative positive reactive nonreactive non-reactive detected undetected trace clear cloudy yellow straw amber
        normal abnormal none rare few moderate many present absent immune nonimmune equivocal indeterminate
        negativ positiv nachweisbar
        """,
    )
)
PHRASES = frozenset({"not detected", "none seen", "none detected", "non reactive", "not immune", "dark yellow"})
VERDICTS = frozenset({"optimal", "desirable", "borderline", "normal"})
# What stands before numbers that nobody measured.
NO_NAMES = re.compile(
    r"(age|alter|dob|date|datum|page|seite|phone|tel|fax|account|acct|patient|specimen|collected|received|reported|order"
    r"|id|zip|npi|clia|report|printed|room|suite|control)\b|.*\b(id|no|nr|number|phone|fax)\.?:?$",
    re.IGNORECASE,
)
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


def read_row(text: str) -> Row | None:
    """The row that a line is, or None."""
    words = CAPTION.sub("", APART.sub(r"\1\2", text)).split()
    for at in range(1, len(words)):
        name = " ".join(words[:at]).strip(" :.*")
        if len(name) > LONGEST_NAME:
            return None
        for taken in (1, 2):
            value = " ".join(words[at : at + taken])
            if _is_value(value) and (row := _beside(name, value, words[at + taken :])):
                return row
    return None


def _is_value(text: str) -> bool:
    if NUMBER.fullmatch(text):
        try:
            return read_result(text).number is not None
        except NoResult:
            return False
    return text.lower() in (PHRASES if " " in text else WORDS)


def _beside(name: str, value: str, words: Sequence[str]) -> Row | None:
    """The row, if every word behind its result is something that belongs there."""
    found = {"flag": "", "unit": "", "reference_range": "", "lab_code": ""}
    at = 0
    while at < len(words):
        for kind, taken in _possible(words[at:]):
            text = " ".join(words[at : at + taken])
            if kind == "unit" and found["unit"] and found["reference_range"]:
                # The range has a unit of its own.
                found["reference_range"] += f" {text}"
            elif found.get(kind):
                continue
            elif kind in found:
                found[kind] = text
            at += taken
            break
        else:
            return None
    name, _, code = name.rpartition(" ") if re.search(r" 0\d$", name) else (name, "", "")
    if not (found["unit"] or found["reference_range"] or found["flag"]) or not _is_name(name):
        return None
    found["lab_code"] = found["lab_code"] or code
    return Row(name, value, **found)


def _is_name(name: str) -> bool:
    return bool(re.search(r"[^\W\d_]", name)) and not NO_NAMES.match(name)


def _possible(words: Sequence[str]) -> list[tuple[str, int]]:
    """What the first words could be, and how many they are, the likeliest first."""
    kinds: list[tuple[str, int]] = []
    if taken := _previous(words):
        kinds.append(("previous", taken))
    kinds += [("flag", taken) for taken in (2, 1) if taken <= len(words) and _is_flag(words[:taken])]
    kinds += [("reference_range", taken) for taken in range(1, min(6, len(words)) + 1) if _is_range(words[:taken])][:1]
    kinds += [("unit", taken) for taken in (3, 2, 1) if taken <= len(words) and is_unit(" ".join(words[:taken]))][:1]
    if len(words) == 1 and LAB_CODE.fullmatch(words[0]):
        kinds.append(("lab_code", 1))
    if words[0].lower() in VERDICTS:
        kinds.append(("verdict", 1))
    return kinds


def _previous(words: Sequence[str]) -> int:
    """How many words a previous result takes, which has its date: 8.6 11/23/2022, 22 High 05/01/2023."""
    for taken in (2, 3):
        if taken <= len(words) and DATE.fullmatch(words[taken - 1]) and _is_value(words[0]):
            return taken if taken == 2 or read_flag(words[1]) else 0
    return 0


def _is_flag(words: Sequence[str]) -> bool:
    # In lower case a letter is a unit, and a sign alone is a range that is not there.
    text = " ".join(words)
    return bool(read_flag(text)) and not (len(text) == 1 and (text.islower() or text in "+-"))


def _is_range(words: Sequence[str]) -> bool:
    text = " ".join(words)
    if text.lower() in ("not estab.", "not established", "not estab"):
        return True
    read = read_range(text)
    if read.low is not None or read.high is not None:
        return True
    return bool(read.expected) and text.lower() in WORDS | PHRASES
