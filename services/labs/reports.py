"""What a laboratory's report says, whatever form it came in: the values as they were printed."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime


class UnreadableReportError(Exception):
    """A file is not what it claims to be; nothing of it is stored. The text names no value of it."""


# No column of text holds these: control characters but blanks, and halves of surrogate pairs.
UNSTORABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
# How far a result is: the laboratory may still change it, it is done, or it stands in place of an earlier one.
PRELIMINARY, FINAL, CORRECTED = "preliminary", "final", "corrected"


@dataclass(frozen=True, slots=True)
class Result:
    """One value of a report, as printed.

    `value` has its comparator (`<5.0`), `place` says where it stands (`OBX 3`,
    `line 12`), `source_id` what it is known by in the system that it comes from.
    `collected` is a date, or a time with or without an offset, if the value has
    one of its own. `withdrawn` says why the laboratory takes the result back,
    which then need not have a value.
    """

    place: str
    name: str
    value: str
    unit: str = ""
    reference_range: str = ""
    flag: str = ""
    loinc: str = ""
    specimen: str = ""
    sub_panel: str = ""
    note: str = ""
    collected: date | None = None
    source_id: str = ""
    status: str = FINAL
    withdrawn: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is no result, and why; never its value. `kind` is one of the rule lab_rejection."""

    place: str
    reason: str
    kind: str = "not_readable"


@dataclass(frozen=True, slots=True)
class Report:
    """Results that were taken together. A date that has no time is a `date`, a time without offset is naive."""

    results: tuple[Result, ...] = ()
    lab_name: str = ""
    lab_provider: str = ""
    panel_name: str = ""
    specimen_id: str = ""
    collected: date | None = None
    reported: date | None = None
    source_system: str = ""
    source_id: str = ""
    note: str = ""
    rejected: tuple[Rejected, ...] = field(default=())


def reports_by_visit(header: Report, results: Iterable[Result]) -> Iterator[Report]:
    """The header with its results, one report for each time at which something was collected.

    A result without a time of its own was collected when its header says.
    """
    visits: dict[date | None, list[Result]] = {}
    for result in results:
        visits.setdefault(result.collected or header.collected, []).append(result)
    for collected, of_it in visits.items():
        yield replace(header, collected=collected, results=tuple(of_it))


def parse_moment(text: str) -> date | None:
    """An ISO 8601 date, or a time with or without offset; None for what is neither. A month is its first day."""
    text = text.strip()
    try:
        if len(text) == 10:
            return date.fromisoformat(text)
        if len(text) == 7:
            return date.fromisoformat(f"{text}-01")
        return datetime.fromisoformat(text)
    except ValueError:
        return None
