"""The job that runs an import: reads the file in a thread, then stores everything in one transaction.

Reading takes the time and stores nothing, so a worker that dies, a person who
cancels and a file that turns out to be something else all leave nothing behind.
"""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.kit.database import Database
from services.kit.imports import JOB_ATTEMPTS, Attempt, Attempts, Cancelled
from services.kit.jobs import Jobs, Task
from services.kit.scratch import scratch_directory
from services.kit.uploads import UploadStore
from services.tracking.apple_health import Export, Progress, RefusedFile, read_export
from services.tracking.imports.tables import imports
from services.tracking.imports.write import LOCK, TARGETS, RowCounts
from services.tracking.settings import TrackingSettings

BATCH_ROWS = 200
# Stages of nights, which may be many.
BATCH_ITEMS = 20_000
PROGRESS_INTERVAL_SECONDS = 0.5
NAME = "import_file"
# Reading is most of an import; the rest of the bar belongs to storing.
READING_PCT = 95


class ImportRunner:
    """Runs imports in the worker."""

    def __init__(self, database: Database, store: UploadStore, settings: TrackingSettings) -> None:
        self._database = database
        self._attempts = Attempts(database, imports, RefusedFile)
        self._store = store
        self._scratch = settings.scratch_directory

    async def run(self, user_id: str, import_id: str, request_id: str = "") -> None:
        """Imports one upload. Raises what went wrong if it is to be tried again."""
        await self._attempts.run(user_id, import_id, self._import)

    async def _import(self, attempt: Attempt) -> None:
        with scratch_directory(self._scratch) as scratch:
            export = await self._read(attempt, Path(scratch))
            await self._store_rows(attempt, export)

    async def _read(self, attempt: Attempt, scratch: Path) -> Export:
        """Reads the file in a thread, telling the import's progress meanwhile."""
        latest = Progress(0, 1, 0)
        stop = False

        def on_progress(progress: Progress) -> None:
            nonlocal latest
            latest = progress
            if stop:
                raise Cancelled

        def read() -> Export:
            with self._store.open(attempt.row.object_key, attempt.row.file_size_bytes) as file:
                return read_export(file, scratch, on_progress)

        reading = asyncio.ensure_future(asyncio.to_thread(read))
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=PROGRESS_INTERVAL_SECONDS)
                if not reading.done():
                    share = latest.bytes_read / max(latest.bytes_total, 1)
                    percent = round(min(share, 1.0) * READING_PCT, 1)
                    await self._attempts.update(attempt, progress_pct=percent, records_read=latest.records_read)
        except BaseException:
            # The thread ends at its next report, before its scratch directory goes.
            stop = True
            await asyncio.wait({reading})
            reading.exception()
            raise
        return reading.result()

    async def _store_rows(self, attempt: Attempt, export: Export) -> None:
        kinds = (
            ("wearable_daily", export.daily, "date"),
            ("wearable_sleep", export.sleep, "sleep_date"),
            ("wearable_activities", export.activities, "activity_date"),
        )
        counts: dict[str, RowCounts] = {}
        first, last = "9999", ""
        async with self._database.transaction() as connection:
            await connection.execute(LOCK, {"user_id": attempt.user_id})
            for table, rows, date_column in kinds:
                counts[table] = RowCounts(0, 0, 0, 0)
                while batch := await asyncio.to_thread(_batch, rows):
                    first = min(first, *(str(row[date_column]) for row in batch))
                    last = max(last, *(str(row[date_column]) for row in batch))
                    written = await TARGETS[table].write(connection, attempt.user_id, attempt.import_id, batch)
                    counts[table] = RowCounts(*map(sum, zip(counts[table], written, strict=True)))
            result = {
                **_account(export.account),
                "rows": {table: row_counts._asdict() for table, row_counts in counts.items()},
                "first_date": first if last else "",
                "last_date": last,
            }
            await self._attempts.set(
                connection,
                attempt,
                status="succeeded",
                completed_at=sa.func.now(),
                progress_pct=100,
                records_read=result["records_read"],
                result=result,
            )


def _batch(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    batch: list[dict[str, Any]] = []
    items = 0
    for row in itertools.islice(rows, BATCH_ROWS):
        batch.append(row)
        items += sum(len(value) for value in row.values() if isinstance(value, list))
        if items >= BATCH_ITEMS:
            break
    return batch


def _account(account: Any) -> dict[str, Any]:
    return {
        "records_read": account.records_read,
        "records_used": account.records_used,
        "records_ignored": account.records_ignored,
        "records_rejected": account.records_rejected,
        "ignored_by_type": dict(account.ignored_by_type),
        "rejected_by_reason": dict(account.rejected_by_reason),
        "rejections": [
            {
                "reason": rejection.reason,
                "message": rejection.message,
                "record_type": rejection.record_type,
                "byte_offset": rejection.byte_offset,
            }
            for rejection in account.rejections
        ],
        "warnings": list(account.warnings),
    }


def declare_job(jobs: Jobs, runner: ImportRunner) -> Task:
    """Declares the import job; it is deferred with `user_id` and `import_id`."""
    return jobs.job(NAME, attempts=JOB_ATTEMPTS, long=True)(runner.run)
