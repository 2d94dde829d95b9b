"""Sessions: logging in, staying logged in, logging out, and seeing where one is logged in.

Before a request has proved whose it is, the database shows it nobody's rows. Two
functions that run as the tables' owner look up what the proof needs and nothing
else; the rest of the request is a transaction of the person it belongs to.
"""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.attempts import Attempts
from services.identity.passwords import Passwords, Verdict
from services.identity.second_factors.factors import SecondFactors
from services.identity.sessions.store import (
    ACTIVE,
    LOGGED_OUT,
    REVOKED,
    Owner,
    Sessions,
    account_suspended,
    end_session,
    end_sessions,
    refresh_token_invalid,
    sessions,
)
from services.identity.tokens import AccessTokens, fingerprint
from services.identity.users import acting, normalise_email, timestamp, users
from services.kit.audit import record
from services.kit.caller import current
from services.kit.database import Database, Statement
from services.kit.errors import ServiceError, not_found
from services.kit.paging import decode_token, encode_token, page_size, read_position
from vitalis.identity.v1 import sessions_pb2 as pb
from vitalis.identity.v1 import sessions_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

# Functions of the migrations that run as the tables' owner.
FIND_CREDENTIALS = Statement(
    sa.select(sa.text("user_id, password_hash")).select_from(
        sa.func.find_credentials(sa.bindparam("email", type_=sa.Text)).table_valued()
    )
)
FIND_REFRESH_TOKEN = Statement(
    sa.select(sa.text("user_id, session_id")).select_from(
        sa.func.find_refresh_token(sa.bindparam("token_sha256", type_=sa.LargeBinary)).table_valued()
    )
)


class SessionsServicer(sessions_pb2_grpc.SessionsServiceServicer):
    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        attempts: Attempts,
        sessions: Sessions,
        access_tokens: AccessTokens,
        factors: SecondFactors,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._sessions = sessions
        self._access_tokens = access_tokens
        self._factors = factors

    async def LogIn(self, request: pb.LogInRequest, context: Context) -> pb.LogInResponse:
        """A new session of an existing person, or a challenge for who has a second factor.

        Raises WRONG_CREDENTIALS, which does not say what was wrong, TOO_MANY_ATTEMPTS
        and, to whom has the right password, ACCOUNT_SUSPENDED.
        """
        email = normalise_email(request.email)
        self._passwords.require_room()
        await self._attempts.count(email)
        user_id, stored = await find_credentials(self._database, email)
        while True:
            # Outside any transaction: a connection is not held while hashing.
            verdict = await self._passwords.verify(stored, request.password)
            if user_id is None or not verdict.right:
                raise wrong_credentials()
            async with self._database.transaction(acting(user_id)) as connection:
                # Locked: a password that changes either has changed before, or ends the session that begins here.
                person = sa.select(users.c.password_hash, ACTIVE).where(users.c.id == user_id)
                row = (await connection.execute(person.with_for_update(key_share=True))).one_or_none()
                if row is None:
                    raise wrong_credentials()
                if row.password_hash == stored:
                    return await self._log_in(connection, user_id, email, verdict, is_active=row[-1])
            # It is another password since, or another hash of the same.
            stored = row.password_hash

    async def _log_in(
        self, connection: AsyncConnection, user_id: UUID, email: str, verdict: Verdict, *, is_active: bool
    ) -> pb.LogInResponse:
        """What follows from the right password, on a transaction that has locked the person."""
        if not is_active:
            raise account_suspended()
        if verdict.replacement:
            stored = sa.update(users).where(users.c.id == user_id).values(password_hash=verdict.replacement)
            await connection.execute(stored)
        await self._attempts.forgive(connection, email)
        if challenge := await self._factors.challenge_or_none(connection, user_id):
            return pb.LogInResponse(challenge=challenge)
        user, tokens = await self._sessions.log_in(connection, user_id)
        return pb.LogInResponse(user=user, tokens=tokens)

    async def RefreshSession(self, request: pb.RefreshSessionRequest, context: Context) -> pb.RefreshSessionResponse:
        """The next tokens of a session. Raises REFRESH_TOKEN_INVALID, REFRESH_TOKEN_REUSED."""
        found = await self._find_refresh_token(request.refresh_token)
        if found is None:
            raise refresh_token_invalid()
        # The reason leaves the block as a value, because raising in it would
        # take back that a reused token has ended the session.
        async with self._database.transaction(acting(found.user_id)) as connection:
            outcome = await self._sessions.rotate(connection, found, fingerprint(request.refresh_token))
        if isinstance(outcome, ServiceError):
            raise outcome
        return pb.RefreshSessionResponse(tokens=outcome)

    async def LogOut(self, request: pb.LogOutRequest, context: Context) -> pb.LogOutResponse:
        """Ends the session of any of its refresh tokens; a token that is worthless already is no error."""
        found = await self._find_refresh_token(request.refresh_token)
        if found is not None:
            async with self._database.transaction(acting(found.user_id)) as connection:
                if await end_session(connection, found.session_id, LOGGED_OUT):
                    await record(connection, "LOGOUT", table=sessions.name, record_id=found.session_id)
        return pb.LogOutResponse()

    async def GetKeySet(self, request: pb.GetKeySetRequest, context: Context) -> pb.GetKeySetResponse:
        """The keys that verify access tokens."""
        return pb.GetKeySetResponse(keys=[pb.Key(**key) for key in self._access_tokens.key_set])

    async def ListSessions(self, request: pb.ListSessionsRequest, context: Context) -> pb.ListSessionsResponse:
        """The living sessions, the newest first. Raises INVALID_PAGE_TOKEN."""
        size = page_size(request.page_size)
        query = (
            sa.select(
                sessions.c.id,
                sessions.c.user_agent,
                sessions.c.address,
                sessions.c.last_address,
                sessions.c.created_at,
                sessions.c.last_used_at,
                sessions.c.expires_at,
            )
            .where(sessions.c.revoked_at.is_(None), sessions.c.expires_at > sa.func.now())
            .order_by(sessions.c.id.desc())
            .limit(size + 1)
        )
        if request.page_token:
            (last,) = decode_token(request.page_token, 1, "sessions")
            query = query.where(sessions.c.id < read_position(UUID, last))
        async with self._database.transaction() as connection:
            rows = (await connection.execute(query)).all()
        more = encode_token([str(rows[size - 1].id)], "sessions") if len(rows) > size else ""
        return pb.ListSessionsResponse(sessions=[_session(row) for row in rows[:size]], next_page_token=more)

    async def RevokeSession(self, request: pb.RevokeSessionRequest, context: Context) -> pb.RevokeSessionResponse:
        """Ends one session. Raises NOT_FOUND for one that is not the person's, or has ended."""
        async with self._database.transaction() as connection:
            if not await end_session(connection, UUID(request.id), REVOKED):
                raise not_found("session")
        return pb.RevokeSessionResponse()

    async def RevokeSessions(self, request: pb.RevokeSessionsRequest, context: Context) -> pb.RevokeSessionsResponse:
        """Ends all sessions, or all but the one that asks."""
        async with self._database.transaction() as connection:
            kept = this_session() if request.keep_current else None
            revoked = await end_sessions(connection, UUID(request.user_id), REVOKED, kept)
        return pb.RevokeSessionsResponse(revoked=revoked)

    async def _find_refresh_token(self, token: str) -> Owner | None:
        rows = await self._database.fetch(FIND_REFRESH_TOKEN, {"token_sha256": fingerprint(token)})
        return Owner(*rows[0]) if rows else None


async def find_credentials(database: Database, email: str) -> tuple[UUID | None, str | None]:
    """Who has a normalised address, and their password's hash."""
    # PostgreSQL's text cannot hold a NUL, so nobody has such an address.
    rows = await database.fetch(FIND_CREDENTIALS, {"email": "" if "\0" in email else email})
    return (rows[0][0], rows[0][1]) if rows else (None, None)


async def is_registered(connection: AsyncConnection, email: str) -> bool:
    """Whether somebody has proved that a normalised address is theirs."""
    found = sa.func.find_credentials(email).table_valued("user_id")
    return bool((await connection.execute(sa.select(sa.func.count()).select_from(found))).scalar_one())


def this_session() -> UUID | None:
    """The session that the request was made in, if the caller has one."""
    return UUID(current().session_id) if current().session_id else None


def _session(row: Any) -> pb.Session:
    return pb.Session(
        id=str(row.id),
        user_id=current().subject,
        user_agent=row.user_agent,
        address=row.address,
        last_address=row.last_address,
        created_at=timestamp(row.created_at),
        last_used_at=timestamp(row.last_used_at),
        expires_at=timestamp(row.expires_at),
        current=row.id == this_session(),
    )


def wrong_credentials() -> ServiceError:
    return ServiceError("WRONG_CREDENTIALS", "email or password is wrong")
