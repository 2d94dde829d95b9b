"""The report that the demo prints is read as it was printed."""

from datetime import date
from pathlib import Path

from examples.lab_report import LAB, RESULTS, Printed, write_report
from services.labs.documents.layouts import read_pages
from services.labs.documents.pdf import read_pdf

COLLECTED = date(2026, 11, 2)


def read_back(path: Path) -> list[Printed]:
    reader = read_pages(list(read_pdf(path)))
    assert (reader.lab_name, reader.collected) == (LAB, COLLECTED)
    found = [reading.result for reading in reader.readings]
    return [Printed(one.name, one.value, one.unit, one.reference_range, one.flag) for one in found]


def test_every_result_is_read_with_its_unit_range_and_flag(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    write_report(path, COLLECTED)
    assert read_back(path) == list(RESULTS)


def test_a_long_report_goes_on_over_pages(tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    write_report(path, COLLECTED, RESULTS * 10)
    assert read_back(path) == list(RESULTS * 10)
