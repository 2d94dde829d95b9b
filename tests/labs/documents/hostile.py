"""Files that are made to do harm."""

import zlib


def object_file(content: bytes, *, times: int = 1, pages: int = 1) -> bytes:
    """A PDF of pages that all show one compressed stream, the content so many times."""
    packer = zlib.compressobj(9)
    packed = b"".join([*(packer.compress(content) for _ in range(times)), packer.flush()])
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {pages} /Kids [{' '.join(f'{5 + n} 0 R' for n in range(pages))}] >>".encode(),
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(packed), packed),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R"
    objects += [f"{page} /Resources << /Font << /F1 4 0 R >> >> >>".encode()] * pages
    data, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    trailer = b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF"
    return data + trailer % (size, table, size, len(data))
