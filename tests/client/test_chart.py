"""Values over time, drawn with characters."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalis_client.cli.chart import ABOVE, BELOW, BOUND, CENSORED, POINT, Point, chart

FIRST = date(2024, 1, 5)
DAYS = st.dates(date(1990, 1, 1), date(2030, 1, 1))
VALUES = st.floats(0.001, 1e6)


def at(days: int, value: float, *, censored: bool = False) -> Point:
    return Point(FIRST + timedelta(days=days), value, censored)


def test_a_trend_with_its_range() -> None:
    points = [at(0, 5.0), at(500, 5.5), at(1000, 7.2)]
    lines = chart(points, low=3.9, high=5.6, width=40, height=9)
    assert lines == [
        "7.5 ┤",
        "    ┤" + " " * 34 + ABOVE,
        "6.5 ┤",
        "    ┤",
        "5.6 ┤" + BOUND * 17 + POINT + BOUND * 17,
        "    ┤" + POINT,
        "4.6 ┤",
        "    ┤" + BOUND * 35,
        "3.6 ┤",
        "     2024-01-05" + "2026-10-01".rjust(25),
    ]


def test_marks_say_what_is_out_of_range_and_what_was_not_seen() -> None:
    drawn = "".join(chart([at(0, 1), at(10, 5), at(20, 9), at(30, 2, censored=True)], low=3, high=6))
    assert [drawn.count(mark) for mark in (BELOW, POINT, ABOVE, CENSORED)] == [1, 1, 1, 1]
    # Of two at one place the one that matters is seen.
    assert "".join(chart([at(0, 6.0001), at(0, 6)], high=6)).count(ABOVE) == 1


def test_one_value_alone_and_values_that_do_not_change() -> None:
    alone = chart([at(0, 5)], width=30, height=3)
    assert alone[1].index(POINT) == pytest.approx(len(alone[1]) - 1)
    assert "2024-01-05" in alone[-1]
    assert "".join(chart([at(0, 0), at(9, 0)])).count(POINT) == 2


def test_nothing_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="there is nothing to draw"):
        chart([])


@given(
    st.lists(st.builds(Point, DAYS, VALUES, st.booleans()), min_size=1, max_size=60),
    st.none() | VALUES,
    st.none() | VALUES,
    st.integers(20, 200),
    st.integers(3, 40),
)
def test_whatever_is_drawn_fits_and_shows_every_day_there_is_room_for(
    points: list[Point], low: float | None, high: float | None, width: int, height: int
) -> None:
    lines = chart(points, low=low, high=high, width=width, height=height)
    assert len(lines) == height + 1
    axis = lines[0].index("┤")
    # Numbers as wide as a million leave a narrow terminal at least a few characters to draw on.
    assert max(map(len, lines)) <= max(width, axis + 1 + 21)
    drawn = "".join(line[axis + 1 :] for line in lines[:-1])
    marks = sum(drawn.count(mark) for mark in (POINT, ABOVE, BELOW, CENSORED))
    assert 1 <= marks <= len(points)
