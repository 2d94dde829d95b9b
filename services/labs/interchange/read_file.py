"""Reads a file of results in a process of its own, and prints its reports as JSON (see confined.py).

    python -m services.labs.interchange.read_file MEMORY_BYTES SECONDS FILE FORMAT DATE_ORDER

FORMAT and DATE_ORDER may be empty.
"""

import json
import sys
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

from services.labs.confined import LimitReachedError, Limits, confine, confined
from services.labs.interchange import csv_table
from services.labs.interchange.formats import READERS, recognise
from services.labs.reports import Rejected, Report, Result, UnreadableReportError, parse_moment

LIMITS = Limits(memory_bytes=2 << 30, processor_seconds=60)
# A file of one person's results; the largest portal's export of a life has a tenth of it.
MAX_RECORDS = 100_000
# What is longer than any column still is when it is cut.
MAX_TEXT = 5000
CALLED = {"fhir": "FHIR", "hl7v2": "HL7 v2", "ccda": "C-CDA", "csv": "CSV"}
_DATES = ("collected", "reported")
_NAMES: dict[type, list[str]] = {kind: [field.name for field in fields(kind)] for kind in (Report, Result, Rejected)}


async def read_file(path: Path, file_format: str, date_order: str, limits: Limits = LIMITS) -> tuple[str, list[Report]]:
    """The format of a file and its reports. Raises UnreadableReportError."""
    try:
        said = await confined(__name__, limits, str(path), file_format, date_order)
    except LimitReachedError:
        raise UnreadableReportError("the file asks for more time or memory than results need") from None
    if "refused" in said:
        raise UnreadableReportError(said["refused"])
    return said["format"], [_report(report) for report in said["reports"]]


def read(data: bytes, file_format: str, date_order: str) -> dict[str, Any]:
    """What the process prints: `format` and `reports`, or why the file is `refused`."""
    try:
        found = recognise(data)
        if file_format and found != file_format:
            raise UnreadableReportError(f"the file is no {CALLED[file_format]}, it begins like {CALLED[found]}")
        # Dates of the other formats are never ambiguous.
        reports = list(csv_table.read(data, date_order) if found == "csv" else READERS[found](data))
        if sum(len(report.results) + len(report.rejected) for report in reports) > MAX_RECORDS:
            raise UnreadableReportError(f"the file has more than {MAX_RECORDS} records; split it")
    except UnreadableReportError as error:
        return {"refused": str(error)}
    return {"format": found, "reports": [_said(report) for report in reports]}


def _said(report: Report) -> dict[str, Any]:
    """A report's fields, with its results and what is rejected.

    Texts are no longer than any print: a note of megabytes would stand beside each result of its order.
    """
    said = _fields(report)
    return said | {name: [_fields(one) for one in said[name]] for name in ("results", "rejected")}


def _fields(record: Report | Result | Rejected) -> dict[str, Any]:
    values = ((name, getattr(record, name)) for name in _NAMES[type(record)])
    return {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in values}


def _report(said: dict[str, Any]) -> Report:
    results = tuple(Result(**_dated(result)) for result in said.pop("results"))
    rejected = tuple(Rejected(**each) for each in said.pop("rejected"))
    return Report(**_dated(said), results=results, rejected=rejected)


def _dated(said: dict[str, Any]) -> dict[str, Any]:
    return {name: parse_moment(value) if name in _DATES and value else value for name, value in said.items()}


def _plain(value: Any) -> str:
    assert isinstance(value, date)
    return value.isoformat()


if __name__ == "__main__":
    memory_bytes, seconds, file, said_format, order = sys.argv[1:]
    confine(memory_bytes, seconds)
    json.dump(read(Path(file).read_bytes(), said_format, order), sys.stdout, default=_plain)
