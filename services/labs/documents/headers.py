"""What stands at the head of a report: when it was collected and reported, by which laboratory, for whom.

A label says what follows it, up to the next label; where nothing does, what
stands below it, as under the title of a column.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from services.labs.documents.pages import Line, Word, text_of
from services.labs.reports import parse_moment

# Labels of languages that write the day before the month are `…_day`.
_LABELS = re.compile(
    r"""
    (?P<collected>\b(?:date(?:/time)?\s+collected|collection\s+date(?:/time)?|collected(?:\s+(?:on|date(?:/time)?))?
        |specimen\s+collected|date\s+drawn|drawn(?:\s+on)?)\b\s*:?)
    |(?P<collected_day>\b(?:(?:blut|proben)?entnahme(?:datum)?(?:\s+am)?|probenentnahme|abnahme(?:datum)?|entnommen(?:\s+am)?
        |date\s+d[eu]\s+pr[ée]l[èe]vement|pr[ée]l[èe]vement(?:\s+du)?|pr[ée]lev[ée]e?\s+le
        |fecha\s+de\s+(?:extracci[óo]n|toma|obtenci[óo]n|recogida)|fecha\s+toma|extracci[óo]n)\b\s*:?)
    |(?P<reported>\b(?:date(?:/time)?\s+reported|report(?:ed)?\s+date(?:/time)?|reported(?:\s+on)?)\b\s*:?)
    |(?P<reported_day>\b(?:befunddatum|befund\s+vom|berichtsdatum|[ée]dit[ée]\s+le|valid[ée]\s+le|date\s+d['’][ée]dition
        |fecha\s+de\s+(?:informe|emisi[óo]n|validaci[óo]n))\b\s*:?)
    |(?P<laboratory>\b(?:resulting\s+lab|performing\s+lab(?:oratory)?|lab(?:oratory)?(?:\s+name)?|labor|laboratoire
        |laboratorio)\s*:)
    |(?P<provider>\b(?:authorizing\s+provider|ordering\s+(?:provider|physician|clinician)|ordered\s+by|requested\s+by
        |referring\s+physician|einsender|(?:einsendender|überweisender)\s+arzt|(?:m[ée]decin\s+)?prescripteur|m[ée]decin
        |m[ée]dico(?:\s+solicitante)?|solicitado\s+por)\s*:)
    |(?P<other>\b(?:date\s+(?:received|entered|printed|of\s+birth)|received|printed|dob|eingang|geburtsdatum)\b\s*:?)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ANY_LABEL = re.compile(r"\b[^\W\d]+:(?=\s|$)")
_MONTHS = {
    start: number
    for number, starts in enumerate(
        (
            *("jan ene", "feb fev", "mar mrz", "apr avr abr", "may mai", "jun", "jul juil", "aug aou ago", "sep"),
            *("oct okt", "nov", "dec dez dic"),
        ),
        start=1,
    )
    for start in starts.split()
}
_ISO = re.compile(r"(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)")
_NAMED = re.compile(r"(?P<name>[^\W\d_]{3,10})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})")
_DAY_NAMED = re.compile(
    r"(?P<day>\d{1,2})(?:\.|er|st|nd|rd|th)?[\s-](?:de\s+)?(?P<name>[^\W\d_]{3,10})\.?,?[\s-](?:de\s+)?(?P<year>\d{4})"
)
_NUMERIC = re.compile(r"(?P<first>\d{1,2})(?P<sign>[/.-])(?P<second>\d{1,2})(?P=sign)(?P<year>\d{4}|\d\d)(?!\d)")
_CLOCK = re.compile(
    r",?\s*(?:-\s*)?(?:at\s+|à\s+|um\s+|a\s+las\s+)?(\d{1,2})[:h](\d\d)(?::\d\d)?\s*([AP]M)?\b", re.IGNORECASE
)


def read_date(text: str, *, month_first: bool | None) -> date | None:
    """The first date in a text, with its time if one stands behind it; None if there is none that is certain.

    `month_first` says whether 05/06/2023 is in May; None where that is not known.
    """
    found = sorted(
        (match.start(), order, match)
        for order, pattern in enumerate((_ISO, _DAY_NAMED, _NAMED, _NUMERIC))
        if (match := pattern.search(text))
    )
    for _, _, match in found:
        if numbers := _numbers(match, month_first):
            year, month, day = numbers
            return parse_moment(f"{year}-{month:02}-{day:02}{_time_behind(text[match.end() :])}")
    return None


def _numbers(match: re.Match[str], month_first: bool | None) -> tuple[int, int, int] | None:
    """Year, month and day of a match."""
    named = match.groupdict()
    year = int(named["year"]) + (2000 if len(named["year"]) == 2 else 0)
    if "name" in named:
        month = _month(named["name"])
        return (year, month, int(named["day"])) if month else None
    if "month" in named:
        return year, int(named["month"]), int(named["day"])
    first, second = int(named["first"]), int(named["second"])
    if named["sign"] == "." or first > 12:
        month_first = False
    elif second > 12:
        month_first = True
    if month_first is None:
        return None
    return (year, first, second) if month_first else (year, second, first)


def _month(name: str) -> int:
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    return _MONTHS.get(plain[:4]) or _MONTHS.get(plain[:3], 0)


def _time_behind(text: str) -> str:
    """`T14:30` for " 2:30 PM", "" for no time."""
    match = _CLOCK.match(text)
    if not match:
        return ""
    hour, minute, half = int(match[1]), match[2], (match[3] or "").upper()
    if half:
        hour = hour % 12 + (12 if half == "PM" else 0)
    return f"T{hour:02}:{minute}"


@dataclass(slots=True)
class Header:
    """What has been said so far. What is said in two ways is not certain, and not told."""

    month_first: bool | None = None
    laboratory: str = ""
    provider: str = ""
    _dates: dict[str, list[date]] = field(default_factory=lambda: {"collected": [], "reported": []})

    def date_of(self, kind: str) -> date | None:
        """When the report was `collected` or `reported`; with its time where one is said."""
        said = sorted(self._dates[kind], key=lambda moment: len(moment.isoformat()))
        return said[-1] if said and len({moment.isoformat()[:10] for moment in said}) == 1 else None

    def take(self, line: Line, below: Line | None) -> bool:
        """Takes what the line says; whether it says any of this."""
        taken = False
        for kind, day_first, label, text in _said(line):
            if kind == "other":
                continue
            taken = True
            if kind in self._dates:
                month_first = False if day_first else self.month_first
                under = _below(label, below) if below else ""
                if moment := read_date(text, month_first=month_first) or read_date(under, month_first=month_first):
                    self._dates[kind].append(moment)
            elif kind == "laboratory":
                self.laboratory = self.laboratory or text
            else:
                self.provider = self.provider or text
        return taken


def _said(line: Line) -> Iterator[tuple[str, bool, tuple[Word, ...], str]]:
    """Each label of the line: its kind, whether its language puts days first, its cell, and what follows it."""
    row, cells = line.row, line.cells
    known = [label for label in _LABELS.finditer(row) if _is_label(row, label)]
    others = [other.start() for other in _ANY_LABEL.finditer(row)]
    ends = sorted([*(label.start() for label in known), *others, len(row)])
    for label in known:
        end = next(end for end in ends if end >= label.end())
        kind, _, day = str(label.lastgroup).partition("_")
        text = row[label.end() : end].strip(" \t,;:").partition("\t")[0].strip()
        yield kind, bool(day), cells[row.count("\t", 0, label.start())], text


def _is_label(row: str, match: re.Match[str]) -> bool:
    """Whether the words are a label there, and no part of a sentence."""
    return row[match.end() - 1] == ":" or match.start() == 0 or row[match.start() - 1] == "\t"


def _below(label: tuple[Word, ...], line: Line) -> str:
    """What stands under a label in the next line; "" where that has a label of its own."""
    left, right = label[0].x0, label[-1].x1
    under = max(
        (cell for cell in line.cells if cell[0].x0 < right and left < cell[-1].x1),
        key=lambda cell: min(right, cell[-1].x1) - max(left, cell[0].x0),
        default=(),
    )
    text = text_of(under)
    return "" if _LABELS.search(text) or _ANY_LABEL.search(text) else text
