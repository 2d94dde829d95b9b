"""A service's own audit log, read page by page; every service serves it to the others."""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa

from services.kit.audit import audit_log
from services.kit.caller import current
from services.kit.database import Database, Statement, new_metadata
from services.kit.paging import (
    decode_token,
    encode_token,
    instant_of,
    instant_text,
    page_size,
    read_instant,
    read_position,
)
from vitalis.common.v1 import audit_pb2 as pb
from vitalis.common.v1 import audit_pb2_grpc

LOG = audit_log(new_metadata())
OPTIONAL = (
    "actor_role",
    "table_name",
    "record_id",
    "old_values",
    "new_values",
    "grant_id",
    "ip_address",
    "user_agent",
    "request_id",
)
COLUMNS = (LOG.c.created_at, LOG.c.audit_id, LOG.c.action, LOG.c.action_by, *(LOG.c[name] for name in OPTIONAL))


def _bind(name: str, kind: Any) -> Any:
    return sa.bindparam(name, type_=kind)


def _instant(name: str) -> Any:
    return _bind(name, sa.DateTime(timezone=True))


CONDITIONS = {
    "table_name": LOG.c.table_name == _bind("table_name", sa.Text),
    "action": LOG.c.action == _bind("action", sa.Text),
    "grant": LOG.c.grant_id == _bind("grant", sa.Text),
    "start_time": LOG.c.created_at >= _instant("start_time"),
    "end_time": LOG.c.created_at < _instant("end_time"),
    "after_id": sa.tuple_(LOG.c.created_at, LOG.c.audit_id)
    < sa.tuple_(_instant("after_created_at"), _bind("after_id", sa.Uuid(as_uuid=False))),
}


class AuditLogServicer(audit_pb2_grpc.AuditLogServiceServicer):
    def __init__(self, service: str, database: Database) -> None:
        self._trail = Trail(service, database)

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListAuditEntriesResponse:
        """A page of what this service has recorded. Raises INVALID_PAGE_TOKEN."""
        return await self._trail.page(request)


class Trail:
    """What one service has recorded about the current subject."""

    def __init__(self, service: str, database: Database) -> None:
        self._service = service
        self._database = database
        self._statements: dict[frozenset[str], Statement] = {}

    async def page(self, request: pb.ListAuditEntriesRequest) -> pb.ListAuditEntriesResponse:
        """The newest first. Raises INVALID_PAGE_TOKEN."""
        size = page_size(request.page_size)
        bounds: dict[str, Any] = {
            name: getattr(request, name) for name in ("table_name", "action", "grant") if getattr(request, name)
        }
        for name in ("start_time", "end_time"):
            if request.HasField(name):
                bounds[name] = instant_of(name, getattr(request, name))
        bound_to = ("ListAuditEntries", *(f"{name}={value}" for name, value in sorted(bounds.items())))
        parameters = {**bounds, "user_id": current().subject, "page_limit": size + 1}
        if request.page_token:
            parameters |= _position(decode_token(request.page_token, 2, *bound_to))
        rows = await self._database.fetch(self._statement(frozenset(parameters)), parameters)
        tokens = [encode_token([instant_text(row[0]), str(row[1])], *bound_to) for row in rows[:size]]
        return pb.ListAuditEntriesResponse(
            entries=[self._entry(row) for row in rows[:size]],
            next_page_token=tokens[-1] if len(rows) > size else "",
            page_tokens=tokens,
        )

    def _statement(self, parameters: frozenset[str]) -> Statement:
        if statement := self._statements.get(parameters):
            return statement
        where = [condition for name, condition in CONDITIONS.items() if name in parameters]
        select = (
            sa.select(*COLUMNS)
            .where(LOG.c.user_id == _bind("user_id", sa.Uuid(as_uuid=False)), *where)
            .order_by(LOG.c.created_at.desc(), LOG.c.audit_id.desc())
            .limit(_bind("page_limit", sa.Integer))
        )
        self._statements[parameters] = Statement(select)
        return self._statements[parameters]

    def _entry(self, row: tuple[Any, ...]) -> pb.AuditEntry:
        created_at, audit_id, action, action_by, *rest = row
        entry = pb.AuditEntry(id=str(audit_id), service=self._service, action=action, action_by=action_by)
        entry.created_at.FromDatetime(created_at)
        for name, value in zip(OPTIONAL, rest, strict=True):
            if isinstance(value, dict):
                getattr(entry, name).update(value)
            elif value is not None:
                setattr(entry, name, value)
        return entry


def _position(values: list[str]) -> dict[str, Any]:
    """The entry after which a page begins. Raises INVALID_PAGE_TOKEN."""
    return {"after_created_at": read_instant(values[0]), "after_id": read_position(UUID, values[1])}
