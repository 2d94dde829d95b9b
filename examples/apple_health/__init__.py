"""True-to-format Apple Health exports of an invented person, with the truth that they should come to.

`python -m examples.apple_health --days 600 --out export.zip` writes one; tests,
the benchmark and the demo call `write_export`.
"""

import zipfile
from datetime import UTC, date, datetime, time
from typing import IO, BinaryIO
from zoneinfo import ZoneInfo

from examples.apple_health import extras
from examples.apple_health.dtd import document_type
from examples.apple_health.generate import Generator
from examples.apple_health.life import HOME, Life
from examples.apple_health.truth import DayTruth, NightTruth, Truth, WorkoutTruth

__all__ = ["DayTruth", "NightTruth", "Truth", "WorkoutTruth", "write_export"]

FLUSH_CHARACTERS = 2**18
FOLDER = "apple_health_export"
# The same bytes for the same seed, whenever they are made.
_ZIP_DATE = (2026, 1, 1, 0, 0, 0)
_CDA = """<?xml version="1.0"?>
<ClinicalDocument xmlns="urn:hl7-org:v3"><title>Health Data Export</title></ClinicalDocument>
"""
_ECG = """Name,Zoë
Date of Birth,
Recorded Date,2026-01-01 08:00:00 -0800
Classification,Sinus Rhythm
Sample Rate,512 hertz
"""
_GPX = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator="Apple Health Export" '
    'xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg/></trk></gpx>\n'
)


def write_export(
    out: BinaryIO,
    days: int,
    seed: int,
    end: date,
    *,
    xml: bool = False,
    broken_dtd: bool = True,
    bad_records: bool = False,
) -> Truth:
    """Writes an export of `days` days up to and with `end`, and says what it should come to.

    A zip as the phone makes it, or with `xml` only the XML in it. `broken_dtd`
    writes the document type definition as iOS 16 does. `bad_records` adds records
    that cannot be used. The same arguments give the same bytes.
    """
    made = datetime.combine(end, time(23, 30), ZoneInfo(HOME))
    truth = Truth(as_of=made.astimezone(UTC))
    life = Life(seed, days, end)
    if xml:
        _write_xml(out, life, truth, broken_dtd, bad_records)
        return truth
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = _entry("export.xml")
        with archive.open(entry, "w", force_zip64=True) as file:
            _write_xml(file, life, truth, broken_dtd, bad_records)
        archive.writestr(_entry("export_cda.xml"), _CDA)
        archive.writestr(_entry("electrocardiograms/ecg_2026-01-01.csv"), _ECG)
        for index in range(days):
            exercise = life.exercise(index)
            if exercise is not None and exercise.climbed_cm is not None:
                archive.writestr(_entry(extras.route_path(life.day(index))[1:]), _GPX)
    return truth


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(f"{FOLDER}/{name}", _ZIP_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _write_xml(file: IO[bytes], life: Life, truth: Truth, broken_dtd: bool, bad_records: bool) -> None:
    pending: list[str] = []
    characters = 0

    def flush() -> None:
        nonlocal characters
        data = "".join(pending).encode()
        file.write(data)
        truth.xml_bytes += len(data)
        pending.clear()
        characters = 0

    def write(text: str) -> None:
        nonlocal characters
        pending.append(text)
        characters += len(text)
        if characters >= FLUSH_CHARACTERS:
            flush()

    made = truth.as_of.astimezone(ZoneInfo(HOME)).strftime("%Y-%m-%d %H:%M:%S %z")
    write('<?xml version="1.0" encoding="UTF-8"?>\n')
    write(document_type(broken_dtd))
    write(f'<HealthData locale="en_US">\n <ExportDate value="{made}"/>\n')
    write(
        ' <Me HKCharacteristicTypeIdentifierDateOfBirth="1987-06-05" '
        'HKCharacteristicTypeIdentifierBiologicalSex="HKBiologicalSexFemale" '
        'HKCharacteristicTypeIdentifierBloodType="HKBloodTypeNotSet" '
        'HKCharacteristicTypeIdentifierFitzpatrickSkinType="HKFitzpatrickSkinTypeNotSet" '
        'HKCharacteristicTypeIdentifierCardioFitnessMedicationsUse="None"/>\n'
    )
    generator = Generator(life, truth, write)
    extras.write_ignored(generator)
    if bad_records:
        extras.write_bad(generator)
    generator.write_all()
    extras.write_correlations(generator)
    extras.write_workouts(generator)
    extras.write_summaries(generator)
    extras.write_clinical(generator)
    write("</HealthData>\n")
    flush()
