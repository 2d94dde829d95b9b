"""Mails about a person's second factors, so that who did not do it learns of it."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import mail
from services.identity.mail import Mailer
from services.identity.second_factors.recovery_codes import left
from services.identity.users import REACHABLE, users
from services.kit.caller import current
from services.kit.database import Database
from services.kit.jobs import Jobs

FACTOR_ADDED = "factor_added"
FACTOR_REMOVED = "factor_removed"
LAST_FACTOR_REMOVED = "last_factor_removed"
RECOVERY_CODE_USED = "recovery_code_used"
RECOVERY_CODES_REPLACED = "recovery_codes_replaced"
CODES_GUESSED = "codes_guessed"
PASSKEY_COPIED = "passkey_copied"
IF_NOT_YOU = (
    "If that was not you, somebody else can get into your account: change your password,\n"
    "end the other sessions, and look at your second factors."
)
# The subject and the text of each; {left} is how many recovery codes there are.
TEXTS = {
    FACTOR_ADDED: (
        "A second factor was added",
        f"An authenticator app or a passkey was added to your account.\n\n{IF_NOT_YOU}\n",
    ),
    FACTOR_REMOVED: (
        "A second factor was removed",
        f"An authenticator app or a passkey was removed from your account.\n\n{IF_NOT_YOU}\n",
    ),
    LAST_FACTOR_REMOVED: (
        "Your account has no second factor any more",
        (
            "The last second factor of your account was removed, and its recovery codes with it.\n"
            f"From now on your password alone logs you in.\n\n{IF_NOT_YOU}\n"
        ),
    ),
    RECOVERY_CODE_USED: (
        "A recovery code was used",
        f"One of your recovery codes was used. You have {{left}} left.\n\n{IF_NOT_YOU}\n",
    ),
    RECOVERY_CODES_REPLACED: (
        "Your recovery codes were replaced",
        f"There are new recovery codes for your account; the earlier ones no longer work.\n\n{IF_NOT_YOU}\n",
    ),
    CODES_GUESSED: (
        "Wrong codes for your account",
        (
            "Somebody entered several wrong codes of an authenticator app for your account.\n"
            "Whoever gets that far knows your password or has one of your devices.\n"
            "If that was not you, change your password and end the other sessions.\n"
        ),
    ),
    PASSKEY_COPIED: (
        "A passkey was refused",
        (
            "One of your passkeys was refused, because its counter has gone back: there may be a copy of it.\n"
            "If you do not know why, remove it from your account and register it anew.\n"
        ),
    ),
}


class Notices:
    """Sends them from a job, which is queued on the transaction that was the reason."""

    def __init__(self, database: Database, jobs: Jobs, mailer: Mailer) -> None:
        self._database = database
        self._jobs = jobs
        self._mailer = mailer
        self._job = jobs.job("mail_second_factor_notice", attempts=mail.ATTEMPTS)(self.send)

    async def queue(self, connection: AsyncConnection, user_id: UUID, notice: str | None) -> None:
        """Queues the mail; nothing for None."""
        if notice:
            arguments = {"user_id": str(user_id), "notice": notice, "request_id": current().request_id}
            await self._jobs.defer(connection, self._job, lock=f"mail:{user_id}", **arguments)

    async def send(self, user_id: str, notice: str, request_id: str = "") -> None:
        """Mails the person, if they are still there and have proved where."""
        person = UUID(user_id)
        address = sa.select(users.c.email).where(users.c.id == person, *REACHABLE)
        async with self._database.transaction() as connection:
            email = (await connection.execute(address)).scalar_one_or_none()
            codes = await left(connection, person)
        if email is not None:
            subject, body = TEXTS[notice]
            await self._mailer.send(email, subject, body.format(left=codes))
