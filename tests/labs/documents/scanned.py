"""Printed reports as scanners and telephones make pictures of them."""

from pathlib import Path

import pypdfium2
from PIL import Image


def picture_of(printed: Path, dpi: int, page: int = 0) -> Image.Image:
    """A page as a grey picture."""
    document = pypdfium2.PdfDocument(printed)
    try:
        return document[page].render(scale=dpi / 72, grayscale=True).to_pil()
    finally:
        document.close()
