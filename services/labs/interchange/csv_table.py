"""Results in a CSV file: a row for each, the columns found by their headers.

Comma, semicolon, tab or bar; UTF-8, UTF-16 or Windows-1252. What a column is,
its header says, in English, German, French or Spanish and in any usual
spelling; what was measured and its value are required. What stands before the
header (a title, `sep=;`) is no row.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import date

from services.labs.interchange.csv_dates import Dates
from services.labs.reports import Rejected, Report, Result, UnreadableReportError

# Of two columns that could be one, the one that is named first: "Name" and "Date" may be the person's.
SPELLINGS = {
    "name": "test testname sourcetestname analyte marker biomarker component observation measurement parameter "
    "untersuchung analyse analyt laborwert messgrosse parametername bezeichnung "
    "examen parametre analyses libelle prueba analisis determinacion parametro analito "
    "name nom nombre",
    "value": "value result results rawvalue resultvalue observationvalue wert ergebnis messwert resultat resultate "
    "ergebnisse resultats valeur valeurs resultado resultados valor",
    "unit": "unit units sourceunit resultunit einheit einheiten masseinheit unite unites unidad unidades",
    "reference_range": "range referencerange sourcereferencerange refrange normalrange referenceinterval reference "
    "referencevalues referenzbereich referenz referenzwert referenzwerte normbereich normalbereich normwert normwerte "
    "normalwert normalwerte valeursdereference valeurdereference intervalledereference norme normes "
    "valeursnormales valeursusuelles valoresdereferencia valordereferencia rangodereferencia "
    "intervalodereferencia rango referencia valoresnormales",
    "low": "low reflow rangelow referencelow referencerangelow refrangelow untergrenze min limiteinferior "
    "limiteinferieure borneinferieure",
    "high": "high refhigh rangehigh referencehigh referencerangehigh refrangehigh obergrenze max limitesuperior "
    "limitesuperieure bornesuperieure",
    "flag": "flag abnormalflag interpretation abnormal bewertung auffallig anomalie alerte alerta indicador",
    "loinc": "loinc loinccode codeloinc codigoloinc",
    "specimen": "specimen specimentype sample sampletype material probenmaterial probenart probe echantillon "
    "typedechantillon prelevementtype muestra tipodemuestra especimen",
    "panel": "panel panelname sourcepanelname subpanel group profil gruppe groupe bilan chapitre perfil grupo",
    "lab": "lab labname sourcelabname laboratory laboratoryname labor laboratoire laboratorio",
    "collected": "collected collectedat collectiondate datecollected collecteddate collectiontime entnahmedatum "
    "abnahmedatum entnahme abnahme probenentnahme probendatum datedeprelevement dateprelevement prelevement "
    "fechadetoma fechadeextraccion fechademuestra fechaderecogida testdate observationdate datetime date datum fecha",
    "source_id": "id rowid sourcerowid resultid orderid accession accessionnumber",
    "note": "note notes comment comments kommentar kommentare bemerkung bemerkungen hinweis commentaire commentaires "
    "remarque remarques comentario comentarios observaciones nota notas",
}
COLUMNS = {
    spelling: (rank, column)
    for column, spellings in SPELLINGS.items()
    for rank, spelling in enumerate(spellings.split())
}
DELIMITERS = ",;\t|"
# A header stands within so many lines that are not empty.
MOST_BEFORE_HEADER = 20
MAX_FIELD = 10_000


def read(data: bytes, date_order: str = "") -> Iterator[Report]:
    """The reports of a file, one for each laboratory and time. Raises UnreadableReportError.

    `date_order` is day_first or month_first for a file whose dates do not tell.
    """
    header, columns, rows = _table(_decode(data))
    written = (row[at] for _, row in rows if (at := columns.get("collected", len(row))) < len(row))
    dates = Dates(written, date_order)
    visits: dict[tuple[str, date | None], list[Result]] = {}
    rejected: list[Rejected] = []
    for line, row in rows:
        place = f"line {line}"
        if row == header:
            # Printed again on the next page.
            continue
        if len(row) != len(header):
            rejected.append(Rejected(place, f"it has {len(row)} cells, and the header {len(header)}"))
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


def _table(text: str) -> tuple[list[str], dict[str, int], list[tuple[int, list[str]]]]:
    """The header, where its columns stand, and the rows below it that are not empty, each with its line's number.

    Raises UnreadableReportError.
    """
    lines = [line for line in text.splitlines() if line.strip()][:MOST_BEFORE_HEADER]
    if not lines:
        raise UnreadableReportError("the file is empty")
    missing, fault = "", None
    for delimiter in sorted(DELIMITERS, key="".join(lines).count, reverse=True):
        try:
            rows = _rows(text, delimiter)
        except UnreadableReportError as error:
            fault = fault or error
            continue
        for at, (_, row) in enumerate(rows[:MOST_BEFORE_HEADER]):
            columns = _columns(row)
            if "name" in columns and "value" in columns:
                return row, columns, rows[at + 1 :]
            missing = missing or ("Result" if "name" in columns else "Test" if "value" in columns else "")
    raise fault or UnreadableReportError(f"the header has no column {missing or 'Test'}")


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with its line's number."""
    csv.field_size_limit(MAX_FIELD)
    # strict: a quote that is never closed would swallow the rest of the file as one value.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error:
        raise UnreadableReportError(f"line {reader.line_num} is no CSV") from None


def _columns(header: list[str]) -> dict[str, int]:
    """Where each column stands."""
    columns: dict[str, tuple[int, int]] = {}
    for at, title in enumerate(header):
        # What is in brackets explains: "Datum (Entnahme)".
        for text in (title, re.sub(r"\(.*?\)|\[.*?\]", "", title)):
            plain = re.sub(r"[^a-z]", "", unicodedata.normalize("NFKD", text.lower().replace("ß", "ss")))
            if known := COLUMNS.get(plain):
                rank, column = known
                columns[column] = min(columns.get(column, (rank, at)), (rank, at))
                break
    return {column: at for column, (_, at) in columns.items()}


def _result(place: str, cells: Mapping[str, str], dates: Dates) -> Result | Rejected:
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
