"""The addresses of people whom a provider signed up without answering for where they can be reached."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.attempts import Attempts
from services.identity.users import normalise_email, users
from services.identity.verification import EMAIL_VERIFY, find_owner, token_invalid, use_token
from services.kit.database import Database
from services.kit.jobs import Jobs, Task


class Addresses:
    """Has a code mailed to an address, and takes it from whoever is signed in.

    Being signed in is what a registration's password is otherwise: who gets a
    stranger's mail cannot make that stranger's account one with their address.
    """

    def __init__(self, database: Database, attempts: Attempts, jobs: Jobs, verification_mail: Task) -> None:
        self._database = database
        self._attempts = attempts
        self._jobs = jobs
        self._verification_mail = verification_mail

    async def mail(self, connection: AsyncConnection, user_id: UUID, email: str) -> None:
        """Queues the mail, on a transaction of the person."""
        if await self._attempts.may_mail(connection, EMAIL_VERIFY, normalise_email(email)):
            await self._jobs.defer(connection, self._verification_mail, lock=str(user_id), user_id=str(user_id))

    async def prove(self, user_id: UUID, token: str) -> None:
        """Verifies the person's address. Raises VERIFICATION_TOKEN_INVALID."""
        if await find_owner(self._database, token, EMAIL_VERIFY) != user_id:
            raise token_invalid()
        update = (
            sa.update(users)
            .where(users.c.id == user_id, users.c.email_verified_at.is_(None), users.c.password_hash.is_(None))
            .values(email_verified_at=sa.func.now())
            .returning(users.c.id)
        )
        try:
            async with self._database.transaction() as connection:
                await use_token(connection, token, EMAIL_VERIFY)
                if (await connection.execute(update)).one_or_none() is None:
                    raise token_invalid()
        except IntegrityError:
            # Somebody else has proved the same address since.
            raise token_invalid() from None
