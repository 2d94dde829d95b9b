"""Panels, their markers, and which panels were ordered at which visit."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _owned() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def upgrade() -> None:
    op.create_table(
        "blood_panels",
        *_owned(),
        sa.Column("collected_date", sa.Date, nullable=False),
        sa.Column("collected_at", sa.DateTime(timezone=True)),
        sa.Column("reported_at", sa.DateTime(timezone=True)),
        sa.Column("lab_name", sa.Text),
        sa.Column("lab_provider", sa.Text),
        sa.Column("panel_name", sa.Text),
        sa.Column("fasting", sa.Boolean),
        sa.Column("specimen_id", sa.Text),
        sa.Column("document_id", sa.Uuid),
        sa.Column("sex", sa.Text),
        sa.Column("age_years", sa.SmallInteger),
        sa.Column("cycle_phase", sa.Text),
        sa.Column("notes", sa.LargeBinary),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "collected_at - collected_date::timestamp AT TIME ZONE 'UTC'"
            " BETWEEN interval '-14 hours' AND interval '36 hours'",
            name=op.f("ck_blood_panels_collected_at"),
        ),
        sa.CheckConstraint("sex IN ('female', 'male')", name=op.f("ck_blood_panels_sex")),
        sa.CheckConstraint("age_years BETWEEN 0 AND 150", name=op.f("ck_blood_panels_age_years")),
        sa.CheckConstraint(
            "cycle_phase IN ('menstruation', 'follicular', 'ovulation', 'luteal', 'postmenopause')",
            name=op.f("ck_blood_panels_cycle_phase"),
        ),
        sa.CheckConstraint("char_length(lab_name) <= 200", name=op.f("ck_blood_panels_lab_name")),
        sa.CheckConstraint("char_length(lab_provider) <= 200", name=op.f("ck_blood_panels_lab_provider")),
        sa.CheckConstraint("char_length(panel_name) <= 200", name=op.f("ck_blood_panels_panel_name")),
        sa.CheckConstraint("char_length(specimen_id) <= 100", name=op.f("ck_blood_panels_specimen_id")),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_blood_panels")),
        sa.UniqueConstraint("user_id", "id", "collected_date", name=op.f("uq_blood_panels_user_id_id_collected_date")),
    )
    op.create_index(
        op.f("ix_blood_panels_user_id_collected_date_id"), "blood_panels", ["user_id", "collected_date", "id"]
    )
    op.create_index(
        "uq_blood_panels_same",
        "blood_panels",
        ["user_id", "collected_date", "lab_name", "panel_name", "specimen_id", "collected_at"],
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "blood_markers",
        *_owned(),
        sa.Column("panel_id", sa.Uuid, nullable=False),
        sa.Column("collected_date", sa.Date, nullable=False),
        sa.Column("biomarker", sa.Text),
        sa.Column("marker_key", sa.Text, nullable=False),
        sa.Column("decimal_comma", sa.Boolean, nullable=False),
        sa.Column("raw_name", sa.Text, nullable=False),
        sa.Column("sub_panel", sa.Text),
        sa.Column("specimen", sa.Text),
        sa.Column("loinc_code", sa.Text),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("unit", sa.Text),
        sa.Column("ref_range_text", sa.Text),
        sa.Column("flag", sa.Text),
        sa.Column("lab_code", sa.Text),
        sa.Column("parse_confidence", sa.Numeric(3, 2)),
        sa.Column("comparator", sa.Text, server_default="", nullable=False),
        sa.Column("value_numeric", sa.Numeric),
        sa.Column("value_text", sa.Text),
        sa.Column("value_canonical", sa.Numeric),
        sa.Column("ref_range_low", sa.Numeric),
        sa.Column("ref_range_high", sa.Numeric),
        sa.Column("range_source", sa.Text),
        sa.Column("own_flag", sa.Text),
        sa.Column("in_range", sa.Boolean),
        sa.Column("optimal_low", sa.Numeric),
        sa.Column("optimal_high", sa.Numeric),
        sa.Column("in_optimal", sa.Boolean),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("(value_numeric IS NULL) <> (value_text IS NULL)", name=op.f("ck_blood_markers_value")),
        sa.CheckConstraint("value_numeric BETWEEN -1e21 AND 1e21", name=op.f("ck_blood_markers_value_numeric")),
        sa.CheckConstraint("value_canonical BETWEEN -1e42 AND 1e42", name=op.f("ck_blood_markers_value_canonical")),
        sa.CheckConstraint("comparator IN ('', '<', '<=', '>', '>=')", name=op.f("ck_blood_markers_comparator")),
        sa.CheckConstraint("flag IN ('H', 'L', 'HH', 'LL', 'ABNORMAL')", name=op.f("ck_blood_markers_flag")),
        sa.CheckConstraint("own_flag IN ('H', 'L', 'ABNORMAL')", name=op.f("ck_blood_markers_own_flag")),
        sa.CheckConstraint("range_source IN ('report', 'dictionary')", name=op.f("ck_blood_markers_range_source")),
        sa.CheckConstraint("parse_confidence BETWEEN 0 AND 1", name=op.f("ck_blood_markers_parse_confidence")),
        sa.CheckConstraint("ref_range_low <= ref_range_high", name=op.f("ck_blood_markers_ref_range")),
        sa.CheckConstraint("char_length(raw_name) BETWEEN 1 AND 200", name=op.f("ck_blood_markers_raw_name")),
        sa.ForeignKeyConstraint(
            ["user_id", "panel_id", "collected_date"],
            ["blood_panels.user_id", "blood_panels.id", "blood_panels.collected_date"],
            name="fk_blood_markers_panel",
            onupdate="CASCADE",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_blood_markers")),
    )
    op.create_index(
        "uq_blood_markers_same",
        "blood_markers",
        ["user_id", "panel_id", "marker_key"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_index(
        op.f("ix_blood_markers_user_id_biomarker_collected_date_id"),
        "blood_markers",
        ["user_id", "biomarker", "collected_date", "id"],
    )
    op.create_index(
        op.f("ix_blood_markers_user_id_collected_date_id"), "blood_markers", ["user_id", "collected_date", "id"]
    )
    op.create_table(
        "doctor_visit_panels",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("visit_id", sa.Uuid, nullable=False),
        sa.Column("panel_id", sa.Uuid, nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id", "visit_id"],
            ["doctor_visits.user_id", "doctor_visits.id"],
            name=op.f("fk_doctor_visit_panels_user_id_visit_id_doctor_visits"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id", "panel_id"],
            ["blood_panels.user_id", "blood_panels.id"],
            name=op.f("fk_doctor_visit_panels_user_id_panel_id_blood_panels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "visit_id", "panel_id", name=op.f("pk_doctor_visit_panels")),
    )
    op.create_index(op.f("ix_doctor_visit_panels_user_id_panel_id"), "doctor_visit_panels", ["user_id", "panel_id"])
    for table in ("blood_panels", "blood_markers"):
        protect(table, verbs="SELECT, INSERT, UPDATE")
    protect("doctor_visit_panels", verbs="SELECT, INSERT, DELETE")
    for table in ("blood_panels", "doctor_visit_panels"):
        audit_table(table)
    # A report's markers are new in the table itself; what is written over is kept marker by marker.
    audit_table("blood_markers", series="collected_date", batches=["insert"])


def downgrade() -> None:
    op.drop_table("doctor_visit_panels")
    op.drop_table("blood_markers")
    op.drop_table("blood_panels")
