"""The audit log, and what is written into it."""

from services.kit.audit_schema import audit_table, install_audit_log, uninstall_audit_log

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    install_audit_log()
    # Logging in is an event of its own; what admins wrote to each other is not shown in the trail.
    audit_table("users", owner="id", noise=("last_login_at",), secret=("suspended_reason",))
    audit_table("user_preferences")
    audit_table("sessions", noise=("last_used_at",))
    audit_table("accounts", owner="owner_id")


def downgrade() -> None:
    uninstall_audit_log()
