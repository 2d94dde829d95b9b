"""Batch upserts by natural key: one statement for up to a thousand rows."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.database import uuid7_texts
from services.kit.errors import invalid
from services.kit.recordset import payload, recordset

IDENTITY = frozenset({"id", "user_id", "created_at", "updated_at", "deleted_at"})
# Written along with a change, but no change by themselves.
PROVENANCE = frozenset({"import_id", "source_as_of"})


class Counts(NamedTuple):
    """What became of the rows of a batch."""

    stored: int
    updated: int
    unchanged: int


class Upsert:
    """Writes rows of `table`; `natural_key` names the columns that, after user_id, make a row the same row.

    A value that is not sent keeps what is stored. A row whose `source_as_of` is
    older than the stored one's changes nothing.
    """

    def __init__(self, table: sa.Table, natural_key: tuple[str, ...], incoming_columns: Sequence[str]) -> None:
        self.table = table
        self.natural_key = natural_key
        self._names = [name for name in incoming_columns if name not in IDENTITY]
        self._user = sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False))
        self.incoming = recordset(table, ["id", *self._names])
        self._statement = self._build()

    def changed(self, stored: Any, incoming: Any) -> sa.ColumnElement[bool]:
        """Whether a stored row would change: it is no newer, and some value sent differs."""
        values = [n for n in self._names if n not in self.natural_key and n not in PROVENANCE]
        differs = sa.or_(*(sa.func.coalesce(incoming[n], stored[n]).is_distinct_from(stored[n]) for n in values))
        if "source_as_of" not in self._names:
            return differs
        newer = sa.or_(
            incoming.source_as_of.is_(None),
            stored.source_as_of.is_(None),
            incoming.source_as_of >= stored.source_as_of,
        )
        return newer & differs

    def _build(self) -> sa.Select[int, int]:
        select = sa.select(
            self.incoming.c.id, self._user.label("user_id"), *(self.incoming.c[name] for name in self._names)
        )
        statement = insert(self.table).from_select(["id", "user_id", *self._names], select)
        values = [n for n in self._names if n not in self.natural_key]
        excluded: Any = statement.excluded
        keep = {n: sa.func.coalesce(excluded[n], self.table.c[n]) for n in values}
        if "import_id" in keep:
            keep["import_id"] = excluded.import_id
        written = (
            statement.on_conflict_do_update(
                index_elements=["user_id", *self.natural_key],
                set_={**keep, "updated_at": sa.func.now()},
                where=self.changed(self.table.c, excluded),
            )
            # A row that is new in this transaction was created when it was last written.
            .returning((self.table.c.created_at == self.table.c.updated_at).label("is_new"))
            .cte("written")
        )
        return sa.select(
            sa.func.count().filter(written.c.is_new), sa.func.count().filter(sa.not_(written.c.is_new))
        ).select_from(written)

    def payload(self, user_id: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """The statement's parameters. Raises INVALID_FIELD if two rows are one by their natural key."""
        keys = {tuple(row.get(name) for name in self.natural_key) for row in rows}
        if len(keys) != len(rows):
            raise invalid(" + ".join(self.natural_key), "two rows of a batch have the same key")
        ids = uuid7_texts(len(rows))
        return {"user_id": user_id, "rows": payload([{"id": new, **row} for new, row in zip(ids, rows, strict=True)])}

    async def write(self, connection: AsyncConnection, payload: dict[str, Any], count: int) -> Counts:
        """Writes a payload of `count` rows in the caller's transaction."""
        stored, updated = (await connection.execute(self._statement, payload)).one()
        return Counts(stored, updated, count - stored - updated)
