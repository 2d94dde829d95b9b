"""The review of a document's values: correcting, dropping, adding."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.database import Database
from services.kit.errors import invalid, not_found
from services.kit.resources import get
from services.labs.biomarkers.aliases import known_aliases
from services.labs.biomarkers.catalogue import catalogue
from services.labs.documents.extraction import MAX_VALUES
from services.labs.documents.review import BY_PERSON, FINDS
from services.labs.documents.store import find_living, judge_again, lock_in_review, of_document
from services.labs.documents.tables import DOCUMENTS, VALUES, document_values
from vitalis.labs.v1 import document_values_pb2 as pb
from vitalis.labs.v1 import document_values_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class DocumentValuesServicer(pb_grpc.DocumentValuesServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    GetDocumentValue = get(VALUES)

    async def GetDocumentValues(
        self, request: pb.GetDocumentValuesRequest, context: Context
    ) -> pb.GetDocumentValuesResponse:
        """All values of a document, in the order in which they stand in it."""
        table = document_values.c
        statement = sa.select(*VALUES.rows.columns(VALUES.rows.names)).where(of_document(request.id))
        if not request.show_deleted:
            statement = statement.where(table.deleted_at.is_(None))
        await find_living(self.database, request.id)
        async with self.database.transaction() as connection:
            rows = (await connection.execute(statement.order_by(table.position, table.id))).all()
        return pb.GetDocumentValuesResponse(document_values=map(VALUES.rows.read, rows))

    async def CreateDocumentValue(
        self, request: pb.CreateDocumentValueRequest, context: Context
    ) -> pb.CreateDocumentValueResponse:
        """Adds a value; a document in which nothing could be read has then something to review."""
        values = VALUES.rows.values(request.document_value) | {"source": "added", "document_id": request.id}
        _check_marker(values)
        aliases = await known_aliases(self.database)
        async with self.database.transaction() as connection:
            document = await lock_in_review(connection, request.id)
            if document.parse_status == "failed":
                await DOCUMENTS.change(connection, request.id, {"parse_status": "needs_review"})
            last = sa.select(sa.func.coalesce(sa.func.max(document_values.c.position), -1)).where(
                of_document(request.id)
            )
            values["position"] = (await connection.execute(last)).scalar_one() + 1
            if values["position"] >= MAX_VALUES:
                raise invalid("id", f"the document has {MAX_VALUES} values, which is the most")
            stored = await VALUES.insert(connection, values)
            return pb.CreateDocumentValueResponse(document_value=await _judged(connection, stored, aliases))

    async def UpdateDocumentValue(
        self, request: pb.UpdateDocumentValueRequest, context: Context
    ) -> pb.UpdateDocumentValueResponse:
        """Corrects a value, which from then on is the person's word."""
        aliases = await known_aliases(self.database)
        async with self.database.transaction() as connection:
            await lock_in_review(connection, await _document_of(connection, request.id))
            stored = await VALUES.lock(connection, request.id, request.document_value.etag)
            values = VALUES.rows.changes(request.document_value, stored, list(request.update_mask.paths))
            _check_marker(values)
            if values.keys() & FINDS and "biomarker" not in values:
                # With another name it may be another marker.
                values |= {"biomarker": None, "match_method": None}
            if values.keys() - {"biomarker", "match_method"}:
                values |= {"confidence": None, "doubts": []}
                if stored.source == "read":
                    values["source"] = "corrected"
            if values:
                stored = await VALUES.change(connection, request.id, values)
            return pb.UpdateDocumentValueResponse(document_value=await _judged(connection, stored, aliases))

    async def DeleteDocumentValue(
        self, request: pb.DeleteDocumentValueRequest, context: Context
    ) -> pb.DeleteDocumentValueResponse:
        """Drops a value; it is left out of what is confirmed."""
        aliases = await known_aliases(self.database)
        async with self.database.transaction() as connection:
            await lock_in_review(connection, await _document_of(connection, request.id))
            await VALUES.lock(connection, request.id, request.etag)
            stored = await VALUES.change(connection, request.id, {"deleted_at": sa.func.now()})
            await judge_again(connection, stored.document_id, aliases)
        return pb.DeleteDocumentValueResponse()

    async def UndeleteDocumentValue(
        self, request: pb.UndeleteDocumentValueRequest, context: Context
    ) -> pb.UndeleteDocumentValueResponse:
        """Brings a dropped value back."""
        aliases = await known_aliases(self.database)
        async with self.database.transaction() as connection:
            await lock_in_review(connection, await _document_of(connection, request.id))
            stored = await VALUES.change(connection, request.id, {"deleted_at": None})
            return pb.UndeleteDocumentValueResponse(document_value=await _judged(connection, stored, aliases))


def _check_marker(values: dict[str, Any]) -> None:
    """A marker that is said is the person's word; one that is cleared is looked for. Raises INVALID_FIELD."""
    if "biomarker" in values:
        if values["biomarker"] and catalogue().of(values["biomarker"]) is None:
            raise invalid("document_value.biomarker", "is not in the dictionary")
        values["match_method"] = BY_PERSON if values["biomarker"] else None


async def _document_of(connection: AsyncConnection, value_id: str) -> str:
    """The document of a value, which is locked before its values are. Raises NOT_FOUND."""
    table = document_values.c
    mine = (table.user_id == UUID(current().subject)) & (table.id == UUID(value_id))
    document_id = (await connection.execute(sa.select(table.document_id).where(mine))).scalar()
    if document_id is None:
        raise not_found(VALUES.what)
    return str(document_id)


async def _judged(
    connection: AsyncConnection, stored: pb.DocumentValue, aliases: Mapping[str, str]
) -> pb.DocumentValue:
    await judge_again(connection, stored.document_id, aliases)
    judged: pb.DocumentValue = await VALUES.lock(connection, stored.id, "", deleted=True)
    return judged
