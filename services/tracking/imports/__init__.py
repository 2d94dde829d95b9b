"""Imports: uploading a file, watching it being read, cancelling and rolling back."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import sqlalchemy as sa
import structlog

from services.kit.caller import calling, current, service_caller
from services.kit.database import Database, now, uuid7
from services.kit.files import Files
from services.kit.idempotency import once
from services.kit.imports import cancel, has_ended, lock_ended
from services.kit.jobs import Jobs, Task
from services.kit.resources import Resource, get, list_
from services.kit.uploads import Upload, UploadStore, as_one, begun, chunks, sweep_orphans
from services.kit.watching import changes
from services.tracking.base import IDEMPOTENCY_KEYS
from services.tracking.imports.tables import PREFIX, imports
from services.tracking.imports.write import LOCK, roll_back
from vitalis.tracking.v1 import imports_pb2 as pb
from vitalis.tracking.v1 import imports_pb2_grpc as pb_grpc

log = structlog.get_logger()
Context = grpc.aio.ServicerContext[Any, Any]
SWEEP_BATCH = 500

IMPORTS = Resource(
    pb.Import,
    imports,
    what="import",
    order_by=("queued_at", "id"),
    filters=("status",),
    hidden=("object_key", "created_at", "updated_at"),
    idempotency_keys=IDEMPOTENCY_KEYS,
)


class ImportsServicer(pb_grpc.ImportsServiceServicer):
    def __init__(self, database: Database, store: UploadStore, jobs: Jobs, import_job: Task) -> None:
        self.database = database
        self._store = store
        self._jobs = jobs
        self._import_job = import_job

    GetImport = get(IMPORTS)
    ListImports = list_(IMPORTS)

    async def CreateImport(
        self, requests: AsyncIterator[pb.CreateImportRequest], context: Context
    ) -> pb.CreateImportResponse:
        """Stores the upload, then the import and its job in one transaction."""
        first = await begun(requests)
        import_id = str(uuid7())
        key = f"{PREFIX}{first.user_id}/{import_id}"
        upload = await self._store.put(key, chunks(first, requests))
        async with self._store.unless_refused(key):
            response = await self._queue(first, import_id, key, upload)
        # A repeat of an earlier request answers with the earlier import.
        if response.file_import.id != import_id:
            await self._store.files.remove(key)
        return response

    async def _queue(
        self, first: pb.CreateImportRequest, import_id: str, key: str, upload: Upload
    ) -> pb.CreateImportResponse:
        row = {
            "id": import_id,
            "source": first.source,
            "file_name": first.file_name,
            "file_size_bytes": upload.size_bytes,
            "file_sha256": upload.sha256,
            "object_key": key,
        }
        async with self.database.transaction() as connection:

            async def work() -> pb.CreateImportResponse:
                stored = await IMPORTS.insert(connection, row)
                await self._jobs.defer(
                    connection,
                    self._import_job,
                    lock=f"imports:{first.user_id}",
                    user_id=first.user_id,
                    import_id=import_id,
                    request_id=current().request_id,
                )
                return pb.CreateImportResponse(file_import=stored)

            return await once(connection, IDEMPOTENCY_KEYS, as_one(first, upload), pb.CreateImportResponse, work)

    async def WatchImport(
        self, request: pb.WatchImportRequest, context: Context
    ) -> AsyncIterator[pb.WatchImportResponse]:
        """Sends the import at once and whenever it has changed, until it has ended."""
        async for stored in changes(lambda: IMPORTS.read(self.database, request.id), has_ended):
            yield pb.WatchImportResponse(file_import=stored)

    async def CancelImport(self, request: pb.CancelImportRequest, context: Context) -> pb.CancelImportResponse:
        """Ends the import here and now; the worker finds out and stops reading."""
        async with self.database.transaction() as connection:
            return pb.CancelImportResponse(file_import=await cancel(connection, IMPORTS, request.id))

    async def RollBackImport(self, request: pb.RollBackImportRequest, context: Context) -> pb.RollBackImportResponse:
        """Takes the import's rows back (see write.py); one that is rolled back stays so."""
        async with self.database.transaction() as connection:
            await connection.execute(LOCK, {"user_id": current().subject})
            stored = await lock_ended(connection, IMPORTS, request.id)
            if stored.status != "rolled_back":
                await roll_back(connection, current().subject, request.id)
                stored = await IMPORTS.change(connection, request.id, {"status": "rolled_back"})
            return pb.RollBackImportResponse(file_import=stored)


class UploadSweeper:
    """Removes uploaded files after their retention time, and those that no import belongs to."""

    def __init__(self, database: Database, files: Files, retention_hours: float) -> None:
        self._database = database
        self._files = files
        self._retention = timedelta(hours=retention_hours)

    async def sweep(self) -> None:
        due = sa.func.uploads_to_remove(now() - self._retention, SWEEP_BATCH).table_valued(
            "user_id", "id", "object_key"
        )
        async with self._database.transaction() as connection:
            rows = (await connection.execute(sa.select(due))).all()
        for user_id, import_id, key in rows:
            await self._files.remove(key)
            with calling(service_caller("tracking", str(user_id))):
                async with self._database.transaction() as connection:
                    same = (imports.c.user_id == user_id) & (imports.c.id == import_id)
                    await connection.execute(sa.update(imports).where(same).values(object_key=None))
        await sweep_orphans("tracking", self._database, self._files, PREFIX, imports)
