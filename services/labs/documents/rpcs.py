"""Documents: uploading, watching them being read, downloading, deleting."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from google.api import httpbody_pb2
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.database import Database, uuid7
from services.kit.errors import ServiceError, etag_mismatch, not_found
from services.kit.idempotency import once
from services.kit.jobs import Jobs, Task
from services.kit.resources import get, list_
from services.kit.uploads import Upload, UploadStore, as_one, begun, chunks
from services.kit.watching import changes
from services.labs.base import IDEMPOTENCY_KEYS
from services.labs.biomarkers.aliases import known_aliases
from services.labs.documents.confirm import make_record, unlink
from services.labs.documents.kinds import HEAD_BYTES, mime_type_of
from services.labs.documents.store import IN_REVIEW, find, find_living, not_in_review, of_document
from services.labs.documents.tables import DOCUMENTS, PREFIX, document_values, documents
from vitalis.labs.v1 import documents_pb2 as pb
from vitalis.labs.v1 import documents_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
UNDER_WAY = ("pending", "parsing")
DEFAULT_TYPE = "blood_work"


class DocumentsServicer(pb_grpc.DocumentsServiceServicer):
    def __init__(self, database: Database, store: UploadStore, jobs: Jobs, tasks: tuple[Task, Task]) -> None:
        self.database = database
        self._store = store
        self._jobs = jobs
        self._parse, self._remove = tasks

    GetDocument = get(DOCUMENTS)
    ListDocuments = list_(DOCUMENTS)

    async def CreateDocument(
        self, requests: AsyncIterator[pb.CreateDocumentRequest], context: Context
    ) -> pb.CreateDocumentResponse:
        """Stores the upload, then the document and its job in one transaction."""
        first = await begun(requests)
        document_id = str(uuid7())
        key = f"{PREFIX}{first.user_id}/{document_id}"
        recognised = _Recognised()
        upload = await self._store.put(key, recognised.chunks(chunks(first, requests)))
        async with self._store.unless_refused(key):
            response = await self._queue(first, document_id, upload, recognised.mime_type)
        # The same file again, or a repeat of the request, answers with the document that there is.
        if response.document.id != document_id:
            await self._store.files.remove(key)
        return response

    async def _queue(
        self, first: pb.CreateDocumentRequest, document_id: str, upload: Upload, mime_type: str
    ) -> pb.CreateDocumentResponse:
        row = {
            "document_type": first.document_type or DEFAULT_TYPE,
            "provider_name": first.provider_name or None,
            "original_filename": first.file_name,
            "s3_key": f"{PREFIX}{first.user_id}/{document_id}",
            "file_size_bytes": upload.size_bytes,
            "file_sha256": upload.sha256,
            "mime_type": mime_type,
        }
        async with self.database.transaction() as connection:

            async def work() -> pb.CreateDocumentResponse:
                known = ""
                while not known:
                    if await DOCUMENTS.insert_once(connection, UUID(document_id), row):
                        known = document_id
                        await self._defer(connection, self._parse, known)
                    else:
                        known = await self._again(connection, upload.sha256)
                stored: pb.Document = await DOCUMENTS.lock(connection, known, "")
                _leave_out_text(stored)
                return pb.CreateDocumentResponse(document=stored)

            return await once(connection, IDEMPOTENCY_KEYS, as_one(first, upload), pb.CreateDocumentResponse, work)

    async def _again(self, connection: AsyncConnection, sha256: str) -> str:
        """The document with this content, which is read again if that had failed and nobody has entered anything.

        "" if it has been deleted this moment.
        """
        table = documents.c
        same = (table.user_id == UUID(current().subject)) & (table.file_sha256 == sha256) & table.deleted_at.is_(None)
        row = (await connection.execute(sa.select(table.id, table.parse_status).where(same).with_for_update())).first()
        if row is None:
            return ""
        if row.parse_status == "failed":
            fresh = {"parse_status": "pending", "attempts": 0, "error_message": None}
            await DOCUMENTS.change(connection, str(row.id), fresh)
            await self._defer(connection, self._parse, str(row.id))
        return str(row.id)

    async def _defer(self, connection: AsyncConnection, task: Task, document_id: str) -> None:
        user_id = current().subject
        await self._jobs.defer(
            connection,
            task,
            lock=f"documents:{user_id}",
            user_id=user_id,
            document_id=document_id,
            request_id=current().request_id,
        )

    async def WatchDocument(
        self, request: pb.WatchDocumentRequest, context: Context
    ) -> AsyncIterator[pb.WatchDocumentResponse]:
        """Sends the document at once and whenever it has changed, until nothing more happens by itself."""
        async for document in changes(lambda: find(self.database, request.id), _is_read):
            yield pb.WatchDocumentResponse(document=document)

    async def DownloadDocument(
        self, request: pb.DownloadDocumentRequest, context: Context
    ) -> AsyncIterator[pb.DownloadDocumentResponse]:
        """The file, as the kind that its content has shown it to be."""
        document = await find_living(self.database, request.id)
        try:
            async for chunk in self._store.files.read(f"{PREFIX}{document.user_id}/{document.id}"):
                body = httpbody_pb2.HttpBody(content_type=document.mime_type, data=chunk)
                yield pb.DownloadDocumentResponse(file=body)
        except FileNotFoundError:
            # Deleted in this very moment.
            raise not_found(DOCUMENTS.what) from None

    async def UpdateDocument(self, request: pb.UpdateDocumentRequest, context: Context) -> pb.UpdateDocumentResponse:
        """Changes what is said of the document; the header only until it is confirmed."""
        async with self.database.transaction() as connection:
            stored = await DOCUMENTS.lock(connection, request.id, request.document.etag)
            values = DOCUMENTS.rows.changes(request.document, stored, list(request.update_mask.paths))
            if "report_header" in values and stored.parse_status == "confirmed":
                raise not_in_review(stored.parse_status)
            changed = await DOCUMENTS.change(connection, request.id, values) if values else stored
        return pb.UpdateDocumentResponse(document=changed)

    async def ConfirmDocument(self, request: pb.ConfirmDocumentRequest, context: Context) -> pb.ConfirmDocumentResponse:
        """Makes of the document what it is about, once: confirmed again, it is what it was."""
        aliases = await known_aliases(self.database)
        async with self.database.transaction() as connection:
            document = await DOCUMENTS.lock(connection, request.id, "")
            if document.parse_status != "confirmed":
                if document.parse_status not in IN_REVIEW:
                    raise not_in_review(document.parse_status)
                if request.etag not in ("", document.etag):
                    raise etag_mismatch(DOCUMENTS.what, document.etag)
                confirmed = {
                    "parse_status": "confirmed",
                    "confirmed_at": sa.func.now(),
                    "confirmed_by": current().actor,
                    **await make_record(connection, document, request, aliases),
                }
                document = await DOCUMENTS.change(connection, request.id, confirmed)
        return pb.ConfirmDocumentResponse(document=document)

    async def DeleteDocument(self, request: pb.DeleteDocumentRequest, context: Context) -> pb.DeleteDocumentResponse:
        """Leaves only that there was a document, and what it has become; a job removes the file."""
        gone = dict.fromkeys(("provider_name", "report_header", "document_text", "parse_result", "error_message"))
        async with self.database.transaction() as connection:
            await DOCUMENTS.lock(connection, request.id, request.etag)
            await unlink(connection, request.id)
            await connection.execute(sa.delete(document_values).where(of_document(request.id)))
            values = {**gone, "original_filename": "", "deleted_at": sa.func.now()}
            await DOCUMENTS.change(connection, request.id, values)
            await self._defer(connection, self._remove, request.id)
        return pb.DeleteDocumentResponse()


def _is_read(document: pb.Document) -> bool:
    """Whether nothing more happens to a document by itself."""
    return document.parse_status not in UNDER_WAY or document.HasField("deleted_at")


class _Recognised:
    """An upload on its way into the store; `mime_type` is known once its beginning has passed."""

    mime_type = ""

    async def chunks(self, data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same bytes. Raises FILE_TYPE_REFUSED before any of a file that no document is."""
        head = b""
        async for chunk in data:
            if self.mime_type:
                yield chunk
                continue
            head += chunk
            if len(head) >= HEAD_BYTES:
                yield self._opened(head)
        # A file that is shorter than that.
        if head and not self.mime_type:
            yield self._opened(head)

    def _opened(self, head: bytes) -> bytes:
        mime_type = mime_type_of(head)
        if mime_type is None:
            raise ServiceError("FILE_TYPE_REFUSED", "file: is no PDF, PNG, JPEG or TIFF")
        self.mime_type = mime_type
        return head


def _leave_out_text(document: pb.Document) -> None:
    """So that the answer that is kept for a repeat says nothing that is stored encrypted."""
    document.ClearField("document_text")
    document.ClearField("parse_result")
