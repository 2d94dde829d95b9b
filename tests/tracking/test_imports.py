"""Imports through the stub, with the worker running beside the service, on a real PostgreSQL."""

import asyncio
import io
import os
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from google.api import httpbody_pb2

from services.kit.caller import calling, service_caller
from services.kit.database import now, uuid7
from services.kit.files import Files
from services.kit.paging import encode_token
from services.tracking.imports import UploadSweeper
from services.tracking.imports.tables import imports
from services.tracking.settings import TrackingSettings
from tests.databases import ServiceDatabase
from tests.harness import Running, failure, person, reason
from tests.tracking.conftest import As
from vitalis.tracking.v1 import imports_pb2 as pb
from vitalis.tracking.v1 import wearables_pb2

CHUNK = 50_000


def record(kind: str, value: object, unit: str, start: str, end: str = "", source: str = "Phone") -> str:
    return (
        f'<Record type="HKQuantityTypeIdentifier{kind}" sourceName="{source}" unit="{unit}" creationDate="{start}"'
        f' startDate="{start}" endDate="{end or start}" value="{value}"/>\n'
    )


def export(*elements: str, exported: str = "2026-03-10 12:00:00 +0100") -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<HealthData locale="en_GB">\n<ExportDate value="{exported}"/>\n'
    return (body + "".join(elements) + "</HealthData>\n").encode()


def steps(day: int, count: int) -> str:
    return record("StepCount", count, "count", f"2026-03-{day:02d} 09:00:00 +0100", f"2026-03-{day:02d} 09:30:00 +0100")


FILE = export(steps(1, 1000), steps(2, 2000), record("BodyMass", 70, "kg", "2026-03-01 08:00:00 +0100"))


async def chunks(
    user_id: str, data: bytes, source: str = "apple_health", request_id: str = "", *, complete: bool = True
) -> AsyncIterator[pb.CreateImportRequest]:
    yield pb.CreateImportRequest(user_id=user_id, source=source, file_name="export.xml", request_id=request_id)
    for start in range(0, len(data), CHUNK):
        yield pb.CreateImportRequest(file=httpbody_pb2.HttpBody(data=data[start : start + CHUNK]))
    if complete:
        yield pb.CreateImportRequest()


async def upload(who: As, data: bytes, request_id: str = "") -> pb.Import:
    stream = chunks(who.id, data, request_id=request_id)
    answer: pb.CreateImportResponse = await who.imports("CreateImport", stream)
    return answer.file_import


async def ended(who: As, import_id: str) -> pb.Import:
    last = None
    async for answer in who.imports("WatchImport", pb.WatchImportRequest(user_id=who.id, id=import_id)):
        last = answer.file_import
    assert last is not None
    return last


async def imported(who: As, data: bytes) -> pb.Import:
    return await ended(who, (await upload(who, data)).id)


async def days(who: As) -> list[tuple[str, int]]:
    request = wearables_pb2.ListWearableDailyRequest(user_id=who.id)
    answer = await who.wearables("ListWearableDaily", request)
    return [(row.date, row.steps) for row in answer.wearable_daily]


@pytest.fixture
async def worker(tracking: Running) -> AsyncIterator[None]:
    assert tracking.parts.jobs
    work = asyncio.create_task(tracking.parts.jobs.work(2, 5, 30))
    yield
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


@pytest.fixture
def ada(tracking: Running) -> As:
    return As(tracking, person())


def objects(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


async def test_pages_of_imports(ada: As) -> None:
    ids = [(await upload(ada, FILE)).id for _ in range(3)]
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListImportsRequest(user_id=ada.id, page_size=1, page_token=token)
        page = await ada.imports("ListImports", request)
        found += [item.id for item in page.imports]
        token = page.next_page_token
        if not token:
            break
    assert found == ids[::-1]


@pytest.mark.parametrize("position", [("soon", str(uuid7())), ("9" * 40, str(uuid7())), ("0", "x")])
async def test_a_page_token_made_by_hand(ada: As, position: tuple[str, str]) -> None:
    token = encode_token(list(position), pb.ListImportsRequest.DESCRIPTOR.full_name)
    request = pb.ListImportsRequest(user_id=ada.id, page_token=token)
    assert await reason(ada.imports("ListImports", request)) == "INVALID_PAGE_TOKEN"


async def test_an_upload_becomes_days_and_an_account(ada: As, worker: None) -> None:
    done = await imported(ada, FILE)
    assert (done.status, done.progress_pct, done.records_read) == ("succeeded", 100, 3)
    result = done.result
    assert (result.records_read, result.records_used, result.records_ignored) == (3, 2, 1)
    assert dict(result.ignored_by_type) == {"HKQuantityTypeIdentifierBodyMass": 1}
    assert result.rows["wearable_daily"] == pb.RowCounts(stored=2)
    assert (result.first_date, result.last_date) == ("2026-03-01", "2026-03-02")
    assert await days(ada) == [("2026-03-02", 2000), ("2026-03-01", 1000)]
    got = await ada.imports("GetImport", pb.GetImportRequest(user_id=ada.id, id=done.id))
    assert got.file_import == done
    listed = await ada.imports("ListImports", pb.ListImportsRequest(user_id=ada.id, status="succeeded"))
    assert list(listed.imports) == [done]


async def test_the_same_file_again_adds_nothing_and_a_newer_one_what_is_new(ada: As, worker: None) -> None:
    await imported(ada, FILE)
    assert (await imported(ada, FILE)).result.rows["wearable_daily"] == pb.RowCounts(unchanged=2)
    newer = export(steps(1, 1000), steps(2, 2500), steps(3, 3000), exported="2026-03-11 12:00:00 +0100")
    second = await imported(ada, newer)
    assert second.result.rows["wearable_daily"] == pb.RowCounts(stored=1, updated=1, unchanged=1)
    assert (await imported(ada, FILE)).result.rows["wearable_daily"] == pb.RowCounts(unchanged=1, kept=1)
    assert await days(ada) == [("2026-03-03", 3000), ("2026-03-02", 2500), ("2026-03-01", 1000)]
    back = await ada.imports("RollBackImport", pb.RollBackImportRequest(user_id=ada.id, id=second.id))
    assert back.file_import.status == "rolled_back"
    assert await days(ada) == [("2026-03-02", 2000), ("2026-03-01", 1000)]


@pytest.mark.parametrize(
    "data",
    [
        b"%PDF-1.7 not an export",
        b"<html><body>log in first</body></html>",
        FILE[:-40],
        b"PK\x03\x04 a zip that is cut off",
    ],
    ids=["pdf", "html", "cut off", "zip cut off"],
)
async def test_a_file_that_is_not_what_it_claims_is_refused(ada: As, worker: None, data: bytes) -> None:
    done = await imported(ada, data)
    assert (done.status, done.attempts) == ("failed", 1)
    assert done.error_message
    assert "\n" not in done.error_message
    assert await days(ada) == []


async def test_a_zip_is_read_like_its_export(ada: As, worker: None) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("apple_health_export/export.xml", FILE)
    assert (await imported(ada, buffer.getvalue())).status == "succeeded"
    assert await days(ada) == [("2026-03-02", 2000), ("2026-03-01", 1000)]


async def test_uploads_that_cannot_be(ada: As, tmp_path: Path) -> None:
    async def create(stream: Any) -> Any:
        return await ada.imports("CreateImport", stream)

    assert await reason(create(chunks(ada.id, b""))) == "FILE_EMPTY"
    too_large = bytes(65 * 2**20)
    assert await reason(create(chunks(ada.id, too_large))) == "FILE_TOO_LARGE"
    assert await reason(create(chunks(ada.id, FILE, complete=False))) == "CANCELLED"
    assert (await failure(create(chunks(ada.id, FILE, source="nokia")))).violations[0].field == "source"
    assert (await failure(create(chunks(ada.id, FILE, source="")))).violations[0].field == "source"
    assert (await failure(create(chunks("", FILE)))).violations[0].field == "user_id"
    assert await reason(create(chunks(person().subject, FILE))) == "SUBJECT_MISMATCH"
    listed = await ada.imports("ListImports", pb.ListImportsRequest(user_id=ada.id))
    assert listed == pb.ListImportsResponse()
    assert objects(tmp_path) == []


async def test_a_repeated_upload_answers_with_the_first_import(ada: As, tmp_path: Path) -> None:
    first = await upload(ada, FILE, "r1")
    assert await upload(ada, FILE, "r1") == first
    assert len(objects(tmp_path)) == 1
    assert (
        await reason(ada.imports("CreateImport", chunks(ada.id, FILE + b" ", request_id="r1"))) == "REQUEST_ID_REUSED"
    )
    assert len(objects(tmp_path)) == 1


async def test_an_import_is_cancelled_before_it_begins(tracking: Running, ada: As) -> None:
    queued = await upload(ada, FILE)
    assert queued.status == "queued"
    roll_back = pb.RollBackImportRequest(user_id=ada.id, id=queued.id)
    assert await reason(ada.imports("RollBackImport", roll_back)) == "IMPORT_NOT_ENDED"
    cancel = pb.CancelImportRequest(user_id=ada.id, id=queued.id)
    assert (await ada.imports("CancelImport", cancel)).file_import.status == "cancelled"
    assert await reason(ada.imports("CancelImport", cancel)) == "IMPORT_ENDED"
    assert tracking.parts.jobs
    work = asyncio.create_task(tracking.parts.jobs.work(1, 5, 30))
    after = await upload(ada, export(steps(5, 5)))
    assert (await ended(ada, after.id)).status == "succeeded"
    work.cancel()
    assert await days(ada) == [("2026-03-05", 5)]
    assert (await ended(ada, queued.id)).status == "cancelled"


async def test_an_import_of_somebody_else_is_not_found(tracking: Running, ada: As) -> None:
    queued = await upload(ada, FILE)
    bob = As(tracking, person())
    for rpc in ("Get", "Cancel", "RollBack"):
        request = getattr(pb, f"{rpc}ImportRequest")(user_id=bob.id, id=queued.id)
        assert await reason(bob.imports(f"{rpc}Import", request)) == "NOT_FOUND"
    with pytest.raises(Exception, match="no such import"):
        await ended(bob, queued.id)


async def test_an_upload_that_is_gone_fails_clearly(ada: As, tracking: Running, tmp_path: Path) -> None:
    queued = await upload(ada, FILE)
    for path in objects(tmp_path):
        path.unlink()
    assert tracking.parts.jobs
    work = asyncio.create_task(tracking.parts.jobs.work(1, 5, 30))
    done = await ended(ada, queued.id)
    work.cancel()
    assert (done.status, done.error_message) == ("failed", "the uploaded file is no longer there")


async def test_an_attempt_too_many_gives_up(ada: As, tracking: Running) -> None:
    queued = await upload(ada, FILE)
    with calling(service_caller("tracking", ada.id)):
        async with tracking.pool.transaction() as connection:
            await connection.execute(sa.update(imports).values(status="running", attempts=3))
    assert tracking.parts.jobs
    work = asyncio.create_task(tracking.parts.jobs.work(1, 5, 30))
    done = await ended(ada, queued.id)
    work.cancel()
    assert (done.status, await days(ada)) == ("failed", [])


async def test_uploads_are_removed_after_their_time(
    tmp_path: Path,
    tracking_settings: tuple[TrackingSettings, ServiceDatabase],
    tracking: Running,
    ada: As,
    worker: None,
) -> None:
    done = await imported(ada, FILE)
    settings, _ = tracking_settings
    store = Files(settings.object_store_url)
    await UploadSweeper(tracking.pool, store, 1).sweep()
    assert len(objects(tmp_path)) == 1
    await UploadSweeper(tracking.pool, store, 0).sweep()
    assert objects(tmp_path) == []
    await UploadSweeper(tracking.pool, store, 0).sweep()
    assert (await ended(ada, done.id)).status == "succeeded"


async def test_uploads_without_an_import_are_swept(
    tmp_path: Path, tracking_settings: tuple[TrackingSettings, ServiceDatabase], tracking: Running, ada: As
) -> None:
    settings, _ = tracking_settings
    store = Files(settings.object_store_url)
    await upload(ada, FILE)

    async def bytes_of() -> AsyncIterator[bytes]:
        yield b"left behind"

    await store.put(f"imports/{ada.id}/01990000-0000-7000-8000-000000000000", bytes_of())
    long_ago = (now() - timedelta(days=3)).timestamp()
    for path in objects(tmp_path):
        os.utime(path, (long_ago, long_ago))
    await UploadSweeper(tracking.pool, store, 24).sweep()
    assert len(objects(tmp_path)) == 1


async def test_what_a_killed_server_left_is_swept_and_what_is_not_ours_stays(
    tmp_path: Path, tracking_settings: tuple[TrackingSettings, ServiceDatabase], tracking: Running, ada: As
) -> None:
    settings, _ = tracking_settings
    store = Files(settings.object_store_url)
    folder = tmp_path / "objects" / "imports"
    broken, fresh = (folder / ada.id / f"01990000-0000-7000-8000-00000000000{n}#1" for n in range(2))
    foreign = folder / ".DS_Store"
    broken.parent.mkdir(parents=True)
    long_ago = (now() - timedelta(days=3)).timestamp()
    for path in (broken, fresh, foreign):
        path.write_bytes(b"part of an upload")
    for path in (broken, foreign):
        os.utime(path, (long_ago, long_ago))
    await UploadSweeper(tracking.pool, store, 24).sweep()
    assert sorted(objects(tmp_path)) == sorted([fresh, foreign])


async def test_a_worker_that_died_leaves_its_import_to_the_next(
    tmp_path: Path, tracking_settings: tuple[TrackingSettings, ServiceDatabase], tracking: Running, ada: As
) -> None:
    queued = await upload(ada, FILE)
    with calling(service_caller("tracking", ada.id)):
        async with tracking.pool.transaction() as connection:
            await connection.execute(sa.update(imports).values(status="running", attempts=1))
            worker_id = sa.text(
                "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') RETURNING id"
            )
            dead = (await connection.execute(worker_id)).scalar_one()
            await connection.execute(sa.text(f"UPDATE procrastinate_jobs SET status = 'doing', worker_id = {dead}"))
    assert tracking.parts.jobs
    work = asyncio.create_task(tracking.parts.jobs.work(1, 5, 2))
    done = await ended(ada, queued.id)
    work.cancel()
    assert (done.status, done.attempts) == ("succeeded", 2)
    assert await days(ada) == [("2026-03-02", 2000), ("2026-03-01", 1000)]
