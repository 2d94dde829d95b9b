"""Signing up: an address is somebody's once they have proved it.

No answer, and nothing that a request does, depends on whether an address is
known: a registration is stored and a job is queued for every one. What differs
is what the job finds, and the mail that only the address's owner reads.
"""

from typing import Any
from uuid import UUID

import grpc
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.accounts import accounts
from services.identity.attempts import Attempts
from services.identity.letters import Letters
from services.identity.mail import ATTEMPTS, Mailer
from services.identity.passwords import Passwords
from services.identity.sessions import is_registered, wrong_credentials
from services.identity.sessions.store import ACTIVE, Sessions
from services.identity.users import PUBLIC, acting, normalise_email, to_message, users
from services.identity.verification import EMAIL_VERIFY, create_token, find_owner, token_invalid, use_token
from services.kit.database import Database, Statement, uuid7
from services.kit.jobs import Jobs, Task
from vitalis.identity.v1 import registration_pb2 as pb
from vitalis.identity.v1 import registration_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

# A function of the migrations that runs as the table's owner.
FIND_UNVERIFIED = Statement(
    sa.select(sa.text("user_id")).select_from(
        sa.func.find_unverified(sa.bindparam("email", type_=sa.Text)).table_valued()
    )
)


class RegistrationServicer(registration_pb2_grpc.RegistrationServiceServicer):
    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        attempts: Attempts,
        sessions: Sessions,
        jobs: Jobs,
        verification_mail: Task,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._attempts = attempts
        self._sessions = sessions
        self._jobs = jobs
        self._verification_mail = verification_mail

    async def Register(self, request: pb.RegisterRequest, context: Context) -> pb.RegisterResponse:
        """Stores a registration, which becomes an account when its address is proved. Raises PASSWORD_WEAK."""
        email = normalise_email(request.email)
        await self._passwords.require_strength("password", request.password, [email, request.display_name])
        password_hash = await self._passwords.hash(request.password)
        user_id, account_id = uuid7(), uuid7()
        async with self._database.transaction(acting(user_id)) as connection:
            await connection.execute(
                sa.insert(users).values(
                    id=user_id,
                    email=email,
                    password_hash=password_hash,
                    display_name=request.display_name,
                    account_id=account_id,
                )
            )
            await connection.execute(sa.insert(accounts).values(id=account_id, owner_id=user_id))
            await self._mail(connection, user_id, email)
        return pb.RegisterResponse()

    async def VerifyEmail(self, request: pb.VerifyEmailRequest, context: Context) -> pb.VerifyEmailResponse:
        """Makes a registration an account, and logs in.

        Raises VERIFICATION_TOKEN_INVALID, WRONG_CREDENTIALS and TOO_MANY_ATTEMPTS.
        """
        user_id = await find_owner(self._database, request.token, EMAIL_VERIFY)
        self._passwords.require_room()
        await self._attempts.count(str(user_id))
        async with self._database.transaction(acting(user_id)) as connection:
            query = sa.select(users.c.password_hash).where(users.c.id == user_id)
            stored = (await connection.execute(query)).scalar_one()
        if not (await self._passwords.verify(stored, request.password)).right:
            raise wrong_credentials()
        try:
            return await self._verify(user_id, request.token)
        except IntegrityError:
            # Somebody else has proved the same address since.
            raise token_invalid() from None

    async def _verify(self, user_id: UUID, token: str) -> pb.VerifyEmailResponse:
        update = (
            sa.update(users)
            .where(users.c.id == user_id, ACTIVE, users.c.email_verified_at.is_(None))
            .values(email_verified_at=sa.func.now(), last_login_at=sa.func.now())
            .returning(*PUBLIC)
        )
        async with self._database.transaction(acting(user_id)) as connection:
            await use_token(connection, token, EMAIL_VERIFY)
            row = (await connection.execute(update)).one_or_none()
            if row is None:
                raise token_invalid()
            await self._attempts.forgive(connection, row.email)
            tokens = await self._sessions.start(connection, user_id, row.role)
        return pb.VerifyEmailResponse(user=to_message(row), tokens=tokens)

    async def RequestEmailVerification(
        self, request: pb.RequestEmailVerificationRequest, context: Context
    ) -> pb.RequestEmailVerificationResponse:
        """Queues another mail for the newest registration of an address, or for nobody."""
        email = normalise_email(request.email)
        rows = await self._database.fetch(FIND_UNVERIFIED, {"email": email})
        # A job for nobody costs what one for somebody does, and says no more.
        user_id = rows[0][0] if rows else uuid7()
        async with self._database.transaction(acting(user_id)) as connection:
            await self._mail(connection, user_id, email)
        return pb.RequestEmailVerificationResponse()

    async def _mail(self, connection: AsyncConnection, user_id: UUID, email: str) -> None:
        # Counted here and not by the job, which is repeated when the mail server is away.
        if await self._attempts.may_mail(connection, EMAIL_VERIFY, email):
            await self._jobs.defer(connection, self._verification_mail, lock=str(user_id), user_id=str(user_id))


def declare_verification_mail(jobs: Jobs, database: Database, mailer: Mailer, letters: Letters) -> Task:
    """The job that sends a registration's code, or tells who has the address already."""

    @jobs.job("mail_verification", attempts=ATTEMPTS)
    async def mail_verification(user_id: str) -> None:
        query = sa.select(users.c.email, users.c.password_hash.is_not(None)).where(
            users.c.id == UUID(user_id), users.c.deleted_at.is_(None), users.c.email_verified_at.is_(None)
        )
        async with database.transaction() as connection:
            person = (await connection.execute(query)).one_or_none()
            if person is None:
                return
            email, has_password = person
            if await is_registered(connection, email):
                letter = letters.already_registered()
            else:
                token = await create_token(connection, UUID(user_id), EMAIL_VERIFY)
                letter = letters.verify_email(token) if has_password else letters.prove_email(token)
        await mailer.send(email, *letter)

    return mail_verification
