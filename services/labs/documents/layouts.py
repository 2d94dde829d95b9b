"""What the pages of a report say: the layouts of Quest, LabCorp and MyChart, and any table of results.

A layout is how a report is recognised, how its dates are written, and how its
lines are read; another one is another entry of `LAYOUTS`.
"""

from __future__ import annotations

import re
from calendar import month_abbr
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import date

from services.labs.documents.pages import Line, columns
from services.labs.documents.rows import NUMBER, read_row
from services.labs.reports import Result, parse_moment
from services.labs.values import read_flag, read_range

# How far a value is believed before anybody has looked at it.
KNOWN_LAYOUT = 0.98
ANY_TABLE = 0.9
WITHOUT_UNIT = 0.15
WITHOUT_RANGE = 0.05

COLLECTED = re.compile(
    r"\b(?:date collected|collection date|collected(?: on| date)?|entnahme(?:datum)?|abnahme)\b:?", re.I
)
REPORTED = re.compile(r"\b(?:date reported|report(?:ed)? date|reported(?: on)?|befunddatum)\b:?", re.I)
PROVIDER = re.compile(r"\b(?:authorizing provider|ordering (?:provider|physician)|ordered by)\s*:\s*(.+)$", re.I)
LABORATORY = re.compile(r"\b(?:resulting lab|performing lab(?:oratory)?|laboratory|labor)\s*:\s*(.+)$", re.I)
COLUMN_TITLES = frozenset(
    re.findall(
        r"\S+",
        """
        test tests analyte name result results value flag units unit reference range interval current previous and date
        lab in out of untersuchung ergebnis einheit referenzbereich wert
        """,
    )
)
NORMAL_RANGE = re.compile(r"(?:normal|reference) (?:range|value)\s*:\s*(.+)$", re.I)
MONTHS = {name.lower(): number for number, name in enumerate(month_abbr) if name}
NUMERIC_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})")
DOTTED_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
NAMED_DATE = re.compile(r"([A-Za-z]{3})[a-z]*\.? (\d{1,2}),? (\d{4})")
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
CLOCK = re.compile(r",?\s*(?:at\s+)?(\d{1,2}):(\d\d)(?::\d\d)?\s*([AP]M)?\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """A result, where it stands on the pages, and how far it is to be believed (0 to 1)."""

    result: Result
    page: int
    box: tuple[float, float, float, float]
    confidence: float


@dataclass(slots=True)
class Reader:
    """What has been read so far; tables and their headings go on over the pages."""

    layout: Layout
    readings: list[Reading] = field(default_factory=list)
    lab_name: str = ""
    lab_provider: str = ""
    collected: date | None = None
    reported: date | None = None
    heading: str = ""
    _pending: str = ""

    def add(self, result: Result, line: Line) -> None:
        doubt = (0 if result.unit else WITHOUT_UNIT) + (0 if result.reference_range else WITHOUT_RANGE)
        confidence = round(max(0.0, (self.layout.confidence - doubt) * line.confidence), 2)
        self.readings.append(Reading(result, line.page, line.box, confidence))

    def take_header(self, text: str) -> bool:
        """Whether the line says when, where or for whom the report was made."""
        found = False
        if match := LABORATORY.search(text):
            self.lab_name, found = match[1].strip(), True
        if match := PROVIDER.search(text):
            self.lab_provider, found = match[1].strip(), True
        for pattern, name in ((COLLECTED, "collected"), (REPORTED, "reported")):
            if match := pattern.search(text):
                found = True
                if getattr(self, name) is None:
                    setattr(self, name, self.layout.read_date(text[match.end() :]))
        return found

    def read_table(self, lines: Sequence[Line]) -> None:
        """Rows, each on a line; what stands above them and is none is what they are called together."""
        for line in lines:
            text = line.text
            row = read_row(text)
            if row is None:
                self._note(text)
                continue
            name = row.name
            if self._pending:
                # A name too long for its column goes on in the next line.
                if name[0] in "(,/" or name[0].islower():
                    name = f"{self._pending} {name}"
                else:
                    self.heading = self._pending
                self._pending = ""
            place = f"page {line.page}, “{name}”"
            self.add(
                Result(place, name, row.value, row.unit, row.reference_range, row.flag, sub_panel=self.heading), line
            )

    def _note(self, text: str) -> None:
        words = {word.strip(".:,").lower() for word in text.split()}
        if self.take_header(text) or words <= COLUMN_TITLES or (self.lab_name and self.layout.mark.search(text)):
            return
        is_heading = (
            len(text) <= 60 and text[0].isupper() and not text.endswith((".", ":")) and not any(map(str.isdigit, text))
        )
        self._pending = text if is_heading else ""

    def read_cards(self, lines: Sequence[Line]) -> None:
        """MyChart's cards: a name, its range, the range's ends as a scale, the value."""
        before = ""
        at = 0
        while at < len(lines):
            text = lines[at].text
            if match := NORMAL_RANGE.match(text):
                at = self._card(before, match[1], lines, at + 1)
                continue
            if not self.take_header(text):
                before = text
            at += 1

    def _card(self, name: str, limits: str, lines: Sequence[Line], at: int) -> int:
        """Reads a card from below its range; where the next line to read is."""
        end = at
        while end < len(lines) and _only_numbers(lines[end].text):
            end += 1
        candidates = list(lines[at:end])
        scale = read_range(limits)
        ends = [str(bound) for bound in (scale.low, scale.high) if bound is not None]
        # The range's ends are drawn as a scale above the value, which may happen to be one of them.
        if candidates and (len(candidates) > 1 or len(ends) == 2) and candidates[0].text.split() == ends:
            del candidates[0]
        if not candidates:
            return end
        line = candidates[-1]
        value, *rest = [word for word in line.text.split() if word.lower() != "value"]
        flag = " ".join(rest)
        self.add(Result(f"page {line.page}, “{name}”", name, value, scale.unit, limits, flag), line)
        return end


def _only_numbers(text: str) -> bool:
    """Whether a line has numbers, with a flag perhaps, and nothing else."""
    words = [word for word in text.split() if word.lower() != "value" and not read_flag(word)]
    return bool(words) and all(NUMBER.fullmatch(word) for word in words)


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of report."""

    name: str
    # What its pages say somewhere, and no other kind's do.
    mark: re.Pattern[str]
    read: Callable[[Reader, Sequence[Line]], None]
    lab_name: str = ""
    # Whether 05/06/2023 is in May; None where that is not known.
    month_first: bool | None = None
    confidence: float = KNOWN_LAYOUT

    def read_date(self, text: str) -> date | None:
        """The first date in a text, with its time if one stands behind it; None if there is none that is certain."""
        if match := ISO_DATE.search(text):
            year, month, day = match[0].split("-")
        elif match := NAMED_DATE.search(text):
            name, day, year = match.groups()
            month = str(MONTHS.get(name.lower(), 0))
        elif match := DOTTED_DATE.search(text):
            day, month, year = match.groups()
        elif (match := NUMERIC_DATE.search(text)) and self.month_first is not None:
            first, second, year = match.groups()
            month, day = (first, second) if self.month_first else (second, first)
        else:
            return None
        return parse_moment(f"{year}-{int(month):02}-{int(day):02}{_time_behind(text[match.end() :])}")


def _time_behind(text: str) -> str:
    """`T14:30` for " 2:30 PM", "" for no time."""
    match = CLOCK.match(text)
    if not match:
        return ""
    hour, minute, half = int(match[1]), match[2], (match[3] or "").upper()
    if half:
        hour = hour % 12 + (12 if half == "PM" else 0)
    return f"T{hour:02}:{minute}"


LAYOUTS = (
    Layout("mychart", re.compile(r"\bMyChart\b|Epic Systems"), Reader.read_cards, month_first=True),
    Layout(
        "labcorp",
        re.compile(r"Laboratory Corporation of America|\bLabcorp\b", re.IGNORECASE),
        Reader.read_table,
        "LabCorp",
        month_first=True,
    ),
    Layout(
        "quest",
        re.compile(r"\bQuest Diagnostics\b", re.IGNORECASE),
        Reader.read_table,
        "Quest Diagnostics",
        month_first=True,
    ),
    # Whatever says nothing of itself.
    Layout("table", re.compile(""), Reader.read_table, confidence=ANY_TABLE),
)


def layout_of(text: str) -> Layout:
    """The layout of a document by all of its text."""
    return next(layout for layout in LAYOUTS if layout.mark.search(text))


def read_pages(pages: Sequence[tuple[Sequence[Line], float]]) -> Reader:
    """What the pages say; each is its lines and its width."""
    layout = layout_of("\n".join(line.text for lines, _ in pages for line in lines))
    reader = Reader(layout, lab_name=layout.lab_name)
    for lines, width in pages:
        ways = [copy(reader) for _ in columns(lines, width)]
        for way, set_so in zip(ways, columns(lines, width), strict=True):
            way.readings = list(reader.readings)
            layout.read(way, set_so)
        # A page is set in the way in which most of it makes sense; in one column where that is as good.
        reader = max(ways, key=lambda way: len(way.readings))
    return reader
