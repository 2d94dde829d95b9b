"""What is read from printed reports, wherever on the page it stands."""

from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.documents.layouts import Reader, Reading, read_pages
from services.labs.documents.pages import Word, lines_of
from services.labs.documents.pdf import read_pdf
from tests.labs.documents import printed

LABCORP = [
    ("Ferritin", "12", "ng/mL", "30-400", "Low"),
    ("Estradiol", "<5.0", "pg/mL", "7.6-42.6", ""),
    ("Neutrophils", "61", "%", "Not Estab.", ""),
    ("Vitamin B12", "450", "pg/mL", "232-1245", ""),
    ("Hemoglobin A1c", "5.9", "%", "4.8-5.6", "High"),
    ("Urine Nitrite", "Negative", "", "Negative", ""),
]


def read(path: Path) -> Reader:
    return read_pages(list(read_pdf(path)))


def rows(reader: Reader) -> list[tuple[str, str, str, str, str]]:
    found = [reading.result for reading in reader.readings]
    return [(r.name, r.value, r.unit, r.reference_range, r.flag) for r in found]


@pytest.mark.parametrize(
    "stops",
    [(50, 200, 300, 420, 500), (30, 150, 230, 330, 400), (90, 260, 340, 450, 520), (50, 180, 225, 310, 350)],
    ids=str,
)
@pytest.mark.parametrize("break_after", [None, 1, 4])
def test_labcorp_wherever_its_columns_stand(tmp_path: Path, stops: tuple[float, ...], break_after: int | None) -> None:
    reader = read(printed.table(tmp_path / "x.pdf", printed.LABCORP_ROWS, stops=stops, break_after=break_after))
    assert (reader.layout.name, reader.lab_name, reader.collected) == ("labcorp", "LabCorp", date(2024, 3, 4))
    assert rows(reader) == LABCORP


def test_where_a_value_stands_is_told(tmp_path: Path) -> None:
    reader = read(printed.table(tmp_path / "x.pdf", printed.LABCORP_ROWS, break_after=3))
    ferritin, *_, nitrite = reader.readings
    assert (ferritin.page, nitrite.page) == (1, 2)
    x0, top, x1, bottom = ferritin.box
    assert 49 < x0 < 51
    assert 500 < x1 < 560
    assert 95 < top < bottom < 110
    assert ferritin.confidence == 0.98
    assert nitrite.confidence < ferritin.confidence


def test_quest(tmp_path: Path) -> None:
    reader = read(printed.lines(tmp_path / "x.pdf", printed.QUEST))
    assert (reader.lab_name, reader.collected) == ("Quest Diagnostics", datetime(2023, 12, 31, 8, 15))  # noqa: DTZ001
    assert rows(reader) == [
        ("CHOLESTEROL, TOTAL", "231", "mg/dL", "<200", "H"),
        ("HDL CHOLESTEROL", "52", "mg/dL", ">=40", ""),
        ("TSH", "1.84", "mIU/L", "0.40-4.50", ""),
    ]


def test_mychart_and_a_card_without_a_value(tmp_path: Path) -> None:
    reader = read(printed.lines(tmp_path / "x.pdf", printed.MYCHART))
    assert (reader.lab_name, reader.lab_provider) == ("Harbour Laboratory", "Dr. Greta House")
    assert reader.collected == datetime(2024, 2, 29, 7, 5)  # noqa: DTZ001
    assert rows(reader) == [
        ("Potassium Level", "5.1", "mmol/L", "3.5 - 5.1 mmol/L", ""),
        ("eGFR", "58", "mL/min/1.73m2", ">=60 mL/min/1.73m2", "Low"),
        ("Chloride Level", "101", "mmol/L", "98 - 106 mmol/L", ""),
    ]


def test_any_table_in_german(tmp_path: Path) -> None:
    reader = read(printed.lines(tmp_path / "x.pdf", printed.GERMAN))
    assert (reader.layout.name, reader.lab_name, reader.collected) == ("table", "Praxis am Ring", date(2024, 2, 3))
    assert rows(reader) == [
        ("Glukose", "5,4", "mmol/l", "3,9-5,5", ""),
        ("Leukozyten", "6,2", "/nl", "4,0-10,0", ""),
        ("TSH", "1,20", "mU/l", "0,40-4,00", ""),
    ]
    assert {reading.confidence for reading in reader.readings} == {0.9}


def test_a_date_that_could_be_two_is_left_out(tmp_path: Path) -> None:
    reader = read(
        printed.lines(tmp_path / "x.pdf", ["Some Laboratory", "Collected: 03/04/2024", "TSH 1.2 mIU/L 0.4-4.0"])
    )
    assert (reader.collected, len(reader.readings)) == (None, 1)


def test_two_columns_on_a_page(tmp_path: Path) -> None:
    left = ["Lipids", "HDL 52 mg/dL 40-90", "LDL 131 mg/dL 0-99 H", "Triglycerides 150 mg/dL 0-149 H"]
    right = ["Thyroid", "TSH 1.8 mIU/L 0.4-4.5", "Free T4 1.2 ng/dL 0.8-1.8", "Free T3 3.1 pg/mL 2.0-4.4"]
    reader = read(printed.two_columns(tmp_path / "x.pdf", "A report of the Harbour Laboratory", left, right))
    assert [(r.result.sub_panel, r.result.name, r.result.value) for r in reader.readings] == [
        ("Lipids", "HDL", "52"),
        ("Lipids", "LDL", "131"),
        ("Lipids", "Triglycerides", "150"),
        ("Thyroid", "TSH", "1.8"),
        ("Thyroid", "Free T4", "1.2"),
        ("Thyroid", "Free T3", "3.1"),
    ]


def test_headings_and_names_over_two_lines(tmp_path: Path) -> None:
    texts = [
        "CBC With Differential",
        "WBC 6.2 x10E3/uL 3.4-10.8",
        "Immature Granulocytes",
        "(Absolute) 0.1 x10E3/uL 0.0-0.1",
    ]
    reader = read(printed.lines(tmp_path / "x.pdf", texts))
    assert [(r.result.sub_panel, r.result.name) for r in reader.readings] == [
        ("CBC With Differential", "WBC"),
        ("CBC With Differential", "Immature Granulocytes (Absolute)"),
    ]


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.floats(0, 600), st.floats(0, 700)), max_size=30))
def test_no_word_is_lost_whatever_the_page_looks_like(placed: list[tuple[str, float, float]]) -> None:
    words = [Word(text, x, top, x + 5 * len(text), top + 9) for text, x, top in placed]
    assert sorted(word for line in lines_of(1, words) for word in line.words) == sorted(words)


def test_what_was_measured_before_is_no_result(tmp_path: Path) -> None:
    rows_printed = (
        ("Parameter", "Ergebnis", "Einheit", "Referenzbereich", "Vorwert"),
        ("Glukose", "5,4", "mmol/l", "3,9-5,5", "5,1"),
        ("IGF 1", "180", "ng/ml", "50-300", ""),
        ("CA 125", "14", "U/ml", "0-35", "12"),
    )
    reader = read(printed.cells(tmp_path / "x.pdf", rows_printed, stops=(50, 200, 280, 360, 430)))
    assert rows(reader) == [
        ("Glukose", "5,4", "mmol/l", "3,9-5,5", ""),
        ("IGF 1", "180", "ng/ml", "50-300", ""),
        ("CA 125", "14", "U/ml", "0-35", ""),
    ]


def test_names_that_go_on_below_their_row(tmp_path: Path) -> None:
    rows_printed = (
        ("Laboratory Corporation of America",),
        ("Test", "Result", "Flag", "Units", "Reference Interval"),
        ("Immature", "0.1", "", "x10E3/uL", "0.0-0.1"),
        ("Granulocytes (Absolute)",),
        ("Testosterone", "35.2", "High", "pg/mL", "8.7-25.1"),
        ("Free",),
        ("Thyroid",),
        ("fT3", "3.1", "", "pg/mL", "2.0-4.4"),
        ("Alkaline Phosphatase,",),
        ("Bone Specific", "12.1", "", "ug/L", "7.0-20.0"),
    )
    reader = read(printed.cells(tmp_path / "x.pdf", rows_printed))
    assert [(r.result.sub_panel, r.result.name, r.result.value) for r in reader.readings] == [
        ("", "Immature Granulocytes (Absolute)", "0.1"),
        ("", "Testosterone Free", "35.2"),
        ("Thyroid", "fT3", "3.1"),
        ("Thyroid", "Alkaline Phosphatase, Bone Specific", "12.1"),
    ]
    _, top, _, bottom = reader.readings[0].box
    # Both of its lines.
    assert bottom - top > 20


def test_ranges_below_and_comments_between(tmp_path: Path) -> None:
    texts = [
        "Quest Diagnostics",
        "GLUCOSE 95",
        "Reference Range: 65-99 mg/dL",
        "Fasting reference interval",
        "UREA NITROGEN (BUN) 18 mg/dL",
        "Reference range: 7-25",
        "Optimal <100 mg/dL",
        "Near optimal 100-129 mg/dL",
        "Please note: 5 mg/dL is low.",
        "HEMOGLOBIN A1c 5.6 %",
        "Prediabetes 5.7-6.4 %",
        "Diabetes: >6.4 %",
        "CRP <0.3 mg/L <8.0",
    ]
    reader = read(printed.lines(tmp_path / "x.pdf", texts))
    assert rows(reader) == [
        ("GLUCOSE", "95", "mg/dL", "65-99", ""),
        ("UREA NITROGEN (BUN)", "18", "mg/dL", "7-25", ""),
        ("HEMOGLOBIN A1c", "5.6", "%", "", ""),
        ("CRP", "<0.3", "mg/L", "<8.0", ""),
    ]
    assert {reading.result.sub_panel for reading in reader.readings} == {""}


def test_a_name_above_its_result(tmp_path: Path) -> None:
    texts = ["Some Hospital", "Glucose", "95 mg/dL", "Range: 70-99", "Potassium", "4.3 mmol/L", "Range: 3.5-5.1"]
    reader = read(printed.lines(tmp_path / "x.pdf", texts))
    assert rows(reader) == [("Glucose", "95", "mg/dL", "70-99", ""), ("Potassium", "4.3", "mmol/L", "3.5-5.1", "")]


def test_french_and_spanish_reports(tmp_path: Path) -> None:
    french = read(printed.lines(tmp_path / "f.pdf", printed.FRENCH))
    assert (french.lab_name, french.lab_provider) == ("Biologie du Port", "Dr Dupont")
    assert french.collected == datetime(2024, 2, 3, 8, 15)  # noqa: DTZ001
    assert rows(french) == [
        ("Glycémie", "0,95", "g/L", "0,70 à 1,10", ""),
        ("Cholestérol total", "2,12", "g/L", "<2,00", ""),
        ("Triglycérides", "1,10", "g/L", "(0,40 - 1,50)", ""),
        ("Ferritine", "1 250", "µg/L", "30-400", ""),
        ("Leucocytes", "6,2", "G/L", "4,0 - 10,0", ""),
        ("TSH", "1,84", "mUI/L", "0,40 - 4,00", ""),
    ]
    # A number before a number may end the name, or be its thousands.
    assert [reading.confidence < 0.7 for reading in french.readings] == [False, False, False, True, False, False]
    spanish = read(printed.lines(tmp_path / "s.pdf", printed.SPANISH))
    assert (spanish.lab_name, spanish.lab_provider) == ("Clínica del Puerto", "Dra. López")
    assert spanish.collected == date(2024, 2, 3)
    assert rows(spanish) == [
        ("Glucosa", "95", "mg/dL", "70 - 100", ""),
        ("Colesterol total", "212", "mg/dL", "hasta 200", "*"),
        ("Hemoglobina", "14,2", "g/dL", "13,0 - 17,0", ""),
        ("Leucocitos", "6,2", "10^3/µL", "4,0 - 11,0", ""),
        ("TSH", "1,84", "µUI/mL", "0,40 - 4,00", ""),
    ]


def test_cards_with_words_units_and_scales_on_either_side(tmp_path: Path) -> None:
    texts = [
        *("MyChart", "HEMOGLOBIN A1C", "Normal range: below 5.7 %", "Value", "6.1 High"),
        *("Urine Nitrite", "Normal value: Negative", "Negative"),
        *("Glucose", "Normal range: 70 - 99 mg/dL", "70 99", "145 (H)"),
        *("LDL", "Normal range: <=99 mg/dL", "99"),
        *("Ferritin", "Normal range: 30 - 400 ng/mL", "52 ng/mL", "30 400"),
    ]
    reader = read(printed.lines(tmp_path / "x.pdf", texts))
    assert rows(reader) == [
        ("HEMOGLOBIN A1C", "6.1", "%", "below 5.7 %", "High"),
        ("Urine Nitrite", "Negative", "", "Negative", ""),
        ("Glucose", "145", "mg/dL", "70 - 99 mg/dL", "(H)"),
        ("LDL", "99", "mg/dL", "<=99 mg/dL", ""),
        ("Ferritin", "52", "ng/mL", "30 - 400 ng/mL", ""),
    ]
    # What is as large as the range's end may be the end of the scale.
    assert [reading.confidence < 0.7 for reading in reader.readings] == [False, False, False, True, False]


def test_a_flag_that_the_range_denies_is_doubtful(tmp_path: Path) -> None:
    texts = ["Some Laboratory", "Glucose 85 H mg/dL 70-99", "Sodium 131 L mmol/L 134-144"]
    wrong, right = read(printed.lines(tmp_path / "x.pdf", texts)).readings
    assert (wrong.confidence, right.confidence) == (0.6, 0.9)


def test_what_stands_at_the_top_of_each_page_is_no_heading(tmp_path: Path) -> None:
    head = ("Harbour Laboratory", "Roe, Richard")
    rows_printed = [(f"Marker {chr(65 + at)}", "1.5", "", "mg/dL", "1.0-2.0") for at in range(6)]
    reader = read(printed.table(tmp_path / "x.pdf", rows_printed, head=head, break_after=3, repeat_head=True))
    assert len(reader.readings) == 6
    assert {reading.result.sub_panel for reading in reader.readings} == {""}
    assert reader.collected is None


NAMES = st.sampled_from(
    ["Glucose", "Sodium", "Vitamin B 12", "CA 125", "IGF 1", "Vitamin A", "H pylori IgG", "Free T4"]
)
VALUES = st.sampled_from(["5", "5.4", "104", "<0.3", ">90", "0.92", "1,25"])
UNITS = st.sampled_from(["mg/dL", "mmol/L", "%", "x10E3/uL", "U/L", "ng/mL"])
RANGES = st.sampled_from(["3.9-5.5", "70 - 99", "<5.0", "> OR = 60", "Not Estab.", "0,70 - 1,10"])
RESULTS = st.tuples(NAMES, VALUES, UNITS, RANGES)
ORDERS = st.permutations([1, 2, 3])


@given(st.lists(RESULTS, min_size=1, max_size=6), ORDERS, st.floats(7, 60), st.floats(-2, 2))
def test_columns_in_any_order_and_at_any_distance(
    results: list[tuple[str, str, str, str]], order: list[int], gap: float, slope: float
) -> None:
    words: list[Word] = []
    for number, result in enumerate(results):
        x = 40.0
        for cell in (0, *order):
            for text in result[cell].split():
                # A skewed line goes on a little above or below where it began.
                top = 100 + 14 * number + slope * x / 600
                words.append(Word(text, x, top, x + 5 * len(text), top + 9))
                x += 5 * len(text) + 2.5
            x += gap
    readings = read_pages([(lines_of(1, words), 612.0)]).readings
    sure = [reading for reading in readings if reading.confidence >= 0.7]
    whole = [tuple(text.replace("> OR = ", ">=") for text in result) for result in results]
    # Nothing is made up, and whatever is sure is right.
    assert len(readings) <= len(results)
    assert [row for row in _fields(sure) if row not in whole] == []
    if order[0] == 1:
        assert _fields(readings) == whole


def _fields(readings: list[Reading]) -> list[tuple[str, str, str, str]]:
    found = [reading.result for reading in readings]
    return [(one.name, one.value, one.unit, one.reference_range) for one in found]
