"""The jobs of exports: making one, mailing its link, and removing the files whose time is over."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog

from services.identity import mail
from services.identity.privacy.archive import Archive, Contents
from services.identity.privacy.exports import PREFIX, link_to
from services.identity.privacy.links import Links, Target
from services.identity.privacy.others import OtherServices
from services.identity.privacy.tables import UNFINISHED, WITH_FILE, data_export_requests
from services.identity.settings import IdentitySettings
from services.identity.users import REACHABLE, users
from services.kit import audit
from services.kit.caller import calling, current, service_caller
from services.kit.database import Database, now
from services.kit.files import READ_BYTES, Files
from services.kit.jobs import Jobs, Task
from services.kit.privacy import PersonData
from services.kit.scratch import scratch_directory, sweep_scratch

log = structlog.get_logger()
NAME = "export_person"
# About two hours of exponential backoff: services are deployed, and crash.
ATTEMPTS = 13
LIFETIME = timedelta(days=7)
# What no export's row knows is of a worker that died between the file and the row.
ORPHANED_AFTER = LIFETIME + timedelta(days=1)
SWEEP_BATCH = 500

READY = """\
The export of your data is ready. Whoever has this link can download it, without
logging in, until {expires:%Y-%m-%d %H:%M} UTC:

{url}

If you did not ask for it, log in, revoke the export and change your password.
"""


class Exporter:
    """Collects what all services hold about a person into one file."""

    def __init__(
        self,
        database: Database,
        own: PersonData,
        others: OtherServices,
        files: Files,
        links: Links,
        settings: IdentitySettings,
    ) -> None:
        self._database = database
        self._own = own
        self._others = others
        self._files = files
        self._scratch = settings.scratch_directory
        self._mailer = settings.mailer
        self._links = links
        self._public_url = settings.public_url
        self._jobs: Jobs
        self._mail: Task

    def declare(self, jobs: Jobs) -> Task:
        """Declares the jobs; the one that is answered makes an export of `user_id` and `export_id`."""
        self._jobs = jobs
        self._mail = jobs.job("mail_export", attempts=mail.ATTEMPTS)(self.mail_link)
        jobs.scheduled("11 * * * *", "remove_exports")(self.remove_expired)
        return jobs.job(NAME, attempts=ATTEMPTS, long=True)(self.run)

    async def run(self, user_id: str, export_id: str, request_id: str = "") -> None:
        """Makes an export. Raises what went wrong if it is to be tried again."""
        same = sa.and_(
            data_export_requests.c.user_id == user_id,
            data_export_requests.c.id == export_id,
            data_export_requests.c.status.in_(UNFINISHED),
        )
        begin = sa.update(data_export_requests).where(same)
        begin = begin.values(status="processing", attempts=data_export_requests.c.attempts + 1)
        async with self._database.transaction() as connection:
            attempts = (await connection.execute(begin.returning(data_export_requests.c.attempts))).scalar()
        if attempts is None:
            return
        try:
            await self._make(same, user_id, export_id)
        except Exception:
            if attempts >= ATTEMPTS:
                failed = sa.update(data_export_requests).where(same).values(status="failed", completed_at=sa.func.now())
                async with self._database.transaction() as connection:
                    await connection.execute(failed)
            raise

    async def _make(self, same: sa.ColumnElement[bool], user_id: str, export_id: str) -> None:
        key = f"{PREFIX}{user_id}/{export_id}"
        with scratch_directory(self._scratch) as scratch:
            path = Path(scratch) / "export.zip"
            contents = await self._collect(path, Path(scratch))
            await self._files.put(key, _read(path))
        ready = {
            "status": "ready",
            "completed_at": sa.func.now(),
            "expires_at": sa.func.now() + LIFETIME,
            "object_key": key,
            "file_size_bytes": contents.size_bytes,
            "file_sha256": contents.sha256,
            "row_count": contents.rows,
            "file_count": contents.files,
        }
        table = data_export_requests
        before = (table.c.user_id == user_id) & (table.c.id != export_id) & table.c.status.in_(WITH_FILE)
        expired = {"status": "expired", "expires_at": sa.func.now(), "object_key": None}
        superseded = sa.update(table).where(before).values(expired).returning(table.c.id)
        # Without its row, because the person was erased meanwhile, the file is nobody's.
        gone = [export_id]
        try:
            async with self._database.transaction() as connection:
                if (await connection.execute(sa.update(table).where(same).values(ready))).rowcount:
                    gone = [str(row.id) for row in await connection.execute(superseded)]
                    await audit.record(connection, "EXPORT", {"step": "ready"}, record_id=export_id)
                    await self._jobs.defer(
                        connection, self._mail, lock=f"mail:{user_id}", user_id=user_id, export_id=export_id
                    )
        finally:
            for old in gone:
                await self._files.remove(f"{PREFIX}{user_id}/{old}")

    async def _collect(self, path: Path, scratch: Path) -> Contents:
        archive = await asyncio.to_thread(Archive, path, scratch, current().subject)
        sources: list[tuple[str, AsyncIterator[Any]]] = [("identity", self._own.export())]
        sources += [(name, self._others.export(name)) for name in self._others.names]
        for service, parts in sources:
            async for part in parts:
                await asyncio.to_thread(archive.add, service, part)
            await asyncio.to_thread(archive.end_part)
        return await asyncio.to_thread(archive.close)

    async def mail_link(self, user_id: str, export_id: str) -> None:
        """Mails the link to the person's proved address, unless the export is gone again."""
        query = (
            sa.select(users.c.email, data_export_requests.c.expires_at)
            .join(data_export_requests, data_export_requests.c.user_id == users.c.id)
            .where(data_export_requests.c.id == export_id, data_export_requests.c.status.in_(WITH_FILE), *REACHABLE)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return
        url = link_to(self._links, self._public_url, Target(UUID(user_id), UUID(export_id)), row.expires_at)
        await self._mailer.send(row.email, "Your data is ready", READY.format(expires=row.expires_at, url=url))

    async def remove_expired(self) -> None:
        """Removes the files of exports that have expired, and those that belong to no export.

        An export that is a day old and not made is given up: whatever kept it has ended.
        """
        due = sa.func.exports_to_remove(SWEEP_BATCH).table_valued("user_id", "id", "object_key")
        async with self._database.transaction() as connection:
            await connection.execute(sa.select(sa.func.give_up_exports()))
            rows = (await connection.execute(sa.select(due))).all()
        for user_id, export_id, key in rows:
            await self._files.remove(key)
            with calling(service_caller("identity", str(user_id))):
                async with self._database.transaction() as connection:
                    same = (data_export_requests.c.user_id == user_id) & (data_export_requests.c.id == export_id)
                    gone = {"status": "expired", "object_key": None}
                    await connection.execute(sa.update(data_export_requests).where(same).values(gone))
        await asyncio.to_thread(self._files.remove_broken, PREFIX, now() - ORPHANED_AFTER)
        await asyncio.to_thread(sweep_scratch, self._scratch)
        async for file in self._files.below(PREFIX):
            if file.stored_at < now() - ORPHANED_AFTER:
                await self._files.remove(file.key)


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while block := await asyncio.to_thread(file.read, READ_BYTES):
            yield block
