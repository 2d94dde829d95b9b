"""Repeats of a write: the same request id answers as the first did (AIP-155)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.errors import ServiceError

if TYPE_CHECKING:
    from services.kit.vault import DataKey

Response = TypeVar("Response", bound=Message)


def idempotency_keys(metadata: sa.MetaData) -> sa.Table:
    """The table that remembers answers for a day; every service that has writes declares it."""
    return sa.Table(
        "idempotency_keys",
        metadata,
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("request_sha256", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=False, server_default=""),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


async def once(
    connection: AsyncConnection,
    keys: sa.Table,
    request: Message,
    response: type[Response],
    work: Callable[[], Awaitable[Response]],
    key: DataKey | None = None,
) -> Response:
    """Runs `work` unless the request's id has been seen; then answers as the first time.

    The id is claimed first, so that two repeats at once do the work once: the
    second waits for the first one's transaction. With the subject's `key` (see
    vault.py), what is kept of request and answer is encrypted.
    """
    request_id: str = getattr(request, "request_id", "")
    if not request_id:
        return await work()

    def seal(column: str, content: bytes) -> bytes:
        return key.encrypt_bytes(keys.name, column, request_id, content) if key else content

    def unseal(column: str, stored: bytes) -> bytes:
        return key.decrypt_bytes(keys.name, column, request_id, stored) if key else stored

    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    row = {
        "user_id": current().subject,
        "request_id": request_id,
        "method": request.DESCRIPTOR.full_name,
        "request_sha256": seal("request_sha256", digest),
    }
    claim = insert(keys).values(row).on_conflict_do_nothing().returning(keys.c.request_id)
    same = (keys.c.user_id == row["user_id"]) & (keys.c.request_id == request_id)
    if (await connection.execute(claim)).first():
        answer = await work()
        await connection.execute(
            keys.update().where(same).values(response=seal("response", answer.SerializeToString()))
        )
        return answer
    seen = (await connection.execute(sa.select(keys).where(same))).one()
    if seen.method != row["method"] or unseal("request_sha256", seen.request_sha256) != digest:
        raise ServiceError("REQUEST_ID_REUSED", "request_id: was used before for a different request")
    return response.FromString(unseal("response", seen.response))


async def forget_old(connection: AsyncConnection) -> None:
    """Forgets answers older than a day; the database's own function, since row security shows nobody's."""
    await connection.execute(sa.select(sa.func.forget_idempotency_keys()))
