"""Files of results on their way in: refused, cancelled, watched, and gone in the end."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.labs.confined import Limits
from services.labs.interchange.read_file import LIMITS, read_file
from services.labs.reports import UnreadableReportError
from tests.harness import Running, drain, failure, reason
from tests.labs.conftest import As
from tests.labs.interchange.importing import (
    HEADER,
    MORNING,
    chunks,
    glucose,
    imported,
    oru,
    panels,
    read,
    upload,
)
from vitalis.labs.v1 import interchange_pb2 as pb

BOMB = '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]><ClinicalDocument>&c;</ClinicalDocument>'


@pytest.mark.parametrize(
    ("file", "options"),
    [
        (b"%PDF-1.7 nothing", {}),
        (b"a,b\n1,2\n", {}),
        ("[" * 100_000, {}),
        (BOMB, {}),
        ('{"resourceType": "Patient"', {}),
        (rb"MSH|^~\&|A|B|C|D|20240101||ADT^A01|1|P|2.5", {}),
        (HEADER + MORNING, {"format": "fhir"}),
        (oru(glucose("95")), {"format": "csv"}),
    ],
    ids=["pdf", "table of something", "nested", "entities", "broken", "no results", "no FHIR", "no CSV"],
)
async def test_a_file_that_is_something_else_is_refused(
    labs: Running, ada: As, tmp_path: Path, file: bytes | str, options: dict[str, Any]
) -> None:
    done = await imported(labs, ada, file, **options)
    assert (done.status, done.HasField("result")) == ("failed", False)
    assert done.error_message
    assert await panels(ada) == []
    assert not [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]


@pytest.mark.parametrize("limits", [LIMITS._replace(memory_bytes=32 << 20), LIMITS._replace(processor_seconds=0)])
async def test_a_file_that_asks_for_too_much_hurts_nobody(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "file"
    path.write_text(json.dumps([[[0] * 100_000] * 20]))
    with pytest.raises(UnreadableReportError, match="time or memory"):
        await read_file(path, "", "", limits)


async def test_an_upload_is_gone_when_its_import_has_ended(labs: Running, ada: As, tmp_path: Path) -> None:
    def files() -> list[Path]:
        return [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]

    queued = await upload(ada, HEADER + MORNING)
    assert len(files()) == 1
    await drain(labs)
    assert ((await read(ada, queued.id)).status, files()) == ("succeeded", [])


async def test_a_cancelled_import_stores_nothing(labs: Running, ada: As, tmp_path: Path) -> None:
    queued = await upload(ada, HEADER + MORNING)
    cancel = pb.CancelLabImportRequest(user_id=ada.id, id=queued.id)
    roll_back = pb.RollBackLabImportRequest(user_id=ada.id, id=queued.id)
    assert await reason(ada.imports("RollBackLabImport", roll_back)) == "IMPORT_NOT_ENDED"
    assert (await ada.imports("CancelLabImport", cancel)).lab_import.status == "cancelled"
    assert await reason(ada.imports("CancelLabImport", cancel)) == "IMPORT_ENDED"
    await drain(labs)
    assert ((await read(ada, queued.id)).status, await panels(ada)) == ("cancelled", [])
    assert not [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]


async def test_an_import_is_watched_to_its_end(labs: Running, ada: As) -> None:
    queued = await upload(ada, HEADER + MORNING)
    watching = ada.imports("WatchLabImport", pb.WatchLabImportRequest(user_id=ada.id, id=queued.id))
    seen = [(await watching.read()).lab_import.status]
    await drain(labs)
    seen += [answer.lab_import.status async for answer in watching]
    assert (seen[0], seen[-1]) == ("queued", "succeeded")


async def test_a_repeated_upload_is_one_import(labs: Running, ada: As, tmp_path: Path) -> None:
    ids = {(await upload(ada, HEADER + MORNING, request_id="r-1")).id for _ in range(2)}
    listed = await ada.imports("ListLabImports", pb.ListLabImportsRequest(user_id=ada.id, status="queued"))
    assert {each.id for each in listed.lab_imports} == ids
    assert len([path for path in (tmp_path / "documents").rglob("*") if path.is_file()]) == len(ids) == 1


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", "FILE_EMPTY"), (b"x" * (2**20 + 1), "FILE_TOO_LARGE")], ids=["empty", "large"]
)
async def test_uploads_that_are_refused(ada: As, data: bytes, expected: str) -> None:
    assert await reason(ada.imports("CreateLabImport", chunks(ada.id, data))) == expected


async def test_an_upload_that_breaks_off_leaves_nothing(ada: As, tmp_path: Path) -> None:
    broken = chunks(ada.id, b"Test,Result\n", complete=False)
    assert await reason(ada.imports("CreateLabImport", broken)) == "CANCELLED"
    assert not [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "UTC\0"])
async def test_a_zone_that_does_not_exist(ada: As, zone: str) -> None:
    error = await failure(upload(ada, HEADER, time_zone=zone))
    assert (error.reason.name, [each.field for each in error.violations]) == ("INVALID_FIELD", ["time_zone"])


@pytest.mark.parametrize("column", ["status", "format", "date_order"])
def test_the_table_s_own_rules(labs: Running, ada: As, column: str) -> None:
    values = {"status": "queued", "format": "csv", "date_order": "day_first", column: "something"}
    with psycopg.connect(labs.database.migrator_url) as owner, pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(
            "INSERT INTO lab_imports (id, user_id, status, format, date_order, file_size_bytes, file_sha256)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), %(status)s, %(format)s, %(date_order)s, 1, '')",
            values,
        )
