"""Everything that a service holds about one person: exported and erased, derived from its tables (personal.py)."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit import audit
from services.kit.caller import current
from services.kit.database import Database
from services.kit.personal import DATA_KEYS, ENCRYPTED, PersonalData
from vitalis.common.v1 import person_data_pb2 as pb
from vitalis.common.v1 import person_data_pb2_grpc

if TYPE_CHECKING:
    from services.kit.vault import DataKey

log = structlog.get_logger()
BATCH_ROWS = 100
BATCH_CHARACTERS = 2**19

UTC = sa.text("SET LOCAL timezone = 'UTC'")
ERASE_ROWS = sa.text("SELECT erase_rows(:name, :owner)")
STRIP_AUDIT = sa.text("SELECT strip_audit(:names)")
ANONYMISE_AUDIT = sa.select(sa.func.anonymise_audit())
LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name || :user_id, 0))")
# A job that runs ends by itself: there is nothing left for it to do.
ERASE_JOBS = sa.text("DELETE FROM procrastinate_jobs WHERE args ->> 'user_id' = :user_id AND status <> 'doing'")


class Erased(NamedTuple):
    """How many rows of which tables were erased, and how many files."""

    rows: dict[str, int]
    files: int


class PersonData:
    """The data of the current subject, whose id the caller of an RPC or a job carries."""

    def __init__(self, database: Database, personal: PersonalData, *, has_queue: bool) -> None:
        self._database = database
        self._personal = personal
        self._has_queue = has_queue

    async def export(self) -> AsyncIterator[pb.ExportPersonDataResponse]:
        """Table by table and file by file, with a bounded number of rows and bytes in memory.

        What changes meanwhile is in it as it was or as it is: an export is no snapshot.
        """
        for table in self._personal.exported():
            columns = self._personal.columns(table)
            names = [column.name for column in columns]
            yield pb.ExportPersonDataResponse(table=pb.ExportedTable(name=table.name, columns=names))
            async for rows in self._rows(table, columns):
                yield pb.ExportPersonDataResponse(rows=pb.ExportedRows(rows=rows))
        for name, reason in self._personal.left_out.items():
            yield pb.ExportPersonDataResponse(table=pb.ExportedTable(name=name, left_out=reason))
        for folder in self._personal.folders:
            if not folder.exported:
                continue
            async for file in folder.files.below(f"{folder.prefix}{current().subject}/"):
                path = folder.prefix + file.key.rpartition("/")[2]
                try:
                    chunks = folder.files.read(file.key)
                    first = await anext(chunks, b"")
                except FileNotFoundError:
                    # Its retention time ended between the list and now.
                    continue
                yield pb.ExportPersonDataResponse(file=pb.ExportedFile(path=path, size_bytes=file.size_bytes))
                yield pb.ExportPersonDataResponse(data=first)
                async for chunk in chunks:
                    yield pb.ExportPersonDataResponse(data=chunk)

    async def _rows(self, table: sa.Table, columns: list[sa.Column[Any]]) -> AsyncIterator[list[str]]:
        # Batch after batch by the table's key, each in a transaction of its own: a
        # reader that is slow, or gone, holds nothing in the database.
        owner = table.c[self._personal.owner(table)]
        key = _key(table)
        mine = sa.select(*columns).where(owner == sa.cast(current().subject, sa.Uuid))
        position: sa.RowMapping | None = None
        while True:
            rest = mine
            if position is not None:
                after = [sa.literal(position[column.name], column.type) for column in key]
                rest = mine.where(sa.tuple_(*key) > sa.tuple_(*after))
            batch = rest.order_by(*key).limit(BATCH_ROWS).subquery("batch")
            as_json = sa.cast(sa.func.row_to_json(sa.literal_column("batch")), sa.Text)
            statement = sa.select(as_json, *(batch.c[column.name] for column in key))
            async with self._database.transaction() as connection:
                await connection.execute(UTC)
                found = (await connection.execute(statement)).all()
                readable = await self._decryption(connection, table, columns)
            rows: list[str] = []
            characters = 0
            for row in found:
                rows.append(readable(row[0]))
                characters += len(row[0])
                if characters > BATCH_CHARACTERS:
                    yield rows
                    rows, characters = [], 0
            if rows:
                yield rows
            if len(found) < BATCH_ROWS:
                return
            position = found[-1]._mapping

    async def _decryption(
        self, connection: AsyncConnection, table: sa.Table, columns: list[sa.Column[Any]]
    ) -> Callable[[str], str]:
        """What makes a row's JSON readable; a row without encrypted columns is."""
        encrypted = {column.name: column.info[ENCRYPTED] for column in columns if ENCRYPTED in column.info}
        if not encrypted:
            return str
        # Not at the top: a service without encrypted columns has no use for it in its memory.
        from services.kit.vault import KEYS

        mine = KEYS.c.user_id == sa.cast(current().subject, sa.Uuid)
        wrapped = (await connection.execute(sa.select(KEYS.c.purpose, KEYS.c.wrapped_key).where(mine))).all()
        open_key = self._database.vault.open
        keys: dict[str, DataKey] = {purpose: open_key(current().subject, purpose, key) for purpose, key in wrapped}
        row_id = "id" if "id" in table.c else self._personal.owner(table)

        def readable(row: str) -> str:
            values = json.loads(row)
            for name, purpose in encrypted.items():
                if values[name] is not None:
                    # Bytes are written as hexadecimal digits after `\\x`.
                    stored = bytes.fromhex(values[name][2:])
                    key = keys.get(purpose) or open_key(current().subject, purpose, None)
                    values[name] = key.decrypt(table.name, name, values[row_id], stored)
            return json.dumps(values, ensure_ascii=False)

        return readable

    async def erase(self, category: str = "") -> Erased:
        """Erases the subject, or their data of one category. Can be repeated."""
        if DATA_KEYS in self._personal.metadata.tables:
            from services.kit.vault import destroy_keys

            # Committed first: from here on nobody reads what was encrypted, in backups either.
            async with self._database.transaction() as connection:
                await destroy_keys(connection, category or None)
        async with self._database.transaction() as connection:
            rows = await self._erase_rows(connection, category)
        files = 0 if category else await self._erase_files(current().subject)
        log.info("erased", tables=len(rows), rows=sum(rows.values()), files=files, request_id=current().request_id)
        return Erased(rows, files)

    async def _erase_rows(self, connection: AsyncConnection, category: str) -> dict[str, int]:
        subject = current().subject
        for name in self._personal.locks:
            await connection.execute(LOCK, {"name": name, "user_id": subject})
        rows: dict[str, int] = {}
        tables = list(self._personal.erased(category))
        for name, owner in tables:
            count = (await connection.execute(ERASE_ROWS, {"name": name, "owner": owner})).scalar_one()
            if count:
                rows[name] = rows.get(name, 0) + count
        if category:
            # The trail still tells that there was something, and that it was erased.
            await connection.execute(STRIP_AUDIT, {"names": [name for name, _ in tables]})
            await audit.record(connection, "ERASE", {"category": category, "rows": rows})
            return rows
        if DATA_KEYS in self._personal.metadata.tables:
            from services.kit.vault import destroy_keys

            # A write that came in between has made a new one.
            await destroy_keys(connection)
        if self._has_queue:
            await connection.execute(ERASE_JOBS, {"user_id": subject})
        # Last, because the rows that have just gone are in the trail too.
        await connection.execute(ANONYMISE_AUDIT)
        return rows

    async def _erase_files(self, subject: str) -> int:
        count = 0
        for folder in self._personal.folders:
            prefix = f"{folder.prefix}{subject}/"
            async for file in folder.files.below(prefix):
                await folder.files.remove(file.key)
                count += 1
            await asyncio.to_thread(folder.files.remove_broken, prefix)
        return count


def _key(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns that tell a table's rows apart."""
    if table.primary_key.columns:
        return list(table.primary_key.columns)
    return list(next(c for c in table.constraints if isinstance(c, sa.UniqueConstraint)).columns)


class PersonDataServicer(person_data_pb2_grpc.PersonDataServiceServicer):
    """What every service answers about a person as a whole."""

    def __init__(self, data: PersonData) -> None:
        self._data = data

    async def ExportPersonData(
        self, request: pb.ExportPersonDataRequest, context: Any
    ) -> AsyncIterator[pb.ExportPersonDataResponse]:
        """Everything about the subject."""
        async for part in self._data.export():
            yield part

    async def ErasePersonData(self, request: pb.ErasePersonDataRequest, context: Any) -> pb.ErasePersonDataResponse:
        """Nothing about the subject any more."""
        erased = await self._data.erase(request.category)
        tables = [pb.ErasedTable(name=name, rows=count) for name, count in sorted(erased.rows.items())]
        return pb.ErasePersonDataResponse(tables=tables, files=erased.files)
