"""What tracking exports of a person is what its API shows, and what it erases stays away."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.harness import Running, person, service
from tests.isolation.resources import everything_about
from tests.tracking.conftest import As
from tests.tracking.test_imports import FILE, days, export, imported, objects, steps, upload, worker
from vitalis.common.v1 import person_data_pb2 as pb
from vitalis.common.v1 import person_data_pb2_grpc
from vitalis.tracking.v1 import wearables_pb2

__all__ = ["worker"]


@pytest.fixture
def ada(tracking: Running) -> As:
    return As(tracking, person())


class PersonData:
    """The RPCs of another service about somebody."""

    def __init__(self, running: Running, user_id: str) -> None:
        self._stub = person_data_pb2_grpc.PersonDataServiceStub(running.channel)
        self._metadata = running.metadata(service(user_id))
        self._user_id = user_id

    async def export(self) -> tuple[dict[str, list[dict[str, Any]]], dict[str, bytes]]:
        tables: dict[str, list[dict[str, Any]]] = {}
        files: dict[str, bytes] = {}
        table = path = ""
        request = pb.ExportPersonDataRequest(user_id=self._user_id)
        async for part in self._stub.ExportPersonData(request, metadata=self._metadata, timeout=60):
            match part.WhichOneof("part"):
                case "table":
                    table = part.table.name
                    tables[table] = []
                case "rows":
                    tables[table] += map(json.loads, part.rows.rows)
                case "file":
                    path = part.file.path
                    files[path] = b""
                case "data":
                    files[path] += part.data
        return tables, files

    async def erase(self) -> pb.ErasePersonDataResponse:
        request = pb.ErasePersonDataRequest(user_id=self._user_id)
        return await self._stub.ErasePersonData(request, metadata=self._metadata, timeout=60)


async def test_the_export_is_what_the_api_shows(tracking: Running, ada: As, worker: None) -> None:
    bert = As(tracking, person())
    await imported(bert, export(steps(3, 3000)))
    done = await imported(ada, FILE)
    tables, files = await PersonData(tracking, ada.id).export()
    request = wearables_pb2.ListWearableDailyRequest(user_id=ada.id)
    shown = (await ada.wearables("ListWearableDaily", request)).wearable_daily
    assert {(row["id"], row["date"], row["steps"]) for row in tables["wearable_daily"]} == {
        (row.id, row.date, row.steps) for row in shown
    }
    assert [row["id"] for row in tables["imports"]] == [done.id]
    assert files == {f"imports/{done.id}": FILE}
    assert {row["user_id"] for rows in tables.values() for row in rows} == {ada.id}


async def test_erasure_leaves_neither_rows_nor_files_nor_jobs(
    tmp_path: Path, tracking: Running, ada: As, worker: None
) -> None:
    bert = As(tracking, person())
    await imported(bert, export(steps(3, 3000)))
    of_bert = objects(tmp_path)
    await imported(ada, FILE)
    erased = await PersonData(tracking, ada.id).erase()
    assert {table.name: table.rows for table in erased.tables} == {"imports": 1, "wearable_daily": 2}
    assert erased.files == 1
    assert everything_about(tracking.database, ada.id) == []
    assert objects(tmp_path) == of_bert
    assert await days(bert) == [("2026-03-03", 3000)]
    again = await PersonData(tracking, ada.id).erase()
    assert (list(again.tables), again.files) == ([], 0)


@pytest.mark.parametrize("first", ["import", "erasure"])
async def test_an_import_that_runs_while_its_person_is_erased_stores_nothing(
    tracking: Running, ada: As, first: str
) -> None:
    """Both wait for the person's lock, in either order, and nothing of the import is there when both are done."""
    await upload(ada, FILE)
    jobs = tracking.parts.jobs
    assert jobs
    doing: list[asyncio.Task[Any]] = []
    begin: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "import": lambda: jobs.work(2, 5, 30),
        "erasure": PersonData(tracking, ada.id).erase,
    }
    with psycopg.connect(tracking.database.migrator_url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(hashtextextended('imports:' || %s, 0))", [ada.id])
        for name in sorted(begin, key=lambda name: name != first):
            doing.append(asyncio.create_task(begin[name]()))
            await tracking.database.has_waiting(len(doing))
    erasing = doing[first == "import"]
    erased = await erasing
    assert ("wearable_daily" in {table.name for table in erased.tables}) == (first == "import")
    async with asyncio.timeout(30):
        while running(tracking):
            await asyncio.sleep(0.02)
    assert everything_about(tracking.database, ada.id) == []
    for task in doing:
        task.cancel()


def running(tracking: Running) -> bool:
    with psycopg.connect(tracking.database.migrator_url) as owner:
        jobs = owner.execute("SELECT FROM procrastinate_jobs WHERE task_name = 'import_file'")
        return jobs.fetchone() is not None
