"""A column's dates. Whether 03/04 is in March or in April, only the whole column can say, or a person."""

import re
from calendar import month_abbr
from collections.abc import Iterable
from datetime import date

from services.labs.reports import parse_moment

TIME = r"(?:,?[ T]+(?P<time>\d{1,2}:\d\d(?::\d\d)?)\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?\s*$"
DOTS = re.compile(r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>\d{4})" + TIME)
SLASHES = re.compile(r"(?P<first>\d{1,2})(?P<sign>[/-])(?P<second>\d{1,2})(?P=sign)(?P<year>\d{4})" + TIME)
# 3 Apr 2024, 03-Apr-2024; April 3, 2024.
NAMED = (
    re.compile(r"(?P<day>\d{1,2})[ -]+(?P<name>[A-Za-z]{3,9})\.?,?[ -]+(?P<year>\d{4})" + TIME),
    re.compile(r"(?P<name>[A-Za-z]{3,9})\.?\s+(?P<day>\d{1,2}),?\s+(?P<year>\d{4})" + TIME),
)
COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)$")
MONTHS = {name.lower(): number for number, name in enumerate(month_abbr) if name}


class Dates:
    """Reads the dates of a column; `order` is day_first or month_first where they do not tell."""

    def __init__(self, texts: Iterable[str], order: str) -> None:
        parts = [match for text in texts if (match := SLASHES.match(text.strip()))]
        is_day_first = any(int(match["first"]) > 12 for match in parts)
        is_month_first = any(int(match["second"]) > 12 for match in parts)
        told = "day" if is_day_first else "month" if is_month_first else order.removesuffix("_first")
        self._order = None if is_day_first and is_month_first else told or None
        self.fault = "it has no date that can be read for certain: YYYY-MM-DD is one"

    def read(self, text: str) -> date | None:
        """The date, with its time if it has one; None if it is none, or could be two."""
        if match := COMPACT.match(text):
            return parse_moment("-".join(match.groups()))
        if moment := parse_moment(text):
            return moment
        if match := DOTS.match(text):
            return _moment(match, match["day"], match["month"])
        if (match := SLASHES.match(text)) and self._order:
            day, month = ("first", "second") if self._order == "day" else ("second", "first")
            return _moment(match, match[day], match[month])
        for pattern in NAMED:
            if (match := pattern.match(text)) and (number := MONTHS.get(match["name"][:3].lower())):
                return _moment(match, match["day"], str(number))
        return None


def _moment(match: re.Match[str], day: str, month: str) -> date | None:
    iso = f"{match['year']}-{int(month):02}-{int(day):02}"
    if not match["time"]:
        return parse_moment(iso)
    hour, _, rest = match["time"].partition(":")
    if match["half"]:
        if not 1 <= int(hour) <= 12:
            return None
        hour = str(int(hour) % 12 + (12 if match["half"][0] in "Pp" else 0))
    return parse_moment(f"{iso}T{hour.zfill(2)}:{rest}")
