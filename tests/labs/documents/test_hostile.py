"""What a file of lies comes to: hostile, damaged, or no document at all."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fpdf import FPDF
from fpdf.enums import EncryptionMethod

from services.labs.confined import Limits
from services.labs.documents.confined import LIMITS, parse_confined
from services.labs.documents.parse import parse
from tests.labs.documents import printed
from tests.labs.documents.hostile import object_file


def refused(path: Path, limits: Limits = LIMITS) -> str:
    found: dict[str, Any] = asyncio.run(parse_confined(path, limits))
    assert found["status"] == "unreadable", found
    return str(found["reason"])


def test_a_file_made_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(object_file(b"BT /F1 9 Tf 50 700 Td (TSH 1.2 mIU/L 0.4-4.0) Tj ET"))
    found = asyncio.run(parse_confined(path))
    assert [(r["name"], r["value"]) for r in found["readings"]] == [("TSH", "1.2")]


def test_a_stream_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pdf"
    path.write_bytes(object_file(bytes(1 << 20), times=512))
    assert path.stat().st_size < 2 << 20
    assert refused(path, LIMITS._replace(memory_bytes=512 << 20))


def test_a_page_that_is_drawn_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(object_file(b"BT /F1 9 Tf " + b"(a) Tj " * 1000 + b"ET ", times=3000))
    assert "time or memory" in refused(path, LIMITS._replace(processor_seconds=3))


def test_more_text_than_a_page_holds(tmp_path: Path) -> None:
    path = tmp_path / "dense.pdf"
    path.write_bytes(object_file(b"BT /F1 9 Tf " + b"(aaaaaaaaaa) Tj " * 6_000 + b"ET"))
    assert "more text than a page can hold" in refused(path)


def test_more_pages_than_a_report_has(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(object_file(b"BT ET", pages=201))
    assert "more than 200 pages" in refused(path)


def test_an_encrypted_document_is_named_as_one(tmp_path: Path) -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_encryption(owner_password="a", user_password="b", encryption_method=EncryptionMethod.AES_128)
    pdf.output(str(tmp_path / "x.pdf"))
    assert "encrypted" in refused(tmp_path / "x.pdf")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_file_that_ends_too_soon(tmp_path: Path, keep: float) -> None:
    whole = printed.table(tmp_path / "x.pdf", printed.LABCORP_ROWS).read_bytes()
    path = tmp_path / "cut.pdf"
    path.write_bytes(whole[: int(len(whole) * keep)])
    found = parse(path)
    assert found["status"] == "unreadable" or found["readings"] == []


def test_what_only_says_that_it_is_a_pdf(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(b"%PDF-1.7 and nothing else")
    assert "no PDF" in str(parse(path)["reason"])
