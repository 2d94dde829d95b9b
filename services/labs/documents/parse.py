"""Reads one document in a process of its own: `python -m services.labs.documents.parse MEMORY_BYTES SECONDS FILE`.

With a directory behind that, it draws the pages into it instead, as PNG.

A file from outside may be made to be endless. This process may take so much
memory and processor time and no more, opens nothing but the file, and says
what it found as JSON on standard output: nothing it does can hurt the worker
that started it.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.labs.confined import confine
from services.labs.documents.kinds import HEAD_BYTES, PDF, mime_type_of
from services.labs.documents.layouts import Reader, read_pages
from services.labs.documents.ocr import NoOcrError, read_pictures
from services.labs.documents.pdf import draw_pages, draw_picture, read_pdf
from services.labs.reports import UnreadableReportError


def parse(path: Path) -> dict[str, Any]:
    """What a PDF, PNG, JPEG or TIFF says: `status` is read, no_ocr or unreadable, with a `reason`."""
    try:
        pages = list(read_pdf(path) if _is_pdf(path) else read_pictures(path))
    except NoOcrError:
        return {"status": "no_ocr", "reason": "the document is a picture, and text recognition is not installed"}
    except UnreadableReportError as error:
        return {"status": "unreadable", "reason": str(error)}
    text = "\n".join(line.text for lines, _ in pages for line in lines)
    return {"status": "read", "pages": len(pages), "text": text, **_found(read_pages(pages))}


def draw(path: Path, folder: Path) -> dict[str, Any]:
    """Draws the pages of a PDF, or the picture, as `<number>.png`: `status` is drawn, or unreadable with a `reason`."""
    try:
        count = draw_pages(path, folder) if _is_pdf(path) else draw_picture(path, folder)
    except UnreadableReportError as error:
        return {"status": "unreadable", "reason": str(error)}
    return {"status": "drawn", "pages": count}


def _is_pdf(path: Path) -> bool:
    with path.open("rb") as file:
        return mime_type_of(file.read(HEAD_BYTES)) == PDF


def _found(reader: Reader) -> dict[str, Any]:
    return {
        "layout": reader.layout.name,
        "lab_name": reader.lab_name,
        "lab_provider": reader.lab_provider,
        "collected": reader.collected.isoformat() if reader.collected else "",
        "reported": reader.reported.isoformat() if reader.reported else "",
        "readings": [
            {**asdict(reading.result), "page": reading.page, "box": reading.box, "confidence": reading.confidence}
            for reading in reader.readings
        ],
    }


if __name__ == "__main__":
    memory_bytes, seconds, file, *drawn_into = sys.argv[1:]
    confine(memory_bytes, seconds)
    answer = draw(Path(file), Path(drawn_into[0])) if drawn_into else parse(Path(file))
    json.dump(answer, sys.stdout, default=str)
