"""HL7 v2 results: `ORU^R01` messages of versions 2.3 to 2.8, one or many in a file.

Fields by the HL7 v2.5.1 specification, chapter 7 (OBR, OBX, SPM) and chapter 2
(NTE, escapes, timestamps).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import hl7

from services.labs.reports import Rejected, Report, Result, UnreadableReportError, parse_moment, reports_by_visit

# OBX-11, table 0085: what is no result, or not yet.
NOT_RESULTS = {
    "X": "the result could not be obtained",
    "D": "the result was deleted",
    "W": "the result was sent for the wrong patient",
    "I": "the specimen is in the laboratory, the result is pending",
    "N": "the observation was not asked for",
    "O": "only the order is described",
}
# OBX-2 whose OBX-5 is written out as text.
CODED = {"CE", "CWE", "CNE", "CF"}
LOINC_SYSTEMS = {"LN", "LOINC"}
MOMENT = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)?(\d\d)?(?:\.\d+)?)?([+-]\d{4})?$")


@dataclass
class _Order:
    """An OBR and what came after it."""

    header: Report
    results: list[Result] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


def read(data: bytes) -> Iterator[Report]:
    """The reports of a file, one for each OBR and time of collection. Raises UnreadableReportError."""
    for index, text in enumerate(_messages(data), start=1):
        try:
            message = hl7.parse(text)
        except (hl7.HL7Exception, IndexError, KeyError, ValueError):
            raise UnreadableReportError(f"message {index} is no HL7 v2 message") from None
        kind = _text(message, message.segment("MSH"), 9)
        if kind != "ORU":
            raise UnreadableReportError(f"message {index} is no ORU message: it carries no results")
        for order in _orders(message, f"message {index}, "):
            yield from _reports(order)


def _messages(data: bytes) -> Iterator[str]:
    text = _decode(data).replace("\r\n", "\r").replace("\n", "\r").strip("\r\x0b\x1c ")
    if not re.match(r"(FHS|BHS|MSH)\|", text):
        raise UnreadableReportError("the file does not begin with an HL7 v2 header (MSH)")
    for message in re.split(r"(?:^|\r)[\x0b\x1c ]*(?=MSH\|)", text):
        segments = [line for line in message.split("\r") if not line.startswith(("FHS", "BHS", "FTS", "BTS", "\x1c"))]
        if joined := "\r".join(line for line in segments if line.strip("\x0b\x1c ")):
            yield joined


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _orders(message: Any, prefix: str) -> Iterator[_Order]:
    order: _Order | None = None
    specimen = ""
    count = 0
    for segment in message:
        match str(segment[0]):
            case "OBR":
                if order:
                    yield order
                order, specimen, count = _Order(_header(message, segment)), _text(message, segment, 15), 0
            case "SPM" if order:
                specimen = _text(message, segment, 4, 2) or _text(message, segment, 4)
                order.header = replace(order.header, specimen_id=_text(message, segment, 2, 2))
            case "OBX":
                order = order or _Order(Report(lab_name=_lab_name(message)))
                count += 1
                place = f"{prefix}OBX {_text(message, segment, 1) or count}"
                match _result(message, segment, place, specimen, order.header.reported):
                    case Rejected() as rejected:
                        order.rejected.append(rejected)
                    case Result() as result:
                        order.results.append(result)
            case "NTE" if order and order.results:
                note = _text(message, segment, 3)
                last = order.results[-1]
                order.results[-1] = replace(last, note="\n".join(filter(None, (last.note, note))))
    if order:
        yield order


def _lab_name(message: Any) -> str:
    msh = message.segment("MSH")
    return _text(message, msh, 4) or _text(message, msh, 3)


def _header(message: Any, segment: Any) -> Report:
    names = (_text(message, segment, 16, 3), _text(message, segment, 16, 2))
    return Report(
        lab_name=_lab_name(message),
        lab_provider=" ".join(filter(None, names)),
        panel_name=_text(message, segment, 4, 2) or _text(message, segment, 4),
        collected=_moment(_text(message, segment, 7)),
        source_system=_text(message, message.segment("MSH"), 3),
        source_id=_text(message, segment, 3) or _text(message, segment, 2),
        reported=_moment(_text(message, segment, 22)) or _moment(_text(message, message.segment("MSH"), 7)),
    )


def _result(message: Any, segment: Any, place: str, specimen: str, reported: date | None) -> Result | Rejected:
    status = _text(message, segment, 11)
    if status in NOT_RESULTS:
        return Rejected(place, NOT_RESULTS[status])
    value = _value(message, segment, _text(message, segment, 2))
    if not value:
        return Rejected(place, "there is no value")
    codes = {_text(message, segment, 3, at + 2): _text(message, segment, 3, at) for at in (1, 4)}
    name = _text(message, segment, 3, 2) or _text(message, segment, 3, 5) or _text(message, segment, 3)
    if not name:
        return Rejected(place, "it does not say what was measured")
    observed = _moment(_text(message, segment, 14))
    return Result(
        place=place,
        name=name,
        value=value,
        unit=_text(message, segment, 6) or _text(message, segment, 6, 2),
        reference_range=_text(message, segment, 7),
        flag=_text(message, segment, 8),
        loinc=next((code for system, code in codes.items() if system in LOINC_SYSTEMS), ""),
        specimen=specimen,
        # Many laboratories put the time of their report here, which is not when the blood was drawn.
        collected=observed if observed != reported else None,
        source_id=_text(message, segment, 21),
    )


def _value(message: Any, segment: Any, kind: str) -> str:
    if kind == "SN":
        # Structured numeric: comparator, number, separator, number.
        parts = [_text(message, segment, 5, at) for at in (1, 2, 3, 4)]
        return "".join(parts)
    if kind in CODED:
        return _text(message, segment, 5, 2) or _text(message, segment, 5)
    return "; ".join(filter(None, (_repetition(message, item) for item in _field(segment, 5))))


def _repetition(message: Any, repetition: Any) -> str:
    return str(message.unescape(str(repetition))).strip()


def _field(segment: Any, number: int) -> Any:
    return segment[number] if number < len(segment) else ()


def _text(message: Any, segment: Any, number: int, component: int = 1) -> str:
    """A component of the first repetition of a field, "" if it is not there."""
    repetitions = _field(segment, number)
    if not repetitions:
        return ""
    first = repetitions[0]
    if isinstance(first, str):
        return _repetition(message, first) if component == 1 else ""
    return _repetition(message, first[component - 1]) if component <= len(first) else ""


def _moment(text: str) -> date | None:
    """`YYYY[MM[DD[HHMM[SS[.S]]]]][+/-ZZZZ]`; None for what is none."""
    match = MOMENT.match(text)
    if not match:
        return None
    year, month, day, hour, minute, second, offset = match.groups()
    iso = f"{year}-{month or '01'}-{day or '01'}"
    if hour is None:
        return parse_moment(iso)
    return parse_moment(f"{iso}T{hour}:{minute or '00'}:{second or '00'}{offset or ''}")


def _reports(order: _Order) -> Iterator[Report]:
    reports = list(reports_by_visit(order.header, order.results)) or [order.header]
    yield replace(reports[0], rejected=tuple(order.rejected))
    yield from reports[1:]
