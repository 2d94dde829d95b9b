"""Imports as jobs: attempts at a row of a service's table of imports, how each ends, and what may be done with it then.

The table has the columns status, attempts, max_attempts, error_message and the
times of an import; ADR 0005 has the rules. An attempt reads first and then stores
everything in one transaction that also marks the import as succeeded (`set`), on
the condition that it is still this attempt's: what was cancelled, or taken over
by another worker, stores nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.database import Database
from services.kit.errors import ServiceError
from services.kit.resources import Resource

log = structlog.get_logger()
RETRY_SECONDS = 2
GAVE_UP = "something went wrong each time it was tried; the log has the reason"
# More than an import's own attempts: a job ends by itself.
JOB_ATTEMPTS = 20
ENDED = ("succeeded", "failed", "cancelled", "rolled_back")


def has_ended(file_import: Any) -> bool:
    """Whether an import, as a message, does not go on by itself."""
    return file_import.status in ENDED


async def cancel(connection: AsyncConnection, imports: Resource, import_id: str) -> Any:
    """Ends an import here and now, which its job finds out; the import. Raises NOT_FOUND and IMPORT_ENDED."""
    stored = await imports.lock(connection, import_id, "")
    if has_ended(stored):
        raise ServiceError("IMPORT_ENDED", f"the import has ended already: {stored.status.replace('_', ' ')}")
    values = {"status": "cancelled", "completed_at": sa.func.now(), "next_retry_at": None}
    return await imports.change(connection, import_id, values)


async def lock_ended(connection: AsyncConnection, imports: Resource, import_id: str) -> Any:
    """An import that can be rolled back, locked. Raises NOT_FOUND and IMPORT_NOT_ENDED."""
    stored = await imports.lock(connection, import_id, "")
    if not has_ended(stored):
        raise ServiceError("IMPORT_NOT_ENDED", "the import has not ended; cancel it or wait")
    return stored


class Cancelled(Exception):
    """The import was cancelled, or another attempt has taken it over."""


class Attempt(NamedTuple):
    """One attempt at an import; a later one makes it void. `row` is the import's."""

    user_id: str
    import_id: str
    number: int
    last: bool
    row: sa.Row[Any]


class Attempts:
    """The attempts at the imports of one table; `refused` is what a reader raises for a file that is something else."""

    def __init__(self, database: Database, imports: sa.Table, refused: type[Exception]) -> None:
        self._database = database
        self._imports = imports
        self._refused = refused

    async def run(self, user_id: str, import_id: str, work: Callable[[Attempt], Awaitable[None]]) -> None:
        """Makes one attempt. Raises what went wrong if it is to be tried again."""
        attempt = await self._begin(user_id, import_id)
        if attempt is None:
            return
        try:
            await work(attempt)
        except Cancelled:
            log.info("import", state="cancelled")
        except (self._refused, FileNotFoundError) as error:
            message = str(error) if isinstance(error, self._refused) else "the uploaded file is no longer there"
            await self._end(attempt, status="failed", error_message=message)
        except asyncio.CancelledError:
            # The worker is stopping, which is no fault of the file's.
            await self.update(attempt, status="queued", attempts=attempt.number - 1)
            raise
        except Exception:
            if attempt.last:
                await self._end(attempt, status="failed", error_message=GAVE_UP)
            else:
                seconds = RETRY_SECONDS**attempt.number
                again = sa.func.now() + sa.func.make_interval(0, 0, 0, 0, 0, 0, seconds)
                await self.update(attempt, status="queued", next_retry_at=again)
            raise

    async def _begin(self, user_id: str, import_id: str) -> Attempt | None:
        imports = self._imports.c
        statement = (
            sa.update(self._imports)
            .where(imports.user_id == user_id, imports.id == import_id, imports.status.in_(("queued", "running")))
            .values(
                status="running",
                started_at=sa.func.now(),
                attempts=imports.attempts + 1,
                next_retry_at=None,
                progress_pct=0,
                records_read=0,
            )
            .returning(self._imports)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        attempt = Attempt(user_id, import_id, row.attempts, row.attempts >= row.max_attempts, row)
        if row.attempts > row.max_attempts:
            # Only a worker that died leaves an attempt without an end.
            await self._end(attempt, status="failed", error_message=GAVE_UP)
            return None
        return attempt

    async def update(self, attempt: Attempt, **values: Any) -> None:
        """Sets columns of the import. Raises Cancelled if this attempt is no longer the current one."""
        async with self._database.transaction() as connection:
            await self.set(connection, attempt, **values)

    async def set(self, connection: AsyncConnection, attempt: Attempt, **values: Any) -> None:
        """`update` in the caller's transaction."""
        imports = self._imports.c
        is_current = sa.and_(
            imports.user_id == attempt.user_id,
            imports.id == attempt.import_id,
            imports.status == "running",
            imports.attempts == attempt.number,
        )
        statement = sa.update(self._imports).where(is_current).values(**values, updated_at=sa.func.now())
        if not (await connection.execute(statement.returning(imports.id))).first():
            raise Cancelled

    async def _end(self, attempt: Attempt, **values: Any) -> None:
        await self.update(attempt, **values, completed_at=sa.func.now())
