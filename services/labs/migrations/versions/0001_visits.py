"""Visits to doctors, and what every service has: queue, answers to repeats, keys, audit log, erasure."""

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table, install_audit_log, uninstall_audit_log
from services.kit.migrate import (
    install_erasure,
    install_idempotency_keys,
    install_queue,
    install_vault,
    protect,
    uninstall_erasure,
    uninstall_idempotency_keys,
    uninstall_queue,
    uninstall_vault,
)

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_idempotency_keys()
    install_queue()
    install_vault()
    install_audit_log()
    install_erasure()
    op.create_table(
        "doctor_visits",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("visit_date", sa.Date, nullable=False),
        sa.Column("provider_name", sa.Text),
        sa.Column("specialty", sa.Text),
        sa.Column("notes", sa.LargeBinary),
        sa.Column("follow_up_date", sa.Date),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("follow_up_date >= visit_date", name=op.f("ck_doctor_visits_follow_up_date")),
        sa.CheckConstraint("char_length(provider_name) <= 200", name=op.f("ck_doctor_visits_provider_name")),
        sa.CheckConstraint("char_length(specialty) <= 100", name=op.f("ck_doctor_visits_specialty")),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_doctor_visits")),
    )
    op.create_index(op.f("ix_doctor_visits_user_id_visit_date_id"), "doctor_visits", ["user_id", "visit_date", "id"])
    protect("doctor_visits", verbs="SELECT, INSERT, UPDATE")
    audit_table("doctor_visits")


def downgrade() -> None:
    op.drop_table("doctor_visits")
    uninstall_erasure()
    uninstall_audit_log()
    uninstall_vault()
    uninstall_queue()
    uninstall_idempotency_keys()
