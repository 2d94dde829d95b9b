"""The audit log as services use it: recording events. What writes and guards it is in audit_schema.py.

Changes of rows are written by the database's own triggers, whatever the code
path, so nothing here is needed for them.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.database import now

AHEAD = timedelta(days=731)
RECORD = sa.select(
    sa.func.record_audit(
        sa.bindparam("event", type_=sa.Text),
        sa.bindparam("details", type_=JSONB(none_as_null=True)),
        sa.bindparam("about_table", type_=sa.Text),
        sa.bindparam("about_record", type_=sa.Text),
    )
)


def audit_log(metadata: sa.MetaData) -> sa.Table:
    """The table; every service declares it."""
    return sa.Table(
        "audit_log",
        metadata,
        sa.Column("audit_id", sa.Uuid, nullable=False),
        # Null once the person is erased.
        sa.Column("user_id", sa.Uuid),
        sa.Column("action_by", sa.Text, nullable=False),
        sa.Column("actor_role", sa.Text),
        sa.Column("table_name", sa.Text),
        sa.Column("record_id", sa.Text),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("old_values", JSONB),
        sa.Column("new_values", JSONB),
        sa.Column("grant_id", sa.Text),
        sa.Column("ip_address", sa.Text),
        sa.Column("user_agent", sa.Text),
        sa.Column("request_id", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("user_id", "created_at", "audit_id"),
        # Rows about another person than the one who acted: found when that one is erased.
        sa.Index(
            None,
            "action_by",
            postgresql_where=sa.text("(user_id::text IS DISTINCT FROM action_by) AND action_by NOT LIKE 'service:%'"),
        ),
        postgresql_partition_by="RANGE (created_at)",
    )


async def record(
    connection: AsyncConnection,
    action: str,
    details: Mapping[str, Any] | None = None,
    *,
    table: str = "",
    record_id: str | UUID = "",
) -> None:
    """Records an event (LOGIN, EXPORT, REVOKE, …) on the transaction of `connection`.

    It goes into the trail of the transaction's subject, or of its actor if it
    has none; who, when and from where the database takes from the transaction.
    `details` are shown to the person and carry no secret and nobody else's data.
    """
    await connection.execute(
        RECORD,
        {
            "event": action,
            "details": dict(details) if details else None,
            "about_table": table or None,
            "about_record": str(record_id) or None,
        },
    )


async def make_ahead(connection: AsyncConnection) -> None:
    """Makes the quarterly partitions that are missing from here to two years ahead."""
    today = now().date()
    await connection.execute(sa.select(sa.func.make_audit_quarters(today, today + AHEAD)))
