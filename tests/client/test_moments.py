"""Moments as people say them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from vitalis_client.cli.moments import moment_of

VIENNA = ZoneInfo("Europe/Vienna")
NOW = datetime(2026, 11, 20, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # The end of the day in Vienna, which is an hour ahead in winter and two in summer.
        ("2026-11-01", "2026-11-01T22:59:59.999999"),
        ("2026-07-01", "2026-07-01T21:59:59.999999"),
        # Today has not ended.
        ("2026-11-20", "2026-11-20T11:30:00"),
        ("today", "2026-11-20T11:30:00"),
        ("Yesterday", "2026-11-19T22:59:59.999999"),
        ("3 weeks ago", "2026-10-30T11:30:00"),
        # Half past twelve there is half past ten in UTC in summer.
        ("  10   Weeks ago", "2026-09-11T10:30:00"),
        ("a month ago", "2026-10-20T10:30:00"),
        ("an hour ago", "2026-11-20T10:30:00"),
        ("90 minutes ago", "2026-11-20T10:00:00"),
        ("2 years ago", "2024-11-20T11:30:00"),
        ("2026-11-01T08:30", "2026-11-01T07:30:00"),
        ("2026-11-01T08:30Z", "2026-11-01T08:30:00"),
        ("2026-11-01 08:30+02:00", "2026-11-01T06:30:00"),
    ],
)
def test_what_is_said_is_an_instant(text: str, expected: str) -> None:
    assert moment_of(text, VIENNA, NOW) == datetime.fromisoformat(f"{expected}+00:00")


def test_a_month_that_is_too_short_ends_earlier() -> None:
    now = datetime(2026, 3, 31, 12, tzinfo=UTC)
    assert moment_of("1 month ago", UTC, now) == datetime(2026, 2, 28, 12, tzinfo=UTC)
    assert moment_of("25 months ago", UTC, now) == datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "2026-13-01", "3 weeks", "weeks ago", "99999 years ago", "2026-02-30", "0001-01-01T00:00+14:00"],
)
def test_what_is_no_moment_says_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="is no moment: give for instance 2026-11-01"):
        moment_of(text, VIENNA, NOW)
