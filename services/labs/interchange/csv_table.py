"""Results in a CSV file: a row for each, the columns found by their headers.

Comma, semicolon, tab or bar; UTF-8, UTF-16 or Windows-1252. What a column is,
its header says, in English or German and in any usual spelling; what was
measured and its value are required.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date

from services.labs.reports import Rejected, Report, Result, UnreadableReportError, parse_moment

SPELLINGS = {
    "name": "name test testname sourcetestname analyte marker biomarker component observation measurement parameter "
    "untersuchung analyt laborwert bezeichnung",
    "value": "value result rawvalue resultvalue observationvalue wert ergebnis messwert",
    "unit": "unit units sourceunit resultunit einheit",
    "reference_range": "range referencerange sourcereferencerange refrange normalrange referenceinterval "
    "referenzbereich normbereich normalbereich",
    "low": "low reflow rangelow referencelow referencerangelow refrangelow",
    "high": "high refhigh rangehigh referencehigh referencerangehigh refrangehigh",
    "flag": "flag abnormalflag interpretation abnormal",
    "loinc": "loinc loinccode",
    "specimen": "specimen specimentype sample sampletype material probe",
    "panel": "panel panelname sourcepanelname subpanel group profil",
    "lab": "lab labname sourcelabname laboratory laboratoryname labor",
    "collected": "date collected collectedat collectiondate datecollected collecteddate testdate observationdate "
    "datetime datum entnahmedatum abnahmedatum",
    "source_id": "id rowid sourcerowid resultid orderid accession accessionnumber",
    "note": "note notes comment comments kommentar bemerkung",
}
COLUMNS = {spelling: column for column, spellings in SPELLINGS.items() for spelling in spellings.split()}
DELIMITERS = ",;\t|"
DOTS = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ T](\d{1,2}:\d\d))?$")
SLASHES = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?:[ T](\d{1,2}:\d\d))?$")
MAX_FIELD = 10_000


def read(data: bytes, date_order: str = "") -> Iterator[Report]:
    """The reports of a file, one for each laboratory and time. Raises UnreadableReportError.

    `date_order` is day_first or month_first for a file whose dates do not tell.
    """
    header, *rows = _rows(_decode(data))
    columns = _columns(header[1])
    written = (row[at] for _, row in rows if (at := columns.get("collected", len(row))) < len(row))
    dates = _Dates(written, date_order)
    visits: dict[tuple[str, date | None], list[Result]] = {}
    rejected: list[Rejected] = []
    for line, row in rows:
        place = f"line {line}"
        if len(row) != len(header[1]):
            rejected.append(Rejected(place, f"it has {len(row)} cells, and the header {len(header[1])}"))
            continue
        cells = {name: row[at].strip() for name, at in columns.items()}
        match _result(place, cells, dates):
            case Rejected() as fault:
                rejected.append(fault)
            case Result() as result:
                visits.setdefault((cells.get("lab", ""), result.collected), []).append(result)
    for (lab_name, collected), results in visits.items():
        panels = {result.sub_panel for result in results}
        panel_name = panels.pop() if len(panels) == 1 else ""
        yield Report(tuple(results), lab_name=lab_name, panel_name=panel_name, collected=collected)
    if rejected:
        yield Report(rejected=tuple(rejected))


def _decode(data: bytes) -> str:
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    for name in (encoding, "cp1252"):
        try:
            return data.decode(name)
        except UnicodeDecodeError:
            continue
    raise UnreadableReportError("the file is no text")


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with its line's number; the header is the first."""
    first = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    csv.field_size_limit(MAX_FIELD)
    # strict: a quote that is never closed would swallow the rest of the file as one value.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error:
        raise UnreadableReportError(f"line {reader.line_num} is no CSV") from None
    if not rows:
        raise UnreadableReportError("the file is empty")
    return rows


def _columns(header: list[str]) -> dict[str, int]:
    """Where each column stands. Raises UnreadableReportError if what was measured or its value has none."""
    columns: dict[str, int] = {}
    for at, title in enumerate(header):
        if column := COLUMNS.get(re.sub(r"[^a-z]", "", title.lower())):
            columns.setdefault(column, at)
    for name, example in (("name", "Test"), ("value", "Result")):
        if name not in columns:
            raise UnreadableReportError(f"the header has no column {example}")
    return columns


def _result(place: str, cells: Mapping[str, str], dates: _Dates) -> Result | Rejected:
    if not cells["name"]:
        return Rejected(place, "it does not say what was measured")
    if not cells["value"]:
        return Rejected(place, "there is no value")
    collected = None
    if written := cells.get("collected"):
        collected = dates.read(written)
        if collected is None:
            return Rejected(place, dates.fault)
    limits = "-".join(filter(None, (cells.get("low", ""), cells.get("high", ""))))
    if cells.get("low") and not cells.get("high"):
        limits = f">={limits}"
    elif cells.get("high") and not cells.get("low"):
        limits = f"<={limits}"
    return Result(
        place=place,
        name=cells["name"],
        value=cells["value"],
        unit=cells.get("unit", ""),
        reference_range=cells.get("reference_range") or limits,
        flag=cells.get("flag", ""),
        loinc=cells.get("loinc", ""),
        specimen=cells.get("specimen", ""),
        sub_panel=cells.get("panel", ""),
        note=cells.get("note", ""),
        collected=collected,
        source_id=cells.get("source_id", ""),
    )


class _Dates:
    """Reads a column's dates. Whether 03/04 is in March or in April, only the whole column can say, or a person."""

    def __init__(self, texts: Iterable[str], order: str) -> None:
        parts = [match.groups() for text in texts if (match := SLASHES.match(text.strip()))]
        is_day_first = any(int(first) > 12 for first, *_ in parts)
        is_month_first = any(int(second) > 12 for _, second, *_ in parts)
        told = "day" if is_day_first else "month" if is_month_first else order.removesuffix("_first")
        self._order = None if is_day_first and is_month_first else told or None
        self.fault = "it has no date that can be read for certain: YYYY-MM-DD is one"

    def read(self, text: str) -> date | None:
        """The date, with its time if it has one; None if it is none, or could be two."""
        if moment := parse_moment(text):
            return moment
        if match := DOTS.match(text):
            day, month, year, time = match.groups()
        elif (match := SLASHES.match(text)) and self._order:
            first, second, year, time = match.groups()
            day, month = (first, second) if self._order == "day" else (second, first)
        else:
            return None
        iso = f"{year}-{int(month):02}-{int(day):02}"
        return parse_moment(f"{iso}T{time.zfill(5)}" if time else iso)
