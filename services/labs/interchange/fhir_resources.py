"""Panels and markers as FHIR R4 resources, to which `fhir.py` is the reader: pure.

By https://hl7.org/fhir/R4/diagnosticreport.html and
https://hl7.org/fhir/R4/observation.html. What a report prints goes out as
printed; numbers keep their digits. Whose it is, an opaque reference says, and
nothing else of the person goes out.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson

from services.labs.biomarkers.catalogue import Marker, catalogue
from services.labs.interchange.fhir import UNNAMED_REPORT
from services.labs.interchange.fhir_values import LOINC, UCUM
from services.labs.units import UnitRefused, UnknownUnit, read_unit, units_of

Resource = dict[str, Any]
_LABORATORY = {
    "observation": {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"},
    "report": {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "LAB"},
}
_INTERPRETATION = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation"
_FLAGS = {"H": "H", "L": "L", "HH": "HH", "LL": "LL", "ABNORMAL": "A"}


def entries(panel: Mapping[str, Any], markers: Sequence[Mapping[str, Any]]) -> Iterator[Resource]:
    """A panel's entries of a Bundle: its DiagnosticReport, and an Observation for each marker. Rows of the tables."""
    yield {"fullUrl": _url(panel["id"]), "resource": _report(panel, markers)}
    for marker in markers:
        yield {"fullUrl": _url(marker["id"]), "resource": _observation(panel, marker)}


def _url(row_id: Any) -> str:
    return f"urn:uuid:{row_id}"


def _subject(panel: Mapping[str, Any]) -> Resource:
    return {"type": "Patient", "identifier": {"system": "urn:ietf:rfc:3986", "value": _url(panel["user_id"])}}


def _report(panel: Mapping[str, Any], markers: Sequence[Mapping[str, Any]]) -> Resource:
    code: Resource = {"coding": [{"system": LOINC, "code": UNNAMED_REPORT, "display": "Laboratory report"}]}
    contained: list[Resource] = []
    report: Resource = {
        "resourceType": "DiagnosticReport",
        "id": str(panel["id"]),
        "status": "final",
        "category": [{"coding": [_LABORATORY["report"]]}],
        "code": code | ({"text": panel["panel_name"]} if panel["panel_name"] else {}),
        "subject": _subject(panel),
        "effectiveDateTime": _effective(panel),
    }
    if markers:
        report["result"] = [{"reference": _url(marker["id"])} for marker in markers]
    if panel["reported_at"]:
        report["issued"] = panel["reported_at"].isoformat()
    if panel["lab_comment"]:
        report["conclusion"] = panel["lab_comment"]
    if panel["lab_name"]:
        report["performer"] = [{"display": panel["lab_name"]}]
    if panel["specimen_id"]:
        contained.append(
            {"resourceType": "Specimen", "id": "specimen", "accessionIdentifier": {"value": panel["specimen_id"]}}
        )
        report["specimen"] = [{"reference": "#specimen"}]
    if panel["lab_provider"]:
        order = {"resourceType": "ServiceRequest", "id": "order", "status": "completed", "intent": "order"}
        contained.append({**order, "subject": _subject(panel), "requester": {"display": panel["lab_provider"]}})
        report["basedOn"] = [{"reference": "#order"}]
    return report | ({"contained": contained} if contained else {})


def _observation(panel: Mapping[str, Any], marker: Mapping[str, Any]) -> Resource:
    known = catalogue().of(marker["biomarker"] or "")
    ucum = _ucum(marker["unit"], known)
    category: list[Resource] = [{"coding": [_LABORATORY["observation"]]}]
    if marker["sub_panel"]:
        category.append({"text": marker["sub_panel"]})
    loinc = marker["loinc_code"] or _loinc(known, ucum)
    coding = {"coding": [{"system": LOINC, "code": loinc}]} if loinc else {}
    observation: Resource = {
        "resourceType": "Observation",
        "id": str(marker["id"]),
        "status": "final",
        "category": category,
        "code": {**coding, "text": marker["raw_name"]},
        "subject": _subject(panel),
        "effectiveDateTime": _effective(panel),
        **_value(marker, known, ucum),
    }
    if panel["lab_name"]:
        observation["performer"] = [{"display": panel["lab_name"]}]
    if marker["specimen"]:
        observation["specimen"] = {"display": marker["specimen"]}
    if marker["lab_comment"]:
        observation["note"] = [{"text": marker["lab_comment"]}]
    if marker["flag"]:
        observation["interpretation"] = [{"coding": [{"system": _INTERPRETATION, "code": _FLAGS[marker["flag"]]}]}]
    if marker["ref_range_text"]:
        ends = {
            end: _quantity(marker[f"ref_range_{end}"], marker["unit"], ucum)
            for end in ("low", "high")
            if marker[f"ref_range_{end}"] is not None
        }
        observation["referenceRange"] = [{**ends, "text": marker["ref_range_text"]}]
    return observation


def _value(marker: Mapping[str, Any], known: Marker | None, ucum: str) -> Resource:
    if marker["value_numeric"] is None:
        qualitative = known is not None and known.is_qualitative
        text = marker["value_text"]
        return {"valueCodeableConcept": {"text": text}} if qualitative else {"valueString": text}
    quantity = _quantity(marker["value_numeric"], marker["unit"], ucum)
    return {"valueQuantity": quantity | ({"comparator": marker["comparator"]} if marker["comparator"] else {})}


def _quantity(number: Decimal, unit: str | None, ucum: str) -> Resource:
    quantity: Resource = {"value": orjson.Fragment(f"{number:f}")}
    if unit:
        quantity["unit"] = unit
    return quantity | ({"system": UCUM, "code": ucum} if ucum else {})


def _ucum(unit: str | None, known: Marker | None) -> str:
    """The printed unit's UCUM code; "" where it is none for sure."""
    if not unit:
        return ""
    try:
        if known and not known.is_qualitative:
            return units_of(known.slug).read(unit).ucum
        readings = read_unit(unit)
    except (UnitRefused, UnknownUnit):
        return ""
    return readings[0].code if len(readings) == 1 else ""


def _loinc(known: Marker | None, ucum: str) -> str:
    """The biomarker's term that is measured in such a unit: LOINC tells amounts of substance from all others."""
    terms = [term for term in (known.loinc, *known.other_loincs) if term] if known else []
    substance = "mol" in ucum or "eq" in ucum
    unitless = known is not None and (known.is_qualitative or known.canonical_unit == "1")
    fitting = (term.code for term in terms if unitless or (ucum and term.property.startswith("S") == substance))
    return next(fitting, "")


def _effective(panel: Mapping[str, Any]) -> str:
    """The day, or the instant with an offset at which it is on that day: the one that is nearest to UTC.

    An instant that is on that day nowhere, or only beyond the calendar's ends, does not go out.
    """
    day: date = panel["collected_date"]
    instant: datetime | None = panel["collected_at"]
    if instant is None:
        return day.isoformat()
    for hours in sorted(range(-12, 15), key=abs):
        with suppress(OverflowError):
            there = instant.astimezone(timezone(timedelta(hours=hours)))
            if there.date() == day:
                return there.isoformat()
    return day.isoformat()
