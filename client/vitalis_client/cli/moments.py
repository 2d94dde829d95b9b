"""Moments as people say them: a date, an instant, `3 weeks ago`."""

import calendar
import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

AGO = re.compile(r"(an?|\d{1,5})\s+(minute|hour|day|week|month|year)s?\s+ago")
EXAMPLES = "2026-11-01, 2026-11-01T08:30, yesterday, or 3 weeks ago"


def moment_of(text: str, zone: tzinfo, now: datetime) -> datetime:
    """The instant that is meant, in UTC.

    A date means its end; today's is now. Days, weeks, months and years ago are
    at this time of day in `zone`, and a month that is too short ends earlier.
    Raises ValueError, which says what is understood.
    """
    said = " ".join(text.lower().split())
    if said in ("now", "today"):
        return now.astimezone(UTC)
    if said == "yesterday":
        return min(end_of(now.astimezone(zone).date() - timedelta(days=1), zone), now.astimezone(UTC))
    try:
        if ago := AGO.fullmatch(said):
            count = 1 if ago[1] in ("a", "an") else int(ago[1])
            return before(now, count, ago[2], zone)
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", said):
            return min(end_of(date.fromisoformat(said), zone), now.astimezone(UTC))
        instant = datetime.fromisoformat(text.strip())
        return (instant if instant.tzinfo else instant.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text} is no moment: give for instance {EXAMPLES}") from None


def end_of(day: date, zone: tzinfo) -> datetime:
    """The last microsecond of a day, in UTC: not a second later, for that is the next day's."""
    following = datetime.combine(day + timedelta(days=1), time(), zone)
    return following.astimezone(UTC) - timedelta(microseconds=1)


def before(now: datetime, count: int, unit: str, zone: tzinfo) -> datetime:
    """The instant `count` units before now, in UTC."""
    if unit in ("minute", "hour"):
        return now.astimezone(UTC) - timedelta(**{f"{unit}s": count})
    here = now.astimezone(zone)
    if unit in ("day", "week"):
        return (here - timedelta(**{f"{unit}s": count})).astimezone(UTC)
    months = here.year * 12 + here.month - 1 - count * (12 if unit == "year" else 1)
    year, month = divmod(months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return here.replace(year=year, month=month + 1, day=min(here.day, last)).astimezone(UTC)
