"""FHIR R4 results: a Bundle, NDJSON, or one resource; Observations and the DiagnosticReports that list them.

Plain dictionaries: a file of another system is read as far as it can be, and
what cannot is accounted for. By https://hl7.org/fhir/R4/observation.html and
https://hl7.org/fhir/R4/diagnosticreport.html.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from services.labs.reports import Rejected, Report, Result, UnreadableReportError, parse_moment, reports_by_visit

Resource = Mapping[str, Any]
LOINC = "http://loinc.org"
# "Laboratory report": that it is one, and not which.
UNNAMED_REPORT = "11502-2"
# Observation.status: what is no result, or not yet.
NOT_RESULTS = {
    "registered": "the result is pending",
    "cancelled": "the result was cancelled",
    "entered-in-error": "the result was entered in error",
}
MAX_DEPTH = 8


class Resources:
    """The resources of a file by what others call them."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Resource]] = []
        self._by_reference: dict[str, tuple[str, Resource]] = {}

    def add(self, place: str, resource: Resource, url: str = "") -> None:
        self.all.append((place, resource))
        names = (url, f"{resource.get('resourceType')}/{resource.get('id')}" if resource.get("id") else "")
        for name in filter(None, names):
            self._by_reference.setdefault(name, (place, resource))

    def find(self, reference: Any, inside: Resource) -> tuple[str, Resource] | None:
        """What a Reference points at, if it is in the file: by its URL, `Type/id`, or `#id` of what is contained."""
        target = str(_object(reference).get("reference") or "")
        if target.startswith("#"):
            for contained in _objects(inside.get("contained")):
                if contained.get("id") == target[1:]:
                    return target, contained
            return None
        parts = target.split("/_history/")[0].split("/")
        return self._by_reference.get(target) or self._by_reference.get("/".join(parts[-2:]))


def read(data: bytes) -> Iterator[Report]:
    """The reports of a file. Raises UnreadableReportError for what is no FHIR at all."""
    resources = Resources()
    rejected = [fault for fault in _load(data, resources) if fault]
    if not resources.all:
        raise UnreadableReportError("the file has no FHIR resource")
    seen: set[int] = set()
    reports: list[Report] = []
    for place, resource in resources.all:
        if resource.get("resourceType") == "DiagnosticReport":
            reports += _diagnostic_report(place, resource, resources, seen)
    alone: dict[tuple[str, date | None], list[Result]] = {}
    for place, resource in resources.all:
        if resource.get("resourceType") == "Observation" and id(resource) not in seen:
            for read_one in _observation(place, resource, resources):
                if isinstance(read_one, Rejected):
                    rejected.append(read_one)
                else:
                    alone.setdefault((_performer(resource), read_one.collected), []).append(read_one)
    for (lab_name, collected), results in alone.items():
        reports.append(Report(tuple(results), lab_name=lab_name, collected=collected))
    yield from reports
    if rejected:
        yield Report(rejected=tuple(rejected))


def _load(data: bytes, resources: Resources) -> Iterator[Rejected | None]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableReportError("the file is no UTF-8 text") from None
    try:
        whole = _parse(text)
    except ValueError:
        yield from _load_lines(text, resources)
        return
    if not isinstance(whole, dict):
        raise UnreadableReportError("the file is no FHIR resource")
    if whole.get("resourceType") != "Bundle":
        _require_type(whole)
        resources.add(f"{whole['resourceType']} {whole.get('id') or 1}", whole)
        return
    for index, entry in enumerate(_objects(whole.get("entry")), start=1):
        resource = _object(entry.get("resource"))
        if isinstance(resource.get("resourceType"), str):
            resources.add(f"entry {index}", resource, str(entry.get("fullUrl") or ""))
        else:
            yield Rejected(f"entry {index}", "it is no FHIR resource")


def _load_lines(text: str, resources: Resources) -> Iterator[Rejected | None]:
    """NDJSON: a resource on each line. The first line decides whether it is that at all."""
    is_first = True
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            resource = _parse(line)
            _require_type(resource)
        except (ValueError, UnreadableReportError):
            if is_first:
                raise UnreadableReportError("the file is neither JSON nor NDJSON of FHIR") from None
            yield Rejected(f"line {number}", "it is no FHIR resource")
            continue
        is_first = False
        resources.add(f"line {number}", resource)


def _parse(text: str) -> Any:
    """JSON whose numbers keep their digits. Raises ValueError, for a nesting that is too deep as well."""
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _require_type(resource: Any) -> None:
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise UnreadableReportError("the file is no FHIR resource")


def _diagnostic_report(place: str, resource: Resource, resources: Resources, seen: set[int]) -> Iterator[Report]:
    header = Report(
        lab_name=_performer(resource),
        lab_provider=_requester(resource, resources),
        panel_name=_panel_name(resource.get("code")),
        collected=_effective(resource),
        reported=parse_moment(str(resource.get("issued") or "")),
        specimen_id=_accession(resource, resources),
        source_system=_system(resource),
        source_id=str(resource.get("id") or ""),
    )
    results: list[Result] = []
    rejected: list[Rejected] = []
    if resource.get("status") in ("cancelled", "entered-in-error"):
        reason = NOT_RESULTS[str(resource["status"])]
        for _, observation in _members(resource, "result", resources):
            seen.add(id(observation))
        yield replace(header, rejected=(Rejected(place, reason),))
        return
    for target in _objects(resource.get("result")):
        found = resources.find(target, resource)
        if not found:
            rejected.append(Rejected(f"{place}, a result", "it points at an Observation that the file does not have"))
            continue
        for at, observation in _with_members(*found, resources, seen):
            for read_one in _observation(at, observation, resources):
                if isinstance(read_one, Rejected):
                    rejected.append(read_one)
                else:
                    results.append(read_one)
    reports = list(reports_by_visit(header, results)) or [header]
    yield replace(reports[0], rejected=tuple(rejected))
    yield from reports[1:]


def _members(resource: Resource, field: str, resources: Resources) -> Iterator[tuple[str, Resource]]:
    for target in _objects(resource.get(field)):
        if found := resources.find(target, resource):
            yield found


def _with_members(
    place: str, observation: Resource, resources: Resources, seen: set[int], depth: int = 0
) -> Iterator[tuple[str, Resource]]:
    """An Observation, and those that it groups (`hasMember`), each once."""
    if id(observation) in seen or depth > MAX_DEPTH:
        return
    seen.add(id(observation))
    members = list(_members(observation, "hasMember", resources))
    if _value(observation) or not members:
        yield place, observation
    for member in members:
        yield from _with_members(*member, resources, seen, depth + 1)


def _observation(place: str, resource: Resource, resources: Resources) -> Iterator[Result | Rejected]:
    if reason := NOT_RESULTS.get(str(resource.get("status"))):
        yield Rejected(place, reason)
        return
    components = list(_objects(resource.get("component")))
    if not components or _value(resource):
        yield _result(place, resource, resource, resources)
    for index, component in enumerate(components, start=1):
        yield _result(f"{place}, component {index}", component, resource, resources)


def _result(place: str, part: Resource, whole: Resource, resources: Resources) -> Result | Rejected:
    name, value = _name(part.get("code")), _value(part)
    if not value:
        return Rejected(place, "there is no value")
    if not name:
        return Rejected(place, "it does not say what was measured")
    quantity = _object(part.get("valueQuantity"))
    return Result(
        place=place,
        name=name,
        value=value,
        unit=str(quantity.get("unit") or quantity.get("code") or ""),
        reference_range=_range(next(iter(_objects(part.get("referenceRange"))), {})),
        flag=_code(next(iter(_objects(part.get("interpretation"))), {})),
        loinc=next((str(c.get("code") or "") for c in _codings(part.get("code")) if c.get("system") == LOINC), ""),
        specimen=_specimen(whole, resources),
        sub_panel=_heading(whole),
        note="\n".join(str(note["text"]) for note in _objects(whole.get("note")) if note.get("text")),
        collected=_effective(whole),
        source_id=str(whole.get("id") or ""),
    )


def _value(part: Resource) -> str:
    if quantity := _object(part.get("valueQuantity")):
        return _quantity(quantity)
    if concept := _object(part.get("valueCodeableConcept")):
        return _name(concept)
    if (limits := _object(part.get("valueRange"))) or (limits := _object(part.get("valueRatio"))):
        first, second = ("low", "high") if "low" in limits or "high" in limits else ("numerator", "denominator")
        parts = [_quantity(_object(limits.get(name))) for name in (first, second)]
        return ("-" if first == "low" else ":").join(filter(None, parts))
    for field in ("valueString", "valueInteger", "valueDateTime", "valueTime"):
        if part.get(field) not in (None, ""):
            return str(part[field]).strip()
    if isinstance(flag := part.get("valueBoolean"), bool):
        return "positive" if flag else "negative"
    return ""


def _quantity(quantity: Resource) -> str:
    value = quantity.get("value")
    return f"{quantity.get('comparator') or ''}{_digits(value)}" if isinstance(value, Decimal) else ""


def _digits(value: Decimal) -> str:
    """As the file has it, but without an exponent (`1E+2`), unless that would be endless."""
    return f"{value:f}" if abs(value.adjusted()) < 30 else str(value)


def _range(limits: Resource) -> str:
    if text := limits.get("text"):
        return str(text)
    low, high = (_quantity(_object(limits.get(name))) for name in ("low", "high"))
    if low and high:
        return f"{low}-{high}"
    return f">={low}" if low else f"<={high}" if high else ""


def _effective(resource: Resource) -> date | None:
    for field in ("effectiveDateTime", "effectiveInstant"):
        if text := resource.get(field):
            return parse_moment(str(text))
    return parse_moment(str(_object(resource.get("effectivePeriod")).get("start") or ""))


def _performer(resource: Resource) -> str:
    return next((str(p["display"]) for p in _objects(resource.get("performer")) if p.get("display")), "")


def _specimen(resource: Resource, resources: Resources) -> str:
    reference = _object(resource.get("specimen"))
    if reference.get("display"):
        return str(reference["display"])
    found = resources.find(reference, resource)
    return _name(found[1].get("type")) if found else ""


def _panel_name(concept: Any) -> str:
    plain = not _object(concept).get("text") and _code(concept) == UNNAMED_REPORT
    return "" if plain else _name(concept)


def _requester(report: Resource, resources: Resources) -> str:
    """Who ordered a report."""
    orders = (resources.find(reference, report) for reference in _objects(report.get("basedOn")))
    names = (str(_object(order[1].get("requester")).get("display") or "") for order in orders if order)
    return next(filter(None, names), "")


def _heading(resource: Resource) -> str:
    """What a report heads it with: a category that is no code."""
    texts = (category.get("text") for category in _objects(resource.get("category")) if not category.get("coding"))
    return next((str(text) for text in texts if text), "")


def _accession(report: Resource, resources: Resources) -> str:
    """What the laboratory knows the one specimen of a report by."""
    found = [resources.find(reference, report) for reference in _objects(report.get("specimen"))]
    named = [_object(specimen[1].get("accessionIdentifier")).get("value") for specimen in found if specimen]
    return str(named[0]) if len(named) == 1 and named[0] else ""


def _system(resource: Resource) -> str:
    """Where a resource comes from: its source, or who numbers it."""
    numbered = (str(identifier.get("system") or "") for identifier in _objects(resource.get("identifier")))
    return str(_object(resource.get("meta")).get("source") or "") or next(filter(None, numbered), "")


def _name(concept: Any) -> str:
    """What a CodeableConcept says to people."""
    names: Iterable[Any] = (_object(concept).get("text"), *(c.get("display") for c in _codings(concept)))
    return next((str(name).strip() for name in names if name), "") or _code(concept)


def _code(concept: Any) -> str:
    return next((str(c["code"]) for c in _codings(concept) if c.get("code")), "")


def _codings(concept: Any) -> Iterator[Resource]:
    return _objects(_object(concept).get("coding"))


def _object(value: Any) -> Resource:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> Iterator[Resource]:
    return (item for item in value if isinstance(item, dict)) if isinstance(value, list) else iter(())
