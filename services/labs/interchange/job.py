"""The job that runs an import: reads the file where it can do no harm, then stores everything in one transaction."""

import asyncio
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from services.kit.database import Database, now
from services.kit.files import Files
from services.kit.imports import ENDED, JOB_ATTEMPTS, Attempt, Attempts
from services.kit.jobs import Jobs, Task
from services.kit.scratch import scratch_directory
from services.labs.biomarkers.aliases import known_aliases
from services.labs.interchange.prepare import Account, Options, prepare
from services.labs.interchange.read_file import read_file
from services.labs.interchange.store import LOCK, Writer
from services.labs.interchange.tables import PREFIX, lab_imports
from services.labs.reports import Report, UnreadableReportError

NAME = "import_lab_file"
# Reading is half of an import.
READ_PCT = 50


def object_key(user_id: str, import_id: str) -> str:
    """Where an import's upload is until the import has ended."""
    return f"{PREFIX}{user_id}/{import_id}"


class LabImportRunner:
    """Runs imports in the worker."""

    def __init__(self, database: Database, files: Files, scratch_directory: Path | None) -> None:
        self._database = database
        self._attempts = Attempts(database, lab_imports, UnreadableReportError)
        self._files = files
        self._scratch = scratch_directory

    async def run(self, user_id: str, import_id: str, request_id: str = "") -> None:
        """Imports one upload, which goes when that has ended. Raises what went wrong if it is to be tried again."""
        try:
            await self._attempts.run(user_id, import_id, self._import)
        finally:
            if await self._has_ended(user_id, import_id):
                await self._files.remove(object_key(user_id, import_id))

    async def _has_ended(self, user_id: str, import_id: str) -> bool:
        same = (lab_imports.c.user_id == user_id) & (lab_imports.c.id == import_id)
        async with self._database.transaction() as connection:
            status = (await connection.execute(sa.select(lab_imports.c.status).where(same))).scalar()
        # One that is gone belongs to somebody who is erased.
        return status is None or status in ENDED

    async def _import(self, attempt: Attempt) -> None:
        file_format, reports = await self._read(attempt)
        read = sum(len(report.results) + len(report.rejected) for report in reports)
        await self._attempts.update(attempt, format=file_format, progress_pct=READ_PCT, records_read=read)
        aliases = await known_aliases(self._database)
        account = Account()
        options = Options(ZoneInfo(attempt.row.time_zone), attempt.row.collected_date, _today())
        # Matching a life of results takes a second, in which the worker has other things to do.
        panels = await asyncio.to_thread(lambda: list(prepare(reports, options, aliases, account)))
        async with self._database.transaction() as connection:
            await connection.execute(LOCK, {"user_id": attempt.user_id})
            writer = Writer(connection, attempt.user_id, attempt.import_id, aliases, account)
            await writer.store(panels)
            await self._attempts.set(
                connection,
                attempt,
                status="succeeded",
                completed_at=sa.func.now(),
                progress_pct=100,
                result=account.result(),
            )

    async def _read(self, attempt: Attempt) -> tuple[str, list[Report]]:
        with scratch_directory(self._scratch) as scratch:
            path = Path(scratch) / "file"
            await self._files.save(object_key(attempt.user_id, attempt.import_id), path)
            return await read_file(path, attempt.row.format, attempt.row.date_order or "")


def _today() -> date:
    return now().date()


def declare_job(jobs: Jobs, runner: LabImportRunner) -> Task:
    """Declares the import job; it is deferred with `user_id` and `import_id`."""
    return jobs.job(NAME, attempts=JOB_ATTEMPTS, long=True)(runner.run)
