"""Dates, laboratories and whoever ordered: only what is certain is told."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.documents.headers import Header, read_date
from services.labs.documents.pages import Line, Word


def line(*cells: tuple[float, str]) -> Line:
    """A line whose cells begin at these places."""
    words = []
    for x, text in cells:
        for word in text.split():
            words.append(Word(word, x, 100, x + 5 * len(word), 109))
            x += 5 * len(word) + 2.5
    return Line(1, tuple(words))


@pytest.mark.parametrize(
    ("text", "month_first", "read"),
    [
        ("2024-02-03", None, date(2024, 2, 3)),
        ("02/03/2024", True, date(2024, 2, 3)),
        ("02/03/2024", False, date(2024, 3, 2)),
        ("02/03/2024", None, None),
        ("13/03/2024", None, date(2024, 3, 13)),
        ("03/13/2024", None, date(2024, 3, 13)),
        ("03/13/24", None, date(2024, 3, 13)),
        ("3.2.2024", True, date(2024, 2, 3)),
        ("03.02.24 um 08:15 Uhr", None, datetime(2024, 2, 3, 8, 15)),  # noqa: DTZ001
        ("Apr 10, 2025 7:05 PM", None, datetime(2025, 4, 10, 19, 5)),  # noqa: DTZ001
        ("April 10th, 2025", None, date(2025, 4, 10)),
        ("10-Apr-2025", None, date(2025, 4, 10)),
        ("3. März 2024", None, date(2024, 3, 3)),
        ("1er août 2024 à 08h15", None, datetime(2024, 8, 1, 8, 15)),  # noqa: DTZ001
        ("10 de diciembre de 2024", None, date(2024, 12, 10)),
        ("31/31/2024", True, None),
        ("Patient 12 2024", None, None),
        ("", None, None),
    ],
)
def test_dates(text: str, month_first: bool | None, read: date | None) -> None:
    assert read_date(text, month_first=month_first) == read


@given(st.text(alphabet="0123456789/.-: aprJul,thde", max_size=30), st.sampled_from([True, False, None]))
def test_any_text_has_a_date_or_none(text: str, month_first: bool | None) -> None:
    read = read_date(text, month_first=month_first)
    assert read is None or read.year >= 1


def test_several_labels_in_a_line() -> None:
    header = Header(month_first=True)
    said = "Laboratory: Harbour Laboratory Date Collected: 02/03/2024 08:15 Reported: 02/05/2024 Ordered by: Dr. House"
    assert header.take(line((50, said)), None)
    assert (header.laboratory, header.provider) == ("Harbour Laboratory", "Dr. House")
    assert header.date_of("collected") == datetime(2024, 2, 3, 8, 15)  # noqa: DTZ001
    assert header.date_of("reported") == date(2024, 2, 5)


def test_dates_below_their_labels() -> None:
    header = Header(month_first=True)
    titles = line((50, "Date Collected"), (200, "Date Received"), (350, "Date Reported"))
    header.take(titles, line((50, "02/03/2024"), (200, "02/04/2024"), (350, "02/05/2024")))
    assert (header.date_of("collected"), header.date_of("reported")) == (date(2024, 2, 3), date(2024, 2, 5))


def test_another_labels_date_is_not_taken() -> None:
    header = Header(month_first=True)
    header.take(line((50, "Collected: Reported: 02/05/2024")), line((50, "DOB: 01/01/1980")))
    assert (header.date_of("collected"), header.date_of("reported")) == (None, date(2024, 2, 5))
    assert not header.take(line((50, "Specimens that were collected after 01/01/2024 are kept.")), None)


def test_two_days_are_none() -> None:
    header = Header(month_first=True)
    header.take(line((50, "Collected: 02/03/2024")), None)
    header.take(line((50, "Collected: 02/03/2024 08:15")), None)
    assert header.date_of("collected") == datetime(2024, 2, 3, 8, 15)  # noqa: DTZ001
    header.take(line((50, "Collected: 02/04/2024")), None)
    assert header.date_of("collected") is None
