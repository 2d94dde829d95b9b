"""What a document has become names one of the same person."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

RECORDS = ("blood_panels", "dexa_scans", "epigenetic_tests")


def upgrade() -> None:
    for table in RECORDS:
        # A panel could name whatever its person liked.
        op.execute(
            f"UPDATE {table} AS record SET document_id = NULL WHERE document_id IS NOT NULL AND NOT EXISTS"
            " (SELECT FROM documents WHERE user_id = record.user_id AND id = record.document_id)"
        )
        op.create_foreign_key(f"fk_{table}_document", table, "documents", ["user_id", "document_id"], ["user_id", "id"])


def downgrade() -> None:
    for table in RECORDS:
        op.drop_constraint(f"fk_{table}_document", table, type_="foreignkey")
