"""How somebody says that they are: lifestyle baselines (ONB 6.12), to which check-ins and diaries come."""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa

from services.kit.checks import ranges
from services.kit.database import Database, owned
from services.kit.resources import Resource, create, delete, get, list_, undelete, update
from services.tracking.base import IDEMPOTENCY_KEYS, metadata
from vitalis.tracking.v1 import wellbeing_pb2 as pb
from vitalis.tracking.v1 import wellbeing_pb2_grpc as pb_grpc

LEVELS = ("low", "medium", "high")
SLEEP_QUALITIES = ("poor", "fair", "good", "excellent")
SOURCES = ("user_input", "wearable", "system")

lifestyle_baselines = sa.Table(
    "lifestyle_baselines",
    metadata,
    *owned(),
    sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("energy_level", sa.Text, nullable=False),
    sa.Column("stress_level", sa.Text, nullable=False),
    sa.Column("sleep_quality", sa.Text, nullable=False),
    sa.Column("sleep_hours_last_night", sa.Numeric(3, 1)),
    sa.Column("sleep_quality_notes", sa.LargeBinary, comment="encrypted, see kit/vault.py"),
    sa.Column("data_source", sa.Text, nullable=False, server_default="user_input"),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    # Ids come from elsewhere too (RecordLifestyleBaseline): each person's are their own.
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.Index(None, "user_id", "recorded_at", "id"),
    sa.CheckConstraint(sa.column("energy_level").in_(LEVELS), name="energy_level"),
    sa.CheckConstraint(sa.column("stress_level").in_(LEVELS), name="stress_level"),
    sa.CheckConstraint(sa.column("sleep_quality").in_(SLEEP_QUALITIES), name="sleep_quality"),
    sa.CheckConstraint(sa.column("data_source").in_(SOURCES), name="data_source"),
    *ranges(pb.LifestyleBaseline.DESCRIPTOR),
)

BASELINES = Resource(
    pb.LifestyleBaseline,
    lifestyle_baselines,
    what="lifestyle baseline",
    order_by=("recorded_at", "id"),
    date_column="recorded_at",
    filters=("data_source",),
    idempotency_keys=IDEMPOTENCY_KEYS,
    encrypted=("sleep_quality_notes",),
)


class WellbeingServicer(pb_grpc.WellbeingServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    CreateLifestyleBaseline = create(BASELINES)
    GetLifestyleBaseline = get(BASELINES)
    ListLifestyleBaselines = list_(BASELINES)
    UpdateLifestyleBaseline = update(BASELINES)
    DeleteLifestyleBaseline = delete(BASELINES)
    UndeleteLifestyleBaseline = undelete(BASELINES)

    async def RecordLifestyleBaseline(
        self, request: pb.RecordLifestyleBaselineRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RecordLifestyleBaselineResponse:
        """Stores what another service hands over, once for each id."""
        values = BASELINES.rows.values(request.lifestyle_baseline)
        async with self.database.transaction() as connection:
            created = await BASELINES.insert_once(connection, UUID(request.baseline_id), values)
        return pb.RecordLifestyleBaselineResponse(created=created)
