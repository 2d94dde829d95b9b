"""Who may write about their health: somebody with a verified address (and whoever they let)."""

from datetime import date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.preferences import user_preferences
from services.identity.users import LIVING, users
from services.kit.errors import ServiceError

TIMEZONE = sa.func.coalesce(user_preferences.c.timezone, "UTC").label("timezone")
_FIND = (
    sa.select(users.c.email_verified_at, TIMEZONE)
    .select_from(users.outerjoin(user_preferences, user_preferences.c.user_id == users.c.id))
    .where(*LIVING)
    .with_for_update(of=users, key_share=True)
)


class Writer(NamedTuple):
    """Somebody whose health is written about."""

    timezone: str

    @property
    def today(self) -> date:
        return today_in(self.timezone)


async def writer(connection: AsyncConnection, user_id: str) -> Writer:
    """The person, if health records may be written for them. Raises EMAIL_UNVERIFIED.

    They are locked until the transaction ends, so that what is written about
    them is written one after the other. A policy of the tables says the same
    again for new rows.
    """
    row = (await connection.execute(_FIND, {"user_id": user_id})).one_or_none()
    if row is None or row.email_verified_at is None:
        raise ServiceError("EMAIL_UNVERIFIED", "prove your address first: health records are kept for who has")
    return Writer(row.timezone)


def today_in(timezone: str) -> date:
    """The date that it is now in an IANA time zone."""
    return datetime.now(ZoneInfo(timezone)).date()
