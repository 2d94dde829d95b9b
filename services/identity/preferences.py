"""Preferences: units, time zone, notifications, dashboard.

A person who has changed nothing has no row; what they get are the defaults, so
that nobody has to be given any.
"""

from typing import Any

import grpc
import orjson
import sqlalchemy as sa
from google.protobuf.struct_pb2 import Struct
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from services.identity.base import metadata
from services.identity.timezones import canonical
from services.identity.users import LIVING, users
from services.kit.database import Database, Statement, changed_at
from services.kit.errors import etag_mismatch, invalid, not_found
from services.kit.rows import RowMapping
from vitalis.identity.v1 import preferences_pb2 as pb
from vitalis.identity.v1 import preferences_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
UNITS = {
    "weight_unit": ("lbs", "kg"),
    "height_unit": ("in", "cm"),
    "distance_unit": ("miles", "km"),
    "temperature_unit": ("F", "C"),
    "energy_unit": ("kcal", "kJ"),
}
OBJECTS = ("notification_prefs", "dashboard_layout")
MAX_OBJECT_BYTES = 16 * 1024
# The etag of preferences that were never changed.
UNCHANGED = "0"

user_preferences = sa.Table(
    "user_preferences",
    metadata,
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False, server_default=units[0]) for name, units in UNITS.items()),
    sa.Column("timezone", sa.Text, nullable=False, server_default="UTC"),
    sa.Column("notifications_enabled", sa.Boolean, nullable=False, server_default="true"),
    *(sa.Column(name, JSONB, nullable=False, server_default="{}") for name in OBJECTS),
    sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    *(sa.CheckConstraint(sa.column(name).in_(units), name=name) for name, units in UNITS.items()),
    sa.CheckConstraint("char_length(timezone) BETWEEN 1 AND 50", name="timezone"),
    # JSON as PostgreSQL writes it has a blank after each comma and colon: at most twice what was measured.
    *(
        sa.CheckConstraint(
            f"jsonb_typeof({name}) = 'object' AND octet_length({name}::text) <= {2 * MAX_OBJECT_BYTES}", name=name
        )
        for name in OBJECTS
    ),
)

PREFERENCES = RowMapping(pb.Preferences, user_preferences)
DEFAULTS = pb.Preferences(
    weight_unit="lbs",
    height_unit="in",
    distance_unit="miles",
    temperature_unit="F",
    energy_unit="kcal",
    timezone="UTC",
    notifications_enabled=True,
    notification_prefs=Struct(),
    dashboard_layout=Struct(),
    etag=UNCHANGED,
)
COLUMNS = PREFERENCES.columns(PREFERENCES.names)
# A living person without a row has one of nulls here.
FIND = Statement(
    sa.select(user_preferences.c.user_id, *COLUMNS)
    .select_from(users.outerjoin(user_preferences, user_preferences.c.user_id == users.c.id))
    .where(*LIVING)
)
MINE = user_preferences.c.user_id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False))


class PreferencesServicer(preferences_pb2_grpc.PreferencesServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def GetPreferences(self, request: pb.GetPreferencesRequest, context: Context) -> pb.GetPreferencesResponse:
        """The person's preferences, or the defaults. Raises NOT_FOUND once they are deleted."""
        rows = await self._database.fetch(FIND, {"user_id": request.user_id})
        if not rows:
            raise not_found("user")
        return pb.GetPreferencesResponse(preferences=PREFERENCES.read(rows[0][1:]) if rows[0][0] else DEFAULTS)

    async def UpdatePreferences(
        self, request: pb.UpdatePreferencesRequest, context: Context
    ) -> pb.UpdatePreferencesResponse:
        """The preferences as changed. Raises NOT_FOUND, ETAG_MISMATCH."""
        sent, mine = request.preferences, {"user_id": request.user_id}
        async with self._database.transaction() as connection:
            # The person is locked, so that of two first changes one finds the other's row.
            if (await connection.execute(sa.select(users.c.id).where(*LIVING).with_for_update(), mine)).first() is None:
                raise not_found("user")
            row = (await connection.execute(sa.select(*COLUMNS).where(MINE), mine)).one_or_none()
            preferences = PREFERENCES.read(row) if row else DEFAULTS
            if sent.etag and sent.etag != preferences.etag:
                raise etag_mismatch("set of preferences", preferences.etag)
            if values := changes(sent, preferences, list(request.update_mask.paths)):
                updated_at = changed_at(user_preferences)
                upsert = (
                    postgresql.insert(user_preferences)
                    .values(user_id=sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False)), **values)
                    .on_conflict_do_update(index_elements=["user_id"], set_={**values, "updated_at": updated_at})
                    .returning(*COLUMNS)
                )
                preferences = PREFERENCES.read((await connection.execute(upsert, mine)).one())
        return pb.UpdatePreferencesResponse(preferences=preferences)


def changes(sent: pb.Preferences, stored: pb.Preferences, paths: list[str]) -> dict[str, Any]:
    """The columns to set; what is cleared goes back to its default.

    Raises INVALID_FIELD for an object that is too large and for a time zone that is none.
    """
    if paths:
        # So that a field which is cleared is carried as its default.
        carried = pb.Preferences()
        carried.CopyFrom(DEFAULTS)
        carried.MergeFrom(sent)
        sent = carried
    values = PREFERENCES.changes(sent, stored, paths)
    for name in OBJECTS:
        if len(orjson.dumps(values.get(name))) > MAX_OBJECT_BYTES:
            raise invalid(name, f"must be at most {MAX_OBJECT_BYTES} bytes of JSON")
    if "timezone" in values:
        values["timezone"] = canonical(values["timezone"])
    return values
