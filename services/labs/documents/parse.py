"""Reads one document in a process of its own: `python -m services.labs.documents.parse FILE MEMORY_BYTES SECONDS`.

A file from outside may be made to be endless. This process may take so much
memory and processor time and no more, opens nothing but the file, and says
what it found as JSON on standard output: nothing it does can hurt the worker
that started it.
"""

import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from services.labs.documents.layouts import Reader, read_pages
from services.labs.documents.pdf import NoOcrError, read_pdf, read_picture
from services.labs.reports import UnreadableReportError

PDF_MARK = b"%PDF-"


def parse(path: Path) -> dict[str, Any]:
    """What a PDF, PNG, JPEG or TIFF says: `status` is read, no_ocr or unreadable, with a `reason`."""
    try:
        # Some PDFs begin with what a scanner or a mail program put before them.
        with path.open("rb") as file:
            is_pdf = PDF_MARK in file.read(1024)
        pages = list(read_pdf(path)) if is_pdf else [(read_picture(path), 0.0)]
    except NoOcrError:
        return {"status": "no_ocr", "reason": "the document is a picture, and text recognition is not installed"}
    except UnreadableReportError as error:
        return {"status": "unreadable", "reason": str(error)}
    text = "\n".join(line.text for lines, _ in pages for line in lines)
    return {"status": "read", "pages": len(pages), "text": text, **_found(read_pages(pages))}


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
    file, memory_bytes, seconds = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    json.dump(parse(Path(file)), sys.stdout, default=str)
