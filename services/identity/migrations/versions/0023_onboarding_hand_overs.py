"""What tracking has not got yet outlives a reset; why an onboarding was reset is kept, encrypted."""

import sqlalchemy as sa
from alembic import op

from services.kit.migrate import protect

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "onboarding_hand_overs",
        sa.Column("id", sa.Uuid, nullable=False, comment="the onboarding's"),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("answers", sa.LargeBinary, nullable=False, comment="encrypted, see kit/vault.py"),
        sa.Column("flow_version", sa.Text, nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "flow_version ~ '^[0-9]{1,3}\\.[0-9]{1,3}$'", name=op.f("ck_onboarding_hand_overs_flow_version")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_onboarding_hand_overs_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_onboarding_hand_overs")),
    )
    protect("onboarding_hand_overs", verbs="SELECT, INSERT, DELETE")
    op.add_column("onboarding_states", sa.Column("reset_reason", sa.LargeBinary, comment="encrypted, see kit/vault.py"))


def downgrade() -> None:
    op.drop_column("onboarding_states", "reset_reason")
    op.drop_table("onboarding_hand_overs")
