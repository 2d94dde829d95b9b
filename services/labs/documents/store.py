"""A document's values in the database: written together, and judged anew after every correction."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.database import Database, Statement, changed_at, uuid7_texts
from services.kit.errors import ServiceError, not_found
from services.labs.documents.review import DERIVED, judge_values
from services.labs.documents.tables import DOCUMENTS, document_values, documents
from vitalis.labs.v1 import documents_pb2

IN_REVIEW = ("needs_review", "failed")
_ENTERED = (
    *("raw_name", "sub_panel", "specimen", "loinc_code", "value", "unit", "ref_range_text", "flag", "confidence"),
    "deleted_at",
)
_LIGHT = Statement(
    sa.select(*DOCUMENTS.rows.columns(DOCUMENTS.rows.light_names)).where(
        documents.c.user_id == sa.bindparam("owner", type_=sa.Uuid(as_uuid=False)),
        documents.c.id == sa.bindparam("document", type_=sa.Uuid(as_uuid=False)),
    )
)


async def find(database: Database, document_id: str) -> documents_pb2.Document:
    """The document without its text, whether or not it is deleted. Raises NOT_FOUND."""
    rows = await database.fetch(_LIGHT, {"owner": current().subject, "document": document_id})
    if not rows:
        raise not_found(DOCUMENTS.what)
    document: documents_pb2.Document = DOCUMENTS.rows.read_light(rows[0])
    return document


async def find_living(database: Database, document_id: str) -> documents_pb2.Document:
    """`find` of one that is not deleted. Raises NOT_FOUND for one that is."""
    document = await find(database, document_id)
    if document.HasField("deleted_at"):
        raise not_found(DOCUMENTS.what)
    return document


def of_document(document_id: str) -> sa.ColumnElement[bool]:
    table = document_values.c
    return (table.user_id == UUID(current().subject)) & (table.document_id == UUID(document_id))


async def lock_in_review(connection: AsyncConnection, document_id: str) -> documents_pb2.Document:
    """The document, locked until the transaction ends. Raises NOT_FOUND and DOCUMENT_NOT_IN_REVIEW."""
    document: documents_pb2.Document = await DOCUMENTS.lock(connection, document_id, "")
    if document.parse_status not in IN_REVIEW:
        raise not_in_review(document.parse_status)
    return document


def not_in_review(status: str) -> ServiceError:
    if status == "confirmed":
        why = "the document is confirmed: what it has become is changed there"
    else:
        why = "the document is still being read"
    return ServiceError("DOCUMENT_NOT_IN_REVIEW", why)


async def insert_values(connection: AsyncConnection, document_id: str, values: Sequence[dict[str, Any]]) -> None:
    """Stores the values of a document that had none."""
    if values:
        owner = {"user_id": UUID(current().subject), "document_id": UUID(document_id)}
        ids = uuid7_texts(len(values))
        rows = [{"id": UUID(new), **owner, **value} for new, value in zip(ids, values, strict=True)]
        await connection.execute(sa.insert(document_values), rows)


async def judge_again(connection: AsyncConnection, document_id: str, aliases: Mapping[str, str]) -> None:
    """Sets what follows from a document's values, as they are now, where it has changed. The document is locked."""
    table = document_values.c
    columns = [table[name] for name in ("id", *_ENTERED, *DERIVED)]
    mine = sa.select(*columns).where(of_document(document_id)).order_by(table.position, table.id)
    rows = [row._asdict() for row in (await connection.execute(mine)).all()]
    # Of a long document it takes a while, in which others are answered.
    judged = await asyncio.to_thread(judge_values, rows, aliases)
    for row, found in zip(rows, judged, strict=True):
        if any(row[name] != found[name] for name in DERIVED if name != "match_confidence") or (
            float(row["match_confidence"] or 0) != float(found["match_confidence"] or 0)
        ):
            same = of_document(document_id) & (table.id == row["id"])
            changed = found | {"updated_at": changed_at(document_values)}
            await connection.execute(sa.update(document_values).where(same).values(changed))
