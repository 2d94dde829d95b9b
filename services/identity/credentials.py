"""Passwords and addresses that change."""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.attempts import Attempts
from services.identity.base import metadata
from services.identity.credential_mail import CredentialMail
from services.identity.passwords import Passwords
from services.identity.sessions import find_credentials, this_session
from services.identity.sessions.store import PASSWORD_CHANGED, end_sessions
from services.identity.sessions.store import PASSWORD_RESET as ENDED_BY_RESET
from services.identity.users import acting, normalise_email, users
from services.identity.verification import (
    EMAIL_CHANGE,
    PASSWORD_RESET,
    create_token,
    find_owner,
    token_invalid,
    use_token,
    withdraw_tokens,
)
from services.kit.database import Database, uuid7
from services.kit.errors import ServiceError, not_found
from vitalis.identity.v1 import credentials_pb2 as pb
from vitalis.identity.v1 import credentials_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
# The present password and the ones before it that cannot come back.
REMEMBERED = 5

password_history = sa.Table(
    "password_history",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Index(None, "user_id", "created_at"),
)


class CredentialsServicer(credentials_pb2_grpc.CredentialsServiceServicer):
    def __init__(self, database: Database, passwords: Passwords, attempts: Attempts, mail: CredentialMail) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._mail = mail

    async def RequestPasswordReset(
        self, request: pb.RequestPasswordResetRequest, context: Context
    ) -> pb.RequestPasswordResetResponse:
        """Queues a mail for who has the address, or for nobody."""
        email = normalise_email(request.email)
        found, _ = await find_credentials(self._database, email)
        # A job for nobody costs what one for somebody does, and says no more.
        user_id = found or uuid7()
        async with self._database.transaction(acting(user_id)) as connection:
            if await self._attempts.may_mail(connection, PASSWORD_RESET, email):
                await self._mail.defer(connection, self._mail.reset, user_id)
        return pb.RequestPasswordResetResponse()

    async def ResetPassword(self, request: pb.ResetPasswordRequest, context: Context) -> pb.ResetPasswordResponse:
        """Sets a new password and ends all sessions. Raises VERIFICATION_TOKEN_INVALID and PASSWORD_WEAK."""
        user_id = await find_owner(self._database, request.token, PASSWORD_RESET)
        person = await self._find(user_id)
        if person is None:
            raise token_invalid()
        new_hash = await self._acceptable(user_id, person, request.new_password)
        async with self._database.transaction(acting(user_id)) as connection:
            await use_token(connection, request.token, PASSWORD_RESET)
            await _set_password(connection, user_id, person.password_hash, new_hash)
            await withdraw_tokens(connection, user_id, EMAIL_CHANGE)
            await end_sessions(connection, user_id, ENDED_BY_RESET)
            # Whoever reads the mail of the address is no guesser.
            await self._attempts.forgive(connection, person.email)
            await self._mail.defer(connection, self._mail.password_set, user_id)
        return pb.ResetPasswordResponse()

    async def ChangePassword(self, request: pb.ChangePasswordRequest, context: Context) -> pb.ChangePasswordResponse:
        """Sets a new password and ends the other sessions.

        Raises PASSWORD_WRONG, PASSWORD_WEAK, TOO_MANY_ATTEMPTS and NOT_FOUND.
        """
        user_id = UUID(request.user_id)
        person = await self._person(user_id)
        await self._prove(person, request.old_password)
        new_hash = await self._acceptable(user_id, person, request.new_password)
        async with self._database.transaction() as connection:
            await _require_unchanged(connection, user_id, person.password_hash)
            await _set_password(connection, user_id, person.password_hash, new_hash)
            await withdraw_tokens(connection, user_id, PASSWORD_RESET, EMAIL_CHANGE)
            await end_sessions(connection, user_id, PASSWORD_CHANGED, this_session())
            await self._mail.defer(connection, self._mail.password_set, user_id)
        return pb.ChangePasswordResponse()

    async def RequestEmailChange(
        self, request: pb.RequestEmailChangeRequest, context: Context
    ) -> pb.RequestEmailChangeResponse:
        """Remembers the new address and queues the mails. Raises PASSWORD_WRONG, TOO_MANY_ATTEMPTS and NOT_FOUND."""
        user_id, email = UUID(request.user_id), normalise_email(request.new_email)
        await self._prove(await self._person(user_id), request.password)
        async with self._database.transaction() as connection:
            # Holds the place of the token that the job makes when it sends the mail.
            await create_token(connection, user_id, EMAIL_CHANGE, email)
            if await self._attempts.may_mail(connection, EMAIL_CHANGE, email):
                await self._mail.defer(connection, self._mail.confirm_change, user_id)
                await self._mail.defer(connection, self._mail.email_changes, user_id)
        return pb.RequestEmailChangeResponse()

    async def ConfirmEmailChange(
        self, request: pb.ConfirmEmailChangeRequest, context: Context
    ) -> pb.ConfirmEmailChangeResponse:
        """Makes the new address the person's. Raises VERIFICATION_TOKEN_INVALID, also for another person's code."""
        user_id = UUID(request.user_id)
        try:
            async with self._database.transaction() as connection:
                token = await use_token(connection, request.token, EMAIL_CHANGE)
                await connection.execute(
                    sa.update(users)
                    .where(users.c.id == user_id, users.c.deleted_at.is_(None))
                    .values(email=token.email, updated_at=sa.func.now())
                )
                # What went to the old address is no longer the person's.
                await withdraw_tokens(connection, user_id, PASSWORD_RESET)
        except IntegrityError:
            # Somebody else has proved the address since.
            raise token_invalid() from None
        return pb.ConfirmEmailChangeResponse()

    async def _person(self, user_id: UUID) -> Any:
        """Raises NOT_FOUND."""
        person = await self._find(user_id)
        if person is None:
            raise not_found("user")
        return person

    async def _find(self, user_id: UUID) -> Any:
        """Email, name and password of a living person with a proved address; None for nobody."""
        query = sa.select(users.c.email, users.c.display_name, users.c.password_hash).where(
            users.c.id == user_id, users.c.deleted_at.is_(None), users.c.email_verified_at.is_not(None)
        )
        async with self._database.transaction(acting(user_id)) as connection:
            return (await connection.execute(query)).one_or_none()

    async def _prove(self, person: Any, password: str) -> None:
        """Raises PASSWORD_WRONG and TOO_MANY_ATTEMPTS."""
        self._passwords.require_room()
        await self._attempts.count(person.email)
        if not (await self._passwords.verify(person.password_hash, password)).right:
            raise password_wrong()
        async with self._database.transaction() as connection:
            await self._attempts.forgive(connection, person.email)

    async def _acceptable(self, user_id: UUID, person: Any, password: str) -> str:
        """The hash of a new password. Raises PASSWORD_WEAK."""
        await self._passwords.require_strength("new_password", password, [person.email, person.display_name])
        query = (
            sa.select(password_history.c.password_hash)
            .where(password_history.c.user_id == user_id)
            .order_by(password_history.c.created_at.desc(), password_history.c.id.desc())
            .limit(REMEMBERED - 1)
        )
        async with self._database.transaction(acting(user_id)) as connection:
            earlier = list((await connection.execute(query)).scalars())
        present = [person.password_hash] if person.password_hash else []
        await self._passwords.require_unused("new_password", password, present + earlier)
        return await self._passwords.hash(password)


async def _require_unchanged(connection: AsyncConnection, user_id: UUID, stored: str | None) -> None:
    """Locks the person. Raises PASSWORD_WRONG if the password is another one since it was checked."""
    query = sa.select(users.c.password_hash).where(users.c.id == user_id).with_for_update()
    if (await connection.execute(query)).scalar_one() != stored:
        raise password_wrong()


def password_wrong() -> ServiceError:
    return ServiceError("PASSWORD_WRONG", "the password is wrong")


async def _set_password(connection: AsyncConnection, user_id: UUID, before: str | None, new_hash: str) -> None:
    """Stores a new password, and the one before among the earlier, of which it keeps the last few."""
    await connection.execute(sa.update(users).where(users.c.id == user_id).values(password_hash=new_hash))
    if before is None:
        return
    await connection.execute(sa.insert(password_history).values(id=uuid7(), user_id=user_id, password_hash=before))
    kept = (
        sa.select(password_history.c.id)
        .where(password_history.c.user_id == user_id)
        .order_by(password_history.c.created_at.desc(), password_history.c.id.desc())
        .limit(REMEMBERED - 1)
    )
    await connection.execute(
        sa.delete(password_history).where(
            password_history.c.user_id == user_id, password_history.c.id.not_in(kept.scalar_subquery())
        )
    )
