"""What laboratories say about a result and about a report; an import's new panels as one row of the audit log."""

import sqlalchemy as sa
from alembic import op

from services.kit.audit_schema import audit_table

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("blood_panels", "blood_markers")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("lab_comment", sa.LargeBinary))
    audit_table("blood_panels", series="collected_date", batches=["insert"])


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_insert ON blood_panels")
    audit_table("blood_panels")
    for table in TABLES:
        op.drop_column(table, "lab_comment")
