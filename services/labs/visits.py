"""Visits to doctors."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.database import Database, owned
from services.kit.errors import Violation, all_wrong
from services.kit.resources import Resource, create, delete, get, list_, undelete, update
from services.labs.base import IDEMPOTENCY_KEYS, metadata
from services.labs.panels.store import PANELS
from services.labs.panels.tables import blood_panels, doctor_visit_panels
from vitalis.labs.v1 import visits_pb2 as pb
from vitalis.labs.v1 import visits_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]

doctor_visits = sa.Table(
    "doctor_visits",
    metadata,
    *owned(),
    sa.Column("visit_date", sa.Date, nullable=False),
    sa.Column("provider_name", sa.Text),
    sa.Column("specialty", sa.Text),
    sa.Column("notes", sa.LargeBinary),
    sa.Column("follow_up_date", sa.Date),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.CheckConstraint("follow_up_date >= visit_date", name="follow_up_date"),
    sa.CheckConstraint("char_length(provider_name) <= 200", name="provider_name"),
    sa.CheckConstraint("char_length(specialty) <= 100", name="specialty"),
    sa.Index(None, "user_id", "visit_date", "id"),
)
VISITS = Resource(
    pb.DoctorVisit,
    doctor_visits,
    what="visit",
    order_by=("visit_date", "id"),
    date_column="visit_date",
    filters=("specialty",),
    heavy=("notes",),
    idempotency_keys=IDEMPOTENCY_KEYS,
    encrypted=("notes",),
)


class VisitsServicer(pb_grpc.VisitsServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    CreateDoctorVisit = create(VISITS)
    GetDoctorVisit = get(VISITS)
    ListDoctorVisits = list_(VISITS)
    UpdateDoctorVisit = update(VISITS)
    DeleteDoctorVisit = delete(VISITS)
    UndeleteDoctorVisit = undelete(VISITS)

    async def SetDoctorVisitPanels(
        self, request: pb.SetDoctorVisitPanelsRequest, context: Context
    ) -> pb.SetDoctorVisitPanelsResponse:
        """Says which panels were ordered at a visit."""
        async with self.database.transaction() as connection:
            await VISITS.lock(connection, request.id, "")
            await _refuse_unknown(connection, request.panel_ids)
            links = doctor_visit_panels.c
            key = {"user_id": UUID(current().subject), "visit_id": UUID(request.id)}
            wanted = [UUID(panel_id) for panel_id in request.panel_ids]
            of_visit = (links.user_id == key["user_id"]) & (links.visit_id == key["visit_id"])
            await connection.execute(sa.delete(doctor_visit_panels).where(of_visit, links.panel_id.not_in(wanted)))
            if wanted:
                rows = [{**key, "panel_id": panel_id} for panel_id in wanted]
                await connection.execute(insert(doctor_visit_panels).values(rows).on_conflict_do_nothing())
            panels = await _panels(connection, request.id)
        return pb.SetDoctorVisitPanelsResponse(blood_panels=panels)

    async def GetDoctorVisitPanels(
        self, request: pb.GetDoctorVisitPanelsRequest, context: Context
    ) -> pb.GetDoctorVisitPanelsResponse:
        """Reads the panels that were ordered at a visit."""
        await VISITS.living(self.database, request.id)
        async with self.database.transaction() as connection:
            panels = await _panels(connection, request.id)
        return pb.GetDoctorVisitPanelsResponse(blood_panels=panels)


async def _refuse_unknown(connection: AsyncConnection, panel_ids: Sequence[str]) -> None:
    panels = blood_panels.c
    statement = sa.select(panels.id).where(
        panels.user_id == UUID(current().subject),
        panels.id.in_([UUID(panel_id) for panel_id in panel_ids]),
        panels.deleted_at.is_(None),
    )
    known = set((await connection.execute(statement)).scalars())
    violations = [
        Violation(f"panel_ids[{number}]", "is no panel of yours")
        for number, panel_id in enumerate(panel_ids)
        if UUID(panel_id) not in known
    ]
    if violations:
        raise all_wrong("PANEL_UNKNOWN", violations)


async def _panels(connection: AsyncConnection, visit_id: str) -> list[Any]:
    links, panels = doctor_visit_panels.c, blood_panels.c
    statement = (
        sa.select(*PANELS.rows.columns(PANELS.rows.light_names))
        .join(doctor_visit_panels, (links.user_id == panels.user_id) & (links.panel_id == panels.id))
        .where(links.user_id == UUID(current().subject), links.visit_id == UUID(visit_id), panels.deleted_at.is_(None))
        .order_by(panels.collected_date.desc(), panels.id.desc())
    )
    return [PANELS.rows.read_light(row) for row in (await connection.execute(statement)).all()]
