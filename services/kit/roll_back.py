"""Taking back what an import wrote, exactly, whatever came later.

What an import changes it first copies into its service's table of changes; what
it adds carries its id. Rows that it wrote last go back to their copy, or go
without one; later imports' copies of its rows become what was there before it.
"""

from collections.abc import Collection

import sqlalchemy as sa

# The rows `stored` that nobody has written since.
LAST_WRITTEN = "stored.user_id = CAST(:user_id AS uuid) AND stored.import_id = CAST(:import_id AS uuid)"


def is_new(changes: sa.Table, table: sa.Table) -> str:
    """The condition that the row `stored` was not there before the import."""
    return f"NOT EXISTS (SELECT FROM {_copies(changes, table)} AND c.row_id = stored.id AND c.before IS NOT NULL)"


def take_back(changes: sa.Table, table: sa.Table, stays: Collection[str] = ()) -> tuple[sa.TextClause, ...]:
    """The statements that take the rows of one table back, but for the columns that stay as they are."""
    names = ", ".join(c.name for c in table.c if c.name not in ("id", "user_id", "updated_at", *stays))
    of_import = _copies(changes, table)
    return (
        sa.text(f"DELETE FROM {table.name} AS stored WHERE {LAST_WRITTEN} AND {is_new(changes, table)}"),
        sa.text(f"""
            UPDATE {table.name} AS stored SET ({names}, updated_at) = (
              SELECT {names}, now() FROM jsonb_populate_record(CAST(NULL AS {table.name}), c.before))
            FROM {of_import} AND c.row_id = stored.id AND {LAST_WRITTEN}
        """),
        sa.text(f"""
            UPDATE {changes.name} AS later SET before = (
              SELECT c.before FROM {of_import} AND c.row_id = later.row_id)
            WHERE later.user_id = CAST(:user_id AS uuid) AND later.table_name = '{table.name}'
              AND later.before ->> 'import_id' = :import_id
        """),
    )


def forget(changes: sa.Table) -> sa.TextClause:
    """The statement that removes the import's copies, once they are back."""
    return sa.text(f"""
        DELETE FROM {changes.name}
        WHERE user_id = CAST(:user_id AS uuid) AND import_id = CAST(:import_id AS uuid)
    """)


def _copies(changes: sa.Table, table: sa.Table) -> str:
    return f"""{changes.name} AS c
        WHERE c.user_id = CAST(:user_id AS uuid) AND c.import_id = CAST(:import_id AS uuid)
          AND c.table_name = '{table.name}'"""
