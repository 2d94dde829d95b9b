"""Imports of laboratory files: uploading, watching, cancelling and rolling back."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import grpc

from services.kit.caller import current
from services.kit.database import Database, uuid7
from services.kit.errors import invalid
from services.kit.idempotency import once
from services.kit.imports import cancel, has_ended, lock_ended
from services.kit.jobs import Jobs, Task
from services.kit.resources import get, list_
from services.kit.uploads import Upload, UploadStore, as_one, begun, chunks
from services.kit.watching import changes
from services.labs.base import IDEMPOTENCY_KEYS
from services.labs.interchange.job import object_key
from services.labs.interchange.roll_back import roll_back
from services.labs.interchange.store import LOCK
from services.labs.interchange.tables import IMPORTS
from vitalis.labs.v1 import interchange_pb2 as pb
from vitalis.labs.v1 import interchange_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
UTC = "UTC"


class LabImportsServicer(pb_grpc.LabImportsServiceServicer):
    def __init__(self, database: Database, store: UploadStore, jobs: Jobs, import_job: Task) -> None:
        self.database = database
        self._store = store
        self._jobs = jobs
        self._import_job = import_job

    GetLabImport = get(IMPORTS)
    ListLabImports = list_(IMPORTS)

    async def CreateLabImport(
        self, requests: AsyncIterator[pb.CreateLabImportRequest], context: Context
    ) -> pb.CreateLabImportResponse:
        """Stores the upload, then the import and its job in one transaction."""
        first = await begun(requests)
        _require_zone(first.time_zone)
        import_id = str(uuid7())
        key = object_key(first.user_id, import_id)
        upload = await self._store.put(key, chunks(first, requests))
        async with self._store.unless_refused(key):
            response = await self._queue(first, import_id, upload)
        # A repeat of an earlier request answers with the earlier import.
        if response.lab_import.id != import_id:
            await self._store.files.remove(key)
        return response

    async def _queue(
        self, first: pb.CreateLabImportRequest, import_id: str, upload: Upload
    ) -> pb.CreateLabImportResponse:
        row = {
            "id": import_id,
            "format": first.format,
            "time_zone": first.time_zone or UTC,
            "collected_date": date.fromisoformat(first.collected_date) if first.collected_date else None,
            "date_order": first.date_order or None,
            "file_name": first.file_name,
            "file_size_bytes": upload.size_bytes,
            "file_sha256": upload.sha256,
        }
        async with self.database.transaction() as connection:

            async def work() -> pb.CreateLabImportResponse:
                stored = await IMPORTS.insert(connection, row)
                await self._jobs.defer(
                    connection,
                    self._import_job,
                    lock=f"lab-imports:{first.user_id}",
                    user_id=first.user_id,
                    import_id=import_id,
                    request_id=current().request_id,
                )
                return pb.CreateLabImportResponse(lab_import=stored)

            return await once(connection, IDEMPOTENCY_KEYS, as_one(first, upload), pb.CreateLabImportResponse, work)

    async def WatchLabImport(
        self, request: pb.WatchLabImportRequest, context: Context
    ) -> AsyncIterator[pb.WatchLabImportResponse]:
        """Sends the import at once and whenever it has changed, until it has ended."""
        async for stored in changes(lambda: IMPORTS.read(self.database, request.id), has_ended):
            yield pb.WatchLabImportResponse(lab_import=stored)

    async def CancelLabImport(self, request: pb.CancelLabImportRequest, context: Context) -> pb.CancelLabImportResponse:
        """Ends the import here and now; its job finds out, and removes the file."""
        async with self.database.transaction() as connection:
            return pb.CancelLabImportResponse(lab_import=await cancel(connection, IMPORTS, request.id))

    async def RollBackLabImport(
        self, request: pb.RollBackLabImportRequest, context: Context
    ) -> pb.RollBackLabImportResponse:
        """Takes the import's rows back (see roll_back.py); one that is rolled back stays so."""
        async with self.database.transaction() as connection:
            await connection.execute(LOCK, {"user_id": current().subject})
            stored = await lock_ended(connection, IMPORTS, request.id)
            if stored.status != "rolled_back":
                await roll_back(connection, current().subject, request.id)
                stored = await IMPORTS.change(connection, request.id, {"status": "rolled_back"})
            return pb.RollBackLabImportResponse(lab_import=stored)


def _require_zone(name: str) -> None:
    try:
        ZoneInfo(name or UTC)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid("time_zone", "is no zone of the IANA database") from None
