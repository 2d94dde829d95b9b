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

_WITHIN_HOUR = {f":{s // 60:02}:{s % 60:02}": s for s in range(3600)}
_HOUR = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d)")
_OFFSET = re.compile(r" ([+-])(\d\d):?(\d\d)")


class Dates:
    """Reads dates, remembering the hours that it has seen: most records share theirs with many."""

    def __init__(self) -> None:
        self._hours: dict[str, tuple[int, int]] = {}
        self._zones: dict[str, ZoneInfo | None] = {}

    def instant(self, text: str) -> tuple[int, int]:
        """The instant and its offset in minutes. Raises Rejected for what is no date."""
        try:
            base, offset = self._hours[text[:13] + text[19:]]
            return base + _WITHIN_HOUR[text[13:19]], offset
        except KeyError:
            hour = self._hour(text)
            if len(self._hours) >= CACHE_SIZE:
                self._hours.clear()
            self._hours[text[:13] + text[19:]] = hour
            return hour[0] + _WITHIN_HOUR[text[13:19]], hour[1]

    def _hour(self, text: str) -> tuple[int, int]:
        hour, offset = _HOUR.fullmatch(text[:13]), _OFFSET.fullmatch(text[19:])
        if hour is None or offset is None or text[13:19] not in _WITHIN_HOUR:
            raise Rejected("bad_date", "a date must be like 2026-11-19 07:00:00 -0700")
        sign, hours, minutes = offset.groups()
        east = (int(hours) * 60 + int(minutes)) * (-1 if sign == "-" else 1)
        if abs(east) > MAX_OFFSET:
            raise Rejected("bad_date", "a date's offset must be one that a place may have")
        try:
            moment = datetime(*map(int, hour.groups()), tzinfo=timezone(timedelta(minutes=east)))  # type: ignore[arg-type, misc]
        except ValueError:
            raise Rejected("bad_date", "a date must exist on the calendar") from None
        return int(moment.timestamp()), east

    def zone_offset(self, name: str, instant: int) -> int | None:
        """The offset in minutes of an IANA time zone at an instant; None if there is no such zone."""
        if name not in self._zones:
            if len(self._zones) >= ZONE_CACHE_SIZE:
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
