"""The mails about passwords and addresses that change, each sent by a job."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.letters import Letter, Letters
from services.identity.mail import ATTEMPTS, Mailer
from services.identity.sessions import is_registered
from services.identity.sessions.store import ACTIVE
from services.identity.users import users
from services.identity.verification import EMAIL_CHANGE, PASSWORD_RESET, create_token, verification_tokens
from services.kit.database import Database
from services.kit.jobs import Jobs, Task


class CredentialMail:
    """Declares the jobs; `defer` queues one of them for a person."""

    def __init__(self, jobs: Jobs, database: Database, mailer: Mailer, letters: Letters) -> None:
        self._jobs = jobs
        self._database = database
        self._mailer = mailer
        self._letters = letters
        self.reset = jobs.job("mail_password_reset", attempts=ATTEMPTS)(self._reset)
        self.password_set = jobs.job("mail_password_set", attempts=ATTEMPTS)(self._password_set)
        self.confirm_change = jobs.job("mail_email_change", attempts=ATTEMPTS)(self._confirm_change)
        self.email_changes = jobs.job("mail_email_changes", attempts=ATTEMPTS)(self._email_changes)

    async def defer(self, connection: AsyncConnection, job: Task, user_id: UUID) -> None:
        """Queues a mail about a person on the transaction of `connection`."""
        await self._jobs.defer(connection, job, lock=str(user_id), user_id=str(user_id))

    async def _reset(self, user_id: str) -> None:
        """The code for a new password; nothing for nobody, and for who may not log in."""
        async with self._database.transaction() as connection:
            if email := await _address(connection, user_id):
                letter = self._letters.reset_password(await create_token(connection, UUID(user_id), PASSWORD_RESET))
        if email:
            await self._mailer.send(email, *letter)

    async def _password_set(self, user_id: str) -> None:
        await self._tell(user_id, self._letters.password_set())

    async def _email_changes(self, user_id: str) -> None:
        await self._tell(user_id, self._letters.email_changes())

    async def _confirm_change(self, user_id: str) -> None:
        """The code for a new address, to that address; who has it as their own is told instead."""
        pending = sa.select(verification_tokens.c.email).where(
            verification_tokens.c.user_id == UUID(user_id),
            verification_tokens.c.kind == EMAIL_CHANGE,
            verification_tokens.c.used_at.is_(None),
        )
        async with self._database.transaction() as connection:
            # Locked: what is withdrawn at this moment does not come back with a new code.
            new_email = (await connection.execute(pending.with_for_update())).scalar_one_or_none()
            if new_email is None:
                return
            if await is_registered(connection, new_email):
                letter = self._letters.already_registered()
            else:
                letter = self._letters.change_email(
                    await create_token(connection, UUID(user_id), EMAIL_CHANGE, new_email)
                )
        await self._mailer.send(new_email, *letter)

    async def _tell(self, user_id: str, letter: Letter) -> None:
        async with self._database.transaction() as connection:
            email = await _address(connection, user_id)
        if email:
            await self._mailer.send(email, *letter)


async def _address(connection: AsyncConnection, user_id: str) -> str | None:
    """The proved address of somebody who may log in."""
    query = sa.select(users.c.email).where(users.c.id == UUID(user_id), users.c.email_verified_at.is_not(None), ACTIVE)
    email: str | None = (await connection.execute(query)).scalar_one_or_none()
    return email
