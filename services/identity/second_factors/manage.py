"""RPCs that turn an authenticator app on and off, and make recovery codes."""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.second_factors import challenges, passkeys, recovery_codes, totp
from services.identity.second_factors.factors import SecondFactors, State, state_of, too_many_attempts
from services.identity.second_factors.notices import FACTOR_ADDED, RECOVERY_CODES_REPLACED
from services.identity.second_factors.proof import Proofs, proof_refused
from services.identity.users import timestamp, users
from services.kit.database import Database, Statement
from services.kit.errors import ServiceError, not_found
from vitalis.identity.v1 import second_factors_pb2 as pb
from vitalis.identity.v1 import second_factors_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
STATE = Statement(state_of(sa.bindparam("user_id", type_=sa.Uuid)))


class SecondFactorsServicer(second_factors_pb2_grpc.SecondFactorsServiceServicer):
    def __init__(self, database: Database, factors: SecondFactors, proofs: Proofs) -> None:
        self._database = database
        self._factors = factors
        self._proofs = proofs

    async def GetSecondFactors(
        self, request: pb.GetSecondFactorsRequest, context: Context
    ) -> pb.GetSecondFactorsResponse:
        """Which factors the person has."""
        rows = await self._database.fetch(STATE, {"user_id": UUID(request.user_id)})
        state = State(*rows[0])
        confirmed, used = state.totp_confirmed_at, state.totp_last_used_at
        return pb.GetSecondFactorsResponse(
            totp_confirmed_at=timestamp(confirmed) if confirmed else None,
            totp_last_used_at=timestamp(used) if used else None,
            passkeys=state.passkeys,
            recovery_codes_left=state.recovery_codes_left,
        )

    async def BeginTotp(self, request: pb.BeginTotpRequest, context: Context) -> pb.BeginTotpResponse:
        """A secret for an app. Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS."""
        await self._proofs.demand(request.proof)
        user_id = UUID(request.user_id)
        async with self._database.transaction() as connection:
            person = await lock_person(connection, user_id, proof_refused())
            enrolment = await totp.begin(connection, self._database.vault, user_id, person.email)
        return pb.BeginTotpResponse(
            secret=enrolment.secret, otpauth_uri=enrolment.otpauth_uri, expires_at=timestamp(enrolment.expires_at)
        )

    async def ConfirmTotp(self, request: pb.ConfirmTotpRequest, context: Context) -> pb.ConfirmTotpResponse:
        """Turns the app on. Raises NOT_FOUND, CODE_WRONG, TOO_MANY_ATTEMPTS."""
        user_id = UUID(request.user_id)
        codes: list[str] = []
        async with self._database.transaction() as connection:
            await lock_person(connection, user_id, not_found("user"))
            verdict = await totp.confirm(connection, self._database.vault, user_id, request.totp_code)
            if verdict and verdict.right:
                codes = await recovery_codes.replace_if_none(connection, user_id)
                await self._factors.notices.queue(connection, user_id, FACTOR_ADDED)
        if verdict is None:
            raise not_found("secret of an authenticator app that waits for its first code")
        if verdict.wait:
            raise too_many_attempts(verdict.wait)
        if not verdict.right:
            raise ServiceError("CODE_WRONG", "totp_code: is not the code that the app shows now")
        return pb.ConfirmTotpResponse(recovery_codes=codes)

    async def RemoveTotp(self, request: pb.RemoveTotpRequest, context: Context) -> pb.RemoveTotpResponse:
        """Turns the app off. Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS, NOT_FOUND."""
        await self._proofs.demand(request.proof)
        user_id = UUID(request.user_id)
        async with self._database.transaction() as connection:
            await lock_person(connection, user_id, not_found("user"))
            if not await totp.remove(connection, user_id):
                raise not_found("authenticator app")
            await self._factors.has_lost_one(connection, user_id)
        return pb.RemoveTotpResponse()

    async def RegenerateRecoveryCodes(
        self, request: pb.RegenerateRecoveryCodesRequest, context: Context
    ) -> pb.RegenerateRecoveryCodesResponse:
        """New codes. Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS, and NOT_FOUND for who has no factor to recover from."""
        await self._proofs.demand(request.proof)
        user_id = UUID(request.user_id)
        async with self._database.transaction() as connection:
            await lock_person(connection, user_id, not_found("user"))
            if not (await self._factors.state(connection, user_id)).has_factor:
                raise not_found("second factor")
            codes = await recovery_codes.replace(connection, user_id)
            await self._factors.notices.queue(connection, user_id, RECOVERY_CODES_REPLACED)
        return pb.RegenerateRecoveryCodesResponse(recovery_codes=codes)

    async def BeginPasskeyProof(
        self, request: pb.BeginPasskeyProofRequest, context: Context
    ) -> pb.BeginPasskeyProofResponse:
        """What a passkey is to sign as a proof. Raises NOT_FOUND for who has none."""
        user_id = UUID(request.user_id)
        async with self._database.transaction() as connection:
            known = await passkeys.known(connection, user_id)
            if not known:
                raise not_found("passkey")
            challenge = await challenges.issue(connection, user_id, challenges.PROOF)
        options = self._factors.relying_party.request_options(challenge.signed, known, alone=False)
        return pb.BeginPasskeyProofResponse(passkey_options=options)


async def lock_person(connection: AsyncConnection, user_id: UUID, otherwise: ServiceError) -> Any:
    """The person's email and display_name, locked: their factors change one after the other."""
    query = sa.select(users.c.email, users.c.display_name).where(users.c.id == user_id, users.c.deleted_at.is_(None))
    row = (await connection.execute(query.with_for_update(key_share=True))).one_or_none()
    if row is None:
        raise otherwise
    return row
