"""Proof, in the request itself, that it is the person who asks and not somebody with their access token."""

from uuid import UUID

import sqlalchemy as sa

from services.identity.attempts import Attempts
from services.identity.passwords import Passwords
from services.identity.second_factors.factors import SecondFactors, too_many_attempts
from services.identity.sessions.store import sessions
from services.identity.users import users
from services.kit.caller import current
from services.kit.database import Database
from services.kit.errors import ServiceError
from vitalis.identity.v1 import second_factors_pb2 as pb

FRESH = sa.text("interval '10 minutes'")


class Proofs:
    """Asks the current caller for a proof."""

    def __init__(self, database: Database, passwords: Passwords, attempts: Attempts, factors: SecondFactors) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._factors = factors

    async def demand(self, proof: pb.Proof) -> None:
        """Raises PROOF_REFUSED or TOO_MANY_ATTEMPTS unless the proof is right, which uses up a code."""
        user_id = UUID(current().subject)
        kind = proof.WhichOneof("by")
        if kind == "password":
            is_right = await self._is_password(user_id, proof.password)
        elif kind is None:
            is_right = await self._is_fresh_without_anything(user_id)
        else:
            async with self._database.transaction() as connection:
                verdict = await self._factors.verify(connection, user_id, kind, getattr(proof, kind))
            if verdict.wait:
                raise too_many_attempts(verdict.wait)
            is_right = verdict.right
        if not is_right:
            raise proof_refused()

    async def _is_password(self, user_id: UUID, password: str) -> bool:
        query = sa.select(users.c.email, users.c.password_hash).where(
            users.c.id == user_id, users.c.deleted_at.is_(None)
        )
        async with self._database.transaction() as connection:
            person = (await connection.execute(query)).one_or_none()
        if person is None:
            return False
        self._passwords.require_room()
        await self._attempts.count(person.email)
        if not (await self._passwords.verify(person.password_hash, password)).right:
            return False
        async with self._database.transaction() as connection:
            await self._attempts.forgive(connection, person.email)
        return True

    async def _is_fresh_without_anything(self, user_id: UUID) -> bool:
        """Who logs in elsewhere (OIDC) and has neither password nor factor has proved enough by doing so just now."""
        session_id = current().session_id
        if not session_id:
            return False
        fresh = (
            sa.select(sessions.c.id)
            .join(users, users.c.id == sessions.c.user_id)
            .where(
                sessions.c.id == UUID(session_id),
                sessions.c.user_id == user_id,
                sessions.c.created_at > sa.func.now() - FRESH,
                sessions.c.revoked_at.is_(None),
                users.c.password_hash.is_(None),
            )
        )
        async with self._database.transaction() as connection:
            if (await connection.execute(fresh)).one_or_none() is None:
                return False
            return not (await self._factors.state(connection, user_id)).has_factor


def proof_refused() -> ServiceError:
    return ServiceError("PROOF_REFUSED", "proof: the password or a code is needed, and it must be right")
