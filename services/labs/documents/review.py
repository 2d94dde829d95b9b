"""What a document's values mean, and what is doubtful about them: pure, and the same after every correction."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from services.labs.biomarkers.catalogue import Marker, catalogue
from services.labs.documents.extraction import NOT_IN_TEXT
from services.labs.matching.index import Match, Row, marker_index
from services.labs.units import UnitRefused, rounded, units_of
from services.labs.values import NoResult, Result, read_flag, read_range, read_result, reciprocal, uses_decimal_comma

BY_PERSON = "person"
# By these a marker is found; the rest of a value says what its result is.
FINDS = frozenset({"raw_name", "sub_panel", "specimen", "loinc_code"})
DERIVED = (
    *("biomarker", "match_confidence", "match_method", "candidates", "value_numeric", "comparator"),
    *("value_canonical", "canonical_unit", "doubts"),
)
# Below this, what was read or matched is worth a second look.
SURE_READING = 0.7
SURE_MATCH = 0.9
# A result may be far from normal; one that is so much further is a slip of the unit or of the decimal sign.
TIMES_BEYOND = 100
MOST_CANDIDATES = 5
_NO_MATCH = Match(None, 0.0, "", ())


def judge_values(values: Sequence[Mapping[str, Any]], aliases: Mapping[str, str]) -> list[dict[str, Any]]:
    """The DERIVED columns of each value of one document, in order; dropped ones repeat nobody.

    A value is its columns as entered; `aliases` are what the person's reports
    are matched by besides the dictionary (`known_aliases`). Whether commas are
    decimal ones, all of them together say, as one report does. What an extractor
    made up (`not_in_text`) stays doubtful until somebody has corrected it.
    """
    texts = (text for value in values for text in (value["value"], value["ref_range_text"] or ""))
    comma = uses_decimal_comma(texts)
    results = [_read(value, comma) for value in values]
    rows = (_row(value, result) for value, result in zip(values, results, strict=True))
    judged = [
        _judge(value, result, match)
        for value, result, match in zip(values, results, marker_index().match_many(rows, aliases), strict=True)
    ]
    living = Counter(_key(value, found) for value, found in zip(values, judged, strict=True) if not value["deleted_at"])
    for value, found in zip(values, judged, strict=True):
        if not value["deleted_at"] and living[_key(value, found)] > 1:
            found["doubts"].append("duplicate")
    return judged


def _read(value: Mapping[str, Any], comma: bool) -> Result | None:
    try:
        return read_result(value["value"], decimal_comma=comma)
    except NoResult:
        return None


def _unit(value: Mapping[str, Any], result: Result | None) -> str:
    """As printed: in its own place, behind the result, or behind the range."""
    return value["unit"] or (result.unit if result else "") or read_range(value["ref_range_text"] or "").unit


def _row(value: Mapping[str, Any], result: Result | None) -> Row:
    """What matching looks at."""
    specimen, section, loinc = (value[name] or "" for name in ("specimen", "sub_panel", "loinc_code"))
    return Row(value["raw_name"], _unit(value, result), specimen, section, loinc)


def _judge(value: Mapping[str, Any], result: Result | None, match: Match) -> dict[str, Any]:
    said = value["match_method"] == BY_PERSON
    marker = catalogue().of((value["biomarker"] if said else match.slug) or "")
    if marker and marker.is_titer and result and result.number is None:
        result = read_result(reciprocal(value["value"]))
    if marker is None:
        said = False
    found = match if marker and not said else _NO_MATCH
    doubts = [NOT_IN_TEXT] if NOT_IN_TEXT in (value["doubts"] or ()) else []
    if value["confidence"] is not None and value["confidence"] < SURE_READING:
        doubts.append("low_confidence")
    if marker is None:
        doubts.append("name_unsure" if match.candidates else "name_unknown")
    elif not said and match.confidence < SURE_MATCH:
        doubts.append("name_unsure")
    if value["flag"] and not read_flag(value["flag"]):
        doubts.append("flag_unknown")
    number = result.number if result else None
    canonical = None
    if result is None:
        doubts.append("no_result")
    elif marker is None and number is not None and match.candidates:
        # The unit may be all that speaks against the marker that the name says.
        if not units_of(match.candidates[0].slug).accepts(_unit(value, result)):
            doubts.append("unit_unknown")
    elif marker and number is None and not marker.is_qualitative:
        doubts.append("not_a_number")
    elif marker and number is not None and not marker.is_qualitative:
        try:
            canonical = rounded(units_of(marker.slug).to_canonical(number, _unit(value, result)))
        except UnitRefused:
            doubts.append("unit_unknown")
        else:
            if _is_implausible(marker, canonical):
                doubts.append("implausible")
    return {
        "biomarker": marker.slug if marker else None,
        "match_confidence": round(found.confidence, 2) if found.slug else None,
        "match_method": BY_PERSON if said else found.how or None,
        "candidates": [] if marker else [candidate.slug for candidate in match.candidates[:MOST_CANDIDATES]],
        "value_numeric": number,
        "comparator": result.comparator if result else "",
        "value_canonical": canonical,
        "canonical_unit": marker.canonical_unit if marker and canonical is not None else None,
        "doubts": doubts,
    }


def _is_implausible(marker: Marker, canonical: Decimal) -> bool:
    lowest, highest = _normal(marker.slug)
    if lowest is not None and lowest >= 0 and (canonical < 0 or canonical < lowest / TIMES_BEYOND):
        return True
    return highest is not None and highest > 0 and canonical > highest * TIMES_BEYOND


@cache
def _normal(slug: str) -> tuple[Decimal | None, Decimal | None]:
    """The lowest and the highest end of the marker's normal ranges, for whomever they are, in the canonical unit."""
    units, normal = units_of(slug), catalogue().markers[slug].normal
    lows = [units.to_canonical(each.low, each.unit) for each in normal if each.low is not None]
    highs = [units.to_canonical(each.high, each.unit) for each in normal if each.high is not None]
    return min(lows, default=None), max(highs, default=None)


def _key(value: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """What a panel would know the value by."""
    if found["biomarker"] and "unit_unknown" not in found["doubts"]:
        return (found["biomarker"],)
    return (value["raw_name"].lower(), value["specimen"] or "")
