"""Documents, and the values that were read in them and wait to be confirmed."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.audit_schema import audit_table
from services.kit.migrate import protect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def _owned() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def upgrade() -> None:
    op.create_table(
        "documents",
        *_owned(),
        sa.Column("document_type", sa.Text, nullable=False),
        sa.Column("provider_name", sa.Text),
        sa.Column("original_filename", sa.Text, server_default="", nullable=False),
        sa.Column("s3_key", sa.Text, nullable=False),
        sa.Column("file_size_bytes", sa.Integer, nullable=False),
        sa.Column("file_sha256", sa.Text, nullable=False),
        sa.Column("mime_type", sa.Text, server_default="application/pdf", nullable=False),
        sa.Column("parse_status", sa.Text, server_default="pending", nullable=False),
        sa.Column("parse_confidence", sa.Numeric(3, 2)),
        sa.Column("layout", sa.Text),
        sa.Column("page_count", sa.Integer),
        sa.Column("parsed_at", sa.DateTime(timezone=True)),
        sa.Column("confirmed_at", sa.DateTime(timezone=True)),
        sa.Column("confirmed_by", sa.Uuid),
        sa.Column("linked_record_id", sa.Uuid),
        sa.Column("linked_record_type", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("report_header", JSONB),
        sa.Column("document_text", sa.LargeBinary),
        sa.Column("parse_result", sa.LargeBinary),
        sa.Column("attempts", sa.SmallInteger, server_default="0", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "document_type IN ('blood_work', 'dexa', 'epigenetics', 'other')", name=op.f("ck_documents_document_type")
        ),
        sa.CheckConstraint(
            "mime_type IN ('application/pdf', 'image/png', 'image/jpeg', 'image/tiff')",
            name=op.f("ck_documents_mime_type"),
        ),
        sa.CheckConstraint(
            "parse_status IN ('pending', 'parsing', 'needs_review', 'confirmed', 'failed')",
            name=op.f("ck_documents_parse_status"),
        ),
        sa.CheckConstraint(
            "linked_record_type IN ('blood_panel', 'dexa_scan', 'epigenetic_test')",
            name=op.f("ck_documents_linked_record_type"),
        ),
        sa.CheckConstraint("parse_confidence BETWEEN 0 AND 1", name=op.f("ck_documents_parse_confidence")),
        sa.CheckConstraint("file_size_bytes > 0", name=op.f("ck_documents_file_size_bytes")),
        sa.CheckConstraint("char_length(provider_name) <= 200", name=op.f("ck_documents_provider_name")),
        sa.CheckConstraint("char_length(original_filename) <= 255", name=op.f("ck_documents_original_filename")),
        sa.CheckConstraint(
            "(linked_record_id IS NULL) = (linked_record_type IS NULL)", name=op.f("ck_documents_linked_record")
        ),
        sa.CheckConstraint(
            "linked_record_id IS NULL OR parse_status = 'confirmed'", name=op.f("ck_documents_confirmed_first")
        ),
        sa.CheckConstraint(
            "(parse_status = 'confirmed') = (confirmed_at IS NOT NULL)", name=op.f("ck_documents_confirmed_at")
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_documents")),
    )
    op.create_index(op.f("ix_documents_user_id_created_at_id"), "documents", ["user_id", "created_at", "id"])
    op.create_index(
        "uq_documents_same",
        "documents",
        ["user_id", "file_sha256"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    op.create_table(
        "document_values",
        *_owned(),
        sa.Column("document_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("page", sa.Integer),
        sa.Column("box", sa.ARRAY(sa.Double), server_default="{}", nullable=False),
        sa.Column("confidence", sa.Numeric(3, 2)),
        sa.Column("raw_name", sa.Text, nullable=False),
        sa.Column("sub_panel", sa.Text),
        sa.Column("specimen", sa.Text),
        sa.Column("loinc_code", sa.Text),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("unit", sa.Text),
        sa.Column("ref_range_text", sa.Text),
        sa.Column("flag", sa.Text),
        sa.Column("biomarker", sa.Text),
        sa.Column("match_confidence", sa.Numeric(3, 2)),
        sa.Column("match_method", sa.Text),
        sa.Column("candidates", sa.ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("value_numeric", sa.Numeric),
        sa.Column("comparator", sa.Text, server_default="", nullable=False),
        sa.Column("value_canonical", sa.Numeric),
        sa.Column("canonical_unit", sa.Text),
        sa.Column("doubts", sa.ARRAY(sa.Text), server_default="{}", nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("source IN ('read', 'corrected', 'added')", name=op.f("ck_document_values_source")),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_document_values_confidence")),
        sa.CheckConstraint("match_confidence BETWEEN 0 AND 1", name=op.f("ck_document_values_match_confidence")),
        sa.CheckConstraint("cardinality(box) IN (0, 4)", name=op.f("ck_document_values_box")),
        sa.CheckConstraint("char_length(raw_name) BETWEEN 1 AND 200", name=op.f("ck_document_values_raw_name")),
        sa.CheckConstraint("char_length(value) BETWEEN 1 AND 200", name=op.f("ck_document_values_value")),
        sa.ForeignKeyConstraint(
            ["user_id", "document_id"],
            ["documents.user_id", "documents.id"],
            name="fk_document_values_document",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "id", name=op.f("pk_document_values")),
    )
    op.create_index(
        op.f("ix_document_values_user_id_document_id_position_id"),
        "document_values",
        ["user_id", "document_id", "position", "id"],
    )
    protect("documents", verbs="SELECT, INSERT, UPDATE")
    # Written anew by every reading; what a document says is no history of its person's doings.
    audit_table("documents", secret=["document_text", "parse_result"])
    protect("document_values")
    audit_table("document_values")


def downgrade() -> None:
    op.drop_table("document_values")
    op.drop_table("documents")
