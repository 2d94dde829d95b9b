"""Standard methods over one table (AIP-131 to 135, 158, 164, 154), declared and not written.

    DAILY = Resource(pb.WearableDaily, wearable_daily, what="daily row", order_by=("date", "source"))

    class WearablesServicer(...):
        GetWearableDaily = get(DAILY)
        ListWearableDaily = list_(DAILY)

A method that needs more than its declaration offers is written by hand. The
servicer needs the attribute `database`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import date, time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import sqlalchemy as sa
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.contract import ContractError, service_of
from services.kit.database import Database, Statement, changed_at, uuid7
from services.kit.errors import etag_mismatch, not_found
from services.kit.idempotency import once
from services.kit.paging import decode_token, encode_token, instant_of, page_size, read_instant, read_position
from services.kit.personal import GENERAL
from services.kit.rows import RowMapping
from services.kit.upsert import Upsert

if TYPE_CHECKING:
    from services.kit.sealed import Sealed


class Resource:
    """One kind of resource: a message, its table and how it is listed.

    `what` is its name in errors; `order_by` the columns of the list's order,
    descending, that with user_id identify a row; `date_column` the one that
    start_date and end_date of a list bound, or start_time and end_time (which
    is excluded) if it is an instant; `filters` the columns that a list
    can be narrowed by, named as the request's fields; `heavy` the columns that
    lists leave out; `natural_key` what an upsert knows a row by; `hidden` the
    columns that the message does not show; `provenance` the columns that say
    what wrote the row and are cleared when the person changes it;
    `idempotency_keys` the service's table of them; `encrypted` the text fields
    whose columns (LargeBinary) hold ciphertext, with the owner's key for
    `purpose` (see vault.py): nothing can be listed by them; `rows` the mapping of
    a resource that needs one of its own.
    """

    def __init__(
        self,
        message: type[Message],
        table: sa.Table,
        *,
        what: str,
        order_by: tuple[str, ...],
        date_column: str | None = None,
        filters: tuple[str, ...] = (),
        heavy: tuple[str, ...] = (),
        natural_key: tuple[str, ...] = (),
        hidden: tuple[str, ...] = (),
        provenance: tuple[str, ...] = (),
        idempotency_keys: sa.Table | None = None,
        encrypted: tuple[str, ...] = (),
        purpose: str = GENERAL,
        rows: RowMapping | None = None,
    ) -> None:
        if looked_up := [name for name in encrypted if name in (*order_by, *filters, date_column)]:
            raise ContractError(f"{what}: {', '.join(looked_up)} is encrypted, and cannot be looked up")
        if encrypted and natural_key:
            # Ciphertext is bound to its row, and an upsert learns only in the database which row that is.
            raise ContractError(f"{what}: a batch upsert writes nothing that is encrypted")
        self.table = table
        self.what = what
        self.sealed = _sealed(table, encrypted, purpose)
        self.rows = rows or RowMapping(message, table, heavy, hidden, encrypted)
        self._cleared = dict.fromkeys(provenance)
        self.idempotency_keys = idempotency_keys
        self.soft_delete = "deleted_at" in table.c
        self.upsert = Upsert(table, natural_key, self.rows.names) if natural_key else None
        self._order_by = order_by
        self._date = date_column
        self._is_instant = date_column is not None and isinstance(table.c[date_column].type, sa.DateTime)
        self._filters = filters
        self._order_indexes = [self.rows.light_names.index(name) for name in order_by]
        self._lists: dict[tuple[str, ...], Statement] = {}
        self.columns = self._with_key(self.rows.names)
        self._insert = sa.insert(table).returning(*self.columns)
        self._get = Statement(sa.select(*self.columns).where(*self._is_row()))

    def _is_row(self) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            self.table.c.user_id == sa.bindparam("key_user_id", type_=sa.Uuid(as_uuid=False)),
            self.table.c.id == sa.bindparam("key_id", type_=sa.Uuid(as_uuid=False)),
        )

    def _with_key(self, names: tuple[str, ...]) -> list[sa.ColumnElement[Any]]:
        """The select list of these columns; the owner's wrapped key comes last if something is encrypted."""
        columns = self.rows.columns(names)
        return [*columns, self.sealed.wrapped_key] if self.sealed else columns

    async def read(self, database: Database, row_id: str) -> Any:
        """One row of the current subject as a message. Raises NOT_FOUND."""
        rows = await database.fetch(self._get, _key(row_id))
        if not rows:
            raise not_found(self.what)
        return self.messages(database, rows)[0]

    async def living(self, database: Database, row_id: str) -> Any:
        """`read` of a row that is not deleted. Raises NOT_FOUND for one that is."""
        message = await self.read(database, row_id)
        if message.HasField("deleted_at"):
            raise not_found(self.what)
        return message

    async def page(self, database: Database, request: Any) -> tuple[list[Any], str]:
        """The messages of a page and the token of the next one ("" on the last)."""
        bounds = self._bounds(request)
        size = page_size(request.page_size)
        bound_to = (request.DESCRIPTOR.full_name, *(f"{name}={value}" for name, value in sorted(bounds.items())))
        parameters: dict[str, Any] = {**bounds, "user_id": current().subject, "page_limit": size + 1}
        if request.page_token:
            position = decode_token(request.page_token, len(self._order_by), *bound_to)
            after = zip(self._order_by, position, strict=True)
            parameters |= {f"after_{name}": self._after(name, text) for name, text in after}
        rows = await database.fetch(self._list(tuple(parameters)), parameters)
        token = ""
        if len(rows) > size:
            token = encode_token([str(rows[size - 1][i]) for i in self._order_indexes], *bound_to)
        # The rows are one person's, so they have one key.
        key = self.sealed.open(database.vault, rows[0][-1]) if self.sealed and rows else None
        return [self.rows.read_light(row, key) for row in rows[:size]], token

    def _after(self, name: str, text: str) -> Any:
        """A page token's text of a column as what it is compared with. Raises INVALID_PAGE_TOKEN."""
        kind = self.table.c[name].type
        if isinstance(kind, sa.DateTime):
            # Selected as microseconds, see rows.py.
            return read_instant(text)
        if isinstance(kind, sa.Uuid):
            return read_position(UUID, text)
        return read_position(date.fromisoformat, text) if isinstance(kind, sa.Date) else text

    def _bounds(self, request: Any) -> dict[str, Any]:
        """What the request narrows the list by. Raises INVALID_FIELD."""
        dates = ("start_date", "end_date") if self._date and not self._is_instant else ()
        deleted = ("show_deleted",) if self.soft_delete else ()
        bounds = {name: value for name in (*dates, *self._filters, *deleted) if (value := getattr(request, name))}
        if self._is_instant:
            times = [name for name in ("start_time", "end_time") if request.HasField(name)]
            bounds |= {name: instant_of(name, getattr(request, name)) for name in times}
        return bounds

    def _list(self, parameters: tuple[str, ...]) -> Statement:
        if statement := self._lists.get(parameters):
            return statement
        table = self.table

        def bind(name: str, column: sa.Column[Any]) -> sa.BindParameter[Any]:
            kind = sa.Uuid(as_uuid=False) if isinstance(column.type, sa.Uuid) else column.type
            return sa.bindparam(name, type_=kind)

        where: list[sa.ColumnElement[bool]] = [table.c.user_id == bind("user_id", table.c.user_id)]
        if self._date:
            column = table.c[self._date]
            conditions = {
                "start_date": column >= bind("start_date", column),
                "end_date": column <= bind("end_date", column),
                "start_time": column >= bind("start_time", column),
                "end_time": column < bind("end_time", column),
            }
            where += [condition for name, condition in conditions.items() if name in parameters]
        where += [table.c[name] == bind(name, table.c[name]) for name in self._filters if name in parameters]
        if self.soft_delete and "show_deleted" not in parameters:
            where.append(table.c.deleted_at.is_(None))
        if f"after_{self._order_by[0]}" in parameters:
            after = [bind(f"after_{name}", table.c[name]) for name in self._order_by]
            where.append(sa.tuple_(*(table.c[name] for name in self._order_by)) < sa.tuple_(*after))
        select = (
            sa.select(*self._with_key(self.rows.light_names))
            .where(*where)
            .order_by(*(table.c[name].desc() for name in self._order_by))
            .limit(sa.bindparam("page_limit", type_=sa.Integer))
        )
        self._lists[parameters] = Statement(select)
        return self._lists[parameters]

    async def insert(self, connection: AsyncConnection, values: dict[str, Any]) -> Any:
        """Stores a new row of the current subject; the message as stored."""
        row_id = uuid7()
        if self.sealed:
            values = await self.sealed.seal(connection, row_id, values)
        row = {"id": row_id, "user_id": current().subject, **values}
        return self._read(connection, (await connection.execute(self._insert, bindable(self.table, row))).one())

    async def insert_once(self, connection: AsyncConnection, row_id: UUID, values: dict[str, Any]) -> bool:
        """Stores a new row of the current subject under an id from elsewhere; False if they have it already."""
        if self.sealed:
            values = await self.sealed.seal(connection, row_id, values)
        row = bindable(self.table, {"id": row_id, "user_id": current().subject, **values})
        insert = postgresql.insert(self.table).values(row).on_conflict_do_nothing()
        return (await connection.execute(insert.returning(self.table.c.id))).first() is not None

    def messages(self, database: Database, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Rows of `columns`, all of the current subject, as messages."""
        key = self.sealed.open(database.vault, rows[0][-1]) if self.sealed and rows else None
        return [self.rows.read(row, key) for row in rows]

    def _read(self, connection: AsyncConnection, row: sa.Row[Any]) -> Any:
        """A row of `columns`, read in a transaction."""
        return self.rows.read(row, self.sealed.key_in(connection, row[-1]) if self.sealed else None)

    async def lock(self, connection: AsyncConnection, row_id: str, etag: str, *, deleted: bool = False) -> Any:
        """The row as a message, locked until the transaction ends. Raises NOT_FOUND and ETAG_MISMATCH."""
        statement = sa.select(*self.columns).where(*self._is_row()).with_for_update()
        if self.soft_delete and not deleted:
            statement = statement.where(self.table.c.deleted_at.is_(None))
        row = (await connection.execute(statement, _key(row_id))).first()
        if row is None:
            raise not_found(self.what)
        message = self._read(connection, row)
        if etag and etag != message.etag:
            raise etag_mismatch(self.what, message.etag)
        return message

    async def change(self, connection: AsyncConnection, row_id: str, values: dict[str, Any]) -> Any:
        """Changes a row that `lock` has locked; the message as stored."""
        if self.sealed:
            values = await self.sealed.seal(connection, UUID(row_id), values)
        statement = (
            sa.update(self.table)
            .where(*self._is_row())
            .values({**bindable(self.table, values), **self._cleared, "updated_at": changed_at(self.table)})
            .returning(*self.columns)
        )
        return self._read(connection, (await connection.execute(statement, _key(row_id))).one())


def _sealed(table: sa.Table, encrypted: tuple[str, ...], purpose: str) -> Sealed | None:
    if not encrypted:
        return None
    # Not at the top: a service that encrypts nothing does without the vault's libraries.
    from services.kit.sealed import Sealed

    return Sealed(table, encrypted, purpose)


def _key(row_id: str) -> dict[str, str]:
    # Not named as the columns, which SQLAlchemy keeps for the values of an UPDATE.
    return {"key_user_id": current().subject, "key_id": row_id}


_FROM_TEXT: dict[type, Callable[[str], Any]] = {
    sa.Uuid: UUID,
    sa.Date: date.fromisoformat,
    sa.Time: time.fromisoformat,
}


def bindable(table: sa.Table, values: dict[str, Any]) -> dict[str, Any]:
    """Values for SQLAlchemy's typed columns: ids, dates and times of day are text in a message."""
    bound = dict(values)
    for name, value in values.items():
        kind = table.c[name].type
        if isinstance(value, str) and type(kind) in _FROM_TEXT:
            bound[name] = _FROM_TEXT[type(kind)](value)
    return bound


class _Method:
    """A standard method as a class attribute; its name in the class is the RPC's."""

    def __init__(self, run: Callable[[Any, Any, type[Any]], Awaitable[Any]]) -> None:
        self._run = run

    def __set_name__(self, owner: type, name: str) -> None:
        self._response: type[Any] = GetMessageClass(service_of(owner).methods_by_name[name].output_type)

    def __get__(self, servicer: Any, owner: type) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Any) -> Any:
            return await self._run(servicer.database, request, self._response)

        return call


def _resource_field(message: type[Any]) -> str:
    """The one field of a response, or the one message field of a request, that carries the resource."""
    fields = message.DESCRIPTOR.fields
    return str(next(f.name for f in fields if f.message_type and f.message_type.file.package != "google.protobuf"))


def get(resource: Resource) -> Any:
    """`Get<Resource>`: one row, every column. Errors: NOT_FOUND."""

    async def run(database: Any, request: Any, response: type[Any]) -> Any:
        return response(**{_resource_field(response): await resource.read(database, request.id)})

    return _Method(run)


def list_(resource: Resource) -> Any:
    """`List<Resource>`: a page, the newest first. Errors: INVALID_PAGE_TOKEN."""

    async def run(database: Any, request: Any, response: type[Any]) -> Any:
        messages, token = await resource.page(database, request)
        return response(**{_resource_field(response): messages, "next_page_token": token})

    return _Method(run)


def create(resource: Resource) -> Any:
    """`Create<Resource>`. Errors: ALREADY_EXISTS, REQUEST_ID_REUSED."""

    async def run(database: Any, request: Any, response: type[Any]) -> Any:
        field = _resource_field(response)
        values = resource.rows.values(getattr(request, field))
        async with database.transaction() as connection:

            async def work() -> Any:
                return response(**{field: await resource.insert(connection, values)})

            if resource.idempotency_keys is None:
                return await work()
            # The answer that is kept for a repeat is as secret as what it tells.
            key = await resource.sealed.key(connection) if resource.sealed and request.request_id else None
            return await once(connection, resource.idempotency_keys, request, response, work, key)

    return _Method(run)


def update(resource: Resource) -> Any:
    """`Update<Resource>` by mask. Errors: NOT_FOUND, ETAG_MISMATCH, INVALID_FIELD for what cannot change."""

    async def run(database: Any, request: Any, response: type[Any]) -> Any:
        field = _resource_field(response)
        sent = getattr(request, field)
        async with database.transaction() as connection:
            stored = await resource.lock(connection, request.id, sent.etag)
            values = resource.rows.changes(sent, stored, list(request.update_mask.paths))
            changed = await resource.change(connection, request.id, values) if values else stored
        return response(**{field: changed})

    return _Method(run)


def delete(resource: Resource) -> Any:
    """`Delete<Resource>`, softly. Errors: NOT_FOUND, ETAG_MISMATCH."""

    async def run(database: Any, request: Any, response: type[Any]) -> Any:
        async with database.transaction() as connection:
            await resource.lock(connection, request.id, request.etag)
            await resource.change(connection, request.id, {"deleted_at": sa.func.now()})
        return response()

    return _Method(run)


def undelete(resource: Resource) -> Any:
    """`Undelete<Resource>`; a row that is not deleted stays as it is. Errors: NOT_FOUND."""

    async def run(database: Any, request: Any, response: type[Any]) -> Any:
        async with database.transaction() as connection:
            message = await resource.lock(connection, request.id, "", deleted=True)
            if message.HasField("deleted_at"):
                message = await resource.change(connection, request.id, {"deleted_at": None})
        return response(**{_resource_field(response): message})

    return _Method(run)


def batch_upsert(resource: Resource) -> Any:
    """`BatchUpsert<Resource>`: all rows or none. Errors: INVALID_FIELD, DATE_OUT_OF_RANGE, REQUEST_ID_REUSED."""
    if resource.upsert is None or resource.idempotency_keys is None:
        raise ValueError(f"{resource.what}: a batch upsert needs natural_key and idempotency_keys")
    upsert, keys = resource.upsert, resource.idempotency_keys

    async def run(database: Any, request: Any, response: type[Any]) -> Any:
        rows = resource.rows.values_list(getattr(request, _resource_field(type(request))))
        payload = upsert.payload(current().subject, rows)
        async with database.transaction() as connection:

            async def work() -> Any:
                counts = await upsert.write(connection, payload, len(rows))
                return response(counts=counts._asdict())

            return await once(connection, keys, request, response, work)

    return _Method(run)
