"""Tables of exports and consents."""

import sqlalchemy as sa

from services.identity.base import metadata
from services.kit.database import owned

EXPORT_STATUSES = ("queued", "processing", "ready", "downloaded", "expired", "failed")
UNFINISHED = ("queued", "processing")
WITH_FILE = ("ready", "downloaded")
PURPOSES = ("terms", "privacy_policy", "mental_wellness_processing", "sharing", "research", "marketing")

data_export_requests = sa.Table(
    "data_export_requests",
    metadata,
    *owned(),
    sa.Column("status", sa.Text, nullable=False, server_default="queued"),
    sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("completed_at", sa.DateTime(timezone=True)),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("downloaded_at", sa.DateTime(timezone=True)),
    sa.Column("file_size_bytes", sa.BigInteger),
    sa.Column("file_sha256", sa.Text),
    sa.Column("row_count", sa.BigInteger),
    sa.Column("file_count", sa.Integer),
    sa.Column("object_key", sa.Text),
    sa.Column("attempts", sa.SmallInteger, nullable=False, server_default="0"),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.Index(None, "user_id", "requested_at", "id"),
    sa.Index(
        "uq_data_export_requests_unfinished",
        "user_id",
        unique=True,
        postgresql_where=sa.column("status").in_(UNFINISHED),
    ),
    sa.Index(None, "expires_at", postgresql_where=sa.text("object_key IS NOT NULL")),
    sa.CheckConstraint(sa.column("status").in_(EXPORT_STATUSES), name="status"),
    sa.CheckConstraint("(status IN ('ready', 'downloaded')) = (object_key IS NOT NULL)", name="object_key"),
    sa.CheckConstraint("object_key IS NULL OR expires_at IS NOT NULL", name="expires_at"),
)

# Only ever added to: what holds for a purpose is its newest entry.
consents = sa.Table(
    "consents",
    metadata,
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("given", sa.Boolean, nullable=False),
    sa.Column("ip_address", sa.Text),
    # Not the transaction's: of two that wait for each other the later is the newer.
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.clock_timestamp()),
    sa.PrimaryKeyConstraint("user_id", "id"),
    sa.Index(None, "user_id", "created_at", "id"),
    sa.Index(None, "user_id", "purpose", "created_at"),
    sa.CheckConstraint(sa.column("purpose").in_(PURPOSES), name="purpose"),
    sa.CheckConstraint("version ~ '^[0-9A-Za-z._-]{1,50}$'", name="version"),
)
