"""FHIR R4 results: a Bundle, NDJSON, or one resource; Observations and the DiagnosticReports that list them.

Plain dictionaries: a file of another system is read as far as it can be, and
what cannot is accounted for. By https://hl7.org/fhir/R4/observation.html and
https://hl7.org/fhir/R4/diagnosticreport.html.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from services.labs.interchange import fhir_values as values
from services.labs.interchange.fhir_values import Resource, an_object, objects
from services.labs.reports import (
    CORRECTED,
    FINAL,
    PRELIMINARY,
    Rejected,
    Report,
    Result,
    UnreadableReportError,
    parse_moment,
    reports_by_visit,
)

# "Laboratory report": that it is one, and not which.
UNNAMED_REPORT = "11502-2"
# Observation.status: what is no result, or not yet.
NOT_RESULTS = {"registered": "the result is pending", "cancelled": "the result was cancelled"}
ENTERED_IN_ERROR = "the result was entered in error"
STATUSES = {
    "preliminary": PRELIMINARY,
    "partial": PRELIMINARY,
    "amended": CORRECTED,
    "corrected": CORRECTED,
    "appended": CORRECTED,
}
# Observation.category, where it is not "laboratory".
OTHER_CATEGORIES = frozenset(
    {"vital-signs", "social-history", "survey", "exam", "imaging", "procedure", "therapy", "activity"}
)
MAX_DEPTH = 8


class Resources:
    """The resources of a file by what others call them."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Resource]] = []
        self._by_reference: dict[str, tuple[str, Resource]] = {}
        # What is contained refers to what is contained beside it.
        self._containers: dict[int, Resource] = {}

    def add(self, place: str, resource: Resource, url: str = "") -> None:
        self.all.append((place, resource))
        names = (url, f"{resource.get('resourceType')}/{resource.get('id')}" if resource.get("id") else "")
        for name in filter(None, names):
            self._by_reference.setdefault(name, (place, resource))

    def find(self, reference: Any, inside: Resource) -> tuple[str, Resource] | None:
        """What a Reference points at, if it is in the file: by its URL, `Type/id`, or `#id` of what is contained."""
        target = str(an_object(reference).get("reference") or "")
        if target.startswith("#"):
            container = self._containers.get(id(inside), inside)
            for contained in objects(container.get("contained")):
                if contained.get("id") == target[1:]:
                    self._containers[id(contained)] = container
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
    for place, resource in resources.all:
        if resource.get("resourceType") == "DiagnosticReport":
            yield from _report(place, resource, "result", resources, seen)
    observations = [found for found in resources.all if found[1].get("resourceType") == "Observation"]
    members = {id(member) for _, one in observations for _, member in _members(one, "hasMember", resources)}
    for place, resource in observations:
        if id(resource) in seen or id(resource) in members:
            continue
        # One that only groups others is a report of them.
        if resource.get("hasMember") and not values.value(resource)[0]:
            seen.add(id(resource))
            yield from _report(place, resource, "hasMember", resources, seen)
    alone: dict[tuple[str, date | None], list[Result]] = {}
    issued: dict[tuple[str, date | None], datetime] = {}
    for place, resource in observations:
        if id(resource) in seen:
            continue
        for read_one in _observation(place, resource, resources):
            if isinstance(read_one, Rejected):
                rejected.append(read_one)
                continue
            key = _performer(resource), read_one.collected
            alone.setdefault(key, []).append(read_one)
            when = parse_moment(str(resource.get("issued") or ""))
            if isinstance(when, datetime) and when.tzinfo:
                issued[key] = max(when, issued.get(key, when))
    for (lab_name, collected), results in alone.items():
        reported = issued.get((lab_name, collected))
        yield Report(tuple(results), lab_name=lab_name, collected=collected, reported=reported)
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
    for index, entry in enumerate(objects(whole.get("entry")), start=1):
        resource = an_object(entry.get("resource"))
        if isinstance(resource.get("resourceType"), str):
            resources.add(f"entry {index}", resource, str(entry.get("fullUrl") or ""))
        else:
            yield Rejected(f"entry {index}", "it is no FHIR resource")


def _load_lines(text: str, resources: Resources) -> Iterator[Rejected | None]:
    """NDJSON: a resource on each line. The first line decides whether it is that at all."""
    is_first = True
    # Nothing else ends a line: the separators of Unicode may stand in JSON's strings.
    for number, line in enumerate(text.split("\n"), start=1):
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
    """JSON whose numbers keep their digits. Raises ValueError, for a nesting or a power that is too great as well."""
    try:
        return json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number)
    except (RecursionError, ArithmeticError):
        raise ValueError("no JSON that can be read") from None


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _require_type(resource: Any) -> None:
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise UnreadableReportError("the file is no FHIR resource")


def _report(place: str, resource: Resource, field: str, resources: Resources, seen: set[int]) -> Iterator[Report]:
    """The report that a DiagnosticReport is, or an Observation that groups others; `field` refers to them."""
    note = filter(None, (str(resource.get("conclusion") or ""), values.notes(resource)))
    header = Report(
        lab_name=_performer(resource),
        lab_provider=_requester(resource, resources),
        panel_name=_panel_name(resource.get("code")),
        collected=_effective(resource),
        reported=parse_moment(str(resource.get("issued") or "")),
        specimen_id=_accession(resource, resources),
        source_system=_system(resource),
        source_id=str(resource.get("id") or ""),
        note="\n".join(note),
    )
    results: list[Result] = []
    rejected: list[Rejected] = []
    if resource.get("status") == "cancelled":
        seen.update(id(observation) for _, observation in _members(resource, field, resources))
        yield replace(header, rejected=(Rejected(place, NOT_RESULTS["cancelled"]),))
        return
    is_void = resource.get("status") == "entered-in-error"
    for target in objects(resource.get(field)):
        found = resources.find(target, resource)
        if not found:
            rejected.append(Rejected(f"{place}, a result", "it points at an Observation that the file does not have"))
            continue
        for at, observation in _with_members(*found, resources, seen):
            for read_one in _observation(at, observation, resources):
                if isinstance(read_one, Rejected):
                    rejected.append(read_one)
                else:
                    results.append(replace(read_one, withdrawn=ENTERED_IN_ERROR) if is_void else read_one)
    if is_void and not results:
        rejected.append(Rejected(place, ENTERED_IN_ERROR))
    reports = list(reports_by_visit(header, results)) or [header]
    yield replace(reports[0], rejected=tuple(rejected))
    yield from reports[1:]


def _members(resource: Resource, field: str, resources: Resources) -> Iterator[tuple[str, Resource]]:
    for target in objects(resource.get(field)):
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
    if values.value(observation)[0] or not members:
        yield place, observation
    for member in members:
        yield from _with_members(*member, resources, seen, depth + 1)


def _observation(place: str, resource: Resource, resources: Resources) -> Iterator[Result | Rejected]:
    if reason := NOT_RESULTS.get(str(resource.get("status"))):
        yield Rejected(place, reason)
        return
    categories = {
        str(coding.get("code")) for kind in objects(resource.get("category")) for coding in values.codings(kind)
    }
    if categories & OTHER_CATEGORIES and "laboratory" not in categories:
        yield Rejected(place, "it is no laboratory result", "no_lab_result")
        return
    components = list(objects(resource.get("component")))
    if not components or values.value(resource)[0]:
        yield _result(place, resource, resource, resources)
    for index, component in enumerate(components, start=1):
        yield _result(f"{place}, component {index}", component, resource, resources)


def _result(place: str, part: Resource, whole: Resource, resources: Resources) -> Result | Rejected:
    status = str(whole.get("status"))
    withdrawn = ENTERED_IN_ERROR if status == "entered-in-error" else ""
    name, (value, unit) = values.name(part.get("code")), values.value(part)
    if not value and not withdrawn:
        return Rejected(place, "there is no value")
    if not name:
        return Rejected(place, withdrawn or "it does not say what was measured")
    return Result(
        place=place,
        name=name,
        value=value,
        unit=unit,
        reference_range=values.reference_range(part, unit),
        flag=values.flag(part),
        loinc=values.loinc(part.get("code")),
        specimen=_specimen(whole, resources),
        sub_panel=_heading(whole),
        note=values.notes(whole),
        collected=_effective(whole),
        source_id=str(whole.get("id") or ""),
        status=STATUSES.get(status, FINAL),
        withdrawn=withdrawn,
    )


def _effective(resource: Resource) -> date | None:
    for field in ("effectiveDateTime", "effectiveInstant"):
        if text := resource.get(field):
            return parse_moment(str(text))
    return parse_moment(str(an_object(resource.get("effectivePeriod")).get("start") or ""))


def _performer(resource: Resource) -> str:
    return next((str(p["display"]) for p in objects(resource.get("performer")) if p.get("display")), "")


def _specimen(resource: Resource, resources: Resources) -> str:
    reference = an_object(resource.get("specimen"))
    if reference.get("display"):
        return str(reference["display"])
    found = resources.find(reference, resource)
    return values.name(found[1].get("type")) if found else ""


def _panel_name(concept: Any) -> str:
    plain = not an_object(concept).get("text") and values.code(concept) == UNNAMED_REPORT
    return "" if plain else values.name(concept)


def _requester(report: Resource, resources: Resources) -> str:
    """Who ordered a report."""
    orders = (resources.find(reference, report) for reference in objects(report.get("basedOn")))
    names = (str(an_object(order[1].get("requester")).get("display") or "") for order in orders if order)
    return next(filter(None, names), "")


def _heading(resource: Resource) -> str:
    """What a report heads it with: a category that is no code."""
    texts = (category.get("text") for category in objects(resource.get("category")) if not category.get("coding"))
    return next((str(text) for text in texts if text), "")


def _accession(report: Resource, resources: Resources) -> str:
    """What the laboratory knows the one specimen of a report by."""
    found = [resources.find(reference, report) for reference in objects(report.get("specimen"))]
    named = [an_object(specimen[1].get("accessionIdentifier")).get("value") for specimen in found if specimen]
    return str(named[0]) if len(named) == 1 and named[0] else ""


def _system(resource: Resource) -> str:
    """Where a resource comes from: its source, or who numbers it."""
    numbered = (str(identifier.get("system") or "") for identifier in objects(resource.get("identifier")))
    return str(an_object(resource.get("meta")).get("source") or "") or next(filter(None, numbered), "")
