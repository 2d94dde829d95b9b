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
from services.labs.values import read_flag

# OBX-11, table 0085: what is no result, or not yet.
NOT_RESULTS = {
    "X": "the result could not be obtained",
    "I": "the specimen is in the laboratory, the result is pending",
    "N": "the observation was not asked for",
    "O": "only the order is described",
}
WITHDRAWN = {"D": "the result was deleted", "W": "the result was sent for the wrong patient"}
# Entered and not verified, partial, preliminary; corrected, amended.
STATUSES = {**dict.fromkeys("RSP", PRELIMINARY), **dict.fromkeys("CA", CORRECTED)}
# OBX-2 whose OBX-5 is written out as text.
CODED = {"CE", "CWE", "CNE", "CF"}
LOINC_SYSTEMS = {"LN", "LOINC"}
# Breaks of lines, indentation and blanks, chapter 2.7.6.
LAYOUT = re.compile(r"\.(?:br|ce|fi|nf|(?:sp|in|ti|sk)(?:[+-]?[0-9]{1,2})?)")
# Of what is longer, nothing more is kept.
LONGEST_NOTE = 4000
HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")
MOMENT = re.compile(r"(\d{4})(\d\d)?(\d\d)?(?:(\d\d)(\d\d)?(\d\d)?(?:\.\d+)?)?([+-]\d{4})?$")


@dataclass
class _Order:
    """An OBR and what came after it."""

    header: Report
    results: list[Result] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    # What a comment that follows is about: the order as a whole, or its last OBX if that is a result.
    noted: Report | Result | None = None
    # When it was reported, by the order and by the message.
    reported: frozenset[date | None] = frozenset()
    has_specimen: bool = False

    def note(self, text: str) -> None:
        """Adds to the comment on what came last; a comment on what is no result says nothing of another one."""
        if not text or self.noted is None or len(self.noted.note) > LONGEST_NOTE:
            return
        noted = replace(self.noted, note="\n".join(filter(None, (self.noted.note, text))))
        if isinstance(noted, Report):
            self.header = noted
        else:
            self.results[-1] = noted
        self.noted = noted


def read(data: bytes) -> Iterator[Report]:
    """The reports of a file, one for each OBR and time of collection. Raises UnreadableReportError."""
    for index, text in enumerate(_messages(data), start=1):
        try:
            message = hl7.parse(text)
        # It asserts what it says of the separators.
        except (hl7.HL7Exception, AssertionError, IndexError, KeyError, ValueError):
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
                header = _header(message, segment)
                sent = _moment(_text(message, message.segment("MSH"), 7))
                order = _Order(header, noted=header, reported=frozenset({header.reported, sent}))
                specimen, count = _text(message, segment, 15), 0
            case "SPM" if order:
                specimen = _text(message, segment, 4, 2) or _text(message, segment, 4)
                if not order.has_specimen:
                    # The first one stands behind the results that it is of, or before them.
                    order.results = [replace(one, specimen=one.specimen or specimen) for one in order.results]
                    order.has_specimen = True
                collected = order.header.collected or _moment(_text(message, segment, 17))
                order.noted = order.header = replace(
                    order.header, specimen_id=_text(message, segment, 2, 2), collected=collected
                )
            case "OBX":
                order = order or _Order(Report(lab_name=_lab_name(message)))
                count += 1
                place = f"{prefix}OBX {_text(message, segment, 1) or count}"
                order.noted = None
                match _result(message, segment, place, specimen, order.reported):
                    case Rejected() as rejected:
                        order.rejected.append(rejected)
                    case Result() as result:
                        order.results.append(result)
                        order.noted = result
            case "NTE" if order:
                order.note("\n".join(_repetitions(message, segment, 3)))
            case "ORC" | "PID" if order:
                # What follows is about the next order.
                order.noted = None
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


def _result(
    message: Any, segment: Any, place: str, specimen: str, reported: frozenset[date | None]
) -> Result | Rejected:
    status = _text(message, segment, 11)
    if status in NOT_RESULTS:
        return Rejected(place, NOT_RESULTS[status])
    withdrawn = WITHDRAWN.get(status, "")
    value = _value(message, segment, _text(message, segment, 2))
    if not value and not withdrawn:
        return Rejected(place, "there is no value")
    codes = {_text(message, segment, 3, at + 2): _text(message, segment, 3, at) for at in (1, 4)}
    name = _text(message, segment, 3, 2) or _text(message, segment, 3, 5) or _text(message, segment, 3)
    if not name:
        return Rejected(place, withdrawn or "it does not say what was measured")
    observed = _moment(_text(message, segment, 14))
    return Result(
        place=place,
        name=name,
        value=value,
        unit=_text(message, segment, 6) or _text(message, segment, 6, 2),
        reference_range=_text(message, segment, 7),
        flag=next((text for one in _field(segment, 8) if read_flag(text := _component(message, one, 1))), ""),
        loinc=next((code for system, code in codes.items() if system in LOINC_SYSTEMS), ""),
        specimen=specimen,
        # Many laboratories put the time of their report here, which is not when the blood was drawn.
        collected=None if observed in reported else observed,
        source_id=_text(message, segment, 21),
        status=STATUSES.get(status, FINAL),
        withdrawn=withdrawn,
    )


def _value(message: Any, segment: Any, kind: str) -> str:
    if kind == "SN":
        # Structured numeric: comparator, number, separator, number.
        parts = [_text(message, segment, 5, at) for at in (1, 2, 3, 4)]
        return "".join(parts)
    if kind in CODED:
        # Its text, the alternative one, as it was written, the code alone.
        return "; ".join(
            next(filter(None, (_component(message, one, at) for at in (2, 5, 9, 1))), "") for one in _field(segment, 5)
        )
    return "; ".join(_repetitions(message, segment, 5))


def _repetitions(message: Any, segment: Any, number: int) -> list[str]:
    """The repetitions of a field that say something, each as it is written."""
    return [text for one in _field(segment, number) if (text := _plain(message, one))]


def _field(segment: Any, number: int) -> Any:
    return segment[number] if number < len(segment) else ()


def _text(message: Any, segment: Any, number: int, component: int = 1) -> str:
    """A component of the first repetition of a field, "" if it is not there."""
    repetitions = _field(segment, number)
    return _component(message, repetitions[0], component) if repetitions else ""


def _component(message: Any, repetition: Any, component: int) -> str:
    if isinstance(repetition, str):
        return _plain(message, repetition) if component == 1 else ""
    return _plain(message, repetition[component - 1]) if component <= len(repetition) else ""


def _plain(message: Any, text: Any) -> str:
    """A text without escapes: separators and breaks of lines as what they are, highlighting not at all.

    What is no escape stays as it is written: without it `1\\.X\\5` would be 15.
    """
    _, field, repetition, component, subcomponent = message.separators
    signs = {"F": field, "R": repetition, "S": component, "T": subcomponent, "E": message.esc, "H": "", "N": ""}

    def meant(found: re.Match[str]) -> str:
        code = found[1]
        if code.startswith("X") and HEXADECIMAL.fullmatch(code[1:]):
            return _decode(bytes.fromhex(code[1:]))
        if LAYOUT.fullmatch(code):
            return "\n" if code.startswith((".br", ".sp", ".ce")) else " "
        return str(signs.get(code, found[0]))

    mark = re.escape(message.esc)
    return re.sub(f"{mark}([^{mark}]*){mark}", meant, str(text)).strip()


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
