"""Uploads of documents through the stub: what is taken, what is refused, and what becomes of the file."""

import asyncio
import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from tests.harness import Running, drain, failure, forged, person, reason
from tests.labs.conftest import As
from tests.labs.documents.hostile import object_file
from tests.labs.documents.printed import QUEST, lines
from tests.labs.documents.uploaded import chunks, got, read, stored_files, upload, values_of
from vitalis.labs.v1 import documents_pb2 as pb

PDF = b"%PDF-1.7\nnothing that could be read"
PICTURES = {
    "image/png": b"\x89PNG\r\n\x1a\n" + bytes(2000),
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(2000),
    "image/tiff": b"II*\x00" + bytes(2000),
}


@pytest.fixture
def report(tmp_path: Path) -> bytes:
    return lines(tmp_path / "quest.pdf", QUEST).read_bytes()


async def downloaded(who: As, document_id: str) -> tuple[str, bytes]:
    kind, data = "", b""
    async for answer in who.documents("DownloadDocument", id=document_id):
        kind, data = answer.file.content_type, data + answer.file.data
    return kind, data


async def test_a_report_is_read_and_waits_for_its_review(labs: Running, ada: As, report: bytes) -> None:
    uploaded = await upload(ada, report, provider_name="My doctor")
    assert (uploaded.parse_status, uploaded.document_type, uploaded.mime_type) == (
        *("pending", "blood_work", "application/pdf"),
    )
    await drain(labs)
    done = await got(ada, uploaded.id)
    assert (done.parse_status, done.layout, done.page_count) == ("needs_review", "quest", 1)
    assert (done.provider_name, done.report_header.lab_name) == ("My doctor", "Quest Diagnostics")
    assert done.report_header.collected_date == "2023-12-31"
    # 08:15 in which zone, the report does not say.
    assert not done.report_header.HasField("collected_at")
    assert "CHOLESTEROL, TOTAL 231" in done.document_text
    assert 0.9 < done.parse_confidence <= 1
    assert await downloaded(ada, done.id) == ("application/pdf", report)
    listed = (await ada.documents("ListDocuments", parse_status="needs_review")).documents
    assert [(document.id, document.document_text) for document in listed] == [(done.id, "")]
    assert not (await ada.documents("ListDocuments", document_type="dexa")).documents


async def test_a_document_is_watched_until_it_waits_for_somebody(labs: Running, ada: As, report: bytes) -> None:
    uploaded = await upload(ada, report)
    assert labs.parts.jobs
    work = asyncio.create_task(labs.parts.jobs.work(1, 5, 30))
    seen = [answer.document async for answer in ada.documents("WatchDocument", id=uploaded.id)]
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    assert seen[-1].parse_status == "needs_review"
    assert not any(document.document_text for document in seen)


@pytest.mark.parametrize("kind", PICTURES)
async def test_a_picture_without_text_recognition_says_what_can_be_done(
    labs: Running, ada: As, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is found there, Tesseract least of all.
    monkeypatch.setenv("PATH", "/nowhere")
    done = await read(labs, ada, PICTURES[kind])
    assert (done.parse_status, done.mime_type) == ("failed", kind)
    assert "text recognition (Tesseract) is not installed" in done.error_message
    assert "by hand" in done.error_message


async def test_the_same_file_again_is_the_same_document(labs: Running, ada: As, report: bytes, tmp_path: Path) -> None:
    first = await read(labs, ada, report)
    again = await upload(ada, report, file_name="again.pdf")
    assert (again.id, again.parse_status, again.original_filename) == (first.id, "needs_review", "report.pdf")
    assert len(stored_files(tmp_path)) == 1
    bob = As(labs, person())
    assert (await upload(bob, report)).id != first.id


async def test_a_file_that_failed_is_read_again_when_it_is_sent_again(labs: Running, ada: As) -> None:
    failed = await read(labs, ada, PDF)
    assert failed.parse_status == "failed"
    again = await upload(ada, PDF)
    assert (again.id, again.parse_status, again.error_message) == (failed.id, "pending", "")
    await drain(labs)
    assert (await got(ada, failed.id)).parse_status == "failed"


async def test_a_repeated_request_answers_as_the_first(ada: As, tmp_path: Path) -> None:
    first = await upload(ada, PDF, request_id="r1")
    assert await upload(ada, PDF, request_id="r1") == first
    assert await reason(ada.upload(chunks(ada.id, PDF + b" ", request_id="r1"))) == "REQUEST_ID_REUSED"
    assert len(stored_files(tmp_path)) == 1


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("report.pdf", b"x" * 2000)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        _zip(),
        b"MZ" + bytes(5000),
        b"<html>" + b" " * 2000 + PDF,
        b"\x89PNG is what it only says",
        b"%PDF"[:3],
        b"#!/bin/sh\n",
    ],
    ids=["zip", "program", "mark too late", "half a mark", "three bytes", "script"],
)
async def test_what_is_no_document_is_refused_by_its_content(ada: As, tmp_path: Path, data: bytes) -> None:
    assert await reason(ada.upload(chunks(ada.id, data, file_name="report.pdf"))) == "FILE_TYPE_REFUSED"
    assert stored_files(tmp_path) == []


async def test_uploads_that_cannot_be(ada: As, tmp_path: Path) -> None:
    assert await reason(ada.upload(chunks(ada.id, b""))) == "FILE_EMPTY"
    assert await reason(ada.upload(chunks(ada.id, PDF + bytes(2**20)))) == "FILE_TOO_LARGE"
    assert await reason(ada.upload(chunks(ada.id, PDF, complete=False))) == "CANCELLED"
    assert await reason(ada.upload(chunks(person().subject, PDF))) == "SUBJECT_MISMATCH"
    for name, most in (("document_type", 5), ("provider_name", 200), ("file_name", 255)):
        given: dict[str, Any] = {name: "x" * (most + 1)}
        assert [v.field for v in (await failure(ada.upload(chunks(ada.id, PDF, **given)))).violations] == [name]
    assert not (await ada.documents("ListDocuments")).documents
    assert stored_files(tmp_path) == []


@pytest.mark.parametrize("name", ["../../../etc/passwd", "/etc/passwd", "a\\..\\b", "documents/x#1", "\u202efdp.exe"])
async def test_a_file_name_leads_nowhere(ada: As, tmp_path: Path, name: str) -> None:
    document = await upload(ada, PDF, file_name=name)
    assert document.original_filename == name
    assert stored_files(tmp_path) == [tmp_path / "documents" / "documents" / ada.id / document.id]


async def test_a_bomb_fails_and_the_next_document_is_read(labs: Running, ada: As, report: bytes) -> None:
    # A gigabyte, packed into a megabyte.
    bomb = object_file(bytes(2**20), times=1000)
    failed = await read(labs, ada, bomb)
    assert (failed.parse_status, failed.page_count) == ("failed", 0)
    assert failed.error_message.endswith("the values can be entered by hand")
    assert (await read(labs, ada, report)).parse_status == "needs_review"


async def test_a_deleted_document_is_gone_with_its_text_and_file(
    labs: Running, ada: As, report: bytes, tmp_path: Path
) -> None:
    document = await read(labs, ada, report)
    assert await reason(ada.documents("DeleteDocument", id=document.id, etag="0")) == "ETAG_MISMATCH"
    await ada.documents("DeleteDocument", id=document.id, etag=document.etag)
    for rpc in ("DeleteDocument", "UpdateDocument"):
        given = {"document": pb.Document(provider_name="Lab")} if rpc == "UpdateDocument" else {}
        assert await reason(ada.documents(rpc, id=document.id, **given)) == "NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError, match="no such document"):
        await downloaded(ada, document.id)
    assert await reason(ada.document_values("GetDocumentValues", id=document.id)) == "NOT_FOUND"
    assert not (await ada.documents("ListDocuments")).documents
    (left,) = (await ada.documents("ListDocuments", show_deleted=True)).documents
    assert (left.original_filename, left.HasField("report_header")) == ("", False)
    assert not (await got(ada, document.id)).document_text
    await drain(labs)
    assert stored_files(tmp_path) == []
    # It can be uploaded again, as another one.
    assert (await upload(ada, report)).id != document.id


async def test_a_document_deleted_before_it_is_read_stays_deleted(labs: Running, ada: As, report: bytes) -> None:
    document = await upload(ada, report)
    await ada.documents("DeleteDocument", id=document.id)
    await drain(labs)
    left = await got(ada, document.id)
    assert (left.parse_status, left.document_text) == ("pending", "")
    seen = [answer.document async for answer in ada.documents("WatchDocument", id=document.id)]
    assert len(seen) == 1


async def test_a_file_that_is_gone_fails_clearly(labs: Running, ada: As, report: bytes, tmp_path: Path) -> None:
    document = await upload(ada, report)
    for path in stored_files(tmp_path):
        path.unlink()
    await drain(labs)
    done = await got(ada, document.id)
    assert (done.parse_status, done.error_message) == ("failed", "the uploaded file is no longer there")
    with pytest.raises(grpc.aio.AioRpcError, match="no such document"):
        await downloaded(ada, document.id)


async def test_an_attempt_too_many_gives_up(labs: Running, ada: As, report: bytes) -> None:
    document = await upload(ada, report)
    with psycopg.connect(labs.database.migrator_url) as owner:
        owner.execute("UPDATE documents SET parse_status = 'parsing', attempts = 3")
    await drain(labs)
    done = await got(ada, document.id)
    assert (done.parse_status, await values_of(ada, document.id)) == ("failed", [])


async def test_somebody_elses_document_is_not_found(labs: Running, ada: As, report: bytes) -> None:
    document = await read(labs, ada, report)
    eve = As(labs, person())
    for rpc in ("GetDocument", "DeleteDocument", "UpdateDocument"):
        given = {"document": pb.Document(provider_name="Eve's")} if rpc == "UpdateDocument" else {}
        assert await reason(eve.documents(rpc, id=document.id, **given)) == "NOT_FOUND"
    for rpc in ("WatchDocument", "DownloadDocument"):
        with pytest.raises(grpc.aio.AioRpcError, match="no such document"):
            _ = [answer async for answer in eve.documents(rpc, id=document.id)]
    assert await got(ada, document.id) == document


async def test_what_is_said_of_a_document_is_changed_by_its_mask(labs: Running, ada: As, report: bytes) -> None:
    document = await read(labs, ada, report)
    header = pb.ReportHeader(collected_date="2024-01-02", lab_name="Another", fasting=True)
    told = pb.Document(report_header=header, etag=document.etag)
    answer = await ada.documents(
        "UpdateDocument", id=document.id, document=told, update_mask=FieldMask(paths=["report_header"])
    )
    assert (answer.document.report_header, answer.document.provider_name) == (header, document.provider_name)
    assert await reason(ada.documents("UpdateDocument", id=document.id, document=told)) == "ETAG_MISMATCH"
    for name, broken in (("collected_date", "2024-02-30"), ("lab_name", "x" * 201), ("specimen_id", "x" * 101)):
        given: dict[str, Any] = {name: broken}
        changed = pb.Document(report_header=pb.ReportHeader(**given))
        refused = await failure(ada.documents("UpdateDocument", id=document.id, document=changed))
        assert [violation.field for violation in refused.violations] == [f"document.report_header.{name}"]


async def test_pages_of_documents(ada: As) -> None:
    ids = [(await upload(ada, PDF + bytes([number]))).id for number in range(3)]
    first = await ada.documents("ListDocuments", page_size=2)
    rest = await ada.documents("ListDocuments", page_size=2, page_token=first.next_page_token)
    assert [document.id for page in (first, rest) for document in page.documents] == ids[::-1]
    token = forged(first.next_page_token, "soon", ids[0])
    assert await reason(ada.documents("ListDocuments", page_token=token)) == "INVALID_PAGE_TOKEN"


async def test_a_documents_text_is_ciphertext_and_no_audit_row_holds_it(labs: Running, ada: As, report: bytes) -> None:
    await read(labs, ada, report)
    with psycopg.connect(labs.database.migrator_url) as owner:
        (sealed,) = owner.execute("SELECT document_text FROM documents").fetchone() or (b"",)
        assert b"CHOLESTEROL" not in sealed
        for table in ("audit_log", "idempotency_keys", "documents"):
            rows = owner.execute(f"SELECT to_jsonb(t)::text FROM {table} AS t").fetchall()
            assert not any("TOTAL 231" in row or bytes(sealed).hex() in row for (row,) in rows if table == "audit_log")
        assert owner.execute("SELECT count(*) FROM audit_log WHERE table_name = 'documents'").fetchone() != (0,)


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("document_type = 'x-ray'", "document_type"),
        ("mime_type = 'text/html'", "mime_type"),
        ("parse_status = 'done'", "parse_status"),
        ("parse_confidence = 1.5", "parse_confidence"),
        ("file_size_bytes = 0", "file_size_bytes"),
        ("provider_name = repeat('x', 201)", "provider_name"),
        ("original_filename = repeat('x', 256)", "original_filename"),
        ("linked_record_type = 'blood_panel'", "linked_record"),
        ("linked_record_type = 'x-ray', linked_record_id = id", "linked_record_type"),
        ("linked_record_type = 'blood_panel', linked_record_id = id", "confirmed_first"),
        ("parse_status = 'confirmed'", "confirmed_at"),
    ],
)
async def test_the_table_refuses_it_too(labs: Running, ada: As, change: str, broken: str) -> None:
    await upload(ada, PDF)
    with psycopg.connect(labs.database.migrator_url) as owner:
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            owner.execute(f"UPDATE documents SET {change}")
    assert refused.value.diag.constraint_name in (f"ck_documents_{broken}", "ck_documents_confirmed_first")
