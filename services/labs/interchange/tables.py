"""Imports of laboratory files, and what an import overwrote, so that it can be rolled back."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import owned
from services.kit.resources import Resource
from services.labs.base import IDEMPOTENCY_KEYS, metadata
from vitalis.labs.v1 import interchange_pb2 as pb

# Of uploads in the object store, which are gone once their import has ended.
PREFIX = "lab-imports/"

lab_imports = sa.Table(
    "lab_imports",
    metadata,
    *owned(),
    sa.Column("format", sa.Text, nullable=False, server_default=""),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
    sa.Column("collected_date", sa.Date),
    sa.Column("date_order", sa.Text),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column("file_name", sa.Text, nullable=False, server_default=""),
    sa.Column("file_size_bytes", sa.BigInteger, nullable=False),
    sa.Column("file_sha256", sa.Text, nullable=False),
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
    sa.CheckConstraint(
        "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'rolled_back')", name="status"
    ),
    sa.CheckConstraint("format IN ('', 'fhir', 'hl7v2', 'ccda', 'csv')", name="format"),
    sa.CheckConstraint("date_order IN ('day_first', 'month_first')", name="date_order"),
)

# A row as it was before an import changed it. New rows need no entry: they
# carry the import's id.
lab_import_changes = sa.Table(
    "lab_import_changes",
    metadata,
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("import_id", sa.Uuid, nullable=False),
    sa.Column("table_name", sa.Text, nullable=False),
    sa.Column("row_id", sa.Uuid, nullable=False),
    # Null once the import that had stored the row first is rolled back: then
    # there was nothing before.
    sa.Column("before", JSONB),
    sa.PrimaryKeyConstraint("user_id", "import_id", "table_name", "row_id"),
    sa.ForeignKeyConstraint(["user_id", "import_id"], ["lab_imports.user_id", "lab_imports.id"], ondelete="CASCADE"),
    sa.Index(None, "user_id", "table_name", "row_id"),
)

IMPORTS = Resource(
    pb.LabImport,
    lab_imports,
    what="import",
    order_by=("queued_at", "id"),
    filters=("status",),
    hidden=("created_at", "updated_at"),
    idempotency_keys=IDEMPOTENCY_KEYS,
)
