"""What a reviewed document becomes: a panel of its values, or the scan or test that the person has entered from it."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.database import changed_at
from services.kit.errors import Violation, all_wrong, invalid
from services.labs.body_composition import SCANS
from services.labs.documents.store import of_document
from services.labs.documents.tables import document_values
from services.labs.epigenetics import TESTS
from services.labs.panels.reading import ENTERED, Unreadable, read_markers
from services.labs.panels.store import PANELS, person_of, save_markers, save_panel
from services.labs.values import read_flag
from vitalis.labs.v1 import documents_pb2 as pb
from vitalis.labs.v1 import panels_pb2

# What documents of these types become: the kind of record, which is the request's field too, and its resource.
BY_HAND = {"dexa": ("dexa_scan", SCANS), "epigenetics": ("epigenetic_test", TESTS)}
INCOMPLETE = "DOCUMENT_INCOMPLETE"
RECORDS = (PANELS.table, SCANS.table, TESTS.table)


async def make_record(
    connection: AsyncConnection, document: pb.Document, request: pb.ConfirmDocumentRequest, aliases: Mapping[str, str]
) -> dict[str, Any]:
    """Stores what the document becomes; the document's columns that name it.

    Raises DOCUMENT_INCOMPLETE with every violation, PANEL_REPEATED, and INVALID_FIELD for a record of another kind.
    """
    sent = {field.name for field, _ in request.ListFields()}
    for about, (kind, _) in BY_HAND.items():
        if kind in sent and document.document_type != about:
            raise invalid(kind, f"is nothing that a document about {document.document_type} becomes")
    if document.document_type == "blood_work":
        panel_id = await _panel(connection, document, aliases, override=request.override)
        return {"linked_record_id": panel_id, "linked_record_type": "blood_panel"}
    if document.document_type not in BY_HAND:
        return {}
    kind, resource = BY_HAND[document.document_type]
    entered = request.dexa_scan if kind == "dexa_scan" else request.epigenetic_test
    if not entered.ByteSize():
        missing = Violation(kind, f"is what a document about {document.document_type} becomes: enter it")
        raise all_wrong(INCOMPLETE, [missing])
    record = await resource.insert(connection, {**resource.rows.values(entered), "document_id": document.id})
    return {"linked_record_id": record.id, "linked_record_type": kind}


async def unlink(connection: AsyncConnection, document_id: str) -> None:
    """What the document has become, and whatever else names it, stays and no longer does."""
    for table in RECORDS:
        mine = (table.c.user_id == UUID(current().subject)) & (table.c.document_id == UUID(document_id))
        await connection.execute(sa.update(table).where(mine).values(document_id=None, updated_at=changed_at(table)))


async def _panel(
    connection: AsyncConnection, document: pb.Document, aliases: Mapping[str, str], *, override: bool
) -> str:
    panel = _header(document.report_header)
    violations = []
    if not panel.collected_date:
        violations.append(Violation("document.report_header.collected_date", "is missing: say when it was collected"))
    table = document_values.c
    living = sa.select(document_values).where(of_document(document.id), table.deleted_at.is_(None))
    values = (await connection.execute(living.order_by(table.position, table.id))).mappings().all()
    if not values:
        violations.append(Violation("document_values", "there are none to confirm"))
    rows = []
    try:
        rows = read_markers([_entered(value) for value in values], person_of(panel), aliases, "document_values[{}].")
    except Unreadable as unreadable:
        violations += unreadable.violations
    first: dict[str, int] = {}
    for at, row in enumerate(rows):
        if (earlier := first.setdefault(row["marker_key"], at)) != at:
            violations.append(Violation(f"document_values[{at}]", f"repeats document_values[{earlier}]: drop one"))
    if violations:
        raise all_wrong(INCOMPLETE, violations)
    header = PANELS.rows.values(panel) | {"document_id": document.id}
    stored = await save_panel(connection, header, override=override)
    await save_markers(connection, stored, rows, override=override)
    return str(stored.id)


def _header(header: pb.ReportHeader) -> panels_pb2.BloodPanel:
    """A panel with what the header says; its fields are named alike."""
    return panels_pb2.BloodPanel(**{field.name: value for field, value in header.ListFields()})


def _entered(value: Mapping[Any, Any]) -> dict[str, Any]:
    """A value as a panel's marker is entered: the marker is said only where the person has said it."""
    entered = {name: value[name] for name in ENTERED if name in value}
    return entered | {
        "biomarker": value["biomarker"] if value["match_method"] == "person" else None,
        "flag": read_flag(value["flag"] or "") or None,
        "parse_confidence": value["confidence"],
    }
