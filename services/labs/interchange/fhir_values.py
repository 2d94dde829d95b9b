"""What FHIR R4 resources say of a value: quantities, ranges, codes and flags, as a report prints them.

By https://hl7.org/fhir/R4/datatypes.html and https://hl7.org/fhir/R4/observation.html.
"""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from services.labs.units import UnknownUnit, read_unit
from services.labs.values import read_flag, read_range, reciprocal

Resource = Mapping[str, Any]
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
# Interpretations that no laboratory prints: significantly high and low.
_FLAGS = {"HU": "H", "LU": "L"}


def value(part: Resource) -> tuple[str, str]:
    """The value of an Observation or a component, and its unit; "" for none."""
    if quantity := an_object(part.get("valueQuantity")):
        return _number(quantity), unit(quantity)
    if concept := an_object(part.get("valueCodeableConcept")):
        return name(concept), ""
    if limits := an_object(part.get("valueRange")):
        return _limits(limits), _unit_of_limits(limits)
    if ratio := an_object(part.get("valueRatio")):
        return _ratio(*(an_object(ratio.get(end)) for end in ("numerator", "denominator")))
    for field in ("valueString", "valueInteger", "valueDateTime", "valueTime"):
        if part.get(field) not in (None, ""):
            return str(part[field]).strip(), ""
    if isinstance(flag := part.get("valueBoolean"), bool):
        return "positive" if flag else "negative", ""
    return "", ""


def unit(quantity: Resource) -> str:
    """A quantity's unit as it is printed; its code where the print is no unit that is known.

    Where the two are different units, both: which of them holds, nothing says.
    """
    printed = str(quantity.get("unit") or "").strip()
    coded = str(quantity.get("code") or "").strip() if quantity.get("system") in (None, UCUM) else ""
    if not printed or not coded or printed == coded:
        return printed or coded
    try:
        meant = {(unit.magnitude, unit.dimension) for unit in read_unit(coded)}
    except UnknownUnit:
        return printed
    try:
        same = any((unit.magnitude, unit.dimension) in meant for unit in read_unit(printed))
    except UnknownUnit:
        return coded
    return printed if same else f"{printed} ({coded})"


def reference_range(part: Resource, of_unit: str) -> str:
    """The range beside a value in `of_unit`. Of several, the one that is normal; else all of them, with for whom."""
    ranges = list(objects(part.get("referenceRange")))
    normal = [limits for limits in ranges if code(limits.get("type")) in ("", "normal")] or ranges
    printed = dict.fromkeys(_range(limits, of_unit) for limits in normal)
    if len(printed) < 2:
        return next(iter(printed), "")
    return "; ".join(dict.fromkeys(f"{_for_whom(limits)}{_range(limits, of_unit)}" for limits in normal))


def flag(part: Resource) -> str:
    """The first interpretation that is a flag, as it is written."""
    for concept in objects(part.get("interpretation")):
        written = [str(coding.get(text) or "") for coding in codings(concept) for text in ("code", "display")]
        for text in (*written, str(concept.get("text") or "")):
            if read_flag(known := _FLAGS.get(text, text)):
                return known
    return ""


def notes(resource: Resource) -> str:
    return "\n".join(str(note["text"]) for note in objects(resource.get("note")) if note.get("text"))


def loinc(concept: Any) -> str:
    return next((str(coding.get("code") or "") for coding in codings(concept) if coding.get("system") == LOINC), "")


def name(concept: Any) -> str:
    """What a CodeableConcept says to people."""
    names: Iterable[Any] = (an_object(concept).get("text"), *(coding.get("display") for coding in codings(concept)))
    return next((str(said).strip() for said in names if said), "") or code(concept)


def code(concept: Any) -> str:
    return next((str(coding["code"]) for coding in codings(concept) if coding.get("code")), "")


def codings(concept: Any) -> Iterator[Resource]:
    return objects(an_object(concept).get("coding"))


def an_object(value: Any) -> Resource:
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> Iterator[Resource]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())


def _number(quantity: Resource) -> str:
    number = quantity.get("value")
    return f"{quantity.get('comparator') or ''}{_digits(number)}" if isinstance(number, Decimal) else ""


def _digits(number: Decimal) -> str:
    """As the file has it, but without an exponent (`1E+2`), unless that would be endless."""
    return f"{number:f}" if abs(number.adjusted()) < 30 else str(number)


def _ratio(above: Resource, below: Resource) -> tuple[str, str]:
    """A titre as `1:160`; an amount per one of something, as a number with its unit."""
    first, second, unit_above, unit_below = _number(above), _number(below), unit(above), unit(below)
    if first and unit_above and second in ("", "1"):
        return first, f"{unit_above}/{unit_below}" if unit_below else unit_above
    return ":".join(filter(None, (first, second))), ""


def _limits(limits: Resource) -> str:
    low, high = (_number(an_object(limits.get(end))) for end in ("low", "high"))
    if low and high:
        return f"{low}-{high}"
    return f">={low}" if low else f"<={high}" if high else ""


def _unit_of_limits(limits: Resource) -> str:
    return unit(an_object(limits.get("low"))) or unit(an_object(limits.get("high")))


def _range(limits: Resource, of_unit: str) -> str:
    """A range as it is printed; by its ends, if the print has none that can be read."""
    text, ends, its_unit = str(limits.get("text") or "").strip(), _limits(limits), _unit_of_limits(limits)
    if text:
        # Of titres (`<1:80`) only the ends are numbers.
        printed = read_range(reciprocal(text))
        if not ends or printed.low is not None or printed.high is not None:
            return text
    return f"{ends} {its_unit}" if ends and its_unit not in ("", of_unit) else ends


def _for_whom(limits: Resource) -> str:
    """Whom a range holds for, before it: `male, age 18-65: `."""
    words = [name(concept) for concept in (limits.get("type"), *objects(limits.get("appliesTo")))]
    if age := _limits(an_object(limits.get("age"))):
        words.append(f"age {age}")
    said = ", ".join(filter(None, words))
    return f"{said}: " if said else ""
