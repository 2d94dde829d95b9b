"""Files that are not what they claim to be: refused with words for people, within bounds of memory and time."""

import io
import struct
import zipfile
from pathlib import Path

import pytest

from services.tracking.apple_health import Limits, Progress, RefusedFile, read_export
from tests.tracking.apple_health.exports import STEPS, Read, export, read, record

SOUND = export(record(STEPS, "1", "count", "2026-03-02 10:00:00 -0700"))
CDA = b'<?xml version="1.0"?>\n<ClinicalDocument xmlns="urn:hl7-org:v3"><title/></ClinicalDocument>'


def zipped(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return out.getvalue()


def refused(content: bytes, **options: Limits) -> str:
    with pytest.raises(RefusedFile) as raised:
        read(content, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n\t\r\n", "blank"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj", "a PDF"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x89PNG\r\n", "picture"),
        (b'{"data": {"metrics": []}}', "JSON"),
        (SOUND.decode().encode("utf-16"), "UTF-16"),
        (b"Date,Steps\n2026-01-01,5\n", "not XML"),
        (b"<html><body>Sign in</body></html>", "no HealthData"),
        (b"<HealthDatabase/>", "no HealthData"),
        (b"<?xml version='1.0'?>", "no HealthData"),
        (CDA, "export_cda.xml"),
        (CDA.replace(b"<title/>", b"<HealthData >"), "export_cda.xml"),
        (zipped(), "no Apple Health export.xml"),
        (zipped(("a.txt", b"x"), ("b.xml", b"<gpx/>")), "no Apple Health export.xml"),
        (zipped(("apple_health_export/export_cda.xml", CDA)), "only the clinical document"),
        (zipped(("__MACOSX/export.xml", SOUND), ("x/._export.xml", SOUND)), "no Apple Health export.xml"),
        (zipped(("export.xml", b"%PDF <HealthData ")), "no Apple Health export.xml"),
        (zipped(("inner.zip", zipped(("export.xml", SOUND)))), "no Apple Health export.xml"),
        (b"PK\x03\x04 and nothing more", "cut off"),
    ],
)
def test_what_is_no_export(content: bytes, words: str) -> None:
    assert words in refused(content)


@pytest.mark.parametrize(
    "name", ["apple_health_export/export.xml", "apple_health_export/导出.xml", "Exportación.XML", "x"]
)
def test_the_export_is_found_by_its_content(name: str) -> None:
    def steps(found: Read) -> int:
        return int(found.days["2026-03-02"]["steps"])

    if name != "x":
        others = (("apple_health_export/export_cda.xml", CDA), ("__MACOSX/._export.xml", b"\x00\x05\x16\x07"))
        assert steps(read(zipped(*others, (name, SOUND)))) == 1
        assert steps(read(zipped((name, SOUND), *others, compression=zipfile.ZIP_STORED))) == 1
    assert steps(read(b"\xef\xbb\xbf" + SOUND)) == 1
    assert steps(read(b"\n" + SOUND)) == 1


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off(kept: float) -> None:
    many = export(*(record(STEPS, "1", "count", f"2026-03-02 10:{n:02}:00 -0700") for n in range(60)))
    assert "cut off" in refused(many[: int(len(many) * kept)])
    archive = zipped(("apple_health_export/export.xml", many))
    assert "cut off" in refused(archive[: int(len(archive) * kept)])


def test_a_zip_whose_middle_is_missing_or_changed() -> None:
    many = export(*(record(STEPS, str(n), "count", f"2026-03-02 10:{n % 60:02}:00 -0700") for n in range(600)))
    archive = zipped(("export.xml", many))
    assert "damaged" in refused(archive[:200] + archive[400:])
    stored = bytearray(zipped(("export.xml", many), compression=zipfile.ZIP_STORED))
    at = stored.index(b'value="599"')
    stored[at + 7 : at + 10] = b"123"
    assert "checksum" in refused(bytes(stored))


def test_an_encrypted_zip() -> None:
    archive = bytearray(zipped(("export.xml", SOUND)))
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.index(signature) + flags] |= 1
    assert "encrypted" in refused(bytes(archive))


def test_a_method_of_compression_that_is_not_known() -> None:
    archive = bytearray(zipped(("export.xml", SOUND)))
    for signature, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        archive[archive.index(signature) + method] = 77
    assert "not packed as the phone does it" in refused(bytes(archive))


BOMB = b"<HealthData>" + b" " * (40 * 2**20) + b"</HealthData>"


def test_a_zip_bomb() -> None:
    assert "200 times" in refused(zipped(("export.xml", BOMB)))


def test_a_bomb_that_lies_about_its_size() -> None:
    archive = bytearray(zipped(("export.xml", BOMB)))
    claims = (b"PK\x01\x02", 24), (b"PK\x03\x04", 22)
    for signature, size in claims:
        struct.pack_into("<L", archive, archive.index(signature) + size, 1000)
    assert refused(bytes(archive))
    # And about what it takes packed.
    struct.pack_into("<L", archive, archive.index(b"PK\x01\x02") + 20, 2**31)
    struct.pack_into("<L", archive, archive.index(b"PK\x01\x02") + 24, 2**31)
    assert refused(bytes(archive))


def test_more_than_may_be_unpacked() -> None:
    assert "more than" in refused(SOUND + b" " * 5000, limits=Limits(unpacked_bytes=4000))


def test_a_zip_of_more_files_than_any_export() -> None:
    many = zipped(*((f"f{n}", b"") for n in range(200)), ("export.xml", SOUND))
    assert "more files" in refused(many, limits=Limits(directory_bytes=5000))
    assert "no Apple Health export.xml" in refused(
        zipped(*((f"{n}.xml", b"<gpx/>") for n in range(60)), ("export.xml", SOUND))
    )


def test_deep_nesting() -> None:
    assert "nested" in refused(export("<a>" * 50_000))
    assert "nested" in refused(export('<Record type="x">' + "<b>" * 1000))


def test_names_without_end() -> None:
    assert "more names" in refused(export(*(f"<n{n} a{n}='1'/>" for n in range(20_000))))


def test_an_attribute_without_end() -> None:
    assert "cut off" in refused(b'<HealthData><Record type="' + b"x" * (5 * 2**20))


def test_progress_is_told_and_may_stop_the_reading(tmp_path: Path) -> None:
    told: list[Progress] = []
    content = b"<HealthData>" + b" " * (20 * 2**20) + b"<Record/></HealthData>"
    export_read = read_export(io.BytesIO(content), tmp_path, told.append)
    assert export_read.account.records_read == 1
    assert len(told) >= 5
    assert told[-1] == (len(content), len(content), 1)
    assert told == sorted(told)

    class Stop(Exception):
        pass

    def stop(progress: Progress) -> None:
        raise Stop

    with pytest.raises(Stop):
        read_export(io.BytesIO(content), tmp_path, stop)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_packed_in_another_way(compression: int) -> None:
    assert "not packed as the phone does it" in refused(zipped(("export.xml", SOUND), compression=compression))
