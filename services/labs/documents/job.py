"""The job that reads a document: the file to a scratch directory, an extractor over it, its values into the database.

Reading takes the time and stores nothing, so a worker that dies and a person
who deletes the document meanwhile leave nothing behind.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
import structlog

from services.kit.database import Database, changed_at
from services.kit.files import Files
from services.kit.jobs import Jobs, Task
from services.kit.scratch import scratch_directory
from services.labs.biomarkers.aliases import known_aliases
from services.labs.documents.extraction import Extract, Extraction, NothingRead
from services.labs.documents.review import judge_values
from services.labs.documents.store import insert_values
from services.labs.documents.tables import DOCUMENTS, PREFIX, documents

log = structlog.get_logger()
NAME = "parse_document"
REMOVE = "remove_document_file"
MAX_ATTEMPTS = 3
# More than a document's own attempts: a job ends by itself.
JOB_ATTEMPTS = 20
GAVE_UP = "something went wrong each time it was read; the values can be entered by hand"
GONE = "the uploaded file is no longer there"
# Of what else a report might be about, no values are looked for.
WITH_VALUES = "blood_work"


class Attempt(NamedTuple):
    """One attempt at a document; a later one makes it void."""

    user_id: str
    document_id: str
    number: int
    document_type: str

    @property
    def key(self) -> str:
        return f"{PREFIX}{self.user_id}/{self.document_id}"

    def is_current(self) -> sa.ColumnElement[bool]:
        return sa.and_(
            documents.c.user_id == UUID(self.user_id),
            documents.c.id == UUID(self.document_id),
            documents.c.parse_status == "parsing",
            documents.c.attempts == self.number,
            documents.c.deleted_at.is_(None),
        )


class DocumentReader:
    """Reads documents in the worker."""

    def __init__(self, database: Database, files: Files, extract: Extract, scratch: Path | None) -> None:
        self._database = database
        self._files = files
        self._extract = extract
        self._scratch = scratch

    async def run(self, user_id: str, document_id: str, request_id: str = "") -> None:
        """Reads one document. Raises what went wrong if it is to be tried again."""
        attempt = await self._begin(user_id, document_id)
        if attempt is None:
            return
        try:
            extraction = await self._read(attempt)
            values: list[dict[str, Any]] = []
            if attempt.document_type == WITH_VALUES:
                values = await asyncio.to_thread(_values, extraction, await known_aliases(self._database))
            await self._store(attempt, extraction, values)
        except NothingRead as nothing:
            await self._fail(attempt, str(nothing))
        except FileNotFoundError:
            await self._fail(attempt, GONE)
        except asyncio.CancelledError:
            # The worker is stopping, which is no fault of the document's.
            await self._update(attempt, parse_status="pending", attempts=attempt.number - 1)
            raise
        except Exception:
            if attempt.number >= MAX_ATTEMPTS:
                await self._fail(attempt, GAVE_UP)
            else:
                await self._update(attempt, parse_status="pending")
            raise

    async def remove(self, user_id: str, document_id: str, request_id: str = "") -> None:
        """Removes the file of a document that has been deleted."""
        await self._files.remove(f"{PREFIX}{user_id}/{document_id}")

    async def _begin(self, user_id: str, document_id: str) -> Attempt | None:
        table = documents.c
        statement = (
            sa.update(documents)
            .where(
                table.user_id == UUID(user_id),
                table.id == UUID(document_id),
                table.parse_status.in_(("pending", "parsing")),
                table.deleted_at.is_(None),
            )
            .values(parse_status="parsing", attempts=table.attempts + 1, updated_at=changed_at(documents))
            .returning(table.attempts, table.document_type)
        )
        async with self._database.transaction() as connection:
            row = (await connection.execute(statement)).first()
        if row is None:
            return None
        attempt = Attempt(user_id, document_id, row.attempts, row.document_type)
        if attempt.number > MAX_ATTEMPTS:
            # Only a worker that died leaves an attempt without an end.
            await self._fail(attempt, GAVE_UP)
            return None
        return attempt

    async def _fail(self, attempt: Attempt, message: str) -> None:
        await self._update(attempt, parse_status="failed", error_message=message)

    async def _update(self, attempt: Attempt, **values: Any) -> None:
        """Sets columns of the document, unless it has been deleted or another attempt has taken it over."""
        values["updated_at"] = changed_at(documents)
        async with self._database.transaction() as connection:
            await connection.execute(sa.update(documents).where(attempt.is_current()).values(**values))

    async def _read(self, attempt: Attempt) -> Extraction:
        with scratch_directory(self._scratch) as scratch:
            path = Path(scratch, "document")
            await self._files.save(attempt.key, path)
            return await self._extract(path)

    async def _store(self, attempt: Attempt, extraction: Extraction, values: list[dict[str, Any]]) -> None:
        confidences = [value["confidence"] for value in values]
        read: dict[str, Any] = {
            "parse_status": "needs_review",
            "parse_confidence": round(sum(confidences) / len(confidences), 2) if confidences else None,
            "layout": extraction.layout,
            "page_count": extraction.pages,
            "parsed_at": sa.func.now(),
            "error_message": None,
            "document_text": extraction.text,
            "parse_result": json.dumps(extraction.model_dump(exclude={"text"}), ensure_ascii=False),
        }
        async with self._database.transaction() as connection:
            mine = sa.select(documents.c.provider_name, documents.c.report_header).where(attempt.is_current())
            row = (await connection.execute(mine.with_for_update())).first()
            if row is None:
                log.info("document", state="overtaken")
                return
            # What the person has said goes before what the document says.
            if row.provider_name is None:
                read["provider_name"] = extraction.lab_name[:200] or None
            if row.report_header is None:
                read["report_header"] = extraction.header()
            await DOCUMENTS.change(connection, attempt.document_id, read)
            await insert_values(connection, attempt.document_id, values)


def _values(extraction: Extraction, aliases: Mapping[str, str]) -> list[dict[str, Any]]:
    """The values as rows, judged."""
    read = [
        {**found.columns(), "position": number, "source": "read"} for number, found in enumerate(extraction.readings)
    ]
    fresh = {"biomarker": None, "match_method": None, "deleted_at": None}
    judged = judge_values([fresh | value for value in read], aliases)
    return [value | found for value, found in zip(read, judged, strict=True)]


def declare_jobs(jobs: Jobs, reader: DocumentReader) -> tuple[Task, Task]:
    """Declares the jobs that read a document and remove its file, each deferred with `user_id` and `document_id`."""
    return (
        jobs.job(NAME, attempts=JOB_ATTEMPTS, long=True)(reader.run),
        jobs.job(REMOVE, attempts=JOB_ATTEMPTS)(reader.remove),
    )
