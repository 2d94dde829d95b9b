"""Reports printed to PDF, as laboratories and portals lay them out."""

from collections.abc import Sequence
from pathlib import Path

from fpdf import FPDF

LABCORP_HEAD = (
    "Laboratory Corporation of America",
    "Patient: ROE, RICHARD   Phone: 555 0100",
    "Date Collected: 03/04/2024",
)
LABCORP_TITLES = ("Test", "Current Result and Flag", "Previous Result and Date", "Units", "Reference Interval")
LABCORP_ROWS = (
    ("Ferritin 01", "12 Low", "33 09/28/2023", "ng/mL", "30-400"),
    ("Estradiol", "<5.0", "18.5 09/28/2023", "pg/mL", "7.6-42.6"),
    ("Neutrophils", "61", "", "%", "Not Estab."),
    ("Vitamin B12", "450", "", "pg/mL", "232-1245"),
    ("Hemoglobin A1c", "5.9 High", "5.7 High 09/28/2023", "%", "4.8-5.6"),
    ("Urine Nitrite", "Negative", "", "", "Negative"),
)
QUEST = (
    "Quest Diagnostics",
    "Collection Date: 12/31/2023 08:15 AM",
    "CHOLESTEROL, TOTAL 231 H Reference Range: <200 mg/dL",
    "HDL CHOLESTEROL 52 Reference Range: > OR = 40 mg/dL",
    "TSH 1.84 Reference Range: 0.40-4.50 mIU/L",
)
MYCHART = (
    "MyChart",
    "Collected on Feb 29, 2024 7:05 AM",
    "Authorizing provider: Dr. Greta House",
    "Resulting lab: Harbour Laboratory",
    "Potassium Level",
    "Normal range: 3.5 - 5.1 mmol/L",
    "3.5    5.1",
    "5.1",
    "eGFR",
    "Normal range: >=60 mL/min/1.73m2",
    "60",
    "58 Low",
    "Sodium Level",
    "Normal range: 136 - 145 mmol/L",
    "136    145",
    "Chloride Level",
    "Normal range: 98 - 106 mmol/L",
    "98    106",
    "101",
)
GERMAN = (
    "Labor: Praxis am Ring",
    "Entnahme: 03.02.2024",
    "Untersuchung Ergebnis Einheit Referenzbereich",
    "Glukose 5,4 mmol/l 3,9-5,5",
    "Leukozyten 6,2 /nl 4,0-10,0",
    "TSH 1,20 mU/l 0,40-4,00",
)
FRENCH = (
    "Laboratoire: Biologie du Port",
    "Prélevé le 03/02/2024 à 08h15",
    "Médecin: Dr Dupont",
    "Analyses Résultats Unités Valeurs de référence",
    "Glycémie 0,95 g/L 0,70 à 1,10",
    "Cholestérol total 2,12 g/L < 2,00",
    "Triglycérides 1,10 g/L (0,40 - 1,50)",
    "Ferritine 1 250 µg/L 30-400",
    "Leucocytes 6,2 G/L 4,0 - 10,0",
    "TSH 1,84 mUI/L 0,40 - 4,00",
)
SPANISH = (
    "Laboratorio: Clínica del Puerto",
    "Fecha de extracción: 03/02/2024",
    "Médico solicitante: Dra. López",
    "Prueba Resultado Unidades Valores de referencia",
    "Glucosa 95 mg/dL 70 - 100",
    "Colesterol total * 212 mg/dL hasta 200",
    "Hemoglobina 14,2 g/dL 13,0 - 17,0",
    "Leucocitos 6,2 10^3/µL 4,0 - 11,0",
    "TSH 1,84 µUI/mL 0,40 - 4,00",
)


class Report(FPDF):
    """A page of print; text is placed in points from its top left corner."""

    def __init__(self) -> None:
        super().__init__(unit="pt", format="letter")
        self.set_auto_page_break(False)
        self.add_page()
        self.set_font("Helvetica", size=9)

    def line_at(self, y: float, cells: Sequence[tuple[float, str]]) -> None:
        for x, text in cells:
            self.text(x, y, text)

    def saved(self, path: Path) -> Path:
        self.output(str(path))
        return path


def lines(path: Path, texts: Sequence[str], *, x: float = 50) -> Path:
    """One text below the other."""
    report = Report()
    for at, text in enumerate(texts):
        report.line_at(50 + 14 * at, [(x, text)])
    return report.saved(path)


def table(
    path: Path,
    rows: Sequence[Sequence[str]],
    *,
    head: Sequence[str] = LABCORP_HEAD,
    stops: Sequence[float] = (50, 200, 300, 420, 500),
    break_after: int | None = None,
    repeat_head: bool = False,
) -> Path:
    """A table whose columns begin at `stops`; it goes on on a second page after so many rows."""
    report = Report()
    y = 50.0
    for text in head:
        report.line_at(y, [(50, text)])
        y += 14
    for number, row in enumerate([LABCORP_TITLES, *rows]):
        if break_after is not None and number == break_after + 1:
            report.line_at(760, [(50, "Page 1 of 2"), (400, "Specimen ID: 123-456")])
            report.add_page()
            for at, text in enumerate(head if repeat_head else head[:1]):
                report.line_at(50 + 14 * at, [(50, text)])
            y = 50 + 14 * len(head)
        report.line_at(y, list(zip(stops, row, strict=True)))
        y += 14
    return report.saved(path)


def cells(path: Path, rows: Sequence[Sequence[str]], *, stops: Sequence[float] = (50, 200, 280, 360, 430)) -> Path:
    """Rows whose cells begin at `stops`; empty cells and what a row lacks is left out."""
    report = Report()
    for number, row in enumerate(rows):
        report.line_at(50 + 14 * number, [(x, text) for x, text in zip(stops, row, strict=False) if text])
    return report.saved(path)


def two_columns(path: Path, title: str, left: Sequence[str], right: Sequence[str]) -> Path:
    """A title over the whole width and two columns of lines below it."""
    report = Report()
    report.line_at(50, [(50, title)])
    for at, (first, second) in enumerate(zip(left, right, strict=True)):
        report.line_at(80 + 14 * at, [(50, first), (330, second)])
    return report.saved(path)
