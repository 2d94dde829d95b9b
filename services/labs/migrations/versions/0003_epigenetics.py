"""Epigenetic tests and the organ ages in them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

DELTA = "biological_age - chronological_age"
# With the casts that PostgreSQL adds, so that the migrations' text is the table's.
DIRECTION = (
    f"CASE WHEN {DELTA} < 0::numeric THEN 'younger'::text WHEN {DELTA} > 0::numeric THEN 'older'::text"
    f" WHEN {DELTA} = 0::numeric THEN 'same'::text ELSE NULL::text END"
)


def upgrade() -> None:
    op.create_table(
        "epigenetic_tests",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("kit_id", sa.Text),
        sa.Column("collected_at", sa.Date, nullable=False),
        sa.Column("reported_at", sa.Date),
        sa.Column("chronological_age", sa.Numeric(4, 1)),
        sa.Column("biological_age", sa.Numeric(4, 1)),
        sa.Column("delta_years", sa.Numeric(4, 1), sa.Computed(DELTA, persisted=True)),
        sa.Column("pace_score", sa.Numeric(4, 2)),
        sa.Column("pace_percentile", sa.Numeric(5, 2)),
        sa.Column("telomere_length", sa.Numeric(6, 3)),
        sa.Column("methylation_clock", sa.Text),
        sa.Column("document_id", sa.Uuid),
        sa.Column("raw_data", JSONB),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_epigenetic_tests")),
        sa.CheckConstraint("char_length(provider) <= 200", name=op.f("ck_epigenetic_tests_provider")),
        sa.CheckConstraint("char_length(kit_id) <= 100", name=op.f("ck_epigenetic_tests_kit_id")),
        sa.CheckConstraint("char_length(methylation_clock) <= 100", name=op.f("ck_epigenetic_tests_methylation_clock")),
        sa.CheckConstraint("reported_at >= collected_at", name=op.f("ck_epigenetic_tests_reported_at")),
        sa.CheckConstraint("chronological_age BETWEEN 0 AND 150", name=op.f("ck_epigenetic_tests_chronological_age")),
        sa.CheckConstraint("biological_age BETWEEN 0 AND 150", name=op.f("ck_epigenetic_tests_biological_age")),
        sa.CheckConstraint("pace_score BETWEEN 0.2 AND 3", name=op.f("ck_epigenetic_tests_pace_score")),
        sa.CheckConstraint("pace_percentile BETWEEN 0 AND 100", name=op.f("ck_epigenetic_tests_pace_percentile")),
        sa.CheckConstraint("telomere_length BETWEEN 0 AND 50", name=op.f("ck_epigenetic_tests_telomere_length")),
    )
    op.create_index(
        op.f("ix_epigenetic_tests_user_id_collected_at_id"), "epigenetic_tests", ["user_id", "collected_at", "id"]
    )
    op.create_table(
        "epigenetic_organ_ages",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("test_id", sa.Uuid, nullable=False),
        sa.Column("organ_system", sa.Text, nullable=False),
        sa.Column("biological_age", sa.Numeric(4, 1), nullable=False),
        sa.Column("chronological_age", sa.Numeric(4, 1)),
        sa.Column("delta_years", sa.Numeric(4, 1), sa.Computed(DELTA, persisted=True)),
        sa.Column("direction", sa.Text, sa.Computed(DIRECTION, persisted=True)),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_epigenetic_organ_ages")),
        sa.UniqueConstraint(
            "user_id", "test_id", "organ_system", name=op.f("uq_epigenetic_organ_ages_user_id_test_id_organ_system")
        ),
        sa.ForeignKeyConstraint(
            ["user_id", "test_id"],
            ["epigenetic_tests.user_id", "epigenetic_tests.id"],
            name=op.f("fk_epigenetic_organ_ages_user_id_test_id_epigenetic_tests"),
            ondelete="CASCADE",
        ),
        sa.CheckConstraint(
            "organ_system IN ('blood', 'brain', 'heart', 'hormone', 'immune', 'inflammation', "
            "'kidney', 'liver', 'lung', 'metabolic', 'musculoskeletal', 'skin')",
            name=op.f("ck_epigenetic_organ_ages_organ_system"),
        ),
        sa.CheckConstraint(
            "chronological_age BETWEEN 0 AND 150", name=op.f("ck_epigenetic_organ_ages_chronological_age")
        ),
        sa.CheckConstraint("biological_age BETWEEN 0 AND 150", name=op.f("ck_epigenetic_organ_ages_biological_age")),
    )
    protect("epigenetic_tests", verbs="SELECT, INSERT, UPDATE")
    protect("epigenetic_organ_ages")
    audit_table("epigenetic_tests")
    audit_table("epigenetic_organ_ages")


def downgrade() -> None:
    op.drop_table("epigenetic_organ_ages")
    op.drop_table("epigenetic_tests")
