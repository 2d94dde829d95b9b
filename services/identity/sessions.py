"""Sessions: signing up, logging in, staying logged in, logging out.

Before a request has proved whose it is, the database shows it nobody's rows. Two
functions that run as the tables' owner look up what the proof needs and nothing
else; the rest of the request is a transaction of the person it belongs to.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import grpc
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.accounts import accounts
from services.identity.base import metadata
from services.identity.passwords import Passwords
from services.identity.tokens import AccessTokens, fingerprint, new_refresh_token
from services.identity.users import PUBLIC, acting, normalise_email, timestamp, to_message, users
from services.kit.caller import current
from services.kit.database import Database, Statement, uuid7
from services.kit.errors import ServiceError, Violation
from vitalis.identity.v1 import sessions_pb2 as pb
from vitalis.identity.v1 import sessions_pb2_grpc

log = structlog.get_logger()
Context = grpc.aio.ServicerContext[Any, Any]

LOGGED_OUT = "logged_out"
REUSED = "refresh_token_reused"

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
    sa.Column("revoked_reason", sa.Text),
    sa.UniqueConstraint("user_id", "id"),
    sa.CheckConstraint("(revoked_at IS NULL) = (revoked_reason IS NULL)", name="revoked"),
    sa.CheckConstraint(sa.column("revoked_reason").in_((LOGGED_OUT, REUSED)), name="revoked_reason"),
)

refresh_tokens = sa.Table(
    "refresh_tokens",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("session_id", sa.Uuid, nullable=False),
    sa.Column("token_sha256", sa.LargeBinary, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_at", sa.DateTime(timezone=True)),
    sa.Column("replaced_by", sa.Uuid),
    # Looked up before the owner is known, so the owner cannot come first.
    sa.UniqueConstraint("token_sha256"),
    # A token's owner is its session's owner, whatever the code does.
    sa.ForeignKeyConstraint(["user_id", "session_id"], ["sessions.user_id", "sessions.id"], ondelete="CASCADE"),
    sa.Index(None, "user_id", "session_id"),
    sa.CheckConstraint("octet_length(token_sha256) = 32", name="token_sha256"),
    sa.CheckConstraint("(used_at IS NULL) = (replaced_by IS NULL)", name="used"),
)

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


class Lifetimes(NamedTuple):
    """How long a refresh token lasts if unused, and a session at the very most."""

    refresh_token: timedelta
    session: timedelta


class Owner(NamedTuple):
    """Whose a refresh token is, whatever the state of either."""

    user_id: UUID
    session_id: UUID


class SessionsServicer(sessions_pb2_grpc.SessionsServiceServicer):
    def __init__(
        self, database: Database, passwords: Passwords, access_tokens: AccessTokens, lifetimes: Lifetimes
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._access_tokens = access_tokens
        self._lifetimes = lifetimes

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """A new person and their first session. Raises EMAIL_TAKEN."""
        password_hash = await self._passwords.hash(request.password)
        user_id, account_id = uuid7(), uuid7()
        # ON CONFLICT rather than a look before: two people at once cannot both pass.
        insert = (
            postgresql.insert(users)
            .values(
                id=user_id,
                email=normalise_email(request.email),
                password_hash=password_hash,
                display_name=request.display_name,
                account_id=account_id,
                email_verified_at=sa.func.now(),
                last_login_at=sa.func.now(),
            )
            .on_conflict_do_nothing(
                index_elements=["email"],
                index_where=sa.and_(users.c.deleted_at.is_(None), users.c.email_verified_at.is_not(None)),
            )
            .returning(*PUBLIC)
        )
        async with self._database.transaction(acting(user_id)) as connection:
            row = (await connection.execute(insert)).one_or_none()
            if row is None:
                raise email_taken()
            await connection.execute(sa.insert(accounts).values(id=account_id, owner_id=user_id))
            tokens = await self._start_session(connection, user_id, row.role)
        return pb.RegisterResponse(user=to_message(row), tokens=tokens)

    async def LogIn(self, request: pb.LogInRequest, context: Context) -> pb.LogInResponse:
        """A new session of an existing person. Raises WRONG_CREDENTIALS, which does not say what was wrong."""
        user_id, stored = await self._find_credentials(normalise_email(request.email))
        # Outside any transaction: a connection is not held while hashing.
        verdict = await self._passwords.verify(stored, request.password)
        if user_id is None or not verdict.right:
            raise wrong_credentials()
        update = (
            sa.update(users)
            .where(users.c.id == user_id, users.c.deleted_at.is_(None))
            .values(last_login_at=sa.func.now())
            .returning(*PUBLIC)
        )
        async with self._database.transaction(acting(user_id)) as connection:
            row = (await connection.execute(update)).one_or_none()
            if row is None:
                raise wrong_credentials()
            if verdict.replacement:
                await _replace_hash(connection, user_id, stored, verdict.replacement)
            tokens = await self._start_session(connection, user_id, row.role)
        return pb.LogInResponse(user=to_message(row), tokens=tokens)

    async def RefreshSession(self, request: pb.RefreshSessionRequest, context: Context) -> pb.RefreshSessionResponse:
        """The next tokens of a session. Raises REFRESH_TOKEN_INVALID, REFRESH_TOKEN_REUSED."""
        found = await self._find_refresh_token(request.refresh_token)
        if found is None:
            raise refresh_token_invalid()
        # The reason leaves the block as a value, because raising in it would
        # take back that a reused token has ended the session.
        async with self._database.transaction(acting(found.user_id)) as connection:
            outcome = await self._rotate(connection, found, fingerprint(request.refresh_token))
        if isinstance(outcome, ServiceError):
            raise outcome
        return pb.RefreshSessionResponse(tokens=outcome)

    async def LogOut(self, request: pb.LogOutRequest, context: Context) -> pb.LogOutResponse:
        """Ends the session of any of its refresh tokens; a token that is worthless already is no error."""
        found = await self._find_refresh_token(request.refresh_token)
        if found is not None:
            async with self._database.transaction(acting(found.user_id)) as connection:
                await _revoke(connection, found.session_id, LOGGED_OUT)
        return pb.LogOutResponse()

    async def GetKeySet(self, request: pb.GetKeySetRequest, context: Context) -> pb.GetKeySetResponse:
        """The keys that verify access tokens."""
        return pb.GetKeySetResponse(keys=[pb.Key(**key) for key in self._access_tokens.key_set])

    async def _find_credentials(self, email: str) -> tuple[UUID | None, str | None]:
        # PostgreSQL's text cannot hold a NUL, so nobody has such an address.
        rows = [] if "\0" in email else await self._database.fetch(FIND_CREDENTIALS, {"email": email})
        return (rows[0][0], rows[0][1]) if rows else (None, None)

    async def _find_refresh_token(self, token: str) -> Owner | None:
        rows = await self._database.fetch(FIND_REFRESH_TOKEN, {"token_sha256": fingerprint(token)})
        return Owner(*rows[0]) if rows else None

    async def _start_session(self, connection: AsyncConnection, user_id: UUID, role: str) -> pb.Tokens:
        session_id = uuid7()
        insert = (
            sa.insert(sessions)
            .values(id=session_id, user_id=user_id, expires_at=sa.func.now() + self._lifetimes.session)
            .returning(sessions.c.expires_at)
        )
        session_ends = (await connection.execute(insert)).scalar_one()
        tokens, _ = await self._issue(connection, Owner(user_id, session_id), role, session_ends)
        return tokens

    async def _rotate(self, connection: AsyncConnection, found: Owner, token_sha256: bytes) -> pb.Tokens | ServiceError:
        """The next tokens, or why there are none. A used token ends the session."""
        # The lock makes one line of all that happens to a session, so that of two
        # requests with one token exactly one finds it unused. What is read under
        # it is read by later statements, which see what the one before committed.
        await connection.execute(sa.select(sessions.c.id).where(sessions.c.id == found.session_id).with_for_update())
        state = sa.select(
            refresh_tokens.c.id,
            refresh_tokens.c.used_at,
            sessions.c.expires_at.label("session_ends"),
            users.c.role,
            sa.and_(
                refresh_tokens.c.expires_at > sa.func.now(),
                sessions.c.expires_at > sa.func.now(),
                sessions.c.revoked_at.is_(None),
                users.c.deleted_at.is_(None),
            ).label("holds"),
        )
        joined = refresh_tokens.join(sessions, refresh_tokens.c.session_id == sessions.c.id).join(
            users, sessions.c.user_id == users.c.id
        )
        query = state.select_from(joined).where(refresh_tokens.c.token_sha256 == token_sha256)
        row = (await connection.execute(query)).one_or_none()
        if row is None:
            return refresh_token_invalid()
        if row.used_at is not None:
            await _revoke(connection, found.session_id, REUSED)
            log.warning("a refresh token was used twice; its session has ended", request_id=current().request_id)
            return ServiceError(
                "REFRESH_TOKEN_REUSED", "the refresh token was used before; its session has ended, log in again"
            )
        if not row.holds:
            return refresh_token_invalid()
        tokens, successor = await self._issue(connection, found, row.role, row.session_ends)
        await connection.execute(
            sa.update(refresh_tokens)
            .where(refresh_tokens.c.id == row.id)
            .values(used_at=sa.func.now(), replaced_by=successor)
        )
        await connection.execute(
            sa.update(sessions).where(sessions.c.id == found.session_id).values(last_used_at=sa.func.now())
        )
        return tokens

    async def _issue(
        self, connection: AsyncConnection, session: Owner, role: str, session_ends: datetime
    ) -> tuple[pb.Tokens, UUID]:
        """New tokens, and the id of the refresh token among them."""
        token_id, token = uuid7(), new_refresh_token()
        expires = sa.func.least(sa.func.now() + self._lifetimes.refresh_token, session_ends)
        insert = (
            sa.insert(refresh_tokens)
            .values(
                id=token_id,
                user_id=session.user_id,
                session_id=session.session_id,
                token_sha256=fingerprint(token),
                expires_at=expires,
            )
            .returning(refresh_tokens.c.expires_at)
        )
        refresh_ends = (await connection.execute(insert)).scalar_one()
        access = self._access_tokens.issue(session.user_id, session.session_id, role)
        tokens = pb.Tokens(
            access_token=access.token,
            access_token_expires_at=timestamp(access.expires_at),
            refresh_token=token,
            refresh_token_expires_at=timestamp(refresh_ends),
        )
        return tokens, token_id


async def _revoke(connection: AsyncConnection, session_id: UUID, reason: str) -> None:
    """Ends a session; one that was ended before keeps its first reason."""
    await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now(), revoked_reason=reason)
    )


async def _replace_hash(connection: AsyncConnection, user_id: UUID, stored: str | None, replacement: str) -> None:
    """Stores the hash of newer parameters, unless the password has changed since it was read."""
    await connection.execute(
        sa.update(users).where(users.c.id == user_id, users.c.password_hash == stored).values(password_hash=replacement)
    )


def email_taken() -> ServiceError:
    rule = "is already registered; log in instead"
    return ServiceError("EMAIL_TAKEN", f"email: {rule}", violations=[Violation("email", rule)])


def wrong_credentials() -> ServiceError:
    return ServiceError("WRONG_CREDENTIALS", "email or password is wrong")


def refresh_token_invalid() -> ServiceError:
    return ServiceError("REFRESH_TOKEN_INVALID", "the refresh token is not valid; log in again")
