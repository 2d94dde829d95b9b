"""Tables of onboarding."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.identity.base import metadata
from services.kit.database import owned
from services.kit.personal import ENCRYPTED, GENERAL

DEVICE_TYPES = ("phone", "tablet", "desktop", "terminal", "other")

# One onboarding a person. `id` is another one after a reset.
onboarding_states = sa.Table(
    "onboarding_states",
    metadata,
    *owned(),
    sa.Column("current_step", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("completed_steps", ARRAY(sa.SmallInteger), nullable=False, server_default="{}"),
    sa.Column(
        "step_data", sa.LargeBinary, info={ENCRYPTED: GENERAL}, comment="encrypted, see kit/vault.py; null once done"
    ),
    sa.Column("flow_version", sa.Text, nullable=False, server_default="1.0"),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("last_activity_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("completed_at", sa.DateTime(timezone=True)),
    sa.Column("session_id", sa.Text),
    sa.Column("device_type", sa.Text),
    sa.Column("user_agent", sa.Text),
    sa.Column("reset_consent_id", sa.Uuid, comment="the consent that the last reset has used up"),
    sa.Column("reset_reason", sa.LargeBinary, info={ENCRYPTED: GENERAL}, comment="encrypted, see kit/vault.py"),
    sa.PrimaryKeyConstraint("user_id"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    # For administrators, who look for those that were left.
    sa.Index(None, "last_activity_at", "user_id", postgresql_where=sa.text("completed_at IS NULL")),
    sa.CheckConstraint("current_step BETWEEN 0 AND 11", name="current_step"),
    sa.CheckConstraint("completed_steps <@ '{0,1,2,3,4,5,6,7,8,9,10,11}'::smallint[]", name="completed_steps"),
    sa.CheckConstraint("flow_version ~ '^[0-9]{1,3}\\.[0-9]{1,3}$'", name="flow_version"),
    sa.CheckConstraint("last_activity_at >= started_at", name="last_activity_at"),
    sa.CheckConstraint("completed_at >= started_at", name="completed_at"),
    sa.CheckConstraint(sa.column("device_type").in_(DEVICE_TYPES), name="device_type"),
    sa.CheckConstraint("char_length(session_id) <= 255", name="session_id"),
    sa.CheckConstraint("char_length(user_agent) <= 1000", name="user_agent"),
)

# What tracking is told of an onboarding and has not got yet; a reset leaves it there. `id` is the onboarding's.
onboarding_hand_overs = sa.Table(
    "onboarding_hand_overs",
    metadata,
    sa.Column("id", sa.Uuid, nullable=False, comment="the onboarding's"),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column(
        "answers", sa.LargeBinary, nullable=False, info={ENCRYPTED: GENERAL}, comment="encrypted, see kit/vault.py"
    ),
    sa.Column("flow_version", sa.Text, nullable=False),
    sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    sa.CheckConstraint("flow_version ~ '^[0-9]{1,3}\\.[0-9]{1,3}$'", name="flow_version"),
)

# When a step of an onboarding was first shown, and when it was first done: for the funnel. The confirmation is
# done when the profile is made, and the onboarding with it.
onboarding_step_events = sa.Table(
    "onboarding_step_events",
    metadata,
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("onboarding_id", sa.Uuid, nullable=False),
    sa.Column("flow_version", sa.Text, nullable=False),
    sa.Column("step", sa.SmallInteger, nullable=False),
    sa.Column("step_name", sa.Text, nullable=False),
    sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("completed_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "onboarding_id", "flow_version", "step"),
    sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
    # Onboardings by when they began.
    sa.Index("ix_onboarding_step_events_begun", "started_at", postgresql_where=sa.text("step = 0")),
    sa.CheckConstraint("step BETWEEN 0 AND 11", name="step"),
    sa.CheckConstraint("completed_at >= started_at", name="completed_at"),
)
