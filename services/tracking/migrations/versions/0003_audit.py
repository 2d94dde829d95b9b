"""The audit log, and what is written into it."""

from services.kit.audit_schema import audit_table, install_audit_log, uninstall_audit_log

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# How far an import has come is no decision of anybody's, and its account stays with it.
PROGRESS = (
    "progress_pct",
    "records_read",
    "result",
    "attempts",
    "started_at",
    "next_retry_at",
    "object_key",
)


def upgrade() -> None:
    install_audit_log()
    audit_table("imports", noise=PROGRESS)
    audit_table("wearable_daily", series="date")
    audit_table("wearable_sleep", series="sleep_date")
    audit_table("wearable_activities", series="activity_date")


def downgrade() -> None:
    uninstall_audit_log()
