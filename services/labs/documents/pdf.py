"""The words of a PDF's pages: its own text, or what Tesseract recognises where a page is a picture."""

from collections.abc import Iterator
from pathlib import Path

import pdfplumber
import pypdfium2
from pdfminer.pdfdocument import PDFPasswordIncorrect
from pdfplumber.page import Page
from pdfplumber.utils.exceptions import PdfminerException
from PIL import Image
from pypdfium2 import raw

from services.labs.documents.ocr import MAX_SIDE_POINTS, OCR_DPI, NoOcrError, has_ocr, recognised
from services.labs.documents.pages import Line, Word, lines_of
from services.labs.reports import UnreadableReportError

MAX_PAGES = 200
# A page of print has some thousands of characters; one with more is made to be slow.
MAX_CHARACTERS_ON_PAGE = 50_000
# Of a page, that pictures cover; what is less are logos and signatures.
LEAST_COVERED = 0.5
# A scan may have a line of text that was put over it, such as a fax machine's.
FEW_WORDS = 30
# How far text is believed that nobody sees.
HIDDEN = 0.65
# What somebody who looks at a page can read, and how many pages they are shown.
DRAWN_DPI = 150
MOST_DRAWN = 20


def read_pdf(path: Path) -> Iterator[tuple[list[Line], float]]:
    """The lines and the width (points) of each page. Raises UnreadableReportError and NoOcrError."""
    try:
        with pdfplumber.open(path) as pdf:
            if len(pdf.pages) > MAX_PAGES:
                raise UnreadableReportError(f"the document has more than {MAX_PAGES} pages")
            for page in pdf.pages:
                yield _read_page(path, page)
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


def _read_page(path: Path, page: Page) -> tuple[list[Line], float]:
    """The lines of a page and its width, from its text or, where that is not what is seen of it, from its picture."""
    words = _words(page)
    if _is_picture(page):
        is_hidden = bool(words) and _is_hidden(path, page.page_number)
        if not words or ((is_hidden or len(words) < FEW_WORDS) and has_ocr()):
            return _recognised(path, page)
        if is_hidden:
            words = [word._replace(confidence=HIDDEN) for word in words]
    return lines_of(page.page_number, words), float(page.width)


def _is_picture(page: Page) -> bool:
    covered = sum(float(image["width"]) * float(image["height"]) for image in page.images)
    return covered >= LEAST_COVERED * float(page.width) * float(page.height)


def _is_hidden(path: Path, number: int) -> bool:
    """Whether a page's text is not drawn, as where a scanner lays what it has recognised over its picture."""
    document = pypdfium2.PdfDocument(path)
    try:
        texts = document[number - 1].get_objects(filter=[raw.FPDF_PAGEOBJ_TEXT])
        return any(raw.FPDFTextObj_GetTextRenderMode(text.raw) == raw.FPDF_TEXTRENDERMODE_INVISIBLE for text in texts)
    finally:
        document.close()


def _words(page: Page) -> list[Word]:
    if len(page.chars) > MAX_CHARACTERS_ON_PAGE:
        raise UnreadableReportError(f"page {page.page_number} has more text than a page can hold")
    return [
        Word(word["text"], float(word["x0"]), float(word["top"]), float(word["x1"]), float(word["bottom"]))
        for word in page.extract_words()
    ]


def _recognised(path: Path, page: Page) -> tuple[list[Line], float]:
    """The lines and the width of a page that is a picture, as somebody sees it."""
    scale = OCR_DPI / 72 * min(1.0, MAX_SIDE_POINTS / max(float(page.width), float(page.height)))
    document = pypdfium2.PdfDocument(path)
    try:
        picture = document[page.page_number - 1].render(scale=scale, grayscale=True).to_pil()
    finally:
        document.close()
    return recognised(picture, page.page_number, 1 / scale, path.parent)


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
