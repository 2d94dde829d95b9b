"""What the words of a table's row can be: results, reference ranges, units, flags, results of before."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from services.labs.documents.vocabulary import NO_RANGES, RESULT_PHRASES, RESULT_WORDS, WHOSE
from services.labs.units import is_unit as is_known
from services.labs.values import NoResult, read_flag, read_range, read_result

DATE = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}|\d{4}-\d\d-\d\d")
NUMBER = re.compile(r"[<>≤≥]?=?[+-]?\d[\d.,']*")
_FLAG = r"HH?|LL?|\((?:HH?|LL?|A)\)|\[(?:HH?|LL?|A)\]|\*+|!+|↑+|↓+"
# A flag that touches its number: `145H`, `3.1(L)`, `*9.2`.
_FLAGGED = re.compile(rf"(?P<before>{_FLAG})?(?P<value>[<>≤≥]?=?[+-]?\d[\d.,']*)(?P<behind>{_FLAG})?")
_WITH_UNIT = re.compile(r"(?P<value>[<>≤≥]?=?[+-]?\d(?:[\d.,]*\d)?)(?P<unit>[^\d.,\s].*)")
_TITER = re.compile(r"[<>≤≥]?=?1:\d{1,5}|[1-4]\+")
_TITER_RANGE = re.compile(r"[<≤]=?1:\d{1,5}")
# A count of what is seen in a field of the microscope, which a range of such counts stands beside: `0-5 /HPF 0-2 /HPF`.
_COUNT = re.compile(r"\d{1,3}-\d{1,3}")
_GROUP = re.compile(r"\d{3}(?:[.,]\d+)?")
COMPARED = "<>≤≥"


def results(words: Sequence[str], at: int) -> Iterator[tuple[str, str, str, int]]:
    """(result, flag, unit, how many words) of each result that could stand there."""
    for taken in (3, 2):
        if " ".join(words[at : at + taken]).lower() in RESULT_PHRASES and at + taken <= len(words):
            yield " ".join(words[at : at + taken]), "", "", taken
    if at >= len(words):
        return
    word = words[at]
    if word.lower() in RESULT_WORDS or _TITER.fullmatch(word):
        yield word, "", "", 1
        return
    if (found := _FLAGGED.fullmatch(word)) and is_number(found["value"]):
        if not (found["before"] and found["behind"]):
            yield found["value"], (found["before"] or found["behind"] or "").strip("()[]"), "", 1
        if not found["before"] and not found["behind"] and re.fullmatch(r"[<>]?\d{1,3}", word):
            group = words[at + 1] if at + 1 < len(words) else ""
            if _GROUP.fullmatch(group):
                yield f"{word} {group}", "", "", 2
    elif not is_unit([word]) and (found := _WITH_UNIT.fullmatch(word)) and is_number(found["value"]):
        if is_unit([found["unit"]]):
            yield found["value"], "", found["unit"], 1
        elif _COUNT.fullmatch(word) and any(range_of(words[rest:]) for rest in range(at + 1, len(words))):
            yield word, "", "", 1


def is_measured(word: str) -> bool:
    """Whether a word can only be a result or a date, and not be the end of a name, as whole numbers are."""
    return bool(re.fullmatch(r"[<>≤≥]?\d+[.,]\d+", word)) or bool(re.search(r"\d/\d+/\d", word))


def is_number(text: str) -> bool:
    if not NUMBER.fullmatch(text):
        return False
    try:
        return read_result(text).number is not None
    except NoResult:
        return False


def previous(words: Sequence[str]) -> int:
    """How many words a previous result takes, which has its date: 8.6 11/23/2022, 22 High 05/01/2023."""
    for taken in (2, 3):
        if taken <= len(words) and DATE.fullmatch(words[taken - 1]) and (is_number(words[0]) or _is_word(words[0])):
            return taken if taken == 2 or read_flag(words[1]) else 0
    return 0


def _is_word(text: str) -> bool:
    return text.lower() in RESULT_WORDS


def is_flag(words: Sequence[str]) -> bool:
    # In lower case a letter is a unit, and a minus is a cell that is empty.
    text = " ".join(words)
    return bool(read_flag(text)) and not (len(text) == 1 and (text.islower() or text == "-"))


def range_of(words: Sequence[str]) -> int:
    """How many of the first words are a reference range; 0 if they are none."""
    for taken in range(1, min(6, len(words)) + 1):
        if _is_range(words[:taken]):
            return taken
    # For men this, for women that: as printed, all of it.
    if words[0].lower().strip("()[].:,") in WHOSE and re.search(r"\d", " ".join(words)):
        rest = [word for word in words if word.lower().strip("()[].:,;") not in WHOSE]
        if rest and _all_ranges(rest):
            return len(words)
    return 0


def _all_ranges(words: Sequence[str]) -> bool:
    if not words:
        return True
    for taken in range(min(4, len(words)), 0, -1):
        if (_is_range(words[:taken]) or is_unit(words[:taken])) and _all_ranges(words[taken:]):
            return True
    return False


def _is_range(words: Sequence[str]) -> bool:
    text = " ".join(words)
    if text.lower() in NO_RANGES or _TITER_RANGE.fullmatch(text):
        return True
    read = read_range(text.strip(",;"))
    if read.low is not None or read.high is not None:
        return True
    return bool(read.expected) and read.expected.lower() in RESULT_WORDS | RESULT_PHRASES


def is_unit(words: Sequence[str]) -> bool:
    return _is_printed_unit(" ".join(words))


@lru_cache(maxsize=4096)
def _is_printed_unit(text: str) -> bool:
    # What is no unit, which most words are, is looked at as often as what is one.
    return is_known(text[1:-1] if text[:1] + text[-1:] in ("()", "[]") else text)
