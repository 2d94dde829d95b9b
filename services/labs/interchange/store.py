"""Storing an import's panels: some hundreds at a time, each step of them in one statement.

What becomes of them is merge.py's to say. Rows that change are copied before.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.database import changed_at
from services.kit.recordset import payload, recordset
from services.kit.resources import Resource
from services.labs.interchange.merge import (
    LATER,
    NAMES,
    RESULT,
    SAME_PANEL,
    Changes,
    Merge,
    Row,
    StoredPanel,
    same_panel,
)
from services.labs.interchange.prepare import Account, Panel
from services.labs.interchange.tables import lab_import_changes
from services.labs.panels.store import MARKERS, OF_THE_PERSON, PANELS, WRITTEN
from services.labs.panels.tables import blood_markers, blood_panels

LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('lab-imports:' || :user_id, 0))")
# So many are in memory twice, and wait for one statement.
PANELS_AT_ONCE, MARKERS_AT_ONCE = 500, 5000
_HEADER = (*SAME_PANEL, "reported_at", "lab_provider", "lab_comment", "source_system", "source_id")
_MARKER = (*WRITTEN, "source_id", "source_place")
# Not named as the columns, which SQLAlchemy keeps for the values of an UPDATE.
_OWNER = sa.cast(sa.bindparam("owner", type_=sa.Text), sa.Uuid)
_IMPORT = sa.cast(sa.bindparam("writer", type_=sa.Text), sa.Uuid)
_IDS = sa.any_(sa.cast(sa.bindparam("ids", type_=ARRAY(sa.Text)), ARRAY(sa.Uuid)))


def _insert(table: sa.Table, names: Sequence[str]) -> sa.Insert:
    incoming = recordset(table, names)
    rows = sa.select(*(incoming.c[name] for name in names), _OWNER, _IMPORT)
    return sa.insert(table).from_select([*names, "user_id", "import_id"], rows)


def _update(table: sa.Table, names: Sequence[str]) -> sa.Update:
    incoming = recordset(table, ["id", *names])
    values = {name: incoming.c[name] for name in names}
    return (
        sa.update(table)
        .where(table.c.user_id == _OWNER, table.c.id == incoming.c.id)
        .values({**values, "import_id": _IMPORT, "updated_at": changed_at(table)})
    )


def _remember(table: sa.Table) -> sa.Insert:
    """Copies rows that this import is about to change; its own need no copy."""
    content = sa.func.to_jsonb(sa.literal_column(table.name))
    copies = sa.select(table.c.user_id, _IMPORT, sa.literal(table.name), table.c.id, content).where(
        table.c.user_id == _OWNER, table.c.id == _IDS, table.c.import_id != _IMPORT
    )
    names = ["user_id", "import_id", "table_name", "row_id", "before"]
    return insert(lab_import_changes).from_select(names, copies).on_conflict_do_nothing()


_PANELS_OF_DAYS = (
    sa.select(*(blood_panels.c[name] for name in ("id", *SAME_PANEL, *LATER, *OF_THE_PERSON, "import_id")))
    .where(
        blood_panels.c.user_id == _OWNER,
        blood_panels.c.collected_date == sa.any_(sa.bindparam("days", type_=ARRAY(sa.Date))),
        blood_panels.c.deleted_at.is_(None),
    )
    .with_for_update()
)
# What is deleted and still an import's, the laboratory has taken back.
_MARKERS_OF_PANELS = (
    sa.select(
        *(blood_markers.c[name] for name in ("id", "panel_id", "marker_key", "import_id", "deleted_at")),
        *(blood_markers.c[name] for name in (*NAMES, *RESULT, "lab_comment")),
    )
    .where(
        blood_markers.c.user_id == _OWNER,
        blood_markers.c.panel_id == _IDS,
        sa.or_(blood_markers.c.deleted_at.is_(None), blood_markers.c.import_id.is_not(None)),
    )
    .order_by(blood_markers.c.id)
)
_WITHDRAW = (
    sa.update(blood_markers)
    .where(blood_markers.c.user_id == _OWNER, blood_markers.c.id == _IDS)
    .values(deleted_at=sa.func.now(), import_id=_IMPORT, updated_at=changed_at(blood_markers))
)
_REMEMBER = {table: _remember(table) for table in (blood_panels, blood_markers)}
_NEW_PANELS = _insert(blood_panels, ["id", *_HEADER])
_CHANGED_PANELS = _update(blood_panels, LATER)
_NEW_MARKERS = _insert(blood_markers, ["id", "panel_id", "collected_date", *_MARKER])
_CHANGED_MARKERS = _update(blood_markers, _MARKER)


class Writer:
    """Stores the panels of one import in its one transaction, and keeps account."""

    def __init__(
        self, connection: AsyncConnection, user_id: str, import_id: str, aliases: Mapping[str, str], account: Account
    ) -> None:
        self._connection = connection
        self._import_id = UUID(import_id)
        self._aliases = aliases
        self._account = account
        self._own = {"owner": user_id, "writer": import_id}

    async def store(self, panels: Sequence[Panel]) -> None:
        """Stores panels in their order."""
        for chunk in _chunks(panels):
            merge = Merge(await self._stored(chunk), self._import_id, self._aliases, self._account)
            # Reading and matching so many takes a tenth of a second, in which the worker has other things to do.
            await asyncio.to_thread(merge.take, chunk)
            await self._write(merge.changes)

    async def _stored(self, chunk: Sequence[Panel]) -> list[StoredPanel]:
        """The panels of the days, locked, and of those that the chunk has too, the markers."""
        days = sorted({panel.header["collected_date"] for panel in chunk})
        found = (await self._connection.execute(_PANELS_OF_DAYS, {**self._own, "days": days})).mappings()
        incoming = {same_panel(panel.header) for panel in chunk}
        # SQLAlchemy's names are texts of a kind that JSON does not take.
        there = ({str(name): row[name] for name in row} for row in found)
        headers = [row for row in there if same_panel(row) in incoming]
        ids = [str(header["id"]) for header in headers]
        markers = (await self._connection.execute(_MARKERS_OF_PANELS, {**self._own, "ids": ids})).mappings()
        assert PANELS.sealed
        assert MARKERS.sealed
        panels = {row["id"]: StoredPanel(row) for row in await PANELS.sealed.open_rows(self._connection, headers)}
        for row in await MARKERS.sealed.open_rows(self._connection, [dict(row) for row in markers]):
            panel = panels[row["panel_id"]]
            of_it = panel.markers if row["deleted_at"] is None else panel.withdrawn
            of_it.put(row)
        return list(panels.values())

    async def _write(self, changes: Changes) -> None:
        await self._remember(blood_panels, changes.changed_panels)
        await self._remember(blood_markers, [*changes.changed, *changes.withdrawn])
        await self._send(PANELS, _NEW_PANELS, list(changes.new_panels.values()))
        await self._send(PANELS, _CHANGED_PANELS, list(changes.changed_panels.values()))
        if changes.withdrawn:
            await self._connection.execute(_WITHDRAW, {**self._own, "ids": list(map(str, changes.withdrawn))})
        alike = [row for row in changes.changed.values() if row["id"] not in changes.renamed]
        await self._send(MARKERS, _CHANGED_MARKERS, alike)
        for row in changes.changed.values():
            # One after the other: a marker may take the key that another has just given up.
            if row["id"] in changes.renamed:
                await self._send(MARKERS, _CHANGED_MARKERS, [row])
        await self._send(MARKERS, _NEW_MARKERS, list(changes.new.values()))

    async def _send(self, resource: Resource, statement: sa.Insert | sa.Update, rows: list[Row]) -> None:
        assert resource.sealed
        for start in range(0, len(rows), MARKERS_AT_ONCE):
            some = await resource.sealed.seal_rows(self._connection, rows[start : start + MARKERS_AT_ONCE])
            await self._connection.execute(statement, {**self._own, "rows": payload(some)})

    async def _remember(self, table: sa.Table, ids: Collection[UUID]) -> None:
        if ids:
            await self._connection.execute(_REMEMBER[table], {**self._own, "ids": list(map(str, ids))})


def _chunks(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    chunk: list[Panel] = []
    markers = 0
    for panel in panels:
        if chunk and (len(chunk) >= PANELS_AT_ONCE or markers + len(panel.markers) > MARKERS_AT_ONCE):
            yield chunk
            chunk, markers = [], 0
        chunk.append(panel)
        markers += len(panel.markers)
    if chunk:
        yield chunk
