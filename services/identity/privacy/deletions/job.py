"""The jobs of deletions: the mail that confirms one, and the erasure itself.

Read `Eraser.advance` from top to bottom: it is how somebody is erased. Every step
can be repeated, and what has been done is in the deletion's row, so that a worker
that dies and a service that is away for days only make it longer.
"""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import JSONB

from services.identity import mail
from services.identity.privacy.links import CANCEL_DELETION, Links, Target
from services.identity.privacy.others import OtherServices
from services.identity.privacy.tables import deletion_requests
from services.identity.sessions.store import DELETED, end_sessions
from services.identity.settings import IdentitySettings
from services.identity.users import REACHABLE, users
from services.kit.caller import calling, service_caller
from services.kit.database import Database
from services.kit.errors import ServiceError
from services.kit.jobs import Jobs, Task
from services.kit.privacy import Erased, PersonData
from services.kit.telemetry import where

log = structlog.get_logger()
BATCH = 20
# Longer than a service may take to answer: nobody else takes the deletion up meanwhile.
LEASE = timedelta(minutes=30)
FIRST_RETRY = timedelta(minutes=1)
LAST_RETRY = timedelta(hours=1)
# An access token lives for 15 minutes and an upload for an hour: what was begun
# before the account was closed has ended by then, and goes in the second pass.
SWEEP_AFTER = timedelta(hours=2)
PASSES = 2

CONFIRMATION = """\
You asked for your account and everything in it to be deleted. That happens on
{ends:%Y-%m-%d %H:%M} UTC and cannot be undone. Until then nothing changes.

If you change your mind, log in and cancel it, or cancel it without logging in:

    vitalis cancel-deletion --token {token}

The same over HTTP: POST {url}/api/v1/deletions:cancel with {{"token": "..."}}.

If it was not you who asked, cancel it and change your password.
"""


class Claim(NamedTuple):
    """A deletion that this worker has for as long as the lease lasts."""

    id: UUID
    user_id: UUID
    category: str
    passes: int
    answered: list[str]
    attempts: int


class Eraser:
    """Erases people when their time has come."""

    def __init__(
        self, database: Database, own: PersonData, others: OtherServices, links: Links, settings: IdentitySettings
    ) -> None:
        self._database = database
        self._own = own
        self._others = others
        self._links = links
        self._mailer = settings.mailer
        self._public_url = settings.public_url

    def declare(self, jobs: Jobs) -> tuple[Task, Task]:
        """Declares the jobs; answers the one that mails, and the one that erases what is due."""
        jobs.scheduled("* * * * *", "advance_deletions", long=True)(self.advance_all)
        mailing = jobs.job("mail_deletion", attempts=mail.ATTEMPTS)(self.mail_confirmation)
        return mailing, jobs.job("erase_at_once", long=True)(self.advance_all)

    async def mail_confirmation(self, user_id: str, deletion_id: str) -> None:
        """Mails when it will be, and how to cancel it; nothing if it was cancelled meanwhile."""
        query = (
            sa.select(users.c.email, deletion_requests.c.grace_period_ends_at)
            .join(deletion_requests, deletion_requests.c.user_id == users.c.id)
            .where(deletion_requests.c.id == deletion_id, deletion_requests.c.status == "pending", *REACHABLE)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return
        email, ends = row
        token = self._links.sign(CANCEL_DELETION, Target(UUID(user_id), UUID(deletion_id)), ends)
        body = CONFIRMATION.format(ends=ends, token=token, url=self._public_url)
        await self._mailer.send(email, "Your account will be deleted", body)

    async def advance_all(self) -> None:
        """Takes up every deletion that is due, one after the other."""
        due = sa.func.claim_deletions(BATCH, LEASE).table_valued(*Claim._fields)
        async with self._database.transaction() as connection:
            claims = [Claim(*row) for row in await connection.execute(sa.select(due))]
        for claim in claims:
            with calling(service_caller("identity", str(claim.user_id))):
                try:
                    await self.advance(claim)
                except Exception as error:
                    # Tried again when the lease is over; nobody else waits for it.
                    log.error("erasure", state="failed", kind=type(error).__name__, where=where(error))

    async def advance(self, claim: Claim) -> None:
        """As far as it goes now: everything again later, but what has been done."""
        if not claim.category:
            await self._close_account(claim.user_id)
        silent = [name for name in self._others.names if name not in claim.answered]
        for name in tuple(silent):
            try:
                erased = await self._others.erase(name, claim.category)
            except ServiceError as error:
                log.warning("erasure", service=name, reason=error.reason.name, attempts=claim.attempts)
                continue
            silent.remove(name)
            await self._note(claim, {name: erased}, answered=sa.func.array_append(deletion_requests.c.answered, name))
        if silent:
            wait = min(FIRST_RETRY * 2 ** min(claim.attempts - 1, 10), LAST_RETRY)
            await self._note(claim, {}, next_attempt_at=sa.func.now() + wait)
        elif claim.category:
            erased = await self._own.erase(claim.category)
            await self._note(claim, {"identity": erased}, status="completed", completed_at=sa.func.now())
        elif claim.passes + 1 < PASSES:
            again = {"passes": claim.passes + 1, "answered": [], "attempts": 0}
            await self._note(claim, {}, **again, next_attempt_at=sa.func.now() + SWEEP_AFTER)
        else:
            await self._finish(claim)

    async def _close_account(self, user_id: UUID) -> None:
        """Ends every session and the account's use, before anything goes; repeating it changes nothing."""
        closed = sa.update(users).where(users.c.id == user_id, users.c.deleted_at.is_(None))
        async with self._database.transaction() as connection:
            await end_sessions(connection, user_id, DELETED)
            await connection.execute(
                closed.values(
                    deleted_at=sa.func.now(), account_status="deleted", suspended_at=None, updated_at=sa.func.now()
                )
            )
            await connection.execute(sa.select(sa.func.hand_over_accounts()))

    async def _note(self, claim: Claim, erased: dict[str, Erased], **values: Any) -> None:
        """Stores what has been done, and what follows."""
        async with self._database.transaction() as connection:
            same = deletion_requests.c.id == claim.id
            query = sa.select(deletion_requests.c.erased).where(same).with_for_update()
            counts = _added((await connection.execute(query)).scalar_one(), erased)
            await connection.execute(sa.update(deletion_requests).where(same).values(erased=counts, **values))

    async def _finish(self, claim: Claim) -> None:
        """Erases identity's own, the person's row with it, and takes their id out of the record."""
        erased = await self._own.erase()
        async with self._database.transaction() as connection:
            query = sa.select(deletion_requests.c.erased).where(deletion_requests.c.id == claim.id)
            counts = _added((await connection.execute(query)).scalar_one(), {"identity": erased})
            done = sa.func.finish_deletion(claim.id, sa.bindparam("counts", counts, type_=JSONB))
            await connection.execute(sa.select(done))
        log.info("erasure", state="completed", services=len(self._others.names) + 1)


def _added(counts: dict[str, Any], erased: dict[str, Erased]) -> dict[str, Any]:
    """The numbers by service, with those of another erasure added."""
    total = dict(counts)
    for service, more in erased.items():
        before = total.get(service, {"rows": {}, "files": 0})
        rows = dict(before["rows"])
        for table, count in more.rows.items():
            rows[table] = rows.get(table, 0) + count
        total[service] = {"rows": rows, "files": before["files"] + more.files}
    return total
