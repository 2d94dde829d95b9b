"""Panels and their markers: entering, correcting, taking back."""

import asyncio
from datetime import UTC
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.database import Database, changed_at
from services.kit.errors import not_found
from services.kit.idempotency import once
from services.kit.resources import get, list_
from services.labs.base import IDEMPOTENCY_KEYS
from services.labs.biomarkers.aliases import known_aliases
from services.labs.matching.index import marker_index
from services.labs.panels.store import (
    MARKERS,
    OF_THE_PERSON,
    PANELS,
    entered_of,
    lock_document,
    read,
    save_markers,
    save_panel,
)
from services.labs.panels.tables import blood_markers
from vitalis.labs.v1 import panels_pb2 as pb
from vitalis.labs.v1 import panels_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class PanelsServicer(pb_grpc.PanelsServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database
        # Built now, so that nobody's first panel waits for it.
        marker_index()

    GetBloodPanel = get(PANELS)
    ListBloodPanels = list_(PANELS)
    GetBloodMarker = get(MARKERS)
    ListBloodMarkers = list_(MARKERS)

    async def CreateBloodPanel(
        self, request: pb.CreateBloodPanelRequest, context: Context
    ) -> pb.CreateBloodPanelResponse:
        """Stores header and markers in one transaction."""
        values = PANELS.rows.values(request.blood_panel)
        aliases = await known_aliases(self.database) if request.markers else {}
        rows = read(MARKERS.rows.values_list(request.markers), request.blood_panel, aliases)
        async with self.database.transaction() as connection:

            async def work() -> pb.CreateBloodPanelResponse:
                panel = await save_panel(connection, values, override=request.override)
                markers = await save_markers(connection, panel, rows, override=request.override)
                return pb.CreateBloodPanelResponse(blood_panel=panel, markers=markers)

            # The answer that is kept for a repeat is as secret as the notes in it.
            assert PANELS.sealed
            key = await PANELS.sealed.key(connection) if request.request_id else None
            return await once(connection, IDEMPOTENCY_KEYS, request, pb.CreateBloodPanelResponse, work, key)

    async def AddBloodMarkers(self, request: pb.AddBloodMarkersRequest, context: Context) -> pb.AddBloodMarkersResponse:
        """Adds to a panel, read and judged as those that came with it."""
        entered = MARKERS.rows.values_list(request.markers)
        aliases = await known_aliases(self.database)
        async with self.database.transaction() as connection:

            async def work() -> pb.AddBloodMarkersResponse:
                panel = await PANELS.lock(connection, request.id, "")
                markers = await save_markers(
                    connection, panel, read(entered, panel, aliases), override=request.override
                )
                return pb.AddBloodMarkersResponse(markers=markers)

            assert MARKERS.sealed
            key = await MARKERS.sealed.key(connection) if request.request_id else None
            return await once(connection, IDEMPOTENCY_KEYS, request, pb.AddBloodMarkersResponse, work, key)

    async def UpdateBloodPanel(
        self, request: pb.UpdateBloodPanelRequest, context: Context
    ) -> pb.UpdateBloodPanelResponse:
        """Changes the header; the database takes its date over to the markers."""
        aliases = await known_aliases(self.database)
        async with self.database.transaction() as connection:
            await lock_document(connection, request.blood_panel.document_id)
            stored = await PANELS.lock(connection, request.id, request.blood_panel.etag)
            values = PANELS.rows.changes(request.blood_panel, stored, list(request.update_mask.paths))
            panel = await PANELS.change(connection, request.id, values) if values else stored
            if any(name in values for name in OF_THE_PERSON):
                # What was none that is known is still none: found now, it would be another marker of the panel.
                entered = [
                    marker | {"biomarker": marker["biomarker"] or ""}
                    for marker in await entered_of(connection, request.id)
                ]
                # An import may have brought so many that others would wait.
                rows = await asyncio.to_thread(read, entered, panel, aliases)
                for start in range(0, len(rows), _SAVED_AT_ONCE):
                    await save_markers(connection, panel, rows[start : start + _SAVED_AT_ONCE], override=True)
        return pb.UpdateBloodPanelResponse(blood_panel=panel)

    async def DeleteBloodPanel(
        self, request: pb.DeleteBloodPanelRequest, context: Context
    ) -> pb.DeleteBloodPanelResponse:
        """Deletes header and markers at one instant, by which they come back together."""
        async with self.database.transaction() as connection:
            await PANELS.lock(connection, request.id, request.etag)
            await PANELS.change(connection, request.id, {"deleted_at": sa.func.now()})
            await _redate(connection, request.id, None, sa.func.now())
        return pb.DeleteBloodPanelResponse()

    async def UndeleteBloodPanel(
        self, request: pb.UndeleteBloodPanelRequest, context: Context
    ) -> pb.UndeleteBloodPanelResponse:
        """Brings header and the markers that went with it back."""
        async with self.database.transaction() as connection:
            panel = await PANELS.lock(connection, request.id, "", deleted=True)
            if panel.HasField("deleted_at"):
                deleted_at = panel.deleted_at.ToDatetime(tzinfo=UTC)
                panel = await PANELS.change(connection, request.id, {"deleted_at": None})
                await _redate(connection, request.id, deleted_at, None)
        return pb.UndeleteBloodPanelResponse(blood_panel=panel)

    async def UpdateBloodMarker(
        self, request: pb.UpdateBloodMarkerRequest, context: Context
    ) -> pb.UpdateBloodMarkerResponse:
        """Changes what was entered, and what follows from it."""
        aliases = await known_aliases(self.database)
        async with self.database.transaction() as connection:
            panel = await _lock_panel_of(connection, request.id)
            stored = await MARKERS.lock(connection, request.id, request.blood_marker.etag)
            values = MARKERS.rows.changes(request.blood_marker, stored, list(request.update_mask.paths))
            if values:
                (entered,) = await entered_of(connection, panel.id, request.id)
                # Looked for anew, unless it is said along.
                found_again = {"biomarker": None} if values.keys() & _FINDS and "biomarker" not in values else {}
                (row,) = read([entered | found_again | values], panel, aliases, "blood_marker.")
                stored = await MARKERS.change(connection, request.id, row)
        return pb.UpdateBloodMarkerResponse(blood_marker=stored)

    async def DeleteBloodMarker(
        self, request: pb.DeleteBloodMarkerRequest, context: Context
    ) -> pb.DeleteBloodMarkerResponse:
        """Deletes a marker, while its panel is not judged again: that would store it anew."""
        async with self.database.transaction() as connection:
            await _lock_panel_of(connection, request.id)
            await MARKERS.lock(connection, request.id, request.etag)
            await MARKERS.change(connection, request.id, {"deleted_at": sa.func.now()})
        return pb.DeleteBloodMarkerResponse()

    async def UndeleteBloodMarker(
        self, request: pb.UndeleteBloodMarkerRequest, context: Context
    ) -> pb.UndeleteBloodMarkerResponse:
        """Brings a marker back to a panel that is there."""
        async with self.database.transaction() as connection:
            await _lock_panel_of(connection, request.id)
            marker = await MARKERS.lock(connection, request.id, "", deleted=True)
            if marker.HasField("deleted_at"):
                marker = await MARKERS.change(connection, request.id, {"deleted_at": None})
        return pb.UndeleteBloodMarkerResponse(blood_marker=marker)


# As many as come with one request.
_SAVED_AT_ONCE = 500
# With another of these it may be another biomarker.
_FINDS = frozenset({"raw_name", "specimen", "loinc_code"})


async def _lock_panel_of(connection: AsyncConnection, marker_id: str) -> Any:
    """The panel of a marker, for a change of the marker. Raises NOT_FOUND.

    It is locked before the marker is, as by whoever goes from a panel to its markers: in the other order each of
    two could wait for the other.
    """
    table = blood_markers.c
    mine = sa.select(sa.cast(table.panel_id, sa.Text)).where(
        table.user_id == UUID(current().subject), table.id == UUID(marker_id)
    )
    panel_id = (await connection.execute(mine)).scalar()
    if panel_id is None:
        raise not_found(MARKERS.what)
    return await PANELS.lock(connection, panel_id, "")


async def _redate(connection: AsyncConnection, panel_id: str, deleted_at: Any, becomes: Any) -> None:
    """The panel's markers that were deleted then (None: are not) are deleted at `becomes`."""
    table = blood_markers.c
    await connection.execute(
        sa.update(blood_markers)
        .where(
            table.user_id == UUID(current().subject),
            table.panel_id == UUID(panel_id),
            table.deleted_at.is_(None) if deleted_at is None else table.deleted_at == deleted_at,
        )
        .values(deleted_at=becomes, updated_at=changed_at(blood_markers))
    )
