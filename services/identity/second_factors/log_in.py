"""Completing a log-in with a second factor, and logging in with a passkey alone."""

from typing import Any
from uuid import UUID

import grpc
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.second_factors import challenges
from services.identity.second_factors.factors import PASSKEY, SecondFactors, too_many_attempts
from services.identity.second_factors.webauthn_ceremonies import Assertion, Refused
from services.identity.sessions.store import Sessions
from services.identity.users import acting, timestamp
from services.kit.database import Database
from services.kit.errors import ServiceError
from vitalis.identity.v1 import log_in_pb2 as pb
from vitalis.identity.v1 import log_in_pb2_grpc, second_factors_pb2

Context = grpc.aio.ServicerContext[Any, Any]


class LogInServicer(log_in_pb2_grpc.LogInServiceServicer):
    def __init__(self, database: Database, factors: SecondFactors, sessions: Sessions) -> None:
        self._database = database
        self._factors = factors
        self._sessions = sessions

    async def CompleteLogIn(self, request: pb.CompleteLogInRequest, context: Context) -> pb.CompleteLogInResponse:
        """The session that was held back.

        Raises CHALLENGE_INVALID, SECOND_FACTOR_WRONG, TOO_MANY_ATTEMPTS, ACCOUNT_SUSPENDED.
        """
        user_id = await challenges.whose_log_in(self._database, request.challenge)
        alone = user_id is None
        if user_id is None:
            user_id = await self._named_by_passkey(request)
        # The error leaves the block as a value, because raising in it would take
        # back that a try was counted.
        async with self._database.transaction(acting(user_id)) as connection:
            answer = await self._complete(connection, user_id, request, alone=alone)
        if isinstance(answer, ServiceError):
            raise answer
        return answer

    async def _named_by_passkey(self, request: pb.CompleteLogInRequest) -> UUID:
        """Whose passkey it says it is that answers a challenge of nobody, which is used up by it."""
        if not await challenges.take_passkey_log_in(self._database, request.challenge):
            raise challenge_invalid()
        try:
            return Assertion.read(request.passkey).person
        except Refused:
            raise second_factor_wrong() from None

    async def _complete(
        self, connection: AsyncConnection, user_id: UUID, request: pb.CompleteLogInRequest, *, alone: bool
    ) -> pb.CompleteLogInResponse | ServiceError:
        if not alone and not await challenges.count_try(connection, request.challenge):
            return challenge_invalid()
        kind = str(request.WhichOneof("factor"))
        given = getattr(request, kind)
        verdict = await self._factors.verify(connection, user_id, kind, given, request.challenge, alone=alone)
        if verdict.wait:
            return too_many_attempts(verdict.wait)
        if not verdict.right:
            return second_factor_wrong()
        await challenges.take(connection, challenges.LOG_IN, request.challenge)
        user, tokens = await self._sessions.log_in(connection, user_id)
        return pb.CompleteLogInResponse(user=user, tokens=tokens)

    async def BeginPasskeyLogIn(
        self, request: pb.BeginPasskeyLogInRequest, context: Context
    ) -> pb.BeginPasskeyLogInResponse:
        """A challenge for whoever owns a passkey."""
        challenge = await challenges.begin_passkey_log_in(self._database)
        options = self._factors.relying_party.request_options(challenge.signed, [], alone=True)
        return pb.BeginPasskeyLogInResponse(
            challenge=second_factors_pb2.LogInChallenge(
                challenge=challenge.token,
                expires_at=timestamp(challenge.expires_at),
                methods=[PASSKEY],
                passkey_options=options,
            )
        )


def challenge_invalid() -> ServiceError:
    return ServiceError("CHALLENGE_INVALID", "the log-in has to begin again")


def second_factor_wrong() -> ServiceError:
    return ServiceError("SECOND_FACTOR_WRONG", "the code or passkey is wrong, or was used before")
