"""RPCs about a person's passkeys."""

from typing import Any
from uuid import UUID

import grpc
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.second_factors import challenges, passkeys, recovery_codes
from services.identity.second_factors.factors import SecondFactors
from services.identity.second_factors.manage import lock_person
from services.identity.second_factors.notices import FACTOR_ADDED
from services.identity.second_factors.proof import Proofs, proof_refused
from services.identity.second_factors.webauthn_ceremonies import Refused, challenge_of_creation
from services.kit.database import Database
from services.kit.errors import ServiceError, not_found
from services.kit.resources import list_, update
from vitalis.identity.v1 import passkeys_pb2 as pb
from vitalis.identity.v1 import passkeys_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class PasskeysServicer(passkeys_pb2_grpc.PasskeysServiceServicer):
    ListPasskeys = list_(passkeys.PASSKEYS)
    UpdatePasskey = update(passkeys.PASSKEYS)

    def __init__(self, database: Database, factors: SecondFactors, proofs: Proofs) -> None:
        self.database = database
        self._factors = factors
        self._proofs = proofs

    async def BeginPasskey(self, request: pb.BeginPasskeyRequest, context: Context) -> pb.BeginPasskeyResponse:
        """What a browser makes a passkey with. Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS, TOO_MANY_PASSKEYS."""
        await self._proofs.demand(request.proof)
        user_id = UUID(request.user_id)
        async with self.database.transaction() as connection:
            person = await lock_person(connection, user_id, proof_refused())
            known = await passkeys.known(connection, user_id)
            if len(known) >= passkeys.MOST:
                raise too_many_passkeys()
            challenge = await challenges.issue(connection, user_id, challenges.REGISTRATION)
        options = self._factors.relying_party.creation_options(
            user_id, person.email, person.display_name, challenge.signed, known
        )
        return pb.BeginPasskeyResponse(passkey_options=options)

    async def CreatePasskey(self, request: pb.CreatePasskeyRequest, context: Context) -> pb.CreatePasskeyResponse:
        """Keeps a passkey. Raises PASSKEY_REFUSED, ALREADY_EXISTS, TOO_MANY_PASSKEYS."""
        user_id = UUID(request.user_id)
        # The error leaves the block as a value, because raising in it would give the challenge back.
        async with self.database.transaction() as connection:
            answer = await self._create(connection, user_id, request)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    async def _create(
        self, connection: AsyncConnection, user_id: UUID, request: pb.CreatePasskeyRequest
    ) -> pb.CreatePasskeyResponse | ServiceError:
        try:
            challenge = challenge_of_creation(request.credential)
            # Before the person is locked: only who was given a challenge by BeginPasskey has one to take.
            if not await challenges.take(connection, challenges.REGISTRATION, challenge):
                return passkey_refused()
            made = self._factors.relying_party.verify_creation(request.credential, challenge)
        except Refused:
            return passkey_refused()
        await lock_person(connection, user_id, passkey_refused())
        if len(await passkeys.known(connection, user_id)) >= passkeys.MOST:
            return too_many_passkeys()
        passkey = await passkeys.keep(connection, user_id, made, request.name)
        if passkey is None:
            return ServiceError("ALREADY_EXISTS", "this passkey is registered already")
        codes = await recovery_codes.replace_if_none(connection, user_id)
        await self._factors.notices.queue(connection, user_id, FACTOR_ADDED)
        return pb.CreatePasskeyResponse(passkey=passkey, recovery_codes=codes)

    async def RemovePasskey(self, request: pb.RemovePasskeyRequest, context: Context) -> pb.RemovePasskeyResponse:
        """Forgets a passkey. Raises PROOF_REFUSED, TOO_MANY_ATTEMPTS, NOT_FOUND."""
        await self._proofs.demand(request.proof)
        user_id = UUID(request.user_id)
        async with self.database.transaction() as connection:
            await lock_person(connection, user_id, not_found("user"))
            if not await passkeys.remove(connection, user_id, UUID(request.id)):
                raise not_found("passkey")
            await self._factors.has_lost_one(connection, user_id)
        return pb.RemovePasskeyResponse()


def passkey_refused() -> ServiceError:
    return ServiceError("PASSKEY_REFUSED", "credential: is not a new passkey for what was asked; begin again")


def too_many_passkeys() -> ServiceError:
    return ServiceError("TOO_MANY_PASSKEYS", f"nobody can have more than {passkeys.MOST} passkeys; remove one first")
