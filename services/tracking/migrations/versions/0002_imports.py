"""Imports, what they overwrote, and the queue that runs them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.migrate import install_function, install_queue, protect, uninstall_queue

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Runs as its owner: it tells the retention job whose uploaded files are due,
# and nothing else about anybody.
DUE = """
CREATE FUNCTION uploads_to_remove(before timestamptz, most integer)
RETURNS TABLE (user_id uuid, id uuid, object_key text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
  SELECT imports.user_id, imports.id, imports.object_key FROM public.imports
  WHERE imports.object_key IS NOT NULL AND imports.completed_at < $1
  ORDER BY imports.completed_at LIMIT $2
$$
"""


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("job_type", sa.Text, server_default="file_import", nullable=False),
        sa.Column("status", sa.Text, server_default="queued", nullable=False),
        sa.Column("priority", sa.SmallInteger, server_default="5", nullable=False),
        sa.Column("file_name", sa.Text, server_default="", nullable=False),
        sa.Column("file_size_bytes", sa.BigInteger, nullable=False),
        sa.Column("file_sha256", sa.Text, nullable=False),
        sa.Column("object_key", sa.Text),
        sa.Column("progress_pct", sa.Numeric(4, 1), server_default="0", nullable=False),
        sa.Column("records_read", sa.Integer, server_default="0", nullable=False),
        sa.Column("result", JSONB),
        sa.Column("error_message", sa.Text),
        sa.Column("attempts", sa.SmallInteger, server_default="0", nullable=False),
        sa.Column("max_attempts", sa.SmallInteger, server_default="3", nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.Column("next_retry_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "job_type IN ('file_import', 'daily_sync', 'backfill', 'document_parse')", name=op.f("ck_imports_job_type")
        ),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'rolled_back')",
            name=op.f("ck_imports_status"),
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 10", name=op.f("ck_imports_priority")),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_imports")),
    )
    op.create_index(
        op.f("ix_imports_completed_at"), "imports", ["completed_at"], postgresql_where=sa.text("object_key IS NOT NULL")
    )
    op.create_index(op.f("ix_imports_user_id_queued_at_id"), "imports", ["user_id", "queued_at", "id"])
    op.create_table(
        "import_changes",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("import_id", sa.Uuid, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("row_id", sa.Uuid, nullable=False),
        sa.Column("before", JSONB),
        sa.ForeignKeyConstraint(
            ["user_id", "import_id"],
            ["imports.user_id", "imports.id"],
            name=op.f("fk_import_changes_user_id_import_id_imports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "import_id", "table_name", "row_id", name=op.f("pk_import_changes")),
    )
    op.create_index(
        op.f("ix_import_changes_user_id_table_name_row_id"), "import_changes", ["user_id", "table_name", "row_id"]
    )

    protect("imports", verbs="SELECT, INSERT, UPDATE")
    protect("import_changes")
    install_queue()
    install_function("uploads_to_remove(timestamptz, integer)", DUE)


def downgrade() -> None:
    op.execute("DROP FUNCTION uploads_to_remove(timestamptz, integer)")
    uninstall_queue()
    op.drop_table("import_changes")
    op.drop_table("imports")
