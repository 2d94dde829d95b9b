"""Which of the formats a file is, and its reader."""

from collections.abc import Callable, Iterator, Mapping

from services.labs.interchange import ccda, csv_table, fhir, hl7
from services.labs.reports import Report, UnreadableReportError

READERS: Mapping[str, Callable[[bytes], Iterator[Report]]] = {
    "fhir": fhir.read,
    "hl7v2": hl7.read,
    "ccda": ccda.read,
    "csv": csv_table.read,
}


def recognise(data: bytes) -> str:
    """The name of the format that a file begins like. Raises UnreadableReportError for binary files.

    What begins like none of the others is taken for a table, whose reader says
    what its header lacks.
    """
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n\x0b")
    if start.startswith((b"{", b"[")):
        return "fhir"
    if start.startswith((b"MSH|", b"FHS|", b"BHS|")):
        return "hl7v2"
    if start.startswith(b"<"):
        return "ccda"
    if start.startswith((b"%PDF", b"PK\x03\x04", b"\x89PNG", b"\xff\xd8\xff")):
        raise UnreadableReportError("a PDF, a picture or an archive is no file of results; upload it as a document")
    return "csv"
