"""A person's panels as one FHIR Bundle, streamed."""

from collections.abc import AsyncIterator
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import grpc
import orjson
import sqlalchemy as sa
from google.api import httpbody_pb2

from services.kit.caller import current
from services.kit.database import Database
from services.labs.interchange.fhir_resources import entries
from services.labs.panels.store import MARKERS, PANELS
from services.labs.panels.tables import blood_markers, blood_panels
from vitalis.labs.v1 import interchange_pb2 as pb
from vitalis.labs.v1 import interchange_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
FHIR_JSON = "application/fhir+json"
PANELS_AT_ONCE = 50
# A message stays well below what gRPC takes, whatever is in a panel.
PIECE_BYTES = 2**18
_BEGINNING = b'{"resourceType":"Bundle","type":"collection"'
# What goes out of a panel; its notes are the person's own.
_HEADER = (
    *("id", "user_id", "collected_date", "collected_at", "reported_at"),
    *("lab_name", "lab_provider", "panel_name", "specimen_id", "lab_comment"),
)


class LabExportsServicer(pb_grpc.LabExportsServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    async def ExportLabsFhir(
        self, request: pb.ExportLabsFhirRequest, context: Context
    ) -> AsyncIterator[pb.ExportLabsFhirResponse]:
        """Panels in the order of their days, some at a time; what changes meanwhile may be in it or not."""
        piece = bytearray(_BEGINNING)
        joint = b',"entry":['
        async for panel, markers in self._panels(request):
            for entry in entries(panel, markers):
                piece += joint + orjson.dumps(entry)
                joint = b","
                if len(piece) >= PIECE_BYTES:
                    yield _piece(piece)
                    piece = bytearray()
        # An empty list is not allowed.
        piece += b"]}" if joint == b"," else b"}"
        yield _piece(piece)

    async def _panels(
        self, request: pb.ExportLabsFhirRequest
    ) -> AsyncIterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        table = blood_panels.c
        bounds = [table.user_id == UUID(current().subject), table.deleted_at.is_(None)]
        if request.start_date:
            bounds.append(table.collected_date >= date.fromisoformat(request.start_date))
        if request.end_date:
            bounds.append(table.collected_date <= date.fromisoformat(request.end_date))
        order = (table.collected_date, table.id)
        after: sa.ColumnElement[bool] = sa.true()
        while True:
            page = sa.select(*(table[name] for name in _HEADER)).where(*bounds, after)
            async with self.database.transaction() as connection:
                statement = page.order_by(*order).limit(PANELS_AT_ONCE)
                rows = [dict(row) for row in (await connection.execute(statement)).mappings()]
                assert PANELS.sealed
                panels = await PANELS.sealed.open_rows(connection, rows)
                markers = await _markers([panel["id"] for panel in panels], connection)
            for panel in panels:
                yield panel, markers.get(panel["id"], [])
            if len(panels) < PANELS_AT_ONCE:
                return
            last = panels[-1]
            after = sa.tuple_(*order) > sa.tuple_(sa.literal(last["collected_date"]), sa.literal(last["id"]))


async def _markers(panel_ids: list[Any], connection: Any) -> dict[Any, list[dict[str, Any]]]:
    table = blood_markers.c
    statement = (
        sa.select(blood_markers)
        .where(table.user_id == UUID(current().subject), table.panel_id.in_(panel_ids), table.deleted_at.is_(None))
        .order_by(table.panel_id, table.id)
    )
    assert MARKERS.sealed
    rows = await MARKERS.sealed.open_rows(
        connection, [dict(row) for row in (await connection.execute(statement)).mappings()]
    )
    return {panel_id: list(of_it) for panel_id, of_it in groupby(rows, itemgetter("panel_id"))}


def _piece(content: bytearray) -> pb.ExportLabsFhirResponse:
    return pb.ExportLabsFhirResponse(file=httpbody_pb2.HttpBody(content_type=FHIR_JSON, data=bytes(content)))
