"""Coaching profiles and their versions in the database.

A version is written in the transaction of the change that it is of, with a
picture of the profile that is read back then: what it says is what an API read
of that time answers.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from google.protobuf import json_format
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.coaching_profile.differences import differences
from services.identity.coaching_profile.parts import PARTS
from services.identity.coaching_profile.tables import user_profile_versions as versions
from services.identity.coaching_profile.tables import user_profiles as profiles
from services.identity.health_profile.allergies import state_allergies
from services.identity.users import users
from services.kit.caller import current
from services.kit.database import Database, Statement, uuid7
from services.kit.errors import not_found
from services.kit.rows import RowMapping
from services.kit.vault import GENERAL, DataKey, vault_of, wrapped_key
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

HEAD = RowMapping(
    CoachingProfile,
    profiles,
    encrypted=("modification_reason",),
    computed=tuple(part.field for part in PARTS),
)
OWNER = sa.bindparam("owner", type_=sa.Uuid(as_uuid=False))
MINE = profiles.c.user_id == OWNER
COLUMNS = (*HEAD.columns(HEAD.names), *(part.json.select(profiles.c.user_id) for part in PARTS))
READ = sa.select(*COLUMNS, wrapped_key(GENERAL)).where(MINE)
FIND = Statement(READ)
# What a person chooses in the profile itself.
CHOSEN = frozenset(HEAD.names) & {field.name for field in CoachingProfile.DESCRIPTOR.fields} - HEAD.output_only
MICROSECOND = sa.text("interval '1 microsecond'")
# Later than the version before, whatever the clock does, for versions are told apart by their moments. The person is
# locked before the profile, as by whoever goes on from the one to the other: stated allergies, a reset.
LOCK = (
    sa.select(sa.func.greatest(sa.func.clock_timestamp(), profiles.c.updated_at + MICROSECOND))
    .select_from(users.join(profiles, profiles.c.user_id == users.c.id))
    .where(MINE)
    .with_for_update(of=[users, profiles], key_share=True)
)
LAST = sa.select(
    sa.func.coalesce(sa.func.max(versions.c.version), 0),
    sa.func.greatest(sa.func.clock_timestamp(), sa.func.max(versions.c.valid_until)),
).where(versions.c.user_id == OWNER)


class Locked(NamedTuple):
    """The profile, whose row is locked until the transaction ends, and the moment that a change of it has."""

    profile: CoachingProfile
    now: datetime


async def find(database: Database) -> CoachingProfile:
    """The subject's profile, in one round trip. Raises NOT_FOUND."""
    rows = await database.fetch(FIND, _me())
    if not rows:
        raise not_found("coaching profile")
    return assemble(rows[0], database.vault.open(current().subject, GENERAL, rows[0][-1]))


async def is_there(connection: AsyncConnection) -> bool:
    """Whether the subject has a profile."""
    return (await connection.execute(sa.select(profiles.c.id).where(MINE), _me())).first() is not None


async def lock(connection: AsyncConnection) -> Locked:
    """The subject's profile for a change. Raises NOT_FOUND."""
    now = (await connection.execute(LOCK, _me())).scalar_one_or_none()
    if now is None:
        raise not_found("coaching profile")
    # Read in a statement of its own: what waited for the lock would see the parts as they were before.
    return Locked(await _read(connection), now)


class Last(NamedTuple):
    """The number of the subject's last version, 0 without one, and the moment that a new profile has."""

    version: int
    now: datetime


async def last(connection: AsyncConnection) -> Last:
    """What a new profile of the subject comes after."""
    return Last(*(await connection.execute(LAST, _me())).one())


async def insert(connection: AsyncConnection, after: Last, profile: CoachingProfile, reason: str) -> CoachingProfile:
    """Stores a profile that is settled and holds, as the subject's next version, locked. Raises EMAIL_UNVERIFIED."""
    number, now = after
    key, row_id = await vault_of(connection).key(connection), uuid7()
    values = {
        **_values(profile, key, row_id, reason),
        "id": row_id,
        "user_id": key.owner,
        "version": number + 1,
        "previous_version": number or None,
        "is_locked": True,
        "locked_at": now,
        "created_at": now,
        "updated_at": now,
    }
    await connection.execute(sa.insert(profiles).values(values))
    return await _finish(connection, key, CoachingProfile(), profile, now, reason)


async def change(
    connection: AsyncConnection, before: Locked, after: CoachingProfile, reason: str, *, is_locked: bool
) -> CoachingProfile:
    """Stores what `before` becomes, which is settled and holds, as the next version. Raises EMAIL_UNVERIFIED."""
    key, now, stored = await vault_of(connection).key(connection), before.now, before.profile
    values = {
        **_values(after, key, stored.id, reason),
        "version": stored.version + 1,
        "previous_version": stored.version,
        "is_locked": is_locked,
        "locked_at": now if is_locked else None,
        "updated_at": now,
    }
    await connection.execute(sa.update(profiles).where(MINE).values(values), _me())
    return await _finish(connection, key, stored, after, now, reason)


async def remove(connection: AsyncConnection) -> int | None:
    """Ends the current version and deletes the profile; the version that it was, None without a profile."""
    now = (await connection.execute(LOCK, _me())).scalar_one_or_none()
    if now is None:
        return None
    await _end_version(connection, now)
    # The schedule before the plan that it belongs to.
    for part in reversed(PARTS):
        await connection.execute(sa.delete(part.table).where(part.table.c.user_id == OWNER), _me())
    removed = sa.delete(profiles).where(MINE).returning(profiles.c.version)
    return int((await connection.execute(removed, _me())).scalar_one())


async def _finish(
    connection: AsyncConnection,
    key: DataKey,
    before: CoachingProfile,
    after: CoachingProfile,
    now: datetime,
    reason: str,
) -> CoachingProfile:
    for part in PARTS:
        await part.write(connection, key, before, after, now)
    stated = list(after.dietary_preferences.allergies)
    if stated != list(before.dietary_preferences.allergies):
        await state_allergies(connection, key.owner, stated)
    profile = await _read(connection)
    await _end_version(connection, now)
    row_id = uuid7()
    snapshot = json_format.MessageToJson(profile, preserving_proto_field_name=True, indent=None)
    values = {
        "id": row_id,
        "user_id": key.owner,
        "version": profile.version,
        "profile_snapshot": key.encrypt(versions.name, "profile_snapshot", row_id, snapshot),
        "changed_fields": [difference.field for difference in differences(before, profile)],
        "change_reason": key.encrypt(versions.name, "change_reason", row_id, reason),
        "changed_by": profile.last_modified_by,
        "changed_by_id": None if profile.last_modified_by in ("user", "system") else current().actor,
        "valid_from": now,
    }
    await connection.execute(sa.insert(versions).values(values))
    return profile


def _values(profile: CoachingProfile, key: DataKey, row_id: UUID | str, reason: str) -> dict[str, Any]:
    return {
        **HEAD.values_of(profile, CHOSEN),
        "last_modified_by": changed_by(),
        "modification_reason": key.encrypt(profiles.name, "modification_reason", row_id, reason),
    }


def changed_by() -> str:
    """What the caller is to the person whose profile they change."""
    caller = current()
    if caller.is_service:
        return "system"
    if not caller.is_delegate:
        return "user"
    return "admin" if caller.role == "admin" and not caller.grant_id else "delegate"


async def _end_version(connection: AsyncConnection, now: datetime) -> None:
    current_one = (versions.c.user_id == OWNER, versions.c.valid_until.is_(None))
    await connection.execute(sa.update(versions).where(*current_one).values(valid_until=now), _me())


async def _read(connection: AsyncConnection) -> CoachingProfile:
    row = (await connection.execute(READ, _me())).one()
    return assemble(row, vault_of(connection).open(current().subject, GENERAL, row[-1]))


def assemble(row: Any, key: DataKey) -> CoachingProfile:
    """The profile of a row that begins with `COLUMNS`."""
    profile: CoachingProfile = HEAD.read(row, key)
    for part, rows in zip(PARTS, row[len(HEAD.names) :], strict=False):
        part.put(part.json.read(rows, key), profile)
    # A plan is locked as the whole is.
    profile.meal_plan.is_locked = profile.workout_schedule.is_locked = profile.is_locked
    if profile.HasField("locked_at"):
        profile.meal_plan.locked_at.CopyFrom(profile.locked_at)
    return profile


def _me() -> dict[str, str]:
    return {"owner": current().subject}
