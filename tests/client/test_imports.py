"""Uploads, and watching what becomes of them."""

import tracemalloc
from pathlib import Path

import pytest

from tests.client.server import Server
from tests.client.server.base import Fault, error
from vitalis.tracking.v1 import imports_pb2
from vitalis_client import Vitalis, VitalisError

MEGABYTE = 2**20


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A file of 3 MB."""
    path = tmp_path / "export.zip"
    path.write_bytes(b"0123456789abcdef" * (3 * MEGABYTE // 16))
    return path


def progress(*percents: float, status: str = "running") -> list[imports_pb2.Import]:
    return [imports_pb2.Import(status=status, progress_pct=percent) for percent in percents]


def test_an_upload_arrives_whole(api: Vitalis, server: Server, export: Path) -> None:
    seen: list[tuple[int, int]] = []
    queued = api.upload(export, on_progress=lambda sent, total: seen.append((sent, total)))
    assert (queued.status, queued.file_name, queued.file_size_bytes) == ("queued", "export.zip", 3 * MEGABYTE)
    assert seen[-1] == (3 * MEGABYTE, 3 * MEGABYTE)
    assert [sent for sent, _ in seen] == sorted({sent for sent, _ in seen})
    assert len(seen) > 10


def test_an_upload_is_never_held_in_memory(api: Vitalis, server: Server, tmp_path: Path) -> None:
    large = tmp_path / "export.xml"
    with large.open("wb") as file:
        file.truncate(100 * MEGABYTE)
    tracemalloc.start()
    try:
        api.upload(large)
        # The server's side, which runs in this process too, holds at most a few chunks.
        assert tracemalloc.get_traced_memory()[1] < 20 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert server.uploaded[0][0] == 100 * MEGABYTE


@pytest.mark.parametrize("fault", [Fault(lose=True), Fault(503)])
def test_an_upload_whose_answer_is_lost_is_imported_once(
    api: Vitalis, server: Server, export: Path, waits: list[float], fault: Fault
) -> None:
    server.fail("create_import", fault)
    queued = api.upload(export)
    assert list(server.imports) == [queued.id]
    assert {(count, key) for count, _, key in server.uploaded} == {(3 * MEGABYTE, server.uploaded[0][2])}
    assert len(waits) == 1


def test_two_uploads_of_one_file_are_two(api: Vitalis, server: Server, export: Path) -> None:
    assert api.upload(export).id != api.upload(export).id
    assert api.upload(export, idempotency_key="mine").id == api.upload(export, idempotency_key="mine").id


def test_an_upload_begins_anew_with_a_new_token(api: Vitalis, server: Server, export: Path) -> None:
    server.good_access_token = "another"
    assert api.upload(export).file_size_bytes == 3 * MEGABYTE


def test_a_source_that_is_unknown(api: Vitalis, export: Path) -> None:
    with pytest.raises(VitalisError, match="source: must be in list"):
        api.upload(export, source="abacus")


def test_files_that_cannot_be_uploaded(api: Vitalis, server: Server, tmp_path: Path) -> None:
    (tmp_path / "empty.xml").touch()
    for name, message in {"gone.zip": "there is no file", ".": "is a directory", "empty.xml": "is empty"}.items():
        with pytest.raises(VitalisError, match=message):
            api.upload(tmp_path / name)
    assert not server.requests["create_import"]


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_that_changes_under_way(api: Vitalis, server: Server, export: Path, change: int) -> None:
    def change_size(sent: int, total: int) -> None:
        with export.open("r+b") as file:
            file.truncate(total + change)

    with pytest.raises(VitalisError, match="changed while it was uploaded"):
        api.upload(export, on_progress=change_size)
    assert not server.imports


def test_a_name_that_is_not_utf8(api: Vitalis, tmp_path: Path) -> None:
    path = tmp_path / "\udcff export.xml"
    path.write_bytes(b"x")
    assert api.upload(path).file_name == "? export.xml"


def test_watching_shows_every_step_to_the_end(api: Vitalis, server: Server) -> None:
    row = server.add_import("queued")
    server.steps = progress(10, 60) + progress(100, status="succeeded")
    assert [step.progress_pct for step in api.watch_import(row.id)] == [10, 60, 100]
    assert not server.requests["get_import"]


def test_a_watch_that_breaks_off_goes_on_by_asking(api: Vitalis, server: Server, waits: list[float]) -> None:
    row = server.add_import("queued")
    server.steps = progress(10, 20, 20, 90) + progress(100, status="succeeded")
    server.watch_breaks_after = 1
    assert [step.progress_pct for step in api.watch_import(row.id)] == [10, 20, 90, 100]
    assert set(waits) == {1.0}


def test_a_watch_that_the_server_ends_goes_on_by_asking(api: Vitalis, server: Server, waits: list[float]) -> None:
    row = server.add_import("queued")
    server.steps = progress(10) + progress(100, status="failed")
    server.watch_breaks_after = 1
    server.watch_error = error(504, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "took too long")
    assert [step.status for step in api.watch_import(row.id)] == ["running", "failed"]


def test_a_watch_that_cannot_begin_goes_on_by_asking(api: Vitalis, server: Server, waits: list[float]) -> None:
    row = server.add_import("succeeded")
    server.fail("watch_import", *[Fault(lose=True)] * 3)
    assert [step.status for step in api.watch_import(row.id)] == ["succeeded"]


def test_an_import_that_vanishes_ends_the_watch(api: Vitalis, server: Server) -> None:
    row = server.add_import("queued")
    server.steps = progress(10)
    server.watch_error = error(404, "NOT_FOUND", "NOT_FOUND", "there is no such import")
    with pytest.raises(VitalisError) as caught:
        list(api.watch_import(row.id))
    assert (caught.value.status, caught.value.reason) == (404, "NOT_FOUND")


def test_an_import_that_is_not_there(api: Vitalis) -> None:
    with pytest.raises(VitalisError, match="no such import") as caught:
        list(api.watch_import("01990000-0000-7000-8000-900000000000"))
    assert caught.value.request_id == "request-0002"


def test_cancelling_rolling_back_and_listing(api: Vitalis, server: Server) -> None:
    first, second = server.add_import("running"), server.add_import("succeeded")
    assert api.cancel_import(first.id).status == "cancelled"
    assert api.roll_back_import(second.id).status == "rolled_back"
    with pytest.raises(VitalisError) as caught:
        api.cancel_import(second.id)
    assert caught.value.reason == "IMPORT_ENDED"
    assert [row.id for row in api.imports()] == [second.id, first.id]
