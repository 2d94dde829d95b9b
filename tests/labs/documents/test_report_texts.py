"""The report texts beside the repository, printed to PDF: every value, unit, range, flag, date and name."""

from datetime import date
from pathlib import Path

import pytest

from services.labs.documents.layouts import Reader, read_pages
from services.labs.documents.pdf import read_pdf
from tests.harness import Running
from tests.labs.conftest import As
from tests.labs.documents import printed
from tests.labs.documents.uploaded import confirm, markers_of, read, values_of

TEXTS = Path(__file__).parents[4] / "shared/data/labs/report-text"
CBC = "CBC With Differential/Platelet"
pytestmark = pytest.mark.skipif(not TEXTS.exists(), reason="the shared example files are not beside the repository")
NOT_SAID = "Not Estab."
# (name, value, unit, range, flag), by eye from the texts.
LABCORP = (
    ("WBC", "6.2", "x10E3/uL", "3.4-10.8", ""),
    ("RBC", "4.85", "x10E6/uL", "4.14-5.80", ""),
    ("Hemoglobin", "14.0", "g/dL", "13.0-17.7", ""),
    ("Hematocrit", "41.4", "%", "37.5-51.0", ""),
    ("MCV", "85", "fL", "79-97", ""),
    ("MCH", "28.9", "pg", "26.6-33.0", ""),
    ("MCHC", "33.8", "g/dL", "31.5-35.7", ""),
    ("RDW", "12.2", "%", "11.6-15.4", ""),
    ("Platelets", "225", "x10E3/uL", "150-450", ""),
    ("Neutrophils", "52", "%", NOT_SAID, ""),
    ("Lymphs", "33", "%", NOT_SAID, ""),
    ("Monocytes", "11", "%", NOT_SAID, ""),
    ("Eos", "3", "%", NOT_SAID, ""),
    ("Basos", "1", "%", NOT_SAID, ""),
    ("Neutrophils (Absolute)", "3.2", "x10E3/uL", "1.4-7.0", ""),
    ("Lymphs (Absolute)", "2.0", "x10E3/uL", "0.7-3.1", ""),
    ("Monocytes (Absolute)", "0.7", "x10E3/uL", "0.1-0.9", ""),
    ("Eos (Absolute)", "0.2", "x10E3/uL", "0.0-0.4", ""),
    ("Baso (Absolute)", "0.1", "x10E3/uL", "0.0-0.2", ""),
    ("Immature Granulocytes", "0", "%", NOT_SAID, ""),
    ("Immature Grans (Abs)", "0.0", "x10E3/uL", "0.0-0.1", ""),
    ("Estradiol", "18.0", "pg/mL", "7.6-42.6", ""),
)
FLAGS = (
    ("Glucose", "145", "mg/dL", "70-99", "High"),
    ("Creatinine", "0.8", "mg/dL", "0.7-1.3", ""),
    ("BUN", "18", "mg/dL", "7-20", ""),
    ("Sodium", "142", "mEq/L", "136-145", ""),
)
MYCHART = (
    ("Creatinine Level", "0.72", "mg/dL", "0.50 - 0.90 mg/dL", ""),
    ("Blood Urea Nitrogen (BUN)", "15", "mg/dL", "7 - 25 mg/dL", ""),
    ("Calcium Level", "9.4", "mg/dL", "8.5 - 10.5 mg/dL", ""),
)
QUEST = (
    ("CHOLESTEROL, TOTAL", "170", "mg/dL", "<200", ""),
    ("HDL CHOLESTEROL", "45", "mg/dL", ">40", ""),
    ("LDL CHOLESTEROL", "105", "mg/dL", "<100", ""),
    ("TRIGLYCERIDES", "100", "mg/dL", "<150", ""),
)
MARKERS = {
    "labcorp": (
        *("wbc", "rbc", "hemoglobin", "hematocrit", "mcv", "mch", "mchc", "rdw", "platelets"),
        *("neutrophils_pct", "lymphocytes_pct", "monocytes_pct", "eosinophils_pct", "basophils_pct"),
        *(
            "neutrophils_absolute",
            "lymphocytes_absolute",
            "monocytes_absolute",
            "eosinophils_absolute",
            "basophils_absolute",
        ),
        *("immature_granulocytes_pct", "immature_granulocytes_absolute", "estradiol"),
    ),
    "labcorp_flags": ("glucose", "creatinine", "bun", "sodium"),
    "mychart_renal": ("creatinine", "bun", "calcium"),
    "quest": ("cholesterol_total", "hdl_cholesterol", "ldl_cholesterol", "triglycerides"),
}
DAYS = {
    "labcorp": date(2023, 5, 19),
    "labcorp_flags": date(2023, 6, 12),
    "mychart_renal": date(2025, 4, 10),
    "quest": date(2023, 5, 19),
}


def pdf_of(name: str, path: Path) -> Path:
    return printed.lines(path, (TEXTS / f"{name}.txt").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(
    ("name", "layout", "laboratory", "provider", "headings", "results"),
    [
        ("labcorp", "labcorp", "LabCorp", "", (*[CBC] * 21, "Estradiol"), LABCORP),
        ("labcorp_flags", "labcorp", "LabCorp", "", ("Metabolic Panel",) * 4, FLAGS),
        ("mychart_renal", "mychart", "Main Hospital Lab", "Dr. Smith", ("",) * 3, MYCHART),
        ("quest", "quest", "Quest Diagnostics", "", ("",) * 4, QUEST),
    ],
    ids=DAYS,
)
def test_every_field(
    tmp_path: Path,
    name: str,
    layout: str,
    laboratory: str,
    provider: str,
    headings: tuple[str, ...],
    results: tuple[tuple[str, ...], ...],
) -> None:
    reader: Reader = read_pages(list(read_pdf(pdf_of(name, tmp_path / "x.pdf"))))
    assert (reader.layout.name, reader.lab_name, reader.lab_provider) == (layout, laboratory, provider)
    assert (reader.collected, reader.reported) == (DAYS[name], None)
    found = [reading.result for reading in reader.readings]
    assert tuple((one.name, one.value, one.unit, one.reference_range, one.flag) for one in found) == results
    assert tuple(one.sub_panel for one in found) == headings
    assert {(reading.page, reading.confidence) for reading in reader.readings} == {(1, 0.98)}


@pytest.mark.parametrize("name", DAYS)
async def test_each_comes_out_as_a_panel_without_a_doubt(labs: Running, ada: As, tmp_path: Path, name: str) -> None:
    document = await read(labs, ada, pdf_of(name, tmp_path / "x.pdf").read_bytes())
    values = await values_of(ada, document.id)
    assert [(value.biomarker, list(value.doubts)) for value in values] == [(slug, []) for slug in MARKERS[name]]
    done = await confirm(ada, document.id)
    panel = (await ada.panels("GetBloodPanel", id=done.linked_record_id)).blood_panel
    assert panel.collected_date == DAYS[name].isoformat()
    stored = {marker.biomarker: marker for marker in await markers_of(ada, panel.id)}
    assert set(stored) == set(MARKERS[name])
    for value in values:
        marker = stored[value.biomarker]
        assert (marker.raw_name, marker.value, marker.unit, marker.ref_range_text) == (
            *(value.raw_name, value.value, value.unit, value.ref_range_text),
        )
