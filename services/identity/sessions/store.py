"""Sessions and refresh tokens: their tables, and how a session starts, goes on and ends."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.base import metadata
from services.identity.second_factors.challenges import end_log_ins
from services.identity.tokens import AccessTokens, fingerprint, new_refresh_token
from services.identity.users import PUBLIC, timestamp, to_message, users
from services.kit.audit import record
from services.kit.caller import current
from services.kit.database import uuid7
from services.kit.errors import ServiceError
from vitalis.identity.v1 import sessions_pb2 as pb
from vitalis.identity.v1 import users_pb2

log = structlog.get_logger()
# Why a session has ended.
LOGGED_OUT = "logged_out"
REUSED = "refresh_token_reused"
REVOKED = "revoked"
PASSWORD_CHANGED = "password_changed"
PASSWORD_RESET = "password_reset"
FORCED = "forced"
SUSPENDED = "suspended"
DELETED = "deleted"
REASONS = (LOGGED_OUT, REUSED, REVOKED, PASSWORD_CHANGED, PASSWORD_RESET, FORCED, SUSPENDED, DELETED)
USER_AGENT_LENGTH, ADDRESS_LENGTH = 400, 45

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
    sa.Column("user_agent", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("last_address", sa.Text),
    sa.UniqueConstraint("user_id", "id"),
    sa.CheckConstraint("(revoked_at IS NULL) = (revoked_reason IS NULL)", name="revoked"),
    sa.CheckConstraint(sa.column("revoked_reason").in_(REASONS), name="revoked_reason"),
    sa.CheckConstraint(f"char_length(user_agent) <= {USER_AGENT_LENGTH}", name="user_agent"),
    sa.CheckConstraint(f"char_length(address) <= {ADDRESS_LENGTH}", name="address"),
    sa.CheckConstraint(f"char_length(last_address) <= {ADDRESS_LENGTH}", name="last_address"),
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

# Who may have a session: SQL over `users`.
ACTIVE = sa.and_(users.c.deleted_at.is_(None), users.c.account_status == "active")


class Lifetimes(NamedTuple):
    """How long a refresh token lasts if unused, and a session at the very most."""

    refresh_token: timedelta
    session: timedelta


class Owner(NamedTuple):
    """Whose a refresh token is, whatever the state of either."""

    user_id: UUID
    session_id: UUID


class Sessions:
    """Starts sessions and carries them on. Every way of logging in ends in `start`, most by `log_in`."""

    def __init__(self, access_tokens: AccessTokens, lifetimes: Lifetimes) -> None:
        self._access_tokens = access_tokens
        self._lifetimes = lifetimes

    async def log_in(self, connection: AsyncConnection, user_id: UUID) -> tuple[users_pb2.User, pb.Tokens]:
        """A new session of a person who has proved who they are, with all the factors they have.

        Raises ACCOUNT_SUSPENDED.
        """
        update = (
            sa.update(users).where(users.c.id == user_id, ACTIVE).values(last_login_at=sa.func.now()).returning(*PUBLIC)
        )
        row = (await connection.execute(update)).one_or_none()
        if row is None:
            raise account_suspended()
        return to_message(row), await self.start(connection, user_id, row.role)

    async def start(self, connection: AsyncConnection, user_id: UUID, role: str) -> pb.Tokens:
        """A new session of a person who has proved who they are, on a transaction of theirs.

        It is always new: no id or token that was there before the log-in lives on in it.
        """
        session_id = uuid7()
        address = _place(current().address, ADDRESS_LENGTH)
        insert = (
            sa.insert(sessions)
            .values(
                id=session_id,
                user_id=user_id,
                expires_at=sa.func.now() + self._lifetimes.session,
                user_agent=_place(current().user_agent, USER_AGENT_LENGTH),
                address=address,
                last_address=address,
            )
            .returning(sessions.c.expires_at)
        )
        session_ends = (await connection.execute(insert)).scalar_one()
        tokens, _ = await self._issue(connection, Owner(user_id, session_id), role, session_ends)
        await record(connection, "LOGIN", table=sessions.name, record_id=session_id)
        return tokens

    async def rotate(self, connection: AsyncConnection, found: Owner, token_sha256: bytes) -> pb.Tokens | ServiceError:
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
                ACTIVE,
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
            await end_session(connection, found.session_id, REUSED)
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
            sa.update(sessions)
            .where(sessions.c.id == found.session_id)
            .values(last_used_at=sa.func.now(), last_address=_place(current().address, ADDRESS_LENGTH))
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


async def end_session(connection: AsyncConnection, session_id: UUID, reason: str) -> bool:
    """Ends a session of the transaction's person; one that was ended before keeps its first reason."""
    ended = await connection.execute(
        sa.update(sessions)
        .where(sessions.c.id == session_id, sessions.c.revoked_at.is_(None))
        .values(revoked_at=sa.func.now(), revoked_reason=reason)
    )
    return ended.rowcount > 0


async def end_sessions(
    connection: AsyncConnection, user_id: UUID, reason: str, except_session: UUID | None = None
) -> int:
    """Ends a person's living sessions but perhaps one, on a transaction of that person; how many.

    So do log-ins that wait for a second factor: what began them may not hold any more.
    """
    await end_log_ins(connection, user_id)
    ended = await connection.execute(
        sa.update(sessions)
        .where(
            sessions.c.user_id == user_id,
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > sa.func.now(),
            sessions.c.id.is_distinct_from(except_session),
        )
        .values(revoked_at=sa.func.now(), revoked_reason=reason)
    )
    return ended.rowcount


def account_suspended() -> ServiceError:
    return ServiceError("ACCOUNT_SUSPENDED", "the account is suspended")


def refresh_token_invalid() -> ServiceError:
    return ServiceError("REFRESH_TOKEN_INVALID", "the refresh token is not valid; log in again")


def _place(text: str, length: int) -> str | None:
    """What a client says of itself, as far as it can be stored; None if it says nothing."""
    return text.replace("\0", "")[:length] or None
