"""The words of a PDF's pages: its own text, or what Tesseract recognises where a page is a picture."""

import csv
import io
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pdfplumber
import pypdfium2
from pdfminer.pdfdocument import PDFPasswordIncorrect
from pdfplumber.page import Page
from pdfplumber.utils.exceptions import PdfminerException
from PIL import Image

from services.labs.documents.pages import Line, Word, lines_of
from services.labs.reports import UnreadableReportError

MAX_PAGES = 200
# A page of print has some thousands of characters; one with more is made to be slow.
MAX_CHARACTERS_ON_PAGE = 50_000
# Dots per inch at which Tesseract reads print best; points are 72 to the inch.
OCR_DPI = 300
OCR_SECONDS = 60
# What somebody who looks at a page can read, and how many pages they are shown.
DRAWN_DPI = 150
MOST_DRAWN = 20
# Letter and A4 are below; what a page claims to be above that is drawn smaller.
MAX_SIDE_POINTS = 1500


class NoOcrError(Exception):
    """The document is a picture, and Tesseract is not installed."""


def has_ocr() -> bool:
    return shutil.which("tesseract") is not None


def read_pdf(path: Path) -> Iterator[tuple[list[Line], float]]:
    """The lines and the width (points) of each page. Raises UnreadableReportError and NoOcrError."""
    try:
        with pdfplumber.open(path) as pdf:
            if len(pdf.pages) > MAX_PAGES:
                raise UnreadableReportError(f"the document has more than {MAX_PAGES} pages")
            for page in pdf.pages:
                words = _words(page)
                if not words and page.images:
                    words = _recognised(path, page)
                yield lines_of(page.page_number, words), float(page.width)
                page.close()
    except (UnreadableReportError, NoOcrError):
        raise
    except PdfminerException as error:
        if isinstance(error.args[0] if error.args else None, PDFPasswordIncorrect):
            raise UnreadableReportError("the document is encrypted: save it without a password") from None
        raise UnreadableReportError("the document is damaged, or no PDF") from None
    except (MemoryError, RecursionError):
        raise UnreadableReportError("the document asks for more than a report needs") from None
    except Exception:
        # pdfminer raises whatever a damaged file leads it to.
        raise UnreadableReportError("the document is damaged, or no PDF") from None


def read_picture(path: Path) -> list[Line]:
    """The lines of a photographed or scanned page. Raises UnreadableReportError and NoOcrError."""
    return lines_of(1, _ocr(path, 1.0))


def _words(page: Page) -> list[Word]:
    if len(page.chars) > MAX_CHARACTERS_ON_PAGE:
        raise UnreadableReportError(f"page {page.page_number} has more text than a page can hold")
    return [
        Word(word["text"], float(word["x0"]), float(word["top"]), float(word["x1"]), float(word["bottom"]))
        for word in page.extract_words()
    ]


def _recognised(path: Path, page: Page) -> list[Word]:
    if not has_ocr():
        raise NoOcrError
    scale = min(OCR_DPI / 72, OCR_DPI / 72 * MAX_SIDE_POINTS / max(float(page.width), float(page.height)))
    document = pypdfium2.PdfDocument(path)
    try:
        picture = document[page.page_number - 1].render(scale=scale).to_pil()
    finally:
        document.close()
    file = path.with_name(f"{path.name}.{page.page_number}.png")
    try:
        picture.save(file)
        return list(_ocr(file, scale))
    finally:
        file.unlink(missing_ok=True)


def _ocr(picture: Path, scale: float) -> Iterator[Word]:
    """The words that Tesseract finds; `scale` is how many dots a point has."""
    if not has_ocr():
        raise NoOcrError
    try:
        done = subprocess.run(
            ["tesseract", picture, "stdout", "--psm", "6", "tsv"],
            capture_output=True,
            timeout=OCR_SECONDS,
            check=True,
            text=True,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        raise UnreadableReportError("the picture cannot be read") from None
    for row in csv.DictReader(io.StringIO(done.stdout), delimiter="\t", quoting=csv.QUOTE_NONE):
        text = (row["text"] or "").strip()
        if text and float(row["conf"]) >= 0:
            left, top, width, height = (int(row[name]) / scale for name in ("left", "top", "width", "height"))
            yield Word(text, left, top, left + width, top + height, float(row["conf"]) / 100)


def draw_pages(path: Path, folder: Path) -> int:
    """Draws a PDF's first pages as `<number>.png`; how many. Raises UnreadableReportError."""
    try:
        document = pypdfium2.PdfDocument(path)
        try:
            count = min(len(document), MOST_DRAWN)
            for number in range(count):
                page = document[number]
                scale = DRAWN_DPI / 72 * min(1.0, MAX_SIDE_POINTS / max(page.get_size()))
                page.render(scale=scale).to_pil().save(folder / f"{number + 1}.png")
        finally:
            document.close()
    except (pypdfium2.PdfiumError, MemoryError, OSError, ValueError, ZeroDivisionError):
        raise UnreadableReportError("the document's pages cannot be drawn") from None
    return count


def draw_picture(path: Path, folder: Path) -> int:
    """Draws a picture as `1.png`. Raises UnreadableReportError."""
    try:
        with Image.open(path) as picture:
            picture.thumbnail((DRAWN_DPI * MAX_SIDE_POINTS // 72,) * 2)
            picture.convert("RGB").save(folder / "1.png")
    # Pillow raises SyntaxError for some broken PNGs, and an error of its own for a bomb.
    except (Image.DecompressionBombError, SyntaxError, MemoryError, OSError, ValueError):
        raise UnreadableReportError("the picture cannot be drawn") from None
    return 1
