"""Scans and photographs: what they say where Tesseract is, and that they need it where it is not."""

import asyncio
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from fpdf.enums import TextMode
from PIL import Image

from examples.lab_report import RESULTS, write_report
from services.labs.documents.confined import parse_confined
from services.labs.documents.ocr import has_ocr
from services.labs.documents.parse import parse
from services.labs.documents.skew import Turned, turned, ways_up
from tests.labs.documents import printed
from tests.labs.documents.scanned import picture_of

QUEST = [
    ("CHOLESTEROL, TOTAL", "231", "mg/dL", "<200", "H"),
    ("HDL CHOLESTEROL", "52", "mg/dL", ">=40", ""),
    ("TSH", "1.84", "mIU/L", "0.40-4.50", ""),
]


@pytest.fixture
def quest(tmp_path: Path) -> Path:
    return printed.lines(tmp_path / "quest.pdf", printed.QUEST)


def rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    names = ("name", "value", "unit", "reference_range", "flag")
    return [tuple(reading[name] for name in names) for reading in found["readings"]]


def is_read(found: dict[str, Any]) -> bool:
    """Whether it could be; without Tesseract it says that it could not."""
    assert found["status"] == ("read" if has_ocr() else "no_ocr"), found
    return found["status"] == "read"


def test_a_scan_with_its_resolution_confined_as_all_are(tmp_path: Path, quest: Path) -> None:
    path = tmp_path / "scan.png"
    picture_of(quest, 200).save(path, dpi=(200, 200))
    found = asyncio.run(parse_confined(path))
    if is_read(found):
        assert rows(found) == QUEST
        assert (found["layout"], found["collected"]) == ("quest", "2023-12-31T08:15:00")
        x0, top, _, bottom = found["readings"][0]["box"]
        # It was printed there, in points.
        assert 45 < x0 < 55
        assert 65 < top < bottom < 85
        assert all(0 < reading["confidence"] < 0.98 for reading in found["readings"])


def test_a_skewed_photograph_that_says_nothing_of_its_size(tmp_path: Path, quest: Path) -> None:
    path = tmp_path / "photo.jpg"
    picture_of(quest, 150).rotate(-2.5, Image.Resampling.BICUBIC, fillcolor=255).save(path, quality=75)
    found = parse(path)
    if is_read(found):
        assert [row[:4] for row in rows(found)] == [row[:4] for row in QUEST]


def test_pages_that_lie_on_their_side_in_a_pdf_and_in_a_tiff(tmp_path: Path, quest: Path) -> None:
    pages = [picture_of(quest, 200).rotate(90, expand=True)]
    pages.append(picture_of(printed.lines(tmp_path / "x.pdf", ["Ferritin 41 ng/mL 30-400"]), 200))
    pages[0].save(tmp_path / "scan.pdf", save_all=True, append_images=pages[1:], resolution=200)
    black = [page.point(lambda brightness: 255 * (brightness > 140)).convert("1") for page in pages]
    black[0].save(tmp_path / "fax.tiff", save_all=True, append_images=black[1:], compression="group4", dpi=(200, 200))
    for name in ("scan.pdf", "fax.tiff"):
        found = parse(tmp_path / name)
        if is_read(found):
            assert rows(found) == [*QUEST, ("Ferritin", "41", "ng/mL", "30-400", "")]
            assert [reading["page"] for reading in found["readings"]] == [1, 1, 1, 2]
            x0, top, x1, bottom = found["readings"][0]["box"]
            # On its side a line is higher than it is wide.
            assert bottom - top > 5 * (x1 - x0)


def test_a_dense_table_stays_upright(tmp_path: Path) -> None:
    # As many lines as its columns are straight.
    write_report(tmp_path / "report.pdf", date(2026, 11, 2), RESULTS * 3)
    picture_of(tmp_path / "report.pdf", 300).save(tmp_path / "scan.png", dpi=(300, 300))
    found = parse(tmp_path / "scan.png")
    if is_read(found):
        told = {(one.name, one.value, one.unit) for one in RESULTS}
        assert len(told & {row[:3] for row in rows(found)}) > len(told) / 2
        assert all(reading["box"][2] - reading["box"][0] > 300 for reading in found["readings"])


def test_a_german_scan(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    picture_of(printed.lines(tmp_path / "x.pdf", printed.GERMAN), 300).save(path, dpi=(300, 300))
    found = parse(path)
    if is_read(found):
        assert found["collected"] == date(2024, 2, 3).isoformat()
        assert [row[:2] for row in rows(found)] == [("Glukose", "5,4"), ("Leukozyten", "6,2"), ("TSH", "1,20")]


def test_a_number_that_may_have_lost_its_point_is_doubtful(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    texts = ["Some Laboratory", "Potassium 43 mmol/L 3.5-5.2", "Sodium 140 mmol/L 134-144"]
    picture_of(printed.lines(tmp_path / "x.pdf", texts), 200).save(path, dpi=(200, 200))
    found = parse(path)
    if is_read(found):
        assert [reading["confidence"] < 0.7 for reading in found["readings"]] == [True, False]


def scanned(path: Path, picture: Path, over: str, mode: TextMode) -> Path:
    """A scan with a line of text over it."""
    report = printed.Report()
    report.image(str(picture), 0, 0, 612)
    with report.local_context(text_mode=mode):
        report.text(50, 700, over)
    return report.saved(path)


def test_text_that_nobody_sees_is_not_believed(tmp_path: Path, quest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture_of(quest, 200).save(tmp_path / "scan.png")
    over = "TSH 18.4 mIU/L 0.40-4.50 H"
    path = scanned(tmp_path / "scan.pdf", tmp_path / "scan.png", over, TextMode.INVISIBLE)
    if has_ocr():
        assert rows(parse(path)) == QUEST
    # Nothing is found there, Tesseract least of all.
    monkeypatch.setenv("PATH", "/nowhere")
    (reading,) = parse(path)["readings"]
    assert (reading["value"], reading["confidence"] < 0.7) == ("18.4", True)


def test_a_scan_with_a_stamp_is_read_as_one(tmp_path: Path, quest: Path) -> None:
    picture_of(quest, 200).save(tmp_path / "scan.png")
    path = scanned(tmp_path / "scan.pdf", tmp_path / "scan.png", "Received by fax, page 1", TextMode.FILL)
    found = parse(path)
    assert rows(found) == (QUEST if has_ocr() else [])


def test_a_page_with_a_small_picture_needs_no_recognition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 50), 128).save(tmp_path / "logo.png")
    report = printed.Report()
    report.text(50, 60, "TSH 1.2 mIU/L 0.4-4.0")
    report.add_page()
    report.image(str(tmp_path / "logo.png"), 50, 50, 100)
    monkeypatch.setenv("PATH", "/nowhere")
    found = parse(report.saved(tmp_path / "x.pdf"))
    assert (found["pages"], [reading["value"] for reading in found["readings"]]) == (2, ["1.2"])


def test_a_picture_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    Image.new("L", (1700, 2200), 255).save(path)
    found = parse(path)
    if is_read(found):
        assert (found["pages"], found["readings"], found["text"]) == (1, [], "")


@pytest.mark.parametrize("keep", [0.05, 0.5])
def test_a_picture_that_ends_too_soon(tmp_path: Path, quest: Path, keep: float) -> None:
    picture_of(quest, 150).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    path = tmp_path / "cut.png"
    path.write_bytes(whole[: int(len(whole) * keep)])
    found = parse(path)
    assert found["status"] == ("unreadable" if has_ocr() else "no_ocr")


def test_a_picture_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (12_000, 12_000)).save(path)
    assert path.stat().st_size < 1 << 20
    found = asyncio.run(parse_confined(path))
    assert found["status"] == ("unreadable" if has_ocr() else "no_ocr")


@pytest.mark.parametrize("degrees", [0.0, 1.5, -3.0, 90.0])
def test_lines_are_made_level_and_boxes_found_again(tmp_path: Path, quest: Path, degrees: float) -> None:
    page = picture_of(quest, 100)
    skewed = page.rotate(degrees, Image.Resampling.BICUBIC, expand=degrees == 90, fillcolor=255)
    first, *_ = ways_up(skewed)
    assert abs((first + degrees) % 180) < 0.6 or abs((first + degrees) % 180 - 180) < 0.6
    level = turned(skewed, first)
    corner = (10.0, 20.0, 30.0, 25.0)
    back = Turned(first, skewed.size, level.size).back(corner)
    there = Turned(-first, level.size, skewed.size).back(back) if first % 90 == 0 else corner
    assert there == pytest.approx(corner, abs=0.01)
