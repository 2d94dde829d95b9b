"""Onboarding: how far each person has come, and when which step was come to and done."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "onboarding_states",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("current_step", sa.SmallInteger, server_default="0", nullable=False),
        sa.Column("completed_steps", ARRAY(sa.SmallInteger), server_default="{}", nullable=False),
        sa.Column("step_data", sa.LargeBinary, comment="encrypted, see kit/vault.py; null once done"),
        sa.Column("flow_version", sa.Text, server_default="1.0", nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("last_activity_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("session_id", sa.Text),
        sa.Column("device_type", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("reset_consent_id", sa.Uuid, comment="the consent that the last reset has used up"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_onboarding_states")),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_onboarding_states_user_id_users"), ondelete="CASCADE"
        ),
        sa.CheckConstraint("current_step BETWEEN 0 AND 11", name=op.f("ck_onboarding_states_current_step")),
        sa.CheckConstraint(
            "completed_steps <@ '{0,1,2,3,4,5,6,7,8,9,10,11}'::smallint[]",
            name=op.f("ck_onboarding_states_completed_steps"),
        ),
        sa.CheckConstraint(
            "flow_version ~ '^[0-9]{1,3}\\.[0-9]{1,3}$'", name=op.f("ck_onboarding_states_flow_version")
        ),
        sa.CheckConstraint("last_activity_at >= started_at", name=op.f("ck_onboarding_states_last_activity_at")),
        sa.CheckConstraint("completed_at >= started_at", name=op.f("ck_onboarding_states_completed_at")),
        sa.CheckConstraint(
            "device_type IN ('phone', 'tablet', 'desktop', 'terminal', 'other')",
            name=op.f("ck_onboarding_states_device_type"),
        ),
        sa.CheckConstraint("char_length(session_id) <= 255", name=op.f("ck_onboarding_states_session_id")),
        sa.CheckConstraint("char_length(user_agent) <= 1000", name=op.f("ck_onboarding_states_user_agent")),
    )
    op.create_index(
        op.f("ix_onboarding_states_last_activity_at_user_id"),
        "onboarding_states",
        ["last_activity_at", "user_id"],
        postgresql_where=sa.text("completed_at IS NULL"),
    )
    op.create_table(
        "onboarding_step_events",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("onboarding_id", sa.Uuid, nullable=False),
        sa.Column("flow_version", sa.Text, nullable=False),
        sa.Column("step", sa.SmallInteger, nullable=False),
        sa.Column("step_name", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint(
            "user_id", "onboarding_id", "flow_version", "step", name=op.f("pk_onboarding_step_events")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_onboarding_step_events_user_id_users"), ondelete="CASCADE"
        ),
        sa.CheckConstraint("step BETWEEN 0 AND 11", name=op.f("ck_onboarding_step_events_step")),
        sa.CheckConstraint("completed_at >= started_at", name=op.f("ck_onboarding_step_events_completed_at")),
    )
    op.create_index(
        op.f("ix_onboarding_step_events_begun"),
        "onboarding_step_events",
        ["started_at"],
        postgresql_where=sa.text("step = 0"),
    )
    protect("onboarding_states", verbs="SELECT, INSERT, UPDATE")
    protect("onboarding_step_events", verbs="SELECT, INSERT, UPDATE")
    # Of each step that is saved the trail says that it was, and not what.
    audit_table("onboarding_states", secret=("step_data",), noise=("last_activity_at", "session_id", "user_agent"))


def downgrade() -> None:
    op.drop_table("onboarding_step_events")
    op.drop_table("onboarding_states")
