"""Laboratory reports as PDF, true to how they are printed: `python -m examples.lab_report --out report.pdf`.

The laboratory, the person and the values are made up.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from fpdf import FPDF

# A day and a month in figures could be either way round.
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LAB = "Harbour Laboratory"
# Where the columns begin, in points from the left edge of a letter page.
COLUMNS = (50.0, 250.0, 320.0, 380.0, 470.0)
TITLES = ("Test", "Result", "Flag", "Units", "Reference Range")
TOP, LINE, BOTTOM = 60.0, 16.0, 740.0


@dataclass(frozen=True, slots=True)
class Printed:
    """A result as it is printed."""

    name: str
    value: str
    unit: str
    reference_range: str
    flag: str = ""


RESULTS = (
    Printed("Glucose", "104", "mg/dL", "70-99", "High"),
    Printed("Hemoglobin A1c", "5.6", "%", "4.8-5.6"),
    Printed("Creatinine", "0.92", "mg/dL", "0.76-1.27"),
    Printed("Sodium", "140", "mmol/L", "134-144"),
    Printed("Potassium", "4.3", "mmol/L", "3.5-5.2"),
    Printed("Cholesterol, Total", "212", "mg/dL", "100-199", "High"),
    Printed("HDL Cholesterol", "58", "mg/dL", ">39"),
    Printed("Triglycerides", "96", "mg/dL", "0-149"),
    Printed("ALT (SGPT)", "21", "IU/L", "0-44"),
    Printed("TSH", "1.84", "uIU/mL", "0.450-4.500"),
    Printed("Ferritin", "41", "ng/mL", "30-400"),
    Printed("Vitamin D, 25-Hydroxy", "27.4", "ng/mL", "30.0-100.0", "Low"),
)


def write_report(path: Path, collected: date, results: Sequence[Printed] = RESULTS, *, lab: str = LAB) -> None:
    """Prints a report: a head with the day of collection, and one line a result on as many pages as it takes."""
    page = FPDF(unit="pt", format="letter")
    page.set_auto_page_break(False)
    page.set_font("Helvetica", size=9)
    rest = list(results)
    while True:
        page.add_page()
        page.text(COLUMNS[0], TOP, f"Laboratory: {lab}")
        day = f"{MONTHS[collected.month - 1]} {collected.day}, {collected.year}"
        page.text(COLUMNS[0], TOP + LINE, f"Date Collected: {day}")
        place = TOP + 3 * LINE
        _line(page, place, TITLES)
        while rest and place < BOTTOM:
            result = rest.pop(0)
            place += LINE
            _line(page, place, (result.name, result.value, result.flag, result.unit, result.reference_range))
        if not rest:
            break
    page.output(str(path))


def _line(page: FPDF, place: float, cells: Sequence[str]) -> None:
    for left, cell in zip(COLUMNS, cells, strict=True):
        if cell:
            page.text(left, place, cell)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.lab_report", description=__doc__)
    parser.add_argument("--collected", type=date.fromisoformat, default=date(2026, 11, 2), help="YYYY-MM-DD")
    parser.add_argument("--out", type=Path, default=Path("report.pdf"))
    arguments = parser.parse_args()
    write_report(arguments.out, arguments.collected)
    print(f"{arguments.out}: {len(RESULTS)} results of {arguments.collected}")


if __name__ == "__main__":
    main()
