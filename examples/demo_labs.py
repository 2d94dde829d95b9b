"""The demo's laboratory results: three laboratories' as typed and a fourth's as a PDF, in one trend."""

import tempfile
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from rich.console import Console

from examples.lab_report import RESULTS, Printed, write_report
from vitalis_client import Vitalis
from vitalis_client.cli.lab_reports import upload, watched
from vitalis_client.cli.lab_review import Review, tell
from vitalis_client.cli.lab_trends import drawn, told
from vitalis_client.contract.models import BiomarkerTrend, BloodMarker

WIDTH = 78
# Day, laboratory, and for each marker the value, the unit and the range as printed.
PANELS = (
    (
        "2024-05-06",
        "Labor am Ring",
        (("Glukose", "5,1", "mmol/l", "3,9-5,5"), ("HbA1c", "36", "mmol/mol", "20-42")),
    ),
    (
        "2025-06-12",
        "Quest Diagnostics",
        (("GLUCOSE", "96", "mg/dL", "65-99"), ("HEMOGLOBIN A1c", "5.5", "%", "<5.7")),
    ),
    (
        "2026-06-20",
        "Labcorp",
        (("Glucose", "104", "mg/dL", "70-99"), ("Hemoglobin A1c", "5.7", "%", "4.8-5.6")),
    ),
)
REPORTED = date(2026, 11, 2)
# What they and the report's are in the unit of the trend: glucose of 180.156 g/mol, and
# NGSP % = 0.09148 x IFCC mmol/mol + 2.152.
TRENDS = {"glucose": (91.88, 96.0, 104.0, 104.0), "hba1c": (5.45, 5.5, 5.7, 5.6)}
TOLERANCE = 0.01


def enter(api: Vitalis) -> None:
    """Adds the panels."""
    for day, lab, results in PANELS:
        names = ("raw_name", "value", "unit", "ref_range_text")
        markers = [dict(zip(names, result, strict=True)) for result in results]
        api.labs.add_panel({"collected_date": day, "lab_name": lab, "sex": "female", "age_years": 35}, markers)


def confirm_report(console: Console, api: Vitalis) -> Iterator[str]:
    """Uploads a report, shows what was read, and confirms it; a line for each result that is not as printed."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "report.pdf"
        write_report(path, REPORTED)
        review = Review(api, watched(api, upload(api, path)))
    tell(review)
    confirmed = review.confirm(override=False)
    console.print(f"confirmed as panel {confirmed.linked_record_id}", markup=False, soft_wrap=True)
    yield from misread(list(api.labs.markers(panel=confirmed.linked_record_id or "")), RESULTS)


def misread(markers: Sequence[BloodMarker], printed: Sequence[Printed]) -> Iterator[str]:
    """A line for each result that is not as it was printed, or is missing, or was not printed."""
    stored = {marker.raw_name: (marker.value, marker.unit, marker.ref_range_text) for marker in markers}
    on_paper = {result.name: (result.value, result.unit, result.reference_range) for result in printed}
    for name in sorted(stored.keys() | on_paper.keys()):
        said, put_in = stored.get(name), on_paper.get(name)
        if said != put_in:
            yield f"{name} of the report: the API says {said}, {put_in} was printed"


def print_trends(console: Console, api: Vitalis) -> Iterator[str]:
    """Draws the trends; a line for each value that is not what was entered, in another unit."""
    for slug, expected in TRENDS.items():
        found = api.labs.trend(slug)
        console.print(f"\n{found.display_name}, {found.unit}", markup=False)
        for line in (*drawn(found, min(console.width, WIDTH)), *told(found)):
            console.print(line, markup=False, soft_wrap=True)
        yield from differences(found, expected)


def differences(found: BiomarkerTrend, expected: tuple[float, ...]) -> Iterator[str]:
    values = [point.value for point in found.points]
    if len(values) != len(expected):
        yield f"{found.biomarker}: the API has {len(values)} results, {len(expected)} were entered"
        return
    for point, value in zip(found.points, expected, strict=True):
        if point.value is None or abs(point.value - value) > TOLERANCE:
            yield f"{found.biomarker} of {point.collected_date}: the API says {point.value}, {value} was entered"
