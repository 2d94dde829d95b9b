"""Markers as they are entered, read into rows: pure, and the same for what people type and importers bring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from services.kit.errors import Violation
from services.labs.biomarkers.catalogue import Marker, catalogue
from services.labs.matching.index import Row, marker_index
from services.labs.panels.judge import Person, judge, optimal
from services.labs.units import UnitRefused, rounded, units_of
from services.labs.values import (
    NoResult,
    Range,
    Result,
    read_flag,
    read_range,
    read_result,
    reciprocal,
    uses_decimal_comma,
)

# What a person or an importer says of a marker; every other column follows from it.
ENTERED = (
    *("biomarker", "raw_name", "sub_panel", "specimen", "loinc_code", "value", "unit"),
    *("ref_range_text", "flag", "lab_code", "parse_confidence"),
)
# Of an amount in the canonical unit, as the table has it: nothing is so much.
_HIGHEST_POWER = 41


class Unreadable(ValueError):
    """What cannot be stored, field by field."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("a marker cannot be read")
        self.violations = violations


def read_markers(
    entered: Sequence[Mapping[str, Any]], person: Person, aliases: Mapping[str, str], place: str = "markers[{}]."
) -> list[dict[str, Any]]:
    """The rows of markers, one for each, in order. Raises Unreadable with every violation.

    A marker is what the ENTERED fields say (its biomarker None if it is to be
    found, "" if it is none that is known); `aliases` are the person's own
    (`alias_key` to a slug), `place` is where violations are. Whether commas are
    decimal ones, all markers together say, as one report does, unless a marker
    has been read before and knows (`decimal_comma`).
    """
    texts = (text for marker in entered for text in (marker["value"], marker.get("ref_range_text") or ""))
    comma = uses_decimal_comma(texts)
    read = [_Read.of(marker, marker.get("decimal_comma", comma), place.format(at)) for at, marker in enumerate(entered)]
    found = marker_index().match_many((marker.row() for marker in read), aliases)
    rows = [marker.judged(match.slug, person) for marker, match in zip(read, found, strict=True)]
    if violations := [violation for marker in read for violation in marker.violations]:
        raise Unreadable(violations)
    return rows


def marker_key(slug: str | None, entered: Mapping[str, Any]) -> str:
    """What a panel knows a marker by: the biomarker, else the name and the specimen as printed."""
    return slug or f"~{entered['raw_name'].lower()}~{entered.get('specimen') or ''}"


@dataclass
class _Read:
    """One marker, read as far as that goes without its biomarker."""

    entered: Mapping[str, Any]
    place: str
    comma: bool
    result: Result
    printed: Range
    flag: str
    violations: list[Violation]

    @classmethod
    def of(cls, entered: Mapping[str, Any], comma: bool, place: str) -> "_Read":
        violations = []
        try:
            result = read_result(entered["value"], decimal_comma=comma)
        except NoResult:
            violations.append(Violation(f"{place}value", "says that there is no result"))
            result = Result(None)
        text = entered.get("flag") or ""
        flag = read_flag(text)
        if text and not flag:
            violations.append(Violation(f"{place}flag", "is no flag that is known: H, L, HH, LL or ABNORMAL"))
        printed = read_range(entered.get("ref_range_text") or "", decimal_comma=comma)
        return cls(entered, place, comma, result, printed, flag, violations)

    @property
    def unit(self) -> str:
        """As printed: in its own place, behind the result, or behind the range."""
        return self.entered.get("unit") or self.result.unit or self.printed.unit

    def row(self) -> Row:
        """What matching looks at."""
        said = self.entered.get
        return Row(
            said("raw_name") or "", self.unit, said("specimen") or "", said("sub_panel") or "", said("loinc_code") or ""
        )

    def judged(self, found: str | None, person: Person) -> dict[str, Any]:
        """The row, as of the biomarker that was said, else of the one that was found."""
        said = self.entered.get("biomarker")
        marker = catalogue().of((found if said is None else said) or "")
        if said and marker is None:
            self.violations.append(Violation(f"{self.place}biomarker", "is not in the dictionary"))
        if marker and marker.is_titer:
            self.result, self.printed = self._as_titer()
        marker, canonical = self._measured(marker)
        low, high = self._bounds(marker)
        printed = self.printed
        if (low, high) != (printed.low, printed.high):
            printed = replace(printed, low=low, high=high)
        verdict = judge(self.result, printed, canonical, marker, person)
        best = optimal(marker, person) if marker and canonical is not None else None
        slug = marker.slug if marker else None
        return {
            **{name: self.entered.get(name) or None for name in ENTERED},
            # 0 is a confidence too.
            "parse_confidence": self.entered.get("parse_confidence"),
            "biomarker": slug,
            "marker_key": marker_key(slug, self.entered),
            "decimal_comma": self.comma,
            "unit": self.unit or None,
            "flag": self.flag or self.result.flag or None,
            "comparator": self.result.comparator,
            "value_numeric": self.result.number,
            "value_text": None if self.result.number is not None else self.result.text,
            "value_canonical": canonical,
            "ref_range_low": low,
            "ref_range_high": high,
            "range_source": verdict.source,
            "own_flag": verdict.own_flag,
            "in_range": verdict.in_range,
            "optimal_low": best.low if best else None,
            "optimal_high": best.high if best else None,
            "in_optimal": best.contains(canonical, self.result.comparator) if best and canonical is not None else None,
        }

    def _as_titer(self) -> tuple[Result, Range]:
        """The result and the range as numbers, where they are printed as dilutions."""
        value, printed = self.entered["value"], self.entered.get("ref_range_text") or ""
        as_number = read_result(reciprocal(value), decimal_comma=self.comma) if self.result.text else self.result
        result = self.result if as_number.number is None else as_number
        return result, replace(read_range(reciprocal(printed), decimal_comma=self.comma), text=self.printed.text)

    def _measured(self, marker: Marker | None) -> tuple[Marker | None, Decimal | None]:
        """The biomarker, if it is measured in the result's unit, and the result in its canonical one."""
        if marker is None or self.result.number is None or marker.is_qualitative:
            return marker, None
        try:
            canonical = rounded(units_of(marker.slug).to_canonical(self.result.number, self.unit))
            if canonical.adjusted() <= _HIGHEST_POWER:
                return marker, canonical
            if self.entered.get("biomarker"):
                self.violations.append(Violation(f"{self.place}value", "is more than there can be in this unit"))
        except UnitRefused as error:
            if self.entered.get("biomarker"):
                accepted = ", ".join(error.accepted)
                self.violations.append(Violation(f"{self.place}unit", f"is none of this biomarker's units: {accepted}"))
        # Found by its name, but not what the dictionary means by it: kept as printed.
        return None, None

    def _bounds(self, marker: Marker | None) -> tuple[Decimal | None, Decimal | None]:
        """The printed range's ends in the result's unit; None where the range has another that does not convert."""
        ends = (self.printed.low, self.printed.high)
        if self.printed.unit in ("", self.unit):
            return ends
        if marker is None or marker.is_qualitative:
            return None, None
        units = units_of(marker.slug)
        try:
            low, high = (
                None if end is None else rounded(units.convert(end, self.printed.unit, self.unit)) for end in ends
            )
        except UnitRefused:
            return None, None
        return low, high
