"""What stands on a report beside a marker's name, read: a result, a reference range, a flag.

Numbers are Decimals. A comma before exactly three digits groups thousands
(`1,250`), every other comma is a decimal one (`1,25`), unless the caller
knows that the report writes decimal commas throughout (`decimal_comma`;
see `uses_decimal_comma`). What cannot be read is kept as text, never guessed.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache

from services.labs.units import is_unit

_LONGEST = 200

_NUMBER = r"[+-]?\s?(?:\d{1,3}(?:[ ']\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][+-]?\d{1,2})?(?!\d)"
_COMPARATORS = {
    "<": "<",
    ">": ">",
    "<=": "<=",
    "=<": "<=",
    ">=": ">=",
    "=>": ">=",
    "≤": "<=",
    "≥": ">=",
    "< or =": "<=",
    "> or =": ">=",
    "<or=": "<=",
    ">or=": ">=",
    "less than": "<",
    "below": "<",
    "under": "<",
    "more than": ">",
    "greater than": ">",
    "above": ">",
    "over": ">",
    "less than or equal to": "<=",
    "greater than or equal to": ">=",
    "up to": "<=",
    "at least": ">=",
    "bis": "<=",
    "unter": "<",
    "über": ">",
    "hasta": "<=",
    "menor de": "<",
    "mayor de": ">",
    "inf à": "<",
    "sup à": ">",
}
_COMPARATOR = "|".join(re.escape(text) for text in sorted(_COMPARATORS, key=len, reverse=True))

_FLAGS = {
    "h": "H",
    "high": "H",
    "hi": "H",
    "above range": "H",
    "above high normal": "H",
    "hoch": "H",
    "+": "H",
    "↑": "H",
    "l": "L",
    "low": "L",
    "lo": "L",
    "below range": "L",
    "below low normal": "L",
    "niedrig": "L",
    "-": "L",
    "↓": "L",
    "hh": "HH",
    "critical high": "HH",
    "panic high": "HH",
    "h*": "HH",
    "++": "HH",
    "ll": "LL",
    "critical low": "LL",
    "panic low": "LL",
    "l*": "LL",
    "--": "LL",
    "a": "ABNORMAL",
    "aa": "ABNORMAL",
    "abn": "ABNORMAL",
    "abnormal": "ABNORMAL",
    "critical": "ABNORMAL",
    "out of range": "ABNORMAL",
    "*": "ABNORMAL",
    "**": "ABNORMAL",
    "!": "ABNORMAL",
}
_NOTHING = frozenset(
    {"", "-", "--", "---", ".", "n/a", "na", "nan", "inf", "-inf", "infinity", "tnp", "dnr", "qns", "qnsuff", "pending"}
    | {"test not performed", "not performed", "not done", "cancelled", "canceled", "see note", "see note:", "see notes"}
    | {"see below", "see comment", "see report", "comment", "quantity not sufficient", "in progress", "not tested"}
    | {"not reported", "not calculated", "unable to calculate", "not available", "null", "ausstehend", "folgt"}
)
_NO_RANGE = frozenset(
    {"", "-", "--", "n/a", "na", "none", "null", "not estab.", "not estab", "not established", "see note", "see note:"}
    | {"not applicable", "see below", "see comment", "see report", "nicht etabliert", "no establecido", "non établi"}
)
_CAPTION = re.compile(
    r"^(?:(?:normal|reference|ref\.?|standard|expected)\s+)?(?:range|interval|value)s?\s*:?\s*"
    r"|^(?:normal|normalwert|referenzbereich|referenz|ref\.?|norm)\s*:\s*",
    re.IGNORECASE,
)


_MOST_DIGITS = 20
_GROUPED = {
    ",": (re.compile(r"[+-]?\d{1,3}(,\d{3})+"), re.compile(r"[+-]?\d{1,2}(,\d{2})+,\d{3}")),
    ".": (re.compile(r"[+-]?\d{1,3}(\.\d{3})+"), re.compile(r"[+-]?\d{1,2}(\.\d{2})+\.\d{3}")),
}
# Powers, marks of footnotes and fractions are no digits of the number that they stand beside; behind a letter they
# belong to a unit.
_NO_DIGIT = re.compile(r"(?<![^\W\d_])(?=[⁰¹²³⁴-⁹₀-₉①-⒛⓪⓵-⓾¼-¾⅐-⅞↉])")
_SIGNS = str.maketrans({"–": "-", "—": "-", "−": "-", "‐": "-", "’": "'", "μ": "u", "\u00b5": "u"})
_RESULT = re.compile(
    rf"(?:\(?(?P<flag>[HLA]{{1,2}}|\*++|!)\)?\s*)?(?:(?P<comparator>{_COMPARATOR})\s*)?(?P<flag_after_comparator>\*++)?"
    rf"(?P<number>{_NUMBER})(?P<rest>(?:[^\d.,].*)?)",
    re.IGNORECASE,
)
_MARKED = re.compile(r"(?P<text>.*[^\s*!])\s*(?:\((?P<flag>HH?|LL?|ABN|ABNORMAL)\)|[*!]+)", re.IGNORECASE)
_BOTH = re.compile(
    rf"(?:(?P<low_comparator>{_COMPARATOR})\s*)?(?P<low>{_NUMBER})\s*"
    r"(?:-|to|bis|and|und|a|à|y|~|\.{2,3})\s*"
    rf"(?:(?P<high_comparator>{_COMPARATOR})\s*)?(?P<high>{_NUMBER})(?P<rest>(?:[^\d.,].*)?)",
    re.IGNORECASE,
)
_ONE = re.compile(rf"(?P<comparator>{_COMPARATOR})\s*(?P<number>{_NUMBER})(?P<rest>(?:[^\d.,].*)?)", re.IGNORECASE)
_DILUTION = re.compile(r"(?<![\d.,:])1\s*:\s*(?=\d)")
# A laboratory's word about the range itself. Others ("male", "years") say for whom it holds, and are not passed over.
_VERDICT = re.compile(r"\s*\(?\b(?:optimal|desirable|desired|normal|recommended)\b\)?$", re.IGNORECASE)
# Numbers whose separator can only be the decimal sign.
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(?:\d+,(?:\d{1,2}|\d{4,})|0,\d+|\d{1,3}(?:\.\d{3})+,\d+)(?![\d.,])")
_DECIMAL_POINT = re.compile(r"(?<![\d.,])(?:\d+\.(?:\d{1,2}|\d{4,})|0\.\d+|\d{1,3}(?:,\d{3})+\.\d+)(?![\d.,])")


class NoResult(ValueError):
    """The text says that there is no result, or is none that could be stored."""


@dataclass(frozen=True, slots=True)
class Result:
    """One result. `number` is None for a qualitative one, which `text` holds as printed.

    `comparator` is "", "<", "<=", ">" or ">="; `flag` "", "H", "L", "HH", "LL"
    or "ABNORMAL"; `unit` what stood behind the number, as printed.
    """

    number: Decimal | None
    comparator: str = ""
    text: str = ""
    flag: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """A reference range; both bounds are None where it has none, or cannot be read.

    A bound belongs to the range unless it is open: `<5.0` has an open high of
    5.0. `expected` is the qualitative result that is normal ("Negative"), as
    printed; `unit` what stood behind the bounds; `text` the range as printed.
    """

    text: str
    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False
    expected: str = ""
    unit: str = ""

    def contains(self, number: Decimal, comparator: str = "") -> bool | None:
        """Whether a result is in range; None where the range or the comparator leaves it open.

        `<0.1` is every number below 0.1: in a range of 0 to 5 if nothing can be
        below 0, which a laboratory's concentrations cannot.
        """
        if self.low is None and self.high is None:
            return None
        if not comparator:
            return self._above_low(number) and self._below_high(number)
        if comparator in ("<", "<="):
            near, near_open, far, far_open, sign = self.low, self.low_open, self.high, self.high_open, 1
        else:
            near, near_open, far, far_open, sign = self.high, self.high_open, self.low, self.low_open, -1
        # The result is one of all numbers from infinity, past `near` and towards `far`, up to this one.
        without_it = len(comparator) == 1
        if near is not None and (sign * (number - near) < 0 or (number == near and (without_it or near_open))):
            return False
        endless = near is None or (near == 0 and sign == 1 and not near_open)
        fits = far is None or sign * (number - far) < 0 or (number == far and (without_it or not far_open))
        return True if endless and fits else None

    def _above_low(self, number: Decimal) -> bool:
        return self.low is None or number > self.low or (number == self.low and not self.low_open)

    def _below_high(self, number: Decimal) -> bool:
        return self.high is None or number < self.high or (number == self.high and not self.high_open)


def read_result(text: str, *, decimal_comma: bool = False) -> Result:
    """A result as printed, with what stands around it. Raises NoResult.

    `5.5 (H)`, `<0.1`, `> OR = 60`, `1,25 mmol/l`, `*5.5`, `Negative`.
    """
    plain = _plain(text)
    if plain.lower() in _NOTHING:
        raise NoResult("that is no result")
    if len(plain) > _LONGEST:
        return Result(None, text=plain)
    if (found := _RESULT.fullmatch(plain)) and (behind := _behind(found["rest"])):
        number = _decimal(found["number"], decimal_comma)
        if number is not None:
            unit, flag = behind
            before = found["flag"] or found["flag_after_comparator"] or ""
            return Result(number, _comparator(found["comparator"]), "", flag or _FLAGS.get(before.lower(), ""), unit)
    if marked := _MARKED.fullmatch(plain):
        return Result(None, text=marked["text"], flag=_FLAGS[(marked["flag"] or "*").lower()])
    return Result(None, text=plain)


@lru_cache(maxsize=8192)
def read_range(text: str, *, decimal_comma: bool = False) -> Range:
    """A reference range as printed. One that cannot be read, or depends on what it does not say, has no bounds.

    `3.4-10.8`, `<5.0`, `> OR = 60`, `0-5 %`, `Not Estab.`, `Negative`.
    """
    printed = text.strip()
    plain = _CAPTION.sub("", _plain(text))
    if plain[:1] + plain[-1:] in ("()", "[]"):
        plain = plain[1:-1].strip()
    if plain.lower() in _NO_RANGE or len(plain) > _LONGEST:
        return Range(printed)
    comma = decimal_comma or uses_decimal_comma([plain])
    if found := _BOTH.fullmatch(plain):
        low, high = _decimal(found["low"], comma), _decimal(found["high"], comma)
        unit = _unit_of_range(found["rest"])
        below, above = _comparator(found["low_comparator"]), _comparator(found["high_comparator"])
        if low is None or high is None or low > high or unit is None or "<" in below or ">" in above:
            return Range(printed)
        return Range(printed, low, high, below == ">", above == "<", unit=unit)
    if found := _ONE.fullmatch(plain):
        bound, unit = _decimal(found["number"], comma), _unit_of_range(found["rest"])
        comparator = _comparator(found["comparator"])
        if bound is None or unit is None:
            return Range(printed)
        if "<" in comparator:
            return Range(printed, high=bound, high_open=comparator == "<", unit=unit)
        return Range(printed, low=bound, low_open=comparator == ">", unit=unit)
    if any(c.isdigit() for c in plain) or not any(c.isalpha() for c in plain):
        return Range(printed)
    return Range(printed, expected=plain)


def reciprocal(titer: str) -> str:
    """Dilutions by what they are compared by: `<1:80` is `<80`, `1:40-1:160` is `40-160`. Other text as it is."""
    return _DILUTION.sub("", titer)


def read_flag(text: str) -> str:
    """A flag column's text: "H", "L", "HH", "LL", "ABNORMAL", or "" for none and for what is not known."""
    plain = _plain(text).lower().strip("()[] ")
    return _FLAGS.get(plain, "")


def uses_decimal_comma(texts: Iterable[str]) -> bool:
    """Whether a report writes decimal commas: some number says so, and none says the opposite."""
    comma = False
    for text in texts:
        if _DECIMAL_POINT.search(text):
            return False
        comma = comma or _DECIMAL_COMMA.search(text) is not None
    return comma


def _plain(text: str) -> str:
    """The text with one kind of each sign and single blanks."""
    text = unicodedata.normalize("NFKC", _NO_DIGIT.sub("^", text)).translate(_SIGNS)
    return " ".join(text.split())


def _comparator(text: str | None) -> str:
    return _COMPARATORS[" ".join(text.lower().split())] if text else ""


def _decimal(text: str, decimal_comma: bool) -> Decimal | None:
    """The number, or None when its separators contradict each other or it has more digits than are measured."""
    digits, _, power = text.lower().replace(" ", "").replace("'", "").partition("e")
    if "," in digits and "." in digits:
        # The last one is the decimal sign.
        decimal, group = (",", ".") if digits.rindex(",") > digits.rindex(".") else (".", ",")
        if digits.count(decimal) > 1 or not _grouped(digits.partition(decimal)[0], group):
            return None
        digits = digits.replace(group, "").replace(decimal, ".")
    elif "," in digits:
        groups = _grouped(digits, ",")
        one = digits.count(",") == 1
        if groups and not (one and (decimal_comma or digits.lstrip("+-").startswith("0"))):
            digits = digits.replace(",", "")
        elif one:
            digits = digits.replace(",", ".")
        else:
            return None
    elif "." in digits:
        one = digits.count(".") == 1
        if not one or (decimal_comma and _grouped(digits, ".") and not digits.lstrip("+-").startswith("0")):
            if not _grouped(digits, "."):
                return None
            digits = digits.replace(".", "")
    number = Decimal(f"{digits}e{power}" if power else digits)
    return number if len(number.as_tuple().digits) <= _MOST_DIGITS and abs(number.adjusted()) <= _MOST_DIGITS else None


def _grouped(digits: str, separator: str) -> bool:
    """Whether the separator stands where thousands are grouped: 1,250,000, or as in India 12,50,000."""
    thousands, indian = _GROUPED[separator]
    return bool(thousands.fullmatch(digits) or indian.fullmatch(digits))


def _behind(text: str) -> tuple[str, str] | None:
    """(unit, flag) of what stands behind a number, in either order; None when it is something else."""
    words = text.strip()
    if not words:
        return "", ""
    for flag, rest in ((words, ""), *_split_at_ends(words)):
        if (known := _flag_beside(flag)) is not None:
            if not rest:
                return "", known
            if is_unit(rest):
                return rest, known
    return (words, "") if is_unit(words) else None


def _split_at_ends(words: str) -> Iterable[tuple[str, str]]:
    """(possible flag, the rest): the last word first."""
    first, _, after = words.partition(" ")
    before, _, last = words.rpartition(" ")
    if after:
        yield last, before
        yield first, after


def _flag_beside(text: str) -> str | None:
    inner = text.strip("()[] ")
    # In lower case single letters are units, and behind a number + and - are grades and ranges.
    if len(inner) == 1 and (inner.islower() or inner in "+-"):
        return None
    return None if inner in ("++", "--") else _FLAGS.get(inner.lower())


def _unit_of_range(text: str) -> str | None:
    """The unit behind a range's bounds; None when something else stands there."""
    words = _VERDICT.sub("", text).strip(" ,;")
    return words if not words or is_unit(words) else None
