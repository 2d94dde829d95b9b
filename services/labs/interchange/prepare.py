"""A file's reports as panels that can be stored, and an account of the records that cannot: pure.

What a report says is kept as printed. Its day is the one where the specimen was
taken: a time with an offset has its own, one without is in the zone that the
person names; a result without any date takes the one that they name, or is
rejected, as no panel is without its day.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from services.labs.biomarkers.catalogue import catalogue
from services.labs.matching import Match, Row
from services.labs.matching.index import marker_index
from services.labs.reports import UNSTORABLE, Report, Result
from services.labs.values import NoResult, read_flag, read_result, uses_decimal_comma

MOST_TOLD = 100
FIRST_DAY = date(1900, 1, 1)
# No zone is further from UTC.
FURTHEST_WEST, FURTHEST_EAST = timedelta(hours=-12), timedelta(hours=14)
# A result's texts and how long they may be (panels.proto): what is longer is none of these.
_LONGEST = {"name": 200, "value": 200, "unit": 60}
_LONGEST_RANGE, _LONGEST_COMMENT = 200, 4000
_LOINC = re.compile(r"[0-9]{1,7}-[0-9]")
# The vital signs of https://hl7.org/fhir/R4/observation-vitalsigns.html, which no laboratory measures.
_VITAL_SIGNS = frozenset(
    {"85353-1", "9279-1", "8867-4", "8310-5", "8302-2", "9843-4", "29463-7", "39156-5", "85354-9", "8480-6", "8462-4"}
)


class Options(NamedTuple):
    """What the person says about a file: the zone of its times, the day of results without one, and today."""

    time_zone: ZoneInfo
    collected_date: date | None
    today: date


@dataclass
class Account:
    """What became of each record; lists have the first `MOST_TOLD`."""

    read: int = 0
    stored: int = 0
    updated: int = 0
    unchanged: int = 0
    kept: int = 0
    withdrawn: int = 0
    panels_stored: int = 0
    days: set[date] = field(default_factory=set)
    rejected: Counter[str] = field(default_factory=Counter)
    rejections: list[dict[str, str]] = field(default_factory=list)
    doubted: Counter[str] = field(default_factory=Counter)
    doubts: list[dict[str, str]] = field(default_factory=list)

    def reject(self, place: str, reason: str, message: str) -> None:
        self.rejected[reason] += 1
        if len(self.rejections) < MOST_TOLD:
            self.rejections.append({"reason": reason, "message": message, "place": place})

    def doubt(self, place: str, kind: str, message: str) -> None:
        self.doubted[kind] += 1
        if len(self.doubts) < MOST_TOLD:
            self.doubts.append({"kind": kind, "message": message, "place": place})

    def result(self) -> dict[str, Any]:
        """As the message LabImportResult."""
        return {
            "records_read": self.read,
            "records_stored": self.stored,
            "records_updated": self.updated,
            "records_unchanged": self.unchanged,
            "records_kept": self.kept,
            "records_withdrawn": self.withdrawn,
            "records_rejected": self.rejected.total(),
            "rejected_by_reason": dict(self.rejected),
            "rejections": self.rejections,
            "doubts_by_kind": dict(self.doubted),
            "doubts": self.doubts,
            "panels_stored": self.panels_stored,
            "first_date": min(self.days).isoformat() if self.days else "",
            "last_date": max(self.days).isoformat() if self.days else "",
        }


class Panel(NamedTuple):
    """One panel to store: the columns of its header, and its markers as entered, with where each stands.

    `withdrawn` are results that the laboratory takes back, as entered but for a
    value, each with its reason.
    """

    header: dict[str, Any]
    markers: list[dict[str, Any]]
    withdrawn: list[dict[str, Any]]


def prepare(
    reports: Iterable[Report], options: Options, aliases: Mapping[str, str], account: Account
) -> Iterator[Panel]:
    """The panels of a file, in its order; what is none goes into the account."""
    reports = list(reports)
    account.read = sum(len(report.results) + len(report.rejected) for report in reports)
    texts = (text for report in reports for result in report.results for text in (result.value, result.reference_range))
    comma = uses_decimal_comma(texts)
    for report in reports:
        for fault in report.rejected:
            account.reject(_clean(fault.place, 200), fault.kind, fault.reason)
        readable = [kept for result in report.results if (kept := _readable(result, comma, account)) is not None]
        try:
            header = _header(report, options)
        except _NoDay as error:
            for marker in readable:
                account.reject(marker["source_place"], error.reason, str(error))
            continue
        if readable:
            markers = [marker for marker in readable if not marker["withdrawn"]]
            _tell_doubts(markers, aliases, account)
            yield Panel(header, markers, [marker for marker in readable if marker["withdrawn"]])


def _readable(result: Result, comma: bool, account: Account) -> dict[str, Any] | None:
    """A result as a marker's entered columns; None for what is none."""
    place = _clean(result.place, 200)
    said = {name: _clean(getattr(result, name)) for name in _LONGEST}
    for name, longest in _LONGEST.items():
        if len(said[name]) > longest:
            account.reject(place, "too_long", f"the {name.replace('_', ' ')} has more than {longest} characters")
            return None
    if not said["name"]:
        account.reject(place, "not_readable", "it does not say what was measured")
        return None
    if result.loinc in _VITAL_SIGNS:
        account.reject(place, "no_lab_result", "it is a vital sign")
        return None
    try:
        if not result.withdrawn:
            read_result(said["value"], decimal_comma=comma)
    except NoResult:
        account.reject(place, "no_result", "it says that there is no result")
        return None
    limits, note = _clean(result.reference_range), result.note
    if len(limits) > _LONGEST_RANGE:
        # An explanation of the ranges, whose reader it has to tell which one holds.
        limits, note = "", f"{note}\n{limits}"
    comment = _comment(note)
    if len(comment) > _LONGEST_COMMENT:
        account.doubt(place, "comment_cut", f"only the first {_LONGEST_COMMENT} characters of its comment are kept")
    return {
        "biomarker": None,
        "raw_name": said["name"],
        "sub_panel": _clean(result.sub_panel, 100) or None,
        "specimen": _clean(result.specimen, 100) or None,
        "loinc_code": result.loinc if _LOINC.fullmatch(result.loinc) else None,
        "value": said["value"],
        "unit": said["unit"] or None,
        "ref_range_text": limits or None,
        # "N" and "within limits" are no flags.
        "flag": read_flag(result.flag) or None,
        "decimal_comma": comma,
        "source_id": _clean(result.source_id, 200) or None,
        "source_place": place,
        "lab_comment": comment[:_LONGEST_COMMENT] or None,
        "status": result.status,
        "withdrawn": result.withdrawn,
    }


def _comment(text: str) -> str:
    """A comment as it is stored: its lines without what no column holds, and without blanks around."""
    lines = (" ".join(UNSTORABLE.sub(" ", line).split()) for line in text.splitlines())
    return "\n".join(lines).strip()


def _clean(text: str, longest: int | None = None) -> str:
    return " ".join(UNSTORABLE.sub(" ", text).split())[:longest]


class _NoDay(Exception):
    """A report has no day that a panel could have; `reason` is a rejection's."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _header(report: Report, options: Options) -> dict[str, Any]:
    """The columns of a report's panel. Raises _NoDay."""
    day, instant = _moment(report.collected, options)
    if day is None:
        raise _NoDay("no_date", "it has no date of collection, and the import names none")
    if not FIRST_DAY <= day <= options.today + timedelta(days=1):
        raise _NoDay("impossible_date", "nothing was collected on that day")
    offset = report.collected.utcoffset() if isinstance(report.collected, datetime) else None
    if offset is not None and not FURTHEST_WEST <= offset <= FURTHEST_EAST:
        raise _NoDay("impossible_date", "no zone is so far from UTC")
    reported = report.reported if isinstance(report.reported, datetime) else None
    return {
        "collected_date": day,
        "collected_at": instant,
        "reported_at": _moment(reported, options)[1],
        "lab_name": _clean(report.lab_name, 200) or None,
        "lab_provider": _clean(report.lab_provider, 200) or None,
        "panel_name": _clean(report.panel_name, 200) or None,
        "specimen_id": _clean(report.specimen_id, 100) or None,
        "source_system": _clean(report.source_system, 200) or None,
        "source_id": _clean(report.source_id, 200) or None,
        "lab_comment": _comment(report.note)[:_LONGEST_COMMENT] or None,
    }


def _moment(moment: date | None, options: Options) -> tuple[date | None, datetime | None]:
    """The day where it was, and the instant if there is a time."""
    if not isinstance(moment, datetime):
        return moment or options.collected_date, None
    there = moment if moment.tzinfo else moment.replace(tzinfo=options.time_zone)
    try:
        return there.date(), there.astimezone(UTC)
    except OverflowError:
        # At the ends of the calendar.
        return there.date(), None


def _tell_doubts(markers: Iterable[dict[str, Any]], aliases: Mapping[str, str], account: Account) -> None:
    """Finds markers whose code says another one than their name; those stay as printed."""
    for marker in markers:
        if marker["loinc_code"] and _disagrees(marker, aliases):
            marker["biomarker"] = ""
            account.doubt(
                marker["source_place"],
                "loinc_disagrees",
                "its LOINC code is of another marker than its name; it is kept as printed",
            )


def _disagrees(marker: Mapping[str, Any], aliases: Mapping[str, str]) -> bool:
    by_code = match_of(marker, {})
    found = catalogue().of(by_code.slug or "")
    if found is None or by_code.how != "loinc":
        return False
    # A name that leaves the specimen out means the code's.
    specimen = marker["specimen"] or found.specimen.replace("_", " ")
    by_name = match_of({**marker, "loinc_code": None, "specimen": specimen}, aliases)
    return by_name.slug not in (None, found.slug)


def match_of(marker: Mapping[str, Any], aliases: Mapping[str, str]) -> Match:
    """What the dictionary takes a marker for, by what is printed."""
    names = (marker[name] or "" for name in ("raw_name", "unit", "specimen", "sub_panel", "loinc_code"))
    return marker_index().match(Row(*names), aliases)
