"""Lifestyle baselines."""

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lifestyle_baselines",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("energy_level", sa.Text, nullable=False),
        sa.Column("stress_level", sa.Text, nullable=False),
        sa.Column("sleep_quality", sa.Text, nullable=False),
        sa.Column("sleep_hours_last_night", sa.Numeric(3, 1)),
        sa.Column("sleep_quality_notes", sa.LargeBinary, comment="encrypted, see kit/vault.py"),
        sa.Column("data_source", sa.Text, server_default="user_input", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "energy_level IN ('low', 'medium', 'high')", name=op.f("ck_lifestyle_baselines_energy_level")
        ),
        sa.CheckConstraint(
            "stress_level IN ('low', 'medium', 'high')", name=op.f("ck_lifestyle_baselines_stress_level")
        ),
        sa.CheckConstraint(
            "sleep_quality IN ('poor', 'fair', 'good', 'excellent')", name=op.f("ck_lifestyle_baselines_sleep_quality")
        ),
        sa.CheckConstraint(
            "data_source IN ('user_input', 'wearable', 'system')", name=op.f("ck_lifestyle_baselines_data_source")
        ),
        sa.CheckConstraint(
            "sleep_hours_last_night BETWEEN 0 AND 24", name=op.f("ck_lifestyle_baselines_sleep_hours_last_night")
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_lifestyle_baselines")),
    )
    op.create_index(
        op.f("ix_lifestyle_baselines_user_id_recorded_at_id"), "lifestyle_baselines", ["user_id", "recorded_at", "id"]
    )
    protect("lifestyle_baselines")
    audit_table("lifestyle_baselines")


def downgrade() -> None:
    op.drop_table("lifestyle_baselines")
