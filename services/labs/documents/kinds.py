"""What kind of file an upload is: its content says so, its name is only a name."""

PDF = "application/pdf"
# Some PDFs begin with what a scanner or a mail program put before them.
HEAD_BYTES = 1024
PDF_MARK = b"%PDF-"
PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
}


def mime_type_of(head: bytes) -> str | None:
    """The type of a file that begins so; None for what no document is."""
    for mark, mime_type in PICTURES.items():
        if head.startswith(mark):
            return mime_type
    return PDF if PDF_MARK in head[:HEAD_BYTES] else None
