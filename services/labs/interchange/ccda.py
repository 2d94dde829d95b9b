"""Results of a C-CDA document: the results section, or one standing alone.

By HL7's C-CDA R2.1 templates Results Section (2.16.840.1.113883.10.20.22.2.3),
Result Organizer (…22.4.1) and Result Observation (…22.4.2).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date

from lxml import etree

from services.labs.reports import (
    FINAL,
    PRELIMINARY,
    Rejected,
    Report,
    Result,
    UnreadableReportError,
    parse_moment,
    reports_by_visit,
)
from services.labs.values import read_flag

Element = etree._Element
LOINC_OID = "2.16.840.1.113883.6.1"
RESULTS_TEMPLATE = "2.16.840.1.113883.10.20.22.2.3"
RESULTS_SECTION = "30954-2"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
NOT_RESULTS = {
    "aborted": "the test was aborted",
    "cancelled": "the test was cancelled",
    "held": "the test is held",
    "suspended": "the test is suspended",
}
NULLIFIED = "the result was entered in error"
# A Comment Activity (…22.4.64).
COMMENT_TEMPLATE, COMMENT_CODE = "2.16.840.1.113883.10.20.22.4.64", "48767-8"
# Of the narrative that an entry refers to, so much.
LONGEST_REFERENCE = 4000
MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)?(?:(\d\d)(\d\d)(\d\d)?(?:\.\d+)?)?([+-]\d{4})?$")


def read(data: bytes) -> Iterator[Report]:
    """The reports of a document, one for each organizer and time. Raises UnreadableReportError.

    A document type declaration is refused: no C-CDA has one, and entities are
    how a small file becomes an endless one.
    """
    root = _parse(data)
    _resolve(root)
    sections = [section for section in _every(root, "section") if _is_results(section)]
    if not sections:
        raise UnreadableReportError("the document has no section of laboratory results")
    lab_name = _author(root)
    # Each once: a section may stand in another one.
    organizers = dict.fromkeys(organizer for section in sections for organizer in _every(section, "organizer"))
    for number, organizer in enumerate(organizers, start=1):
        yield from _organizer(f"organizer {number}", organizer, lab_name)


def _parse(data: bytes) -> Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise UnreadableReportError("the file is no well-formed XML") from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnreadableReportError("the document has a document type declaration, which no C-CDA has")
    return root


def _resolve(root: Element) -> None:
    """Writes the narrative that entries refer to (`<reference value="#result1"/>`) where they refer to it."""
    narrative = {f"#{element.get('ID')}": element for element in root.iter() if element.get("ID")}
    texts: dict[str, str] = {}
    for reference in root.iter("{*}reference"):
        target = _get(reference, "value")
        if target not in texts and target in narrative:
            texts[target] = _text(narrative[target])[:LONGEST_REFERENCE]
    for reference in root.iter("{*}reference"):
        if text := texts.get(_get(reference, "value")):
            reference.text = text


def _is_results(section: Element) -> bool:
    code = _child(section, "code")
    templates = (_get(template, "root") for template in _children(section, "templateId"))
    is_coded = code is not None and _get(code, "code") == RESULTS_SECTION
    return is_coded or any(root.startswith(RESULTS_TEMPLATE) for root in templates)


def _organizer(place: str, organizer: Element, lab_name: str) -> Iterator[Report]:
    results: list[Result] = []
    rejected: list[Rejected] = []
    specimen = _specimen(organizer)
    number = 0
    for component in _children(organizer, "component"):
        for observation in _children(component, "observation"):
            number += 1
            match _observation(f"{place}, observation {number}", observation, specimen):
                case Rejected() as fault:
                    rejected.append(fault)
                case Result() as result:
                    results.append(result)
    code = _child(organizer, "code")
    system, known_by = _id(organizer)
    header = Report(
        lab_name=lab_name,
        panel_name=_said(code),
        collected=_time(organizer),
        source_system=system,
        source_id=known_by,
        note=_comments(organizer, "component"),
    )
    reports = list(reports_by_visit(header, results)) or [header]
    yield replace(reports[0], rejected=tuple(rejected))
    yield from reports[1:]


def _observation(place: str, observation: Element, specimen: str) -> Result | Rejected:
    status = _get(_child(observation, "statusCode"), "code")
    if status in NOT_RESULTS:
        return Rejected(place, NOT_RESULTS[status])
    if _get(observation, "negationInd") == "true":
        return Rejected(place, "the test was not done")
    withdrawn = NULLIFIED if status == "nullified" else ""
    value, unit = _value(_child(observation, "value"))
    if not value and not withdrawn:
        return Rejected(place, "there is no value")
    code = _child(observation, "code")
    name = _said(code)
    if not name:
        return Rejected(place, withdrawn or "it does not say what was measured")
    return Result(
        place=place,
        name=name,
        value=value,
        unit=unit,
        reference_range=_range(observation, unit),
        flag=next(
            (flag for one in _children(observation, "interpretationCode") if read_flag(flag := _get(one, "code"))), ""
        ),
        loinc=_loinc(code),
        specimen=_specimen(observation) or specimen,
        collected=_time(observation),
        source_id=_id(observation)[1],
        note=_comments(observation, "entryRelationship"),
        status=PRELIMINARY if status == "active" else FINAL,
        withdrawn=withdrawn,
    )


def _comments(act: Element, link: str) -> str:
    """The comments that hang on an act by such links."""
    said = []
    for comment in (found for linked in _children(act, link) for found in _children(linked, "act")):
        templates = [_get(template, "root") for template in _children(comment, "templateId")]
        if COMMENT_TEMPLATE in templates or _get(_child(comment, "code"), "code") == COMMENT_CODE:
            said.append(_text(_child(comment, "text")))
    return "\n".join(filter(None, said))


def _value(value: Element | None) -> tuple[str, str]:
    """The value as printed, and its unit."""
    if value is None:
        return "", ""
    kind = _get(value, XSI_TYPE).rpartition(":")[2]
    if kind == "IVL_PQ":
        low, high = _child(value, "low"), _child(value, "high")
        (least, unit), (most, other) = _quantity(low), _quantity(high)
        if least and most:
            return f"{least}-{most}", unit or other
        if least:
            return f"{_comparator(low, '>')}{least}", unit
        return (f"{_comparator(high, '<')}{most}", other) if most else ("", "")
    if kind == "RTO":
        parts = [_quantity(_child(value, end))[0] for end in ("numerator", "denominator")]
        return ":".join(filter(None, parts)), ""
    if kind == "BL":
        return {"true": "positive", "false": "negative"}.get(_get(value, "value"), ""), ""
    number, unit = _quantity(value)
    if number:
        return number, unit
    return _said(value) or _text(value), ""


def _quantity(quantity: Element | None) -> tuple[str, str]:
    """A PQ; where its unit is none of UCUM, the number and the unit stand in a translation."""
    if quantity is None:
        return "", ""
    if number := _get(quantity, "value"):
        return number, _get(quantity, "unit")
    for translation in _children(quantity, "translation"):
        if number := _get(translation, "value"):
            return number, _get(translation, "unit") or _text(_child(translation, "originalText"))
    return "", ""


def _comparator(limit: Element | None, sign: str) -> str:
    return sign if _get(limit, "inclusive") == "false" else f"{sign}="


def _range(observation: Element, of_unit: str) -> str:
    """The range of a value in `of_unit`; of several the one that is normal, else all of them."""
    found: dict[str, bool] = {}
    for wrapper in _children(observation, "referenceRange"):
        of_it = _child(wrapper, "observationRange")
        if of_it is None:
            continue
        limits, unit = _value(_child(of_it, "value"))
        text = _text(_child(of_it, "text"))
        if limits:
            text = f"{limits} {unit}" if unit not in ("", of_unit) else limits
        if text:
            is_normal = _get(_child(of_it, "interpretationCode"), "code") in ("", "N")
            found[text] = found.get(text, False) or is_normal
    return "; ".join([text for text, is_normal in found.items() if is_normal] or found)


def _time(act: Element) -> date | None:
    time = _child(act, "effectiveTime")
    text = _get(time, "value") or _get(_child(time, "low") if time is not None else None, "value")
    match = MOMENT.match(text)
    if not match:
        return None
    year, month, day, hour, minute, second, offset = match.groups()
    iso = f"{year}-{month}-{day or '01'}"
    return parse_moment(f"{iso}T{hour}:{minute}:{second or '00'}{offset or ''}" if hour else iso)


def _specimen(act: Element) -> str:
    for specimen in _children(act, "specimen"):
        for code in _every(specimen, "code"):
            return _said(code)
    return ""


def _author(root: Element) -> str:
    """Who made the document: the organisation that keeps it."""
    for custodian in _every(root, "custodian"):
        for name in _every(custodian, "name"):
            return _text(name)
    return ""


def _id(act: Element) -> tuple[str, str]:
    """Who numbers an act, and its number; a number alone is one of the whole world."""
    identifier = _child(act, "id")
    root, extension = _get(identifier, "root"), _get(identifier, "extension")
    return (root, extension) if extension else ("", root)


def _said(code: Element | None) -> str:
    """What a code says to people."""
    if code is None:
        return ""
    translated = (_get(translation, "displayName") for translation in _children(code, "translation"))
    return _get(code, "displayName") or _text(_child(code, "originalText")) or next(filter(None, translated), "")


def _loinc(code: Element | None) -> str:
    if code is None:
        return ""
    for candidate in (code, *_children(code, "translation")):
        if _get(candidate, "codeSystem") == LOINC_OID:
            return _get(candidate, "code")
    return ""


def _get(element: Element | None, name: str) -> str:
    return "" if element is None else str(element.get(name) or "").strip()


def _text(element: Element | None) -> str:
    return "" if element is None else " ".join("".join(map(str, element.itertext("*"))).split())


def _name(element: Element) -> str:
    """The local name: fragments come with HL7's namespace and without."""
    return str(etree.QName(element).localname) if isinstance(element.tag, str) else ""


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _name(child) == name)


def _child(element: Element, name: str) -> Element | None:
    return next(_children(element, name), None)


def _every(element: Element, name: str) -> Iterator[Element]:
    return (found for found in element.iter("{*}" + name))
