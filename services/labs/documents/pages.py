"""The lines of a PDF's pages, with where they stand.

A page may be set in two columns; `columns` gives the ways in which it could be
read, and whoever understands the lines says which of them made sense.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from services.labs.documents.skew import Box, Turned

# Points (1/72 inch). Words whose middles are closer than this stand on one line.
LINE_TOLERANCE = 3.0
# A gutter between columns of text is wider than any gap between words.
LEAST_GUTTER = 9.0
# So is the gap between two cells of a table, in heights of the words beside it.
LEAST_CELL_GAP = 0.6
# Titles may cross a gutter; in a page of one column nearly every line does.
MOST_CROSSING = 0.34


class Word(NamedTuple):
    """A word and its place, in points from the page's top left corner."""

    text: str
    x0: float
    top: float
    x1: float
    bottom: float
    # 1 for a PDF's own text, less for what was recognised in a picture.
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Line:
    """Words that stand beside each other. `page` counts from 1; `turned` is how it was turned for them to be level."""

    page: int
    words: tuple[Word, ...]
    turned: Turned | None = None

    @property
    def text(self) -> str:
        return text_of(self.words)

    @property
    def cells(self) -> list[tuple[Word, ...]]:
        """The words in groups that stand apart, as the cells of a table do."""
        height = median(word.bottom - word.top for word in self.words)
        cells = [[self.words[0]]]
        for left, right in pairwise(self.words):
            if right.x0 - left.x1 > LEAST_CELL_GAP * height:
                cells.append([])
            cells[-1].append(right)
        return [tuple(cell) for cell in cells]

    @property
    def row(self) -> str:
        """The text with a tab between cells."""
        return "\t".join(text_of(cell) for cell in self.cells)

    @property
    def box(self) -> Box:
        """x0, top, x1, bottom."""
        return (
            self.words[0].x0,
            min(word.top for word in self.words),
            self.words[-1].x1,
            max(word.bottom for word in self.words),
        )

    @property
    def place(self) -> Box:
        """The box on the page as it was uploaded."""
        return self.turned.back(self.box) if self.turned else self.box

    @property
    def confidence(self) -> float:
        return min(word.confidence for word in self.words)


def text_of(words: Iterable[Word]) -> str:
    return " ".join(word.text for word in words)


def lines_of(page: int, words: Iterable[Word]) -> list[Line]:
    """The words in lines, from top to bottom."""
    rows: list[list[Word]] = []
    for word in sorted(words, key=lambda word: ((word.top + word.bottom) / 2, word.x0)):
        middle = (word.top + word.bottom) / 2
        if rows and abs(middle - (rows[-1][0].top + rows[-1][0].bottom) / 2) <= LINE_TOLERANCE:
            rows[-1].append(word)
        else:
            rows.append([word])
    return [Line(page, tuple(sorted(row, key=lambda word: word.x0))) for row in rows]


def columns(lines: Sequence[Line], width: float) -> Iterator[list[Line]]:
    """The ways to read a page: as it is, and once for each gutter that it could be split at."""
    yield list(lines)
    for gutter in _gutters(lines, width):
        yield list(_split(lines, gutter))


def _gutters(lines: Sequence[Line], width: float) -> Iterator[float]:
    """Where nearly no line has a word, in the middle part of the page; the widest gap first."""
    edges = sorted({edge for line in lines for word in line.words for edge in (word.x0, word.x1)})
    gaps = [
        (right - left, (left + right) / 2)
        for left, right in pairwise(edges)
        if right - left >= LEAST_GUTTER and width * 0.25 < (left + right) / 2 < width * 0.75
    ]
    for _, gutter in sorted(gaps, reverse=True)[:3]:
        crossing = sum(1 for line in lines if _crosses(line, gutter))
        if crossing <= len(lines) * MOST_CROSSING:
            yield gutter


def _crosses(line: Line, gutter: float) -> bool:
    return any(word.x0 < gutter < word.x1 for word in line.words) or any(
        left.x1 <= gutter <= right.x0 and right.x0 - left.x1 < LEAST_GUTTER for left, right in pairwise(line.words)
    )


def _split(lines: Sequence[Line], gutter: float) -> Iterator[Line]:
    """The left column, then the right one, of each part of the page between lines that cross the gutter."""
    left: list[Line] = []
    right: list[Line] = []
    for line in lines:
        if _crosses(line, gutter):
            yield from left
            yield from right
            yield line
            left, right = [], []
            continue
        for side, words in (
            (left, tuple(word for word in line.words if word.x1 <= gutter)),
            (right, tuple(word for word in line.words if word.x0 >= gutter)),
        ):
            if words:
                side.append(replace(line, words=words))
    yield from left
    yield from right
