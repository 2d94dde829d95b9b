"""Consents: given and withdrawn, a history that only grows."""

from typing import Any, NamedTuple
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import IDEMPOTENCY_KEYS
from services.identity.privacy.tables import consents
from services.kit.caller import current
from services.kit.database import Database
from services.kit.errors import ServiceError
from services.kit.idempotency import once
from services.kit.resources import Resource, list_
from vitalis.identity.v1 import consents_pb2 as pb
from vitalis.identity.v1 import consents_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]
# The person's consents one after the other: what is withdrawn is what was given last.
LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended('consents:' || :user_id, 0))")

CONSENTS = Resource(pb.Consent, consents, what="consent", order_by=("created_at", "id"), filters=("purpose",))


class ConsentsServicer(pb_grpc.ConsentsServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    ListConsents = list_(CONSENTS)

    async def GiveConsent(self, request: pb.GiveConsentRequest, context: Context) -> pb.GiveConsentResponse:
        """Records that the person agrees; agreeing again is recorded too."""
        async with self.database.transaction() as connection:

            async def work() -> pb.GiveConsentResponse:
                await connection.execute(LOCK, {"user_id": request.user_id})
                return pb.GiveConsentResponse(consent=await _record(connection, request.purpose, request.version, True))

            return await once(connection, IDEMPOTENCY_KEYS, request, pb.GiveConsentResponse, work)

    async def WithdrawConsent(self, request: pb.WithdrawConsentRequest, context: Context) -> pb.WithdrawConsentResponse:
        """Records that the person agrees no more. Raises CONSENT_NOT_GIVEN if they do not."""
        async with self.database.transaction() as connection:
            given = await given_consent(connection, request.user_id, request.purpose)
            if given is None:
                raise ServiceError("CONSENT_NOT_GIVEN", "there is no such consent to withdraw")
            return pb.WithdrawConsentResponse(consent=await _record(connection, request.purpose, given.version, False))


class GivenConsent(NamedTuple):
    """The entry by which a person agrees to a purpose now."""

    id: UUID
    version: str


async def given_consent(connection: AsyncConnection, user_id: str, purpose: str) -> GivenConsent | None:
    """The consent that the person gives; it is not withdrawn before the transaction ends. None if they give none."""
    newest = (
        sa.select(consents.c.id, consents.c.version, consents.c.given)
        .where(consents.c.user_id == user_id, consents.c.purpose == purpose)
        .order_by(consents.c.created_at.desc(), consents.c.id.desc())
        .limit(1)
    )
    await connection.execute(LOCK, {"user_id": user_id})
    row = (await connection.execute(newest)).one_or_none()
    return GivenConsent(row.id, row.version) if row and row.given else None


async def _record(connection: AsyncConnection, purpose: str, version: str, given: bool) -> pb.Consent:
    values = {"purpose": purpose, "version": version, "given": given, "ip_address": current().address or None}
    stored: pb.Consent = await CONSENTS.insert(connection, values)
    return stored
