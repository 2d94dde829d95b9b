"""Tables of exports, deletions, consents and notices."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.identity.base import metadata
from services.kit.database import owned

EXPORT_STATUSES = ("queued", "processing", "ready", "downloaded", "expired", "failed")
UNFINISHED = ("queued", "processing")
WITH_FILE = ("ready", "downloaded")
PURPOSES = (
    "terms",
    "privacy_policy",
    "mental_wellness_processing",
    "sharing",
    "research",
    "marketing",
    "onboarding_reset",
)

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

DELETION_STATUSES = ("pending", "processing", "completed", "canceled")
OPEN = ("pending", "processing")

# Outlives its person: `finish_deletion` takes their id out of it at the end.
deletion_requests = sa.Table(
    "deletion_requests",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid),
    sa.Column("category", sa.Text, nullable=False, server_default=""),
    sa.Column("status", sa.Text, nullable=False, server_default="pending"),
    sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("grace_period_ends_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("canceled_at", sa.DateTime(timezone=True)),
    sa.Column("completed_at", sa.DateTime(timezone=True)),
    sa.Column("next_attempt_at", sa.DateTime(timezone=True)),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # How often all other services have answered, and which of them have since.
    sa.Column("passes", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("answered", ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("erased", JSONB, nullable=False, server_default="{}", comment="numbers of rows and files by service"),
    sa.Index(None, "user_id", "requested_at", "id"),
    sa.Index(
        "uq_deletion_requests_open",
        "user_id",
        "category",
        unique=True,
        postgresql_where=sa.column("status").in_(OPEN),
    ),
    sa.Index(None, "grace_period_ends_at", postgresql_where=sa.column("status").in_(OPEN)),
    sa.CheckConstraint("category IN ('', 'mental_wellness')", name="category"),
    sa.CheckConstraint(sa.column("status").in_(DELETION_STATUSES), name="status"),
    sa.CheckConstraint("(status = 'canceled') = (canceled_at IS NOT NULL)", name="canceled_at"),
    sa.CheckConstraint("(status = 'completed') = (completed_at IS NOT NULL)", name="completed_at"),
    sa.CheckConstraint("user_id IS NOT NULL OR status IN ('completed', 'canceled')", name="user_id"),
)

# That somebody who is long away was told so; never again until they come back.
inactivity_notices = sa.Table(
    "inactivity_notices",
    metadata,
    sa.Column("user_id", sa.Uuid, primary_key=True),
    sa.Column("notified_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
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
