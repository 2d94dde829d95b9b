"""Visits to doctors."""

import sqlalchemy as sa

from services.kit.database import Database, owned
from services.kit.resources import Resource, create, delete, get, list_, undelete, update
from services.labs.base import IDEMPOTENCY_KEYS, metadata
from vitalis.labs.v1 import visits_pb2 as pb
from vitalis.labs.v1 import visits_pb2_grpc as pb_grpc

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
