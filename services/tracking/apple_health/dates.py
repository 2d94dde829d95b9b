"""Apple's dates, `2026-11-19 07:00:00 -0700`, and the offsets of time zones.

Instants are seconds since 1970 in UTC, offsets are minutes east of UTC, days are
counted from 1970-01-01 on the local calendar.
"""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.tracking.apple_health.account import Rejected

DAY = 86400
EPOCH = date(1970, 1, 1).toordinal()
# The years that there are partitions for begin here; no phone counted before.
EARLIEST = int(datetime(2000, 1, 2, tzinfo=UTC).timestamp())
# What the contract has room for, in minutes; no place is further from UTC than 14 hours.
MAX_OFFSET = 18 * 60
CACHE_SIZE = 20_000
ZONE_CACHE_SIZE = 1000
# The longest name in the IANA database has 32 characters.
MAX_ZONE_LENGTH = 64

_HOURS = {f" {hour:02}": hour * 3600 for hour in range(24)}
_WITHIN_HOUR = {f":{s // 60:02}:{s % 60:02}": s for s in range(3600)}
_DAY = re.compile(r"(\d{4})-(\d\d)-(\d\d)")
_OFFSET = re.compile(r" ([+-])(\d\d):?(\d\d)")


class Dates:
    """Reads dates, remembering the days that it has seen: most records share theirs with many."""

    def __init__(self) -> None:
        self._days: dict[str, tuple[int, int]] = {}
        self._zones: dict[str, ZoneInfo | None] = {}

    def instant(self, text: str) -> tuple[int, int]:
        """The instant and its offset in minutes. Raises Rejected for what is no date."""
        day = self._days.get(text[:10] + text[19:])
        if day is None:
            day = self._day(text)
        try:
            return day[0] + _HOURS[text[10:13]] + _WITHIN_HOUR[text[13:19]], day[1]
        except KeyError:
            raise Rejected("bad_date", "a date must have a time like 07:00:00") from None

    def _day(self, text: str) -> tuple[int, int]:
        """The instant of the day's local midnight, and the offset."""
        found, offset = _DAY.fullmatch(text[:10]), _OFFSET.fullmatch(text[19:])
        if found is None or offset is None:
            raise Rejected("bad_date", "a date must be like 2026-11-19 07:00:00 -0700")
        sign, hours, minutes = offset.groups()
        east = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)
        if abs(east) > MAX_OFFSET:
            raise Rejected("bad_date", "a date's offset must be one that a place may have")
        year, month, day = map(int, found.groups())
        try:
            midnight = datetime(year, month, day, tzinfo=timezone(timedelta(minutes=east)))
        except ValueError:
            raise Rejected("bad_date", "a date must exist on the calendar") from None
        if len(self._days) >= CACHE_SIZE:
            self._days.clear()
        self._days[text[:10] + text[19:]] = int(midnight.timestamp()), east
        return self._days[text[:10] + text[19:]]

    def zone_offset(self, name: str, instant: int) -> int | None:
        """The offset in minutes of an IANA time zone at an instant; None if there is no such zone."""
        if name not in self._zones:
            if len(self._zones) >= ZONE_CACHE_SIZE or len(name) > MAX_ZONE_LENGTH:
                return None
            try:
                self._zones[name] = ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                self._zones[name] = None
        zone = self._zones[name]
        if zone is None:
            return None
        offset = datetime.fromtimestamp(instant, zone).utcoffset()
        return round(offset.total_seconds() / 60) if offset is not None else None


def local_day(instant: float, offset: int) -> int:
    return int((instant + offset * 60) // DAY)


def to_date(day: int) -> date:
    return date.fromordinal(EPOCH + day)


def to_day(text: str) -> int:
    """The day of an ISO date. Raises Rejected."""
    try:
        if len(text) != 10:
            raise ValueError
        return date.fromisoformat(text).toordinal() - EPOCH
    except ValueError:
        raise Rejected("bad_date", "dateComponents must be a date, YYYY-MM-DD") from None


def to_datetime(instant: float) -> datetime:
    return datetime.fromtimestamp(instant, UTC)


def to_text(instant: float) -> str:
    """`2026-01-01T22:10:00Z`."""
    return datetime.fromtimestamp(int(instant), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def offset_text(offset: int) -> str:
    """`-07:00`."""
    return f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
