"""Finding the XML in what was uploaded: export.xml itself or a zip that holds it, told apart by content."""

import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, BinaryIO, NamedTuple

from services.tracking.apple_health.account import RefusedFile

MIB = 2**20
HEAD_BYTES = MIB
# Others take as much memory to unpack as the file says, up to 4 GiB.
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# An export has two or three; each is looked into.
MAX_XML_ENTRIES = 50
ROOT = re.compile(rb"<HealthData(?=[\s/>])")
CDA_ROOT = re.compile(rb"<(?:\w+:)?ClinicalDocument(?=[\s/>])")
HOW_TO_EXPORT = "export it again in the Health app: your picture, then Export All Health Data"
_END_OF_DIRECTORY = struct.Struct("<4s4H2LH")
_END_OF_DIRECTORY_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_LOOKS_LIKE = (
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"SQLite format 3", "a database"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xff\xfe", "UTF-16 text"),
    (b"\xfe\xff", "UTF-16 text"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)


# What the standard library raises at damage; NotImplementedError is a RuntimeError.
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error)


class Limits(NamedTuple):
    """What a file may unpack to; an export of ten years and 4 GB packs at about 25 to 1."""

    unpacked_bytes: int = 64 * 2**30
    ratio: int = 200
    # Small files may pack better than the ratio allows.
    ratio_from_bytes: int = 16 * MIB
    directory_bytes: int = 4 * MIB


DEFAULT_LIMITS = Limits()


class Xml:
    """The XML as a stream of chunks, with how far it has been read."""

    def __init__(self, file: IO[bytes], total: int, limits: Limits, packed_bytes: int | None, name: str) -> None:
        self.position = 0
        self.total = total
        self.name = name
        self._file = file
        self._limits = limits
        self._packed_bytes = packed_bytes

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end. Raises RefusedFile for a damaged or exploding archive."""
        try:
            data = self._file.read(size)
        except _DAMAGE as error:
            raise _damaged(error) from None
        self.position += len(data)
        limits = self._limits
        if self.position > limits.unpacked_bytes:
            raise RefusedFile(f"the file unpacks to more than {limits.unpacked_bytes // MIB} MiB")
        if (
            self._packed_bytes is not None
            and self.position > limits.ratio_from_bytes
            and self.position > self._packed_bytes * limits.ratio
        ):
            raise RefusedFile(f"the file unpacks to more than {limits.ratio} times its size, as no export does")
        return data


@contextmanager
def open_xml(file: BinaryIO, limits: Limits) -> Iterator[Xml]:
    """Opens the export's XML. Raises RefusedFile for what is neither it nor a zip with it."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if not head:
        raise RefusedFile(f"the file is empty; {HOW_TO_EXPORT}")
    if head.startswith(b"PK"):
        with _open_zip(file, size, limits) as xml:
            yield xml
        return
    _refuse_other(head)
    yield Xml(file, size, limits, None, "")


def _refuse_other(head: bytes) -> None:
    """Raises RefusedFile unless the head is that of an Apple Health export."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, name in _LOOKS_LIKE:
        if text.startswith(magic):
            raise RefusedFile(f"this is {name}, not an Apple Health export; upload export.zip as the phone made it")
    if not text:
        raise RefusedFile(f"the file is blank; {HOW_TO_EXPORT}")
    if not text.startswith(b"<"):
        raise RefusedFile("this is not XML and not a zip; upload export.zip as the phone made it")
    root = ROOT.search(head)
    cda = CDA_ROOT.search(head)
    if cda and (root is None or cda.start() < root.start()):
        raise RefusedFile("this is the clinical document export_cda.xml; upload export.zip or export.xml instead")
    if root is None:
        raise RefusedFile("this XML is no Apple Health export: it has no HealthData; upload export.zip instead")


@contextmanager
def _open_zip(file: BinaryIO, size: int, limits: Limits) -> Iterator[Xml]:
    if _directory_bytes(file, size) > limits.directory_bytes:
        raise RefusedFile("the zip lists more files than any export holds; upload export.zip as the phone made it")
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise _damaged(error) from None
    with archive:
        entry = _find_export(archive)
        try:
            opened = archive.open(entry)
        except _DAMAGE as error:
            raise _damaged(error) from None
        with opened:
            # What the archive takes is known; what its entries claim to take is only claimed.
            packed = min(max(entry.compress_size, 1), size)
            yield Xml(opened, max(entry.file_size, 1), limits, packed, entry.filename)


def _find_export(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The XML whose root is HealthData, whatever the phone's language called it; the largest if there are several."""
    documents = looked_into = 0
    found: list[zipfile.ZipInfo] = []
    for entry in archive.infolist():
        parts = entry.filename.split("/")
        if "__MACOSX" in parts or parts[-1].startswith("._") or not parts[-1].lower().endswith(".xml"):
            continue
        if entry.flag_bits & 1:
            raise RefusedFile("the zip is encrypted; upload export.zip as the phone made it")
        if entry.compress_type not in METHODS:
            raise RefusedFile("the zip is not packed as the phone does it; upload export.zip as the phone made it")
        looked_into += 1
        if looked_into > MAX_XML_ENTRIES:
            break
        head = _head(archive, entry)
        documents += CDA_ROOT.search(head) is not None
        if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<") and ROOT.search(head):
            found.append(entry)
    if found:
        return max(found, key=lambda entry: entry.file_size)
    if documents:
        raise RefusedFile(f"the zip holds only the clinical document export_cda.xml; {HOW_TO_EXPORT}")
    raise RefusedFile("the zip holds no Apple Health export.xml; upload export.zip as the phone made it")


def _head(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    try:
        with archive.open(entry) as opened:
            return opened.read(HEAD_BYTES)
    except _DAMAGE as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> RefusedFile:
    if "CRC" in str(error):
        return RefusedFile(f"the zip is damaged: its checksum does not hold; {HOW_TO_EXPORT}")
    return RefusedFile(f"the zip is cut off or damaged; {HOW_TO_EXPORT}")


def _directory_bytes(file: BinaryIO, size: int) -> int:
    """How large the zip's directory says it is: the library reads it whole, so it is asked before."""
    tail_start = max(0, size - 2**16 - _END_OF_DIRECTORY.size)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END_OF_DIRECTORY.size > len(tail):
        raise RefusedFile(f"the zip is cut off: its end is missing; {HOW_TO_EXPORT}")
    directory = int(_END_OF_DIRECTORY.unpack_from(tail, at)[5])
    locator = at - _LOCATOR_64.size
    if locator >= 0 and tail.startswith(b"PK\x06\x07", locator):
        file.seek(max(0, tail_start + locator - _END_OF_DIRECTORY_64.size))
        record = file.read(_END_OF_DIRECTORY_64.size)
        if len(record) == _END_OF_DIRECTORY_64.size and record.startswith(b"PK\x06\x06"):
            directory = int(_END_OF_DIRECTORY_64.unpack(record)[8])
    file.seek(0)
    return directory
