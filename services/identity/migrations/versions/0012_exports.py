"""Exports of people's data, and their consents."""

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table
from services.kit.migrate import install_function, protect

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# How far a job has come is no decision of anybody's; each step is an event of its own.
PROGRESS = (
    "status",
    "attempts",
    "object_key",
    "completed_at",
    "expires_at",
    "downloaded_at",
    "file_size_bytes",
    "file_sha256",
    "row_count",
    "file_count",
)
# For the retention job, which is nobody's: whose files are due, and nothing else about anybody.
FUNCTIONS = {
    "exports_to_remove(integer)": """
        CREATE FUNCTION exports_to_remove(most integer) RETURNS TABLE (user_id uuid, id uuid, object_key text)
        LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          SELECT exports.user_id, exports.id, exports.object_key FROM public.data_export_requests AS exports
          WHERE exports.object_key IS NOT NULL AND exports.expires_at <= now() ORDER BY exports.expires_at LIMIT $1
        $$
    """,
    "give_up_exports()": """
        CREATE FUNCTION give_up_exports() RETURNS void
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
        AS $$
          UPDATE public.data_export_requests SET status = 'failed', completed_at = now()
          WHERE status IN ('queued', 'processing') AND requested_at < now() - interval '1 day'
        $$
    """,
}


def upgrade() -> None:
    op.create_table(
        "data_export_requests",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("status", sa.Text, server_default="queued", nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("downloaded_at", sa.DateTime(timezone=True)),
        sa.Column("file_size_bytes", sa.BigInteger),
        sa.Column("file_sha256", sa.Text),
        sa.Column("row_count", sa.BigInteger),
        sa.Column("file_count", sa.Integer),
        sa.Column("object_key", sa.Text),
        sa.Column("attempts", sa.SmallInteger, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_data_export_requests")),
        sa.CheckConstraint(
            "status IN ('queued', 'processing', 'ready', 'downloaded', 'expired', 'failed')",
            name=op.f("ck_data_export_requests_status"),
        ),
        sa.CheckConstraint(
            "(status IN ('ready', 'downloaded')) = (object_key IS NOT NULL)",
            name=op.f("ck_data_export_requests_object_key"),
        ),
        sa.CheckConstraint(
            "object_key IS NULL OR expires_at IS NOT NULL", name=op.f("ck_data_export_requests_expires_at")
        ),
    )
    op.create_index(
        op.f("ix_data_export_requests_user_id_requested_at_id"),
        "data_export_requests",
        ["user_id", "requested_at", "id"],
    )
    op.create_index(
        op.f("uq_data_export_requests_unfinished"),
        "data_export_requests",
        ["user_id"],
        unique=True,
        postgresql_where=sa.text("status IN ('queued', 'processing')"),
    )
    op.create_index(
        op.f("ix_data_export_requests_expires_at"),
        "data_export_requests",
        ["expires_at"],
        postgresql_where=sa.text("object_key IS NOT NULL"),
    )
    op.create_table(
        "consents",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("given", sa.Boolean, nullable=False),
        sa.Column("ip_address", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_consents")),
        sa.CheckConstraint(
            "purpose IN ('terms', 'privacy_policy', 'mental_wellness_processing', 'sharing', 'research', 'marketing')",
            name=op.f("ck_consents_purpose"),
        ),
        sa.CheckConstraint("version ~ '^[0-9A-Za-z._-]{1,50}$'", name=op.f("ck_consents_version")),
    )
    op.create_index(op.f("ix_consents_user_id_created_at_id"), "consents", ["user_id", "created_at", "id"])
    op.create_index(op.f("ix_consents_user_id_purpose_created_at"), "consents", ["user_id", "purpose", "created_at"])

    protect("data_export_requests", verbs="SELECT, INSERT, UPDATE")
    protect("consents", verbs="SELECT, INSERT")
    audit_table(
        "data_export_requests",
        noise=PROGRESS,
    )
    audit_table("consents")
    for signature, definition in FUNCTIONS.items():
        install_function(signature, definition)


def downgrade() -> None:
    for signature in FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature}")
    op.drop_table("consents")
    op.drop_table("data_export_requests")
