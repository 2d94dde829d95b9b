"""One row a day across sources: every value is that of the most preferred source that has one."""

from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from services.kit.caller import current
from services.kit.database import Database, Statement
from services.kit.paging import decode_token, encode_token, page_size, read_position
from services.tracking.wearables.tables import wearable_daily
from vitalis.tracking.v1 import wearables_pb2 as pb

# Devices worn day and night come before watches, watches before phones' own
# counts and collections of others' data, and what was typed in comes last.
SOURCES = (
    "oura",
    "whoop",
    "garmin",
    "polar",
    "apple_health",
    "fitbit",
    "withings",
    "health_connect",
    "strava",
    "strong",
    "hevy",
    "myfitnesspal",
    "cronometer",
    "manual",
    "other",
)
VALUES = tuple(f.name for f in pb.Day.DESCRIPTOR.fields if f.name not in ("date", "sources"))
FIRST, LAST = "0001-01-01", "9999-12-31"


def _statement() -> Statement:
    table = wearable_daily
    bounded = (
        table.c.user_id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False)),
        table.c.date >= sa.bindparam("start_date", type_=sa.Date),
        table.c.date <= sa.bindparam("end_date", type_=sa.Date),
    )
    dates = (
        sa.select(table.c.date)
        .where(*bounded)
        .distinct()
        .order_by(table.c.date.desc())
        .limit(sa.bindparam("page_limit", type_=sa.Integer))
        .cte("dates")
    )
    values = [
        sa.cast(table.c[name], sa.Double) if isinstance(table.c[name].type, sa.Numeric) else table.c[name]
        for name in VALUES
    ]
    oldest = sa.select(sa.func.min(dates.c.date)).scalar_subquery()
    return Statement(
        sa.select(sa.cast(table.c.date, sa.Text), table.c.source, *values)
        .where(*bounded, table.c.date >= oldest)
        .order_by(table.c.date.desc())
    )


STATEMENT = _statement()


async def list_days(database: Database, request: pb.ListDaysRequest) -> pb.ListDaysResponse:
    """A page of days, the newest first. Raises INVALID_PAGE_TOKEN and INVALID_FIELD."""
    preferred = list(request.preferred_sources)
    size = page_size(request.page_size)
    start, end = request.start_date or FIRST, request.end_date or LAST
    bound_to = ("ListDays", start, end, *preferred)
    if request.page_token:
        (last,) = decode_token(request.page_token, 1, *bound_to)
        end = read_position(date.fromisoformat, last).isoformat()
    # The day that a token names is the last one of the page before it.
    skip = 1 if request.page_token else 0
    parameters = {
        "user_id": current().subject,
        "start_date": start,
        "end_date": end,
        "page_limit": size + 1 + skip,
    }
    rank = {source: position for position, source in enumerate(dict.fromkeys((*preferred, *SOURCES)))}
    rows = await database.fetch(STATEMENT, parameters)
    days = [
        _merge(date, sorted(group, key=lambda row: rank.get(row[1], len(rank))))
        for date, group in groupby(rows, key=itemgetter(0))
    ]
    if request.page_token and days and days[0].date == end:
        days = days[1:]
    more = len(days) > size
    token = encode_token([days[size - 1].date], *bound_to) if more else ""
    return pb.ListDaysResponse(days=days[:size], next_page_token=token)


def _merge(date: str, rows: list[tuple[Any, ...]]) -> pb.Day:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for row in rows:
        for name, value in zip(VALUES, row[2:], strict=True):
            if value is not None and name not in values:
                values[name] = value
                sources[name] = row[1]
    return pb.Day(date=date, sources=sources, **values)
