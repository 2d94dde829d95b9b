"""Somebody who was suspended can be deleted: why they were stays until they are erased."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint(op.f("ck_users_suspended_reason"), "users")


def downgrade() -> None:
    op.execute("UPDATE users SET suspended_reason = NULL WHERE account_status <> 'suspended'")
    op.create_check_constraint(
        op.f("ck_users_suspended_reason"), "users", "suspended_reason IS NULL OR account_status = 'suspended'"
    )
