"""Whether a result is in range: by the range that is printed beside it, else by the dictionary's.

Where several intervals of the dictionary hold for the person, those that ask
for most (a sex, a phase, a condition that is met) go before the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from services.labs.biomarkers.catalogue import Marker
from services.labs.biomarkers.catalogue import Range as Interval
from services.labs.units import units_of
from services.labs.values import Range, Result

REPORT, DICTIONARY = "report", "dictionary"
# Words for the two sides of a qualitative result. What is in neither is judged only when it is the expected word.
_ABSENT = frozenset(
    {"negative", "neg", "not detected", "none detected", "non-reactive", "nonreactive", "non reactive", "absent"}
    | {"none seen", "none", "negativ", "nicht nachweisbar", "négatif", "negativo", "no detectado"}
)
_PRESENT = frozenset(
    {"positive", "pos", "detected", "reactive", "present", "positiv", "nachweisbar", "positif", "positivo"}
)
_UNDECIDED = ("indeterminate", "equivocal")


@dataclass(frozen=True, slots=True)
class Person:
    """Whose result it is, as far as intervals ask; None is not known."""

    sex: str | None = None
    age_years: int | None = None
    cycle_phase: str | None = None
    fasting: bool | None = None


class Verdict(NamedTuple):
    """`in_range` is None where it cannot be said; `own_flag` is "H", "L", "ABNORMAL" or None."""

    in_range: bool | None
    own_flag: str | None
    source: str | None


UNKNOWN = Verdict(None, None, None)


def interval_of(intervals: Sequence[Interval], person: Person) -> Interval | None:
    """The interval that holds for the person, the most particular one; None if none does, or several differ."""
    fitting = [interval for interval in intervals if _fits(interval, person)]
    if not fitting:
        return None
    best = max(map(_asks, fitting))
    first, *others = [interval for interval in fitting if _asks(interval) == best]
    # Two sources that say different things leave it open.
    same = all((other.low, other.high, other.unit) == (first.low, first.high, first.unit) for other in others)
    return first if same else None


def _fits(interval: Interval, person: Person) -> bool:
    # A panel says whether the person had fasted, and no other condition of an interval.
    if interval.condition is not None and not (interval.condition == "fasting" and person.fasting):
        return False
    return interval.covers(sex=person.sex, age_years=person.age_years, cycle_phase=person.cycle_phase)


def _asks(interval: Interval) -> int:
    particular = (interval.sex, interval.cycle_phase, interval.age_low_years, interval.condition)
    return sum(part is not None for part in particular)


def canonical_range(marker: Marker, interval: Interval) -> Range:
    """An interval of the dictionary in the marker's canonical unit."""
    units = units_of(marker.slug)
    ends = (interval.low, interval.high)
    low, high = (None if end is None else units.to_canonical(end, interval.unit) for end in ends)
    return Range("", low, high, not interval.low_belongs, not interval.high_belongs)


def judge(result: Result, printed: Range, canonical: Decimal | None, marker: Marker | None, person: Person) -> Verdict:
    """The verdict on a result; the printed range is in its unit, `canonical` its number in the canonical one."""
    if result.number is None:
        return _qualitative(result.text, printed.expected, marker)
    if printed.low is not None or printed.high is not None:
        return _verdict(printed, result.number, result.comparator, REPORT)
    if marker is None or canonical is None or (interval := interval_of(marker.normal, person)) is None:
        return UNKNOWN
    return _verdict(canonical_range(marker, interval), canonical, result.comparator, DICTIONARY)


def _verdict(held_to: Range, number: Decimal, comparator: str, source: str) -> Verdict:
    inside = held_to.contains(number, comparator)
    if inside is None:
        return UNKNOWN
    if inside:
        return Verdict(True, None, source)
    low = held_to.low is not None and (number < held_to.low or (number == held_to.low and comparator in ("", "<")))
    return Verdict(False, "L" if low else "H", source)


def _qualitative(text: str, printed: str, marker: Marker | None) -> Verdict:
    """By the word that is printed as the expected one, else by the dictionary's."""
    expected = marker.expected.lower() if marker else ""
    said, normal = text.strip().lower(), printed.strip().lower() or expected
    source = REPORT if printed.strip() else DICTIONARY
    if not normal:
        return UNKNOWN
    if said == normal or (said in _ABSENT and normal in _ABSENT):
        return Verdict(True, None, source)
    opposite = (said in _PRESENT and normal in _ABSENT) or (said in _ABSENT and normal in _PRESENT)
    # `Trace` and `2+` are more than `Negative`.
    graded = marker is not None and expected and said in map(str.lower, marker.results) and said not in _UNDECIDED
    if opposite or (graded and normal in (*_ABSENT, expected)):
        return Verdict(False, "ABNORMAL", source)
    return UNKNOWN


def optimal(marker: Marker, person: Person) -> Range | None:
    """The optimal range for the person in the canonical unit; None where there is none."""
    interval = interval_of(marker.optimal, person)
    return canonical_range(marker, interval) if interval else None
