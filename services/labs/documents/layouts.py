"""What the pages of a report say: the layouts of Quest, LabCorp and MyChart, and any table of results.

A layout is how a report is recognised, how its dates are written, and how its
lines are read; another one is another entry of `LAYOUTS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import date

from services.labs.documents.headers import Header
from services.labs.documents.pages import Line, Word, columns, text_of
from services.labs.documents.rows import Row, begins_with_value, is_range, read_row
from services.labs.documents.skew import Box
from services.labs.documents.vocabulary import (
    COLUMN_TITLES,
    INTERPRETATIONS,
    PREVIOUS_TITLES,
    QUALIFIERS,
    RESULT_TITLES,
    RESULT_WORDS,
)
from services.labs.documents.words import NUMBER
from services.labs.reports import Result
from services.labs.values import read_flag, read_range, read_result

# How far a value is believed before anybody has looked at it.
KNOWN_LAYOUT = 0.98
ANY_TABLE = 0.9
WITHOUT_UNIT = 0.15
WITHOUT_RANGE = 0.05
# Of what could be read in another way too, or contradicts itself; below what is sure enough (review.py).
UNSURE = 0.6
LONGEST_HEADING = 60
CARD_RANGE = re.compile(r"(?:normal|reference|standard) (?:range|value)s?\s*:\s*(.+)$", re.I)
# A name that goes on in the next line says so by its end.
GOES_ON = re.compile(r"(?:[,(/&-]|\b(?:with|and|of|und|mit|et|avec|de|y|con))$", re.I)
# Names that begin small, and are whole: fT3, eGFR, pH, hs-CRP.
BEGINS_SMALL = re.compile(r"[a-zµαβγ]{1,4}[A-Z0-9-]")
CONTINUED = frozenset({"(continued)", "(cont.)", "(cont)", "(fortsetzung)", "(suite)", "(continuación)"})
# How far a line is from the next one at the most, in heights of its words.
LINES_APART = 3.0
# How far below its beginning the rest of a name may be indented, in points.
MOST_INDENTED = 30.0


# A line's text, and how far it is from the top of its page, in points.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Reading:
    """A result, where it stands on the pages, and how far it is to be believed (0 to 1)."""

    result: Result
    page: int
    box: Box
    confidence: float


@dataclass(slots=True)
class Reader:
    """What has been read so far; tables and their headings go on over the pages."""

    layout: Layout
    # What stands in the same place on several pages says what they are, and is no heading.
    repeated: frozenset[Place] = frozenset()
    readings: list[Reading] = field(default_factory=list)
    header: Header = field(default_factory=Header)
    heading: str = ""
    # A line that may be a heading, a name, or the beginning of one.
    _pending: Line | None = None
    _titles: list[tuple[Word, ...]] = field(default_factory=list)

    @property
    def lab_name(self) -> str:
        return self.layout.lab_name or self.header.laboratory

    @property
    def lab_provider(self) -> str:
        return self.header.provider

    @property
    def collected(self) -> date | None:
        return self.header.date_of("collected")

    @property
    def reported(self) -> date | None:
        return self.header.date_of("reported")

    def read_table(self, lines: Sequence[Line]) -> None:
        """Rows; what stands above them and is none is what they are called together."""
        at = 0
        while at < len(lines):
            used = self._read_row(lines, at)
            if not used:
                self._note(lines[at], lines[at + 1] if at + 1 < len(lines) else None)
            at += used or 1

    def _read_row(self, lines: Sequence[Line], at: int) -> int:
        """How many lines are a row: it, its range and the rest of its name may stand below each other."""
        line, pending = lines[at], self._pending.text if self._pending else ""
        text = _without(self._titles, line)
        row, above = read_row(text) or read_row(line.row), ""
        below = lines[at + 1].row if at + 1 < len(lines) else ""
        used = 1
        if row is None and self._pending and _is_right_above(self._pending, line) and begins_with_value(text):
            text, above = f"{pending}\t{text}", pending
            row = read_row(text)
        if is_range(below) and (row is None or not row.reference_range) and (whole := read_row(f"{text}\t{below}")):
            row, used = whole, 2
        if row is None:
            return 0
        name = row.name
        if pending and not above:
            if _is_rest(name) or GOES_ON.search(pending):
                name = f"{pending} {name}"
            else:
                self.heading = pending
        self._pending = None
        if at + used < len(lines) and _goes_on_in(line, lines[at + used]):
            name = f"{name} {lines[at + used].text}"
            used += 1
        self._add(name, row, lines[at : at + used])
        return used

    def _add(self, name: str, row: Row, lines: Sequence[Line]) -> None:
        place = f"page {lines[0].page}, “{name}”"
        result = Result(place, name, row.value, row.unit, row.reference_range, row.flag, sub_panel=self.heading)
        self.add(result, lines, sure=row.sure)

    def add(self, result: Result, lines: Sequence[Line], *, sure: bool = True) -> None:
        doubt = (0 if result.unit else WITHOUT_UNIT) + (0 if result.reference_range else WITHOUT_RANGE)
        seen = min(line.confidence for line in lines)
        confidence = max(0.0, (self.layout.confidence - doubt) * seen)
        if not sure or _contradicts_itself(result) or (seen < 1 and _may_be_misread(result)):
            confidence = min(confidence, UNSURE)
        lefts, tops, rights, bottoms = zip(*(line.place for line in lines), strict=True)
        box = (min(lefts), min(tops), max(rights), max(bottoms))
        self.readings.append(Reading(result, lines[0].page, box, round(confidence, 2)))

    def _note(self, line: Line, below: Line | None) -> None:
        text = line.text
        words = {word.strip(".:,").lower() for word in text.split()}
        if words <= COLUMN_TITLES:
            if len(line.cells) > 1:
                self._titles = _titles_of(line)
            return
        if self.header.take(line, below) or _place(line) in self.repeated or self._is_letterhead(text):
            return
        is_heading = (
            len(text) <= LONGEST_HEADING
            and text[0].isupper()
            and ":" not in text
            and not text.endswith(".")
            and not any(map(str.isdigit, text))
            and not words <= INTERPRETATIONS | COLUMN_TITLES
        )
        self._pending = line if is_heading else None

    def _is_letterhead(self, text: str) -> bool:
        return bool(self.layout.lab_name and self.layout.mark.search(text))

    def read_cards(self, lines: Sequence[Line]) -> None:
        """MyChart's cards: a name, its range, the range's ends as a scale, the value."""
        before = ""
        at = 0
        while at < len(lines):
            text = lines[at].text
            if match := CARD_RANGE.match(text):
                at = self._card(before, match[1], lines, at + 1)
                continue
            if not self.header.take(lines[at], lines[at + 1] if at + 1 < len(lines) else None):
                before = text
            at += 1

    def _card(self, name: str, limits: str, lines: Sequence[Line], at: int) -> int:
        """Reads a card from below its range; where the next line to read is."""
        end = at
        while end < len(lines) and _is_on_a_card(lines[end].text):
            end += 1
        read = read_range(limits)
        ends = [str(bound) for bound in (read.low, read.high) if bound is not None]
        candidates = [line for line in lines[at:end] if line.text.lower() != "value"]
        # The range's ends are drawn as a scale beside the value, which may happen to be one of them.
        scales = [line for line in candidates if line.text.split() == ends]
        sure = True
        if scales and (len(candidates) > 1 or len(ends) == 2):
            candidates.remove(scales[0])
        elif scales:
            sure = False
        if name and candidates:
            line = candidates[-1]
            value, *rest = [word for word in line.text.split() if word.lower() != "value"]
            unit = " ".join(word for word in rest if not read_flag(word)) or read.unit
            flag = " ".join(word for word in rest if read_flag(word))
            result = Result(f"page {line.page}, “{name}”", name, value, unit, limits, flag)
            self.add(result, [line], sure=sure and len(candidates) == 1)
        return end


def _is_on_a_card(text: str) -> bool:
    """Whether a line is a result or a scale, with a flag perhaps, and nothing else."""
    words = [word for word in text.split() if word.lower() != "value" and not read_flag(word)]
    if not words:
        return text.lower() == "value"
    if words[0].lower() in RESULT_WORDS:
        return len(words) == 1
    return bool(NUMBER.fullmatch(words[0])) and (
        all(NUMBER.fullmatch(word) for word in words) or read_result(" ".join(words)).unit != ""
    )


def _place(line: Line) -> Place:
    return line.text, round(line.box[1])


def _titles_of(line: Line) -> list[tuple[Word, ...]]:
    """The titles of a table's columns, if one of them says that what stands below was measured before."""
    titles: list[tuple[Word, ...]] = []
    for cell in line.cells:
        # Titles stand closer to each other than what is below them.
        begins = next((at for at, word in enumerate(cell) if _plain(word) in PREVIOUS_TITLES), 0)
        titles += [part for part in (cell[:begins], cell[begins:]) if part]
    before = [title for title in titles if _is_previous(title)]
    now = [
        title for title in titles if not _is_previous(title) and any(_plain(word) in RESULT_TITLES for word in title)
    ]
    return titles if before and now else []


def _plain(word: Word) -> str:
    return word.text.strip(".:,").lower()


def _is_previous(title: Sequence[Word]) -> bool:
    return _plain(title[0]) in PREVIOUS_TITLES


def _without(titles: Sequence[Sequence[Word]], line: Line) -> str:
    """The line's row without what stands in the column of previous results."""
    if not titles:
        return line.row

    def title(cell: Sequence[Word]) -> Sequence[Word]:
        return min(titles, key=lambda title: _apart(title, cell))

    return "\t".join(text_of(cell) for cell in line.cells if not _is_previous(title(cell)))


def _apart(title: Sequence[Word], cell: Sequence[Word]) -> float:
    """How far a cell is from standing under a title, on its left, on its right or in its middle."""
    left, right = title[0].x0 - cell[0].x0, title[-1].x1 - cell[-1].x1
    return min(abs(left), abs(right), abs(left + right) / 2)


def _is_right_above(line: Line, below: Line) -> bool:
    height = line.box[3] - line.box[1]
    return line.page == below.page and 0 < below.box[1] - line.box[1] < LINES_APART * height


def _is_rest(name: str) -> bool:
    """Whether a name is the rest of one that began above it."""
    return name[0] in "(,/" or (name[0].islower() and not BEGINS_SMALL.match(name))


def _goes_on_in(line: Line, below: Line) -> bool:
    """Whether the next line is the rest of the line's name."""
    text = below.text
    if abs(below.box[0] - line.box[0]) > MOST_INDENTED or text.lower() in CONTINUED:
        return False
    words = text.split()
    if text[-1] == ")" and (text[0] == "(" or words[-1].strip("()").lower() in QUALIFIERS):
        return len(text) <= LONGEST_HEADING and not any(map(str.isdigit, text))
    return all(word.strip(",()").lower() in QUALIFIERS for word in words)


def _contradicts_itself(result: Result) -> bool:
    """Whether the flag says that it is too high or too low where the range says that it is not."""
    flag, read = read_flag(result.flag), read_result(result.value)
    limits = read_range(result.reference_range)
    if flag not in ("H", "HH", "L", "LL") or read.number is None or read.comparator:
        return False
    bound = limits.high if flag[0] == "H" else limits.low
    return limits.contains(read.number) is True and bound != read.number


def _may_be_misread(result: Result) -> bool:
    """Whether a recognised number may have lost its decimal sign: its range has one, and it is far out of it."""
    read, limits = read_result(result.value), read_range(result.reference_range)
    ends = [bound for bound in (limits.low, limits.high) if bound is not None]
    if read.number is None or not ends:
        return False
    lost = all("." in str(bound) for bound in ends) and "." not in str(read.number)
    return lost or (limits.contains(read.number) is False and not read_flag(result.flag))


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
    on_pages = Counter(place for lines, _ in pages for place in set(map(_place, lines)))
    repeated = frozenset(place for place, count in on_pages.items() if count > 1)
    reader = Reader(layout, repeated, header=Header(layout.month_first))
    for lines, width in pages:
        ways = []
        for set_so in columns(lines, width):
            way = replace(reader, readings=list(reader.readings), header=deepcopy(reader.header))
            layout.read(way, set_so)
            ways.append(way)
        # A page is set in two columns where all that is sure in one makes sense in them too, and more does.
        best, *split = ways
        sure = _fields(reading for reading in best.readings if reading.confidence > UNSURE)
        reader = max(
            (best, *(way for way in split if sure <= _fields(way.readings))), key=lambda way: len(way.readings)
        )
    return reader


def _fields(readings: Iterable[Reading]) -> set[tuple[str, ...]]:
    found = (reading.result for reading in readings)
    return {(one.name, one.value, one.unit, one.reference_range, one.flag) for one in found}
