"""Imports as ingestion jobs, and what an import overwrote, so that it can be rolled back."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import owned
from services.tracking.base import metadata

# Of uploads in the object store.
PREFIX = "imports/"

imports = sa.Table(
    "imports",
    metadata,
    *owned(),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("job_type", sa.Text, nullable=False, server_default="file_import"),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column("priority", sa.SmallInteger, nullable=False, server_default="5"),
    sa.Column("file_name", sa.Text, nullable=False, server_default=""),
    sa.Column("file_size_bytes", sa.BigInteger, nullable=False),
    sa.Column("file_sha256", sa.Text, nullable=False),
    sa.Column("object_key", sa.Text),
    sa.Column("progress_pct", sa.Numeric(4, 1), nullable=False, server_default="0"),
    sa.Column("records_read", sa.Integer, nullable=False, server_default="0"),
    sa.Column("result", JSONB),
    sa.Column("error_message", sa.Text),
    sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("max_attempts", sa.SmallInteger, nullable=False, server_default="3"),
    sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("started_at", sa.DateTime(timezone=True)),
    sa.Column("completed_at", sa.DateTime(timezone=True)),
    sa.Column("next_retry_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.Index(None, "user_id", "queued_at", "id"),
    sa.Index(None, "completed_at", postgresql_where=sa.text("object_key IS NOT NULL")),
    sa.CheckConstraint("priority BETWEEN 1 AND 10", name="priority"),
    sa.CheckConstraint(
        "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'rolled_back')", name="status"
    ),
    sa.CheckConstraint("job_type IN ('file_import', 'daily_sync', 'backfill', 'document_parse')", name="job_type"),
)

# A row as it was before an import changed it. New rows need no entry: they
# carry the import's id.
import_changes = sa.Table(
    "import_changes",
    metadata,
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("import_id", sa.Uuid, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("row_id", sa.Uuid, nullable=False),
    # Null once the import that had stored the row first is rolled back: then
    # there was nothing before.
    sa.Column("before", JSONB),
    sa.PrimaryKeyConstraint("user_id", "import_id", "table_name", "row_id"),
    sa.ForeignKeyConstraint(["user_id", "import_id"], ["imports.user_id", "imports.id"], ondelete="CASCADE"),
    sa.Index(None, "user_id", "table_name", "row_id"),
)
