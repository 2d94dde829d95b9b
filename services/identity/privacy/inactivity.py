"""Who has been away for two years is told once that their data are still here."""

from datetime import timedelta

import sqlalchemy as sa

from services.identity import mail
from services.identity.settings import IdentitySettings
from services.identity.users import REACHABLE, users
from services.kit.database import Database, now
from services.kit.jobs import Jobs, Task

AWAY = timedelta(days=730)
BATCH = 200

NOTICE = """\
You have not logged in for two years. What you stored is kept for you, and
nothing happens to it unless you say so.

If you want to take it along or have it deleted, log in at

{url}

and ask for an export, or for your account to be deleted. This is the only mail
about it, until you come back.
"""


class InactivityNotices:
    """The jobs that find and tell them."""

    def __init__(self, database: Database, settings: IdentitySettings) -> None:
        self._database = database
        self._mailer = settings.mailer
        self._public_url = settings.public_url
        self._jobs: Jobs
        self._mail: Task

    def declare(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._mail = jobs.job("mail_inactivity", attempts=mail.ATTEMPTS)(self.mail_notice)
        jobs.scheduled("47 4 * * *", "notify_inactive")(self.notify)

    async def notify(self) -> None:
        """Queues a mail to each, on the transaction that remembers that they were told."""
        while True:
            async with self._database.transaction() as connection:
                claimed = sa.select(sa.func.claim_inactive_people(now() - AWAY, BATCH))
                people = (await connection.execute(claimed)).scalars().all()
                for person in people:
                    await self._jobs.defer(connection, self._mail, lock=f"mail:{person}", user_id=str(person))
            if len(people) < BATCH:
                return

    async def mail_notice(self, user_id: str) -> None:
        """Mails one of them, unless they have gone."""
        query = sa.select(users.c.email).where(users.c.id == user_id, *REACHABLE)
        async with self._database.transaction() as connection:
            email = (await connection.execute(query)).scalar_one_or_none()
        if email is not None:
            await self._mailer.send(email, "Are you still there?", NOTICE.format(url=self._public_url))
