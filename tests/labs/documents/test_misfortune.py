"""Documents under bad luck: a full store, a deletion in this very moment, files that are two things at once."""

import asyncio
from pathlib import Path

import psycopg
import pytest
from PIL import Image

from services.labs.documents.extraction import MAX_VALUES
from services.labs.documents.parse import parse
from tests.harness import Running, drain, failure, reason
from tests.labs.conftest import As
from tests.labs.documents.printed import QUEST, lines
from tests.labs.documents.uploaded import add, chunks, got, read, stored_files, upload, values_of

PDF = b"%PDF-1.7\nnothing that could be read"


async def test_a_store_that_takes_nothing_is_said_to_be_away(labs: Running, ada: As, tmp_path: Path) -> None:
    kept = await upload(ada, PDF)
    store = tmp_path / "documents"
    store.rename(tmp_path / "away")
    store.mkdir()
    # Nothing can be stored below what is no directory.
    (store / "documents").touch()
    refused = await failure(ada.upload(chunks(ada.id, PDF + b"another")))
    assert (refused.reason.name, str(tmp_path) in refused.message) == ("UNAVAILABLE", False)
    await drain(labs)
    assert (await got(ada, kept.id)).parse_status == "pending"
    (store / "documents").unlink()
    store.rmdir()
    (tmp_path / "away").rename(store)
    assert (await upload(ada, PDF + b"another")).parse_status == "pending"
    assert len((await ada.documents("ListDocuments")).documents) == 2


async def test_a_file_whose_document_is_being_deleted_is_a_new_one(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await upload(ada, PDF)
    with psycopg.connect(labs.database.migrator_url) as deleting:
        deleting.execute("SELECT FROM documents FOR UPDATE")
        again = asyncio.create_task(upload(ada, PDF))
        await labs.database.has_waiting()
        deleting.execute("UPDATE documents SET deleted_at = now()")
    assert (await again).id != document.id
    assert [listed.id for listed in (await ada.documents("ListDocuments")).documents] == [(await again).id]
    assert len(stored_files(tmp_path)) == 2


async def test_a_file_that_is_sent_twice_at_once_is_one_document(labs: Running, ada: As, tmp_path: Path) -> None:
    sent = await asyncio.gather(*(upload(ada, PDF) for _ in range(4)))
    assert len({document.id for document in sent}) == 1
    assert len(stored_files(tmp_path)) == 1


async def test_a_document_has_so_many_values_and_no_more(labs: Running, ada: As) -> None:
    document = await read(labs, ada, PDF)
    one = await add(ada, document.id, raw_name="TSH", value="1")
    with psycopg.connect(labs.database.migrator_url) as owner:
        owner.execute("UPDATE document_values SET position = %s", [MAX_VALUES - 2])
    await add(ada, document.id, raw_name="LDL", value="1")
    refused = await failure(add(ada, document.id, raw_name="HDL", value="1"))
    assert (refused.reason.name, [violation.field for violation in refused.violations]) == ("INVALID_FIELD", ["id"])
    assert (await values_of(ada, document.id))[0].id == one.id


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_picture_that_says_it_is_a_pdf_is_a_picture(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan"
    Image.new("L", (60, 20), 255).save(path, kind)
    path.write_bytes(path.read_bytes()[:100] + b"%PDF-1.7 " + path.read_bytes()[100:])
    # Nothing is found there, Tesseract least of all.
    monkeypatch.setenv("PATH", "/nowhere")
    assert parse(path)["status"] == "no_ocr"


async def test_confirmed_twice_at_once_it_is_one_panel(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, lines(tmp_path / "quest.pdf", QUEST).read_bytes())
    asked = [ada.documents("ConfirmDocument", id=document.id) for _ in range(4)]
    answers = await asyncio.gather(*asked)
    assert len({answer.document.linked_record_id for answer in answers}) == 1
    assert len((await ada.panels("ListBloodPanels")).blood_panels) == 1


async def test_confirmed_and_deleted_at_once_there_is_a_panel_without_document_or_none(
    labs: Running, ada: As, tmp_path: Path
) -> None:
    document = await read(labs, ada, lines(tmp_path / "quest.pdf", QUEST).read_bytes())
    confirming = asyncio.ensure_future(ada.documents("ConfirmDocument", id=document.id))
    deleting = asyncio.ensure_future(ada.documents("DeleteDocument", id=document.id))
    await asyncio.gather(confirming, deleting, return_exceptions=True)
    panels = (await ada.panels("ListBloodPanels")).blood_panels
    assert not any(panel.HasField("document_id") for panel in panels)
    assert (await got(ada, document.id)).HasField("linked_record_id") == bool(panels)
    assert await reason(ada.document_values("GetDocumentValues", id=document.id)) == "NOT_FOUND"
