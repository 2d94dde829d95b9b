"""Documents, and the values that were read in them and wait to be confirmed."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.checks import one_of
from services.kit.database import owned
from services.kit.resources import Resource
from services.labs.base import IDEMPOTENCY_KEYS, metadata
from vitalis.labs.v1 import document_values_pb2, documents_pb2
from vitalis.options.v1 import rules_pb2

# Of uploads in the object store.
PREFIX = "documents/"

documents = sa.Table(
    "documents",
    metadata,
    *owned(),
    sa.Column("document_type", sa.Text, nullable=False),
    sa.Column("provider_name", sa.Text),
    sa.Column("original_filename", sa.Text, nullable=False, server_default=""),
    sa.Column("s3_key", sa.Text, nullable=False),
    sa.Column("file_size_bytes", sa.Integer, nullable=False),
    sa.Column("file_sha256", sa.Text, nullable=False),
    sa.Column("mime_type", sa.Text, nullable=False, server_default="application/pdf"),
    sa.Column("parse_status", sa.Text, nullable=False, server_default="pending"),
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
    # How often reading it was begun.
    sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    one_of("document_type", rules_pb2.document_type),
    one_of("mime_type", rules_pb2.document_mime_type),
    one_of("parse_status", rules_pb2.parse_status),
    one_of("linked_record_type", rules_pb2.linked_record_type),
    sa.CheckConstraint("parse_confidence BETWEEN 0 AND 1", name="parse_confidence"),
    sa.CheckConstraint("file_size_bytes > 0", name="file_size_bytes"),
    sa.CheckConstraint("char_length(provider_name) <= 200", name="provider_name"),
    sa.CheckConstraint("char_length(original_filename) <= 255", name="original_filename"),
    sa.CheckConstraint("(linked_record_id IS NULL) = (linked_record_type IS NULL)", name="linked_record"),
    # Whatever a document has become, somebody has confirmed.
    sa.CheckConstraint("linked_record_id IS NULL OR parse_status = 'confirmed'", name="confirmed_first"),
    sa.CheckConstraint("(parse_status = 'confirmed') = (confirmed_at IS NOT NULL)", name="confirmed_at"),
    sa.Index(None, "user_id", "created_at", "id"),
    sa.Index(
        "uq_documents_same", "user_id", "file_sha256", unique=True, postgresql_where=sa.text("deleted_at IS NULL")
    ),
)

document_values = sa.Table(
    "document_values",
    metadata,
    *owned(),
    sa.Column("document_id", sa.Uuid, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("page", sa.Integer),
    sa.Column("box", sa.ARRAY(sa.Double), nullable=False, server_default="{}"),
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
    sa.Column("candidates", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("value_numeric", sa.Numeric),
    sa.Column("comparator", sa.Text, nullable=False, server_default=""),
    sa.Column("value_canonical", sa.Numeric),
    sa.Column("canonical_unit", sa.Text),
    sa.Column("doubts", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("deleted_at", sa.DateTime(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.ForeignKeyConstraint(
        ["user_id", "document_id"],
        ["documents.user_id", "documents.id"],
        name="fk_document_values_document",
        ondelete="CASCADE",
    ),
    one_of("source", rules_pb2.document_value_source),
    sa.CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
    sa.CheckConstraint("match_confidence BETWEEN 0 AND 1", name="match_confidence"),
    sa.CheckConstraint("cardinality(box) IN (0, 4)", name="box"),
    sa.CheckConstraint("char_length(raw_name) BETWEEN 1 AND 200", name="raw_name"),
    sa.CheckConstraint("char_length(value) BETWEEN 1 AND 200", name="value"),
    sa.Index(None, "user_id", "document_id", "position", "id"),
)

DOCUMENTS = Resource(
    documents_pb2.Document,
    documents,
    what="document",
    order_by=("created_at", "id"),
    filters=("parse_status", "document_type"),
    heavy=("document_text", "parse_result"),
    hidden=("s3_key", "attempts"),
    idempotency_keys=IDEMPOTENCY_KEYS,
    encrypted=("document_text", "parse_result"),
)
VALUES = Resource(
    document_values_pb2.DocumentValue,
    document_values,
    what="value of a document",
    order_by=("position", "id"),
    filters=("document_id",),
)
