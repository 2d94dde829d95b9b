"""The versions of a coaching profile, read by number, by moment and in pages; what writes them is store.py."""

from typing import Any

import sqlalchemy as sa
from google.protobuf import json_format

from services.identity.coaching_profile.tables import user_profile_versions as versions
from services.kit.caller import current
from services.kit.database import Database, Statement
from services.kit.errors import not_found
from services.kit.rows import RowMapping
from services.kit.vault import GENERAL, DataKey, wrapped_key
from vitalis.identity.v1 import coaching_history_pb2 as pb
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

ROWS = RowMapping(
    pb.ProfileVersion,
    versions,
    hidden=("profile_snapshot", "created_at"),
    encrypted=("change_reason",),
    computed=("profile",),
)
MINE = versions.c.user_id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False))
SUMMARY = sa.select(*ROWS.columns(ROWS.names), wrapped_key(GENERAL)).where(MINE).order_by(versions.c.version.desc())
WHOLE = sa.select(*ROWS.columns(ROWS.names), versions.c.profile_snapshot, wrapped_key(GENERAL)).where(MINE)
PAGE = SUMMARY.limit(sa.bindparam("page_limit", type_=sa.Integer))
FIRST_PAGE = Statement(PAGE)
NEXT_PAGE = Statement(PAGE.where(versions.c.version < sa.bindparam("before", type_=sa.Integer)))
NUMBERED = Statement(WHOLE.where(versions.c.version == sa.bindparam("version", type_=sa.Integer)))
NEWEST = Statement(WHOLE.order_by(versions.c.version.desc()).limit(1))
MOMENT = sa.bindparam("moment", type_=sa.DateTime(timezone=True))
AT = Statement(
    WHOLE.where(versions.c.valid_from <= MOMENT, sa.func.coalesce(versions.c.valid_until > MOMENT, True))
    .order_by(versions.c.valid_from.desc())
    .limit(1)
)


async def page(database: Database, before: int | None, limit: int) -> list[pb.ProfileVersion]:
    """The subject's versions before one, or the newest ones, without their profiles."""
    parameters = {"user_id": current().subject, "page_limit": limit}
    if before is not None:
        parameters["before"] = before
    rows = await database.fetch(FIRST_PAGE if before is None else NEXT_PAGE, parameters)
    if not rows:
        return []
    key = _key(database, rows[0][-1])
    return [ROWS.read(row, key) for row in rows]


async def numbered(database: Database, version: int) -> pb.ProfileVersion:
    """The subject's version of that number with its profile, the newest one for 0. Raises NOT_FOUND."""
    if not version:
        return await _one(database, NEWEST, {})
    return await _one(database, NUMBERED, {"version": version})


async def at(database: Database, moment: Any) -> pb.ProfileVersion:
    """The subject's version that held at a moment, with its profile. Raises NOT_FOUND if none did."""
    return await _one(database, AT, {"moment": moment})


async def _one(database: Database, statement: Statement, parameters: dict[str, Any]) -> pb.ProfileVersion:
    rows = await database.fetch(statement, {"user_id": current().subject, **parameters})
    if not rows:
        raise not_found("version of the coaching profile")
    *row, snapshot, wrapped = rows[0]
    key = _key(database, wrapped)
    version: pb.ProfileVersion = ROWS.read(row, key)
    text = key.decrypt(versions.name, "profile_snapshot", version.id, snapshot)
    # What an older version has and the contract of today has not is left out.
    version.profile.CopyFrom(json_format.Parse(text, CoachingProfile(), ignore_unknown_fields=True))
    return version


def _key(database: Database, wrapped: bytes | None) -> DataKey:
    return database.vault.open(current().subject, GENERAL, wrapped)
