"""Imports of laboratory files, what they overwrote, and what says where a panel and a marker came from."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect
from services.kit.roles import APP_GROUP

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# How far an import has come is no decision of anybody's, and its account stays with it.
PROGRESS = ("progress_pct", "records_read", "result", "attempts", "started_at", "next_retry_at", "format")
PROVENANCE = {
    "blood_panels": ("source_system", "source_id"),
    "blood_markers": ("source_id", "source_place"),
}


def upgrade() -> None:
    op.create_table(
        "lab_imports",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("format", sa.Text, server_default="", nullable=False),
        sa.Column("time_zone", sa.Text, server_default="UTC", nullable=False),
        sa.Column("collected_date", sa.Date),
        sa.Column("date_order", sa.Text),
        sa.Column("status", sa.Text, server_default="queued", nullable=False),
        sa.Column("file_name", sa.Text, server_default="", nullable=False),
        sa.Column("file_size_bytes", sa.BigInteger, nullable=False),
        sa.Column("file_sha256", sa.Text, nullable=False),
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
            "status IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'rolled_back')",
            name=op.f("ck_lab_imports_status"),
        ),
        sa.CheckConstraint("format IN ('', 'fhir', 'hl7v2', 'ccda', 'csv')", name=op.f("ck_lab_imports_format")),
        sa.CheckConstraint("date_order IN ('day_first', 'month_first')", name=op.f("ck_lab_imports_date_order")),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_lab_imports")),
    )
    op.create_index(op.f("ix_lab_imports_user_id_queued_at_id"), "lab_imports", ["user_id", "queued_at", "id"])
    op.create_table(
        "lab_import_changes",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("import_id", sa.Uuid, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("row_id", sa.Uuid, nullable=False),
        sa.Column("before", JSONB),
        sa.ForeignKeyConstraint(
            ["user_id", "import_id"],
            ["lab_imports.user_id", "lab_imports.id"],
            name=op.f("fk_lab_import_changes_user_id_import_id_lab_imports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "import_id", "table_name", "row_id", name=op.f("pk_lab_import_changes")),
    )
    op.create_index(
        op.f("ix_lab_import_changes_user_id_table_name_row_id"),
        "lab_import_changes",
        ["user_id", "table_name", "row_id"],
    )
    protect("lab_imports", verbs="SELECT, INSERT, UPDATE")
    protect("lab_import_changes")
    audit_table("lab_imports", noise=PROGRESS)
    for table, columns in PROVENANCE.items():
        op.add_column(table, sa.Column("import_id", sa.Uuid))
        for column in columns:
            op.add_column(table, sa.Column(column, sa.Text))
        # An import that is rolled back leaves nothing behind.
        op.execute(f"GRANT DELETE ON {table} TO {APP_GROUP}")
    _audit_markers()


def downgrade() -> None:
    for table, columns in PROVENANCE.items():
        op.execute(f"REVOKE DELETE ON {table} FROM {APP_GROUP}")
        for column in (*columns, "import_id"):
            op.drop_column(table, column)
    _audit_markers()
    op.drop_table("lab_import_changes")
    op.drop_table("lab_imports")


def _audit_markers() -> None:
    """As before, and with the import's id where there is one."""
    audit_table("blood_markers", series="collected_date", batches=["insert"])
