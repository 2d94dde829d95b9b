"""The health profile: what a person states of their body, and the energy that follows from it.

Somebody who has stated nothing has no row. Sex and date of birth are the
person's (users.py) and are only shown here.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

import grpc
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.health_profile.energy import ACTIVITY_SOURCE, BMR_SOURCE, energy
from services.identity.health_profile.tables import health_profiles
from services.identity.health_profile.writers import TIMEZONE, today_in, writer
from services.identity.preferences import UNCHANGED, user_preferences
from services.identity.users import LIVING, SEALED, age_on, users
from services.kit.caller import current
from services.kit.database import Database, Statement, changed_at
from services.kit.errors import etag_mismatch, not_found
from services.kit.rows import RowMapping
from services.kit.sealed import decrypt
from services.kit.vault import DataKey
from vitalis.identity.v1 import health_profile_pb2 as pb
from vitalis.identity.v1 import health_profile_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
COMPUTED = (
    "biological_sex",
    "date_of_birth",
    "age_years",
    "bmr_kcal",
    "bmr_source",
    "activity_factor",
    "daily_energy_kcal",
    "daily_energy_source",
    "absent_because",
)
PROFILE = RowMapping(pb.HealthProfile, health_profiles, computed=COMPUTED)
COLUMNS = PROFILE.columns(PROFILE.names)
MINE = health_profiles.c.user_id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False))
# A living person; without a row of their own, with one of nulls.
READ = (
    sa.select(
        sa.cast(users.c.id, sa.Text),
        users.c.biological_sex,
        users.c.date_of_birth,
        TIMEZONE,
        SEALED.wrapped_key.label("wrapped_key"),
        health_profiles.c.user_id,
        *COLUMNS,
    )
    .select_from(
        users.outerjoin(health_profiles, health_profiles.c.user_id == users.c.id).outerjoin(
            user_preferences, user_preferences.c.user_id == users.c.id
        )
    )
    .where(*LIVING)
)
FIND = Statement(READ)


class HealthProfileServicer(pb_grpc.HealthProfileServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetHealthProfile(
        self, request: pb.GetHealthProfileRequest, context: Context
    ) -> pb.GetHealthProfileResponse:
        """The profile, empty until something is stated. Raises NOT_FOUND once the person is deleted."""
        rows = await self._database.fetch(FIND, {"user_id": request.user_id})
        if not rows:
            raise not_found("user")
        key = SEALED.open(self._database.vault, rows[0][4])
        return pb.GetHealthProfileResponse(health_profile=to_message(rows[0], key))

    async def UpdateHealthProfile(
        self, request: pb.UpdateHealthProfileRequest, context: Context
    ) -> pb.UpdateHealthProfileResponse:
        """The profile as changed. Raises EMAIL_UNVERIFIED, ETAG_MISMATCH."""
        async with self._database.transaction() as connection:
            await write_health_profile(connection, request.user_id, request.health_profile, request.update_mask.paths)
            row = (await connection.execute(READ, {"user_id": request.user_id})).one()
            changed = to_message(row, SEALED.key_in(connection, row.wrapped_key))
        return pb.UpdateHealthProfileResponse(health_profile=changed)


async def write_health_profile(
    connection: AsyncConnection, user_id: str, message: pb.HealthProfile, paths: Sequence[str]
) -> None:
    """Changes the profile of the transaction's subject: what the paths name, without any all that is sent.

    Raises EMAIL_UNVERIFIED, ETAG_MISMATCH if the message carries an etag, and
    INVALID_FIELD for a path that cannot be set.
    """
    mine = {"user_id": user_id}
    # This locks the person, so that of two first changes one finds the other's row.
    await writer(connection, user_id)
    row = (await connection.execute(sa.select(*COLUMNS).where(MINE), mine)).one_or_none()
    stored = PROFILE.read(row) if row else pb.HealthProfile(etag=UNCHANGED)
    if message.etag and message.etag != stored.etag:
        raise etag_mismatch("health profile", stored.etag)
    if values := PROFILE.changes(message, stored, list(paths)):
        await connection.execute(
            postgresql.insert(health_profiles)
            .values(user_id=sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False)), **values)
            .on_conflict_do_update(
                index_elements=["user_id"], set_={**values, "updated_at": changed_at(health_profiles)}
            ),
            mine,
        )


def to_message(row: Sequence[Any], key: DataKey | None) -> pb.HealthProfile:
    """A row of READ with what follows from it; somebody else learns the age, and not the day of birth."""
    user_id, sex, sealed_birth, timezone, _, stored, *columns = row
    profile: pb.HealthProfile = PROFILE.read(columns) if stored else pb.HealthProfile(etag=UNCHANGED)
    birth = decrypt(key, users.name, "date_of_birth", user_id, sealed_birth) if sealed_birth else None
    age = age_on(date.fromisoformat(birth), today_in(timezone)) if birth else None
    needed = energy(
        sex=sex,
        age_years=age,
        height_cm=profile.height_cm if profile.HasField("height_cm") else None,
        weight_kg=profile.weight_kg if profile.HasField("weight_kg") else None,
        activity=profile.activity_level or None,
    )
    computed = pb.HealthProfile(
        biological_sex=sex,
        date_of_birth=None if current().is_delegate else birth,
        age_years=age,
        bmr_kcal=needed.bmr_kcal,
        bmr_source=BMR_SOURCE if needed.bmr_kcal is not None else "",
        activity_factor=needed.activity_factor,
        daily_energy_kcal=needed.daily_energy_kcal,
        daily_energy_source=ACTIVITY_SOURCE if needed.daily_energy_kcal is not None else "",
        absent_because=needed.absent_because,
    )
    profile.MergeFrom(computed)
    return profile
