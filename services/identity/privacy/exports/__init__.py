"""Exports: asking for one, and the link that leads to its file."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from google.api import httpbody_pb2
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import IDEMPOTENCY_KEYS
from services.identity.privacy.links import EXPORT, Links, Target
from services.identity.privacy.tables import UNFINISHED, WITH_FILE, data_export_requests
from services.identity.users import users
from services.kit import audit
from services.kit.caller import Caller, current, service_caller
from services.kit.database import Database, uuid7
from services.kit.errors import ServiceError
from services.kit.files import Files
from services.kit.idempotency import once
from services.kit.jobs import Jobs, Task
from services.kit.resources import Resource, get, list_
from vitalis.identity.v1 import exports_pb2 as pb
from vitalis.identity.v1 import exports_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
PREFIX = "exports/"
ZIP = "application/zip"

EXPORTS = Resource(
    pb.Export,
    data_export_requests,
    what="export",
    order_by=("requested_at", "id"),
    hidden=("object_key", "attempts", "created_at", "updated_at"),
)


class ExportsServicer(pb_grpc.ExportsServiceServicer):
    def __init__(
        self, database: Database, files: Files, links: Links, public_url: str, jobs: Jobs, export_job: Task
    ) -> None:
        self.database = database
        self._files = files
        self._links = links
        self._public_url = public_url
        self._jobs = jobs
        self._export_job = export_job

    GetExport = get(EXPORTS)
    ListExports = list_(EXPORTS)

    async def CreateExport(self, request: pb.CreateExportRequest, context: Context) -> pb.CreateExportResponse:
        """Queues an export. Raises EXPORT_RUNNING while there is one."""
        async with self.database.transaction() as connection:

            async def work() -> pb.CreateExportResponse:
                return pb.CreateExportResponse(export=await self._queue(connection, request.user_id))

            return await once(connection, IDEMPOTENCY_KEYS, request, pb.CreateExportResponse, work)

    async def _queue(self, connection: AsyncConnection, user_id: str) -> pb.Export:
        export_id = uuid7()
        # ON CONFLICT rather than a look before: of two at once exactly one is made.
        statement = (
            insert(data_export_requests)
            .values(id=export_id, user_id=user_id)
            .on_conflict_do_nothing(
                index_elements=["user_id"], index_where=data_export_requests.c.status.in_(UNFINISHED)
            )
            .returning(*EXPORTS.rows.columns(EXPORTS.rows.names))
        )
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise ServiceError("EXPORT_RUNNING", "an export is being made already; wait for it")
        await audit.record(connection, "EXPORT", {"step": "requested"}, record_id=export_id)
        await self._jobs.defer(
            connection,
            self._export_job,
            lock=f"exports:{user_id}",
            user_id=user_id,
            export_id=str(export_id),
            request_id=current().request_id,
        )
        export: pb.Export = EXPORTS.rows.read(row)
        return export

    async def CreateExportLink(
        self, request: pb.CreateExportLinkRequest, context: Context
    ) -> pb.CreateExportLinkResponse:
        """The signed link. Raises EXPORT_NOT_READY where there is no file."""
        async with self.database.transaction() as connection:
            export = await EXPORTS.lock(connection, request.id, "")
            if export.status not in WITH_FILE:
                raise not_ready()
            await audit.record(connection, "EXPORT", {"step": "link"}, record_id=request.id)
        target = Target(UUID(request.user_id), UUID(request.id))
        url = link_to(self._links, self._public_url, target, export.expires_at.ToDatetime(tzinfo=UTC))
        return pb.CreateExportLinkResponse(url=url, expires_at=export.expires_at)

    async def RevokeExport(self, request: pb.RevokeExportRequest, context: Context) -> pb.RevokeExportResponse:
        """The file goes, and with it every link. Raises EXPORT_NOT_READY where there is none yet."""
        async with self.database.transaction() as connection:
            export = await EXPORTS.lock(connection, request.id, "")
            if export.status in WITH_FILE:
                values = {"status": "expired", "expires_at": sa.func.now(), "object_key": None}
                export = await EXPORTS.change(connection, request.id, values)
                await audit.record(connection, "EXPORT", {"step": "revoked"}, record_id=request.id)
            elif export.status != "expired":
                raise not_ready()
        # A file whose row is gone already goes with the next sweep.
        await self._files.remove(f"{PREFIX}{request.user_id}/{request.id}")
        return pb.RevokeExportResponse(export=export)

    async def DownloadExport(
        self, request: pb.DownloadExportRequest, context: Context
    ) -> AsyncIterator[pb.DownloadExportResponse]:
        """The file, to whoever has the link. Raises EXPORT_LINK_INVALID for all that is wrong with it."""
        target = self._links.verify(EXPORT, request.token)
        if target is None:
            raise link_invalid()
        caller = bearer(target)
        holds = sa.and_(
            data_export_requests.c.user_id == target.user_id,
            data_export_requests.c.id == target.id,
            data_export_requests.c.status.in_(WITH_FILE),
            data_export_requests.c.expires_at > sa.func.now(),
            # From the moment that somebody's account closes, before all of it is erased.
            sa.exists().where(users.c.id == target.user_id, users.c.deleted_at.is_(None)),
        )
        async with self.database.transaction(caller) as connection:
            key = (await connection.execute(sa.select(data_export_requests.c.object_key).where(holds))).scalar()
            if key is None:
                raise link_invalid()
            await audit.record(connection, "EXPORT", {"step": "downloading"}, record_id=target.id)
        try:
            async for chunk in self._files.read(key):
                yield pb.DownloadExportResponse(file=httpbody_pb2.HttpBody(content_type=ZIP, data=chunk))
        except FileNotFoundError:
            # Revoked, or expired, in this very moment.
            raise link_invalid() from None
        async with self.database.transaction(caller) as connection:
            done = {"status": "downloaded", "downloaded_at": sa.func.now()}
            await connection.execute(sa.update(data_export_requests).where(holds).values(done))


def bearer(target: Target) -> Caller:
    """Who follows a link: nobody knows, so it is identity that acts, for the link's owner, at the bearer's address."""
    caller = current()
    acting = service_caller("identity", str(target.user_id), caller.request_id)
    return replace(acting, address=caller.address, user_agent=caller.user_agent)


def link_to(links: Links, public_url: str, target: Target, expires_at: datetime) -> str:
    """The URL of an export's file."""
    return f"{public_url}/api/v1/exports/{links.sign(EXPORT, target, expires_at)}/vitalis-export.zip"


def not_ready() -> ServiceError:
    return ServiceError("EXPORT_NOT_READY", "the export has no file: it is not ready, was given up, or has expired")


def link_invalid() -> ServiceError:
    return ServiceError("EXPORT_LINK_INVALID", "the link is not valid (any more); ask for a new one")
