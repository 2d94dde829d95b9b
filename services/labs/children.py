"""Rows that belong to a resource and are written and read with it, as a repeated field of its message.

A scan has regions, a test has organ ages: each kind a table of its own, with
a row for each value of a key column.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.contract import closed_values
from services.kit.database import Database, Statement, changed_at, owned, uuid7
from services.kit.resources import Resource
from services.kit.rows import RowMapping


def child_columns(parent: str, parent_table: str, key: str) -> tuple[sa.schema.SchemaItem, ...]:
    """What every table of children has: a row for each value of `key` in a parent of the same person."""
    return (
        *owned(),
        sa.Column(parent, sa.Uuid, nullable=False),
        sa.Column(key, sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id"),
        sa.UniqueConstraint("user_id", parent, key),
        sa.ForeignKeyConstraint(
            ["user_id", parent], [f"{parent_table}.user_id", f"{parent_table}.id"], ondelete="CASCADE"
        ),
    )


class Children:
    """One kind of them: the field that holds them, their message and table, the parent's column and the key's.

    They are read in the order of the key's closed set (`rule`).
    """

    def __init__(
        self, field: str, message: type[Message], table: sa.Table, *, parent: str, key: str, rule: object
    ) -> None:
        self.field = field
        self.key = key
        self._order = {value: index for index, value in enumerate(closed_values(rule))}
        self.table = table
        self.parent = table.c[parent]
        self.rows = RowMapping(message, table, hidden=("id", parent, "created_at", "updated_at"))
        self._select = sa.select(sa.cast(self.parent, sa.Text), *self.rows.columns(self.rows.names)).where(
            table.c.user_id == sa.bindparam("user_id", type_=sa.Uuid(as_uuid=False)),
            self.parent == sa.any_(sa.bindparam("parents", type_=postgresql.ARRAY(sa.Uuid(as_uuid=False)))),
        )
        self._statement = Statement(self._select)

    async def fetch(self, database: Database, parents: list[str]) -> dict[str, list[Any]]:
        """The children of each parent, in a read of their own."""
        parameters = {"user_id": current().subject, "parents": parents}
        return self._by_parent(await database.fetch(self._statement, parameters))

    async def select(self, connection: AsyncConnection, parents: list[str]) -> dict[str, list[Any]]:
        """The same on a transaction."""
        parameters = {"user_id": current().subject, "parents": parents}
        return self._by_parent((await connection.execute(self._select, parameters)).all())

    def _by_parent(self, rows: Iterable[Any]) -> dict[str, list[Any]]:
        found = defaultdict(list)
        for parent, *row in rows:
            found[parent].append(self.rows.read(row))
        for children in found.values():
            children.sort(key=lambda child: self._order[getattr(child, self.key)])
        return found

    async def write(self, connection: AsyncConnection, parent: str, children: Iterable[Message]) -> None:
        """Makes these the parent's children: one with a key that it has is changed, and others are deleted."""
        rows = [self._row(child, parent) for child in children]
        gone = sa.delete(self.table).where(
            self.table.c.user_id == current().subject,
            self.parent == parent,
            self.table.c[self.key].not_in([row[self.key] for row in rows]),
        )
        await connection.execute(gone)
        if not rows:
            return
        insert = postgresql.insert(self.table).values(rows)
        values = {name: insert.excluded[name] for name in self.rows.names if name in rows[0] and name != self.key}
        unequal = [self.table.c[name].is_distinct_from(value) for name, value in values.items()]
        await connection.execute(
            insert.on_conflict_do_update(
                index_elements=["user_id", self.parent.name, self.key],
                set_={**values, "updated_at": changed_at(self.table)},
                where=sa.or_(*unequal),
            )
        )

    def _row(self, child: Message, parent: str) -> dict[str, Any]:
        values = self.rows.values(child)
        columns = {name: values.get(name) for name in self.rows.names if name not in self.rows.output_only}
        return {"id": uuid7(), "user_id": UUID(current().subject), self.parent.name: UUID(parent), **columns}


class ParentMapping(RowMapping):
    """A parent's rows, with its children's messages among the values under the name of their field."""

    def __init__(
        self,
        message: type[Message],
        table: sa.Table,
        children: tuple[Children, ...],
        *,
        computed: tuple[str, ...],
        heavy: tuple[str, ...],
        encrypted: tuple[str, ...],
    ) -> None:
        self._held = tuple(child.field for child in children)
        super().__init__(message, table, heavy=heavy, encrypted=encrypted, computed=(*self._held, *computed))
        own = self.values

        def values(sent: Message) -> dict[str, Any]:
            row = {name: value for name, value in own(sent).items() if name not in self._held}
            return row | {field: list(held) for field in self._held if (held := getattr(sent, field))}

        self.values = values

    def changes(self, sent: Message, stored: Message, paths: list[str]) -> dict[str, Any]:
        own = [path for path in paths if path not in self._held]
        changes = super().changes(sent, stored, own) if own or not paths else {}
        held = [field for field in self._held if field in paths or paths == ["*"]]
        return changes | {field: list(getattr(sent, field)) for field in held}


class ParentResource(Resource):
    """A resource with children, and with fields that follow from both (`complete`)."""

    def __init__(
        self,
        message: type[Message],
        table: sa.Table,
        children: tuple[Children, ...],
        *,
        computed: tuple[str, ...] = (),
        heavy: tuple[str, ...] = (),
        encrypted: tuple[str, ...] = (),
        **declared: Any,
    ) -> None:
        self.children = children
        rows = ParentMapping(message, table, children, computed=computed, heavy=heavy, encrypted=encrypted)
        super().__init__(message, table, rows=rows, encrypted=encrypted, **declared)

    def complete(self, message: Any) -> None:
        """Fills in what follows from a message and its children."""

    async def read(self, database: Database, row_id: str) -> Any:
        message = await super().read(database, row_id)
        await self._fetch(database, [message])
        return message

    async def page(self, database: Database, request: Any) -> tuple[list[Any], str]:
        messages, token = await super().page(database, request)
        await self._fetch(database, messages)
        return messages, token

    async def insert(self, connection: AsyncConnection, values: dict[str, Any]) -> Any:
        return await self._written(connection, await super().insert(connection, self._own(values)), values)

    async def lock(self, connection: AsyncConnection, row_id: str, etag: str, *, deleted: bool = False) -> Any:
        message = await super().lock(connection, row_id, etag, deleted=deleted)
        return await self._written(connection, message, {})

    async def change(self, connection: AsyncConnection, row_id: str, values: dict[str, Any]) -> Any:
        return await self._written(connection, await super().change(connection, row_id, self._own(values)), values)

    def _own(self, values: Mapping[str, Any]) -> dict[str, Any]:
        fields = {child.field for child in self.children}
        return {name: value for name, value in values.items() if name not in fields}

    async def _fetch(self, database: Database, messages: list[Any]) -> None:
        if messages:
            parents = [message.id for message in messages]
            self._attach(messages, {child.field: await child.fetch(database, parents) for child in self.children})

    async def _written(self, connection: AsyncConnection, message: Any, values: Mapping[str, Any]) -> Any:
        """The message as it is stored, after the children that `values` has are."""
        for child in self.children:
            if child.field in values:
                await child.write(connection, message.id, values[child.field])
        found = {child.field: await child.select(connection, [message.id]) for child in self.children}
        self._attach([message], found)
        return message

    def _attach(self, messages: list[Any], found: Mapping[str, Mapping[str, list[Any]]]) -> None:
        for message in messages:
            for field, by_parent in found.items():
                getattr(message, field).extend(by_parent.get(message.id, ()))
            self.complete(message)
