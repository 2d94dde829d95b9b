"""Deletions: asking for one, and changing one's mind."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.privacy.exports import bearer
from services.identity.privacy.links import CANCEL_DELETION, Links, Target
from services.identity.privacy.tables import OPEN, deletion_requests
from services.identity.second_factors.proof import Proofs
from services.kit import audit
from services.kit.caller import current
from services.kit.database import Database, uuid7
from services.kit.errors import ServiceError
from services.kit.jobs import Jobs, Task
from services.kit.personal import MENTAL_WELLNESS
from services.kit.resources import Resource, list_
from vitalis.identity.v1 import deletions_pb2 as pb
from vitalis.identity.v1 import deletions_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
# VIT 10. ONB 6.1 has 90 days, which keep for longer what somebody wants gone.
GRACE = timedelta(days=30)

DELETIONS = Resource(
    pb.Deletion,
    deletion_requests,
    what="deletion",
    order_by=("requested_at", "id"),
    hidden=("next_attempt_at", "attempts", "passes", "answered", "erased"),
)


class DeletionsServicer(pb_grpc.DeletionsServiceServicer):
    def __init__(
        self, database: Database, proofs: Proofs, links: Links, jobs: Jobs, mail_job: Task, erase_job: Task
    ) -> None:
        self.database = database
        self._proofs = proofs
        self._links = links
        self._jobs = jobs
        self._mail_job = mail_job
        self._erase_job = erase_job

    ListDeletions = list_(DELETIONS)

    async def CreateDeletion(self, request: pb.CreateDeletionRequest, context: Context) -> pb.CreateDeletionResponse:
        """A deletion in thirty days. Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS, DELETION_PENDING."""
        await self._proofs.demand(request.proof)
        async with self.database.transaction() as connection:
            deletion = await _insert(connection, request.user_id, "", GRACE)
            await self._jobs.defer(
                connection,
                self._mail_job,
                lock=f"mail:{request.user_id}",
                user_id=request.user_id,
                deletion_id=deletion.id,
            )
        return pb.CreateDeletionResponse(deletion=deletion)

    async def EraseMentalWellness(
        self, request: pb.EraseMentalWellnessRequest, context: Context
    ) -> pb.EraseMentalWellnessResponse:
        """A deletion of that category, which begins at once.

        Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS, DELETION_PENDING.
        """
        await self._proofs.demand(request.proof)
        async with self.database.transaction() as connection:
            deletion = await _insert(connection, request.user_id, MENTAL_WELLNESS, timedelta())
            await self._jobs.defer(connection, self._erase_job, lock="deletions")
        return pb.EraseMentalWellnessResponse(deletion=deletion)

    async def CancelDeletion(self, request: pb.CancelDeletionRequest, context: Context) -> pb.CancelDeletionResponse:
        """Raises NOT_FOUND, and DELETION_STARTED for one that cannot be cancelled any more."""
        async with self.database.transaction() as connection:
            deletion = await _cancel(connection, Target(UUID(request.user_id), UUID(request.id)))
            if deletion is None:
                query = sa.select(*DELETIONS.rows.columns(DELETIONS.rows.names)).where(_is(request.user_id, request.id))
                row = (await connection.execute(query)).one_or_none()
                if row is None:
                    raise ServiceError("NOT_FOUND", "there is no such deletion")
                deletion = DELETIONS.rows.read(row)
        if deletion.status != "canceled":
            raise ServiceError("DELETION_STARTED", "the deletion has begun and cannot be cancelled any more")
        return pb.CancelDeletionResponse(deletion=deletion)

    async def CancelDeletionByToken(
        self, request: pb.CancelDeletionByTokenRequest, context: Context
    ) -> pb.CancelDeletionByTokenResponse:
        """Raises DELETION_TOKEN_INVALID for all that is wrong with it."""
        target = self._links.verify(CANCEL_DELETION, request.token)
        if target is not None:
            async with self.database.transaction(bearer(target)) as connection:
                if await _cancel(connection, target):
                    return pb.CancelDeletionByTokenResponse()
        raise ServiceError("DELETION_TOKEN_INVALID", "the token is not valid (any more)")


def _is(user_id: UUID | str, deletion_id: UUID | str) -> sa.ColumnElement[bool]:
    return sa.and_(deletion_requests.c.user_id == user_id, deletion_requests.c.id == deletion_id)


async def _insert(connection: AsyncConnection, user_id: str, category: str, grace: timedelta) -> pb.Deletion:
    deletion_id = uuid7()
    statement = (
        insert(deletion_requests)
        .values(id=deletion_id, user_id=user_id, category=category, grace_period_ends_at=sa.func.now() + grace)
        .on_conflict_do_nothing(
            index_elements=["user_id", "category"], index_where=deletion_requests.c.status.in_(OPEN)
        )
        .returning(*DELETIONS.rows.columns(DELETIONS.rows.names))
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise ServiceError("DELETION_PENDING", "the same was asked for before, and is waiting or being done")
    await audit.record(connection, "ERASE", {"step": "requested", "category": category}, record_id=deletion_id)
    deletion: pb.Deletion = DELETIONS.rows.read(row)
    return deletion


async def _cancel(connection: AsyncConnection, target: Target) -> pb.Deletion | None:
    """The cancelled deletion; None for one whose time is over, by the database's clock.

    Of this and the claim of the job one comes first: both change the row under
    its lock, and each looks again at what the other left.
    """
    statement = (
        sa.update(deletion_requests)
        .where(
            _is(target.user_id, target.id),
            deletion_requests.c.status == "pending",
            deletion_requests.c.grace_period_ends_at > sa.func.clock_timestamp(),
        )
        .values(status="canceled", canceled_at=sa.func.now())
        .returning(*DELETIONS.rows.columns(DELETIONS.rows.names))
    )
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        return None
    await audit.record(connection, "ERASE", {"step": "cancelled", "actor": current().actor or "link"})
    deletion: pb.Deletion = DELETIONS.rows.read(row)
    return deletion
