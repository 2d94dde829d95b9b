"""Values over time as lines of text."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

POINT, ABOVE, BELOW, CENSORED = "●", "▲", "▼", "○"
BOUND, EMPTY = "┄", " "
# Of the span of the values, how much room stays free above and below them.
MARGIN = 0.08


@dataclass(frozen=True, slots=True)
class Point:
    """A value of a day; a censored one, such as `<5`, is where the instrument stopped seeing."""

    day: date
    value: float
    censored: bool = False


def chart(
    points: Sequence[Point], *, low: float | None = None, high: float | None = None, width: int = 72, height: int = 11
) -> list[str]:
    """Lines of `width` characters at the most: the values by day, with the bounds of a range as dashes.

    Two values that fall on one place are one mark, and the one that is out of
    range is it. Raises ValueError without a point.
    """
    if not points:
        raise ValueError("there is nothing to draw")
    bounds = [bound for bound in (low, high) if bound is not None]
    bottom, top = span([*(point.value for point in points), *bounds])
    texts = labels(bottom, top, height)
    canvas_width = max(width - len(texts[0]) - 2, 8)
    canvas = [[EMPTY] * canvas_width for _ in range(height)]

    def row(value: float) -> int:
        return round((top - value) / (top - bottom) * (height - 1))

    for bound in bounds:
        canvas[row(bound)] = [BOUND] * canvas_width
    first, last = min(point.day for point in points), max(point.day for point in points)
    for point in sorted(points, key=lambda point: mark(point, low, high) in (ABOVE, BELOW)):
        share = (point.day - first) / (last - first) if last > first else 0.5
        canvas[row(point.value)][round(share * (canvas_width - 1))] = mark(point, low, high)
    lines = [f"{text} ┤{''.join(line)}".rstrip() for text, line in zip(texts, canvas, strict=True)]
    return [*lines, " " * (len(texts[0]) + 2) + days(first, last, canvas_width)]


def span(values: Sequence[float]) -> tuple[float, float]:
    """From where to where the axis goes; never below zero if no value is."""
    low, high = min(values), max(values)
    room = (high - low) * MARGIN or abs(high) * MARGIN or 1.0
    return (max(low - room, 0.0) if low >= 0 else low - room), high + room


def labels(bottom: float, top: float, height: int) -> list[str]:
    """A number for every other line, each as wide as the widest."""
    step = (top - bottom) / (height - 1)
    decimals = next((digits for digits in range(6) if step * 2 * 10**digits >= 1), 6)
    texts = [f"{top - step * line:.{decimals}f}" if line % 2 == 0 else "" for line in range(height)]
    widest = max(map(len, texts))
    return [text.rjust(widest) for text in texts]


def mark(point: Point, low: float | None, high: float | None) -> str:
    if point.censored:
        return CENSORED
    if high is not None and point.value > high:
        return ABOVE
    return BELOW if low is not None and point.value < low else POINT


def days(first: date, last: date, width: int) -> str:
    """The first and the last day below the ends of the axis, or the one there is below its middle."""
    if first == last:
        return first.isoformat().center(width).rstrip()
    return first.isoformat() + last.isoformat().rjust(max(width - len(first.isoformat()), 11))
