"""The audit trail of a person: what all services have recorded about them, as one list."""

import asyncio
import heapq
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import grpc
import structlog

from services.kit.audit import record
from services.kit.caller import calling, current, service_caller
from services.kit.database import Database, now
from services.kit.errors import from_rpc_error
from services.kit.paging import bad_token, decode_token, encode_token, instant_text, page_size, read_instant
from services.kit.trail import Trail
from vitalis.common.v1 import audit_pb2 as common
from vitalis.common.v1 import audit_pb2_grpc as common_grpc
from vitalis.identity.v1 import audit_pb2 as pb
from vitalis.identity.v1 import audit_pb2_grpc

log = structlog.get_logger()
NAME = "identity"
DEADLINE_SECONDS = 5.0
FILTERS = ("table_name", "action", "start_time", "end_time", "grant")


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    def __init__(self, database: Database, channels: Mapping[str, grpc.aio.Channel]) -> None:
        """`channels` lead to the other services, by their names."""
        self._own = Trail(NAME, database)
        self._others = {name: common_grpc.AuditLogServiceStub(channel) for name, channel in channels.items()}

    async def ListAuditTrail(
        self, request: pb.ListAuditTrailRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListAuditTrailResponse:
        """A page over all services. Raises INVALID_PAGE_TOKEN.

        Each service is asked from where this list has taken its entries to, so
        one that could not be asked is caught up with once it is back. What
        happens after the first page was asked for is on none of its pages.
        """
        size = page_size(request.page_size)
        bound_to = ("ListAuditTrail", *(f"{name}={_text(request, name)}" for name in FILTERS))
        until, positions = _decode(request.page_token, bound_to) if request.page_token else (now(), {})
        names = (NAME, *self._others)
        answers = await asyncio.gather(*(self._ask(name, request, until, positions, size) for name in names))
        pages = {name: page for name, page in zip(names, answers, strict=True) if page is not None}
        entries: list[common.AuditEntry] = []
        taken = dict.fromkeys(pages, 0)
        for entry in heapq.merge(*(page.entries for page in pages.values()), key=_order, reverse=True):
            if len(entries) == size:
                break
            entries.append(entry)
            taken[entry.service] += 1
        for name, count in taken.items():
            if count:
                positions[name] = pages[name].page_tokens[count - 1]
        more = any(page.next_page_token or taken[name] < len(page.entries) for name, page in pages.items())
        return pb.ListAuditTrailResponse(
            entries=entries,
            next_page_token=_encode(until, positions, bound_to) if more else "",
            unavailable_services=sorted(set(names) - set(pages)),
        )

    async def _ask(
        self, name: str, request: pb.ListAuditTrailRequest, until: datetime, positions: Mapping[str, str], size: int
    ) -> common.ListAuditEntriesResponse | None:
        """A service's page; None if it cannot be asked. Raises INVALID_PAGE_TOKEN and INVALID_FIELD."""
        question = common.ListAuditEntriesRequest(
            user_id=request.user_id,
            page_size=size,
            page_token=positions.get(name, ""),
            table_name=request.table_name,
            action=request.action,
            grant=request.grant,
        )
        if request.HasField("start_time"):
            question.start_time.CopyFrom(request.start_time)
        question.end_time.FromDatetime(until)
        if request.HasField("end_time") and _moment(request.end_time) < _moment(question.end_time):
            question.end_time.CopyFrom(request.end_time)
        if name == NAME:
            return await self._own.page(question)
        with calling(service_caller(NAME, request.user_id, current().request_id)):
            try:
                return await self._others[name].ListAuditEntries(question, timeout=DEADLINE_SECONDS)
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
        if failure.reason.code is grpc.StatusCode.INVALID_ARGUMENT:
            raise failure
        log.warning("a service's audit log cannot be read", service=name, reason=failure.reason.name)
        return None


class DenialsServicer(audit_pb2_grpc.DenialsServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def RecordDenial(
        self, request: pb.RecordDenialRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.RecordDenialResponse:
        """An event in the trail of who was refused, as services record their own refusals (kit/access.py)."""
        refused = replace(current(), actor=request.actor, subject=request.actor, role="")
        async with self._database.transaction(refused) as connection:
            await record(connection, "DENIED", {"rpc": request.rpc, "reason": request.reason})
        return pb.RecordDenialResponse()


def _moment(timestamp: Any) -> tuple[int, int]:
    return timestamp.seconds, timestamp.nanos


def _order(entry: common.AuditEntry) -> tuple[int, int, str]:
    return *_moment(entry.created_at), entry.id


def _text(request: pb.ListAuditTrailRequest, name: str) -> str:
    value = getattr(request, name)
    return value if isinstance(value, str) else str(_moment(value) if value.ByteSize() else None)


def _encode(until: datetime, positions: Mapping[str, str], bound_to: tuple[str, ...]) -> str:
    return encode_token([instant_text(until), json.dumps(positions, sort_keys=True)], *bound_to)


def _decode(token: str, bound_to: tuple[str, ...]) -> tuple[datetime, dict[str, str]]:
    """When the first page was asked for, and each service's position. Raises INVALID_PAGE_TOKEN."""
    until, positions = decode_token(token, 2, *bound_to)
    try:
        content = json.loads(positions)
    except (ValueError, RecursionError):
        raise bad_token() from None
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise bad_token()
    return read_instant(until), content
