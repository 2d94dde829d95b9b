"""Rows of tables, in every order and with everything that laboratories print beside a result."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.documents.rows import Row, is_range, read_row


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("WBC 6.2 8.6 11/23/2022 x10E3/uL 3.4-10.8", Row("WBC", "6.2", "", "x10E3/uL", "3.4-10.8")),
        ("Platelets 225 242 11/23/2022 x10E3/uL 150-450", Row("Platelets", "225", "", "x10E3/uL", "150-450")),
        ("BUN 18 22 High 05/01/2023 mg/dL 7-20", Row("BUN", "18", "", "mg/dL", "7-20")),
        ("Glucose 95 70-99 mg/dL H", Row("Glucose", "95", "H", "mg/dL", "70-99")),
        (
            "Hepatitis B surface Ag Non-Reactive Non-Reactive",
            Row("Hepatitis B surface Ag", "Non-Reactive", "", "", "Non-Reactive"),
        ),
        ("Omega-3 Index 5.4 % > 8.0", Row("Omega-3 Index", "5.4", "", "%", ">8.0")),
        ("T3, Free 3.1 pg/mL 2.0 - 4.4", Row("T3, Free", "3.1", "", "pg/mL", "2.0 - 4.4")),
        (
            "Vitamin D, 25-Hydroxy 31.5 ng/mL 30.0-100.0",
            Row("Vitamin D, 25-Hydroxy", "31.5", "", "ng/mL", "30.0-100.0"),
        ),
        ("Iron 90 ug/dL 10.7-26 umol/L", Row("Iron", "90", "", "ug/dL", "10.7-26 umol/L")),
        ("Lipase: 30 U/L", Row("Lipase", "30", "", "U/L")),
        # Units in brackets, glued, and before the result.
        ("Glucose [mmol/L] 5.4 3.9-5.5", Row("Glucose", "5.4", "", "mmol/L", "3.9-5.5")),
        ("Glucose (mg/dL) 95 70-99", Row("Glucose", "95", "", "mg/dL", "70-99")),
        ("Hemoglobin A1c 5.6% 4.8-5.6", Row("Hemoglobin A1c", "5.6", "", "%", "4.8-5.6")),
        ("WBC 6.2x10E3/uL 3.4-10.8", Row("WBC", "6.2", "", "x10E3/uL", "3.4-10.8")),
        ("Leukozyten /nl 6,2 4,0-10,0", Row("Leukozyten", "6,2", "", "/nl", "4,0-10,0")),
        ("MCV fl 85 79-97", Row("MCV", "85", "", "fl", "79-97")),
        ("Glukose mmol/l 3,9 - 5,5 5,6 H", Row("Glukose", "5,6", "H", "mmol/l", "3,9 - 5,5")),
        ("Albumin mg/g creat 12 0-30", Row("Albumin", "12", "", "mg/g creat", "0-30")),
        ("Neutrophils % 52 % 40-70", Row("Neutrophils %", "52", "", "%", "40-70")),
        ("Lp-PLA2 120 zork/mL <=123", Row("Lp-PLA2", "120", "", "zork/mL", "<=123")),
        # Flags in front, behind and glued.
        ("H Glucose 145 mg/dL 70-99", Row("Glucose", "145", "H", "mg/dL", "70-99")),
        ("Glucose* 145 mg/dL 70-99", Row("Glucose", "145", "*", "mg/dL", "70-99")),
        ("Glucose H 145 mg/dL 70-99", Row("Glucose", "145", "H", "mg/dL", "70-99")),
        ("Glucose 145H mg/dL 70-99", Row("Glucose", "145", "H", "mg/dL", "70-99")),
        ("Glucose 145(H) mg/dL 70-99", Row("Glucose", "145", "H", "mg/dL", "70-99")),
        ("Glucose 145* mg/dL 70-99", Row("Glucose", "145", "*", "mg/dL", "70-99")),
        ("Glucose 145↑ mg/dL 70-99", Row("Glucose", "145", "↑", "mg/dL", "70-99")),
        ("Triglyceride 1,76 mmol/l < 1,70 +", Row("Triglyceride", "1,76", "+", "mmol/l", "<1,70")),
        ("Kalium 4,1 - mmol/l 3,5-5,1", Row("Kalium", "4,1", "", "mmol/l", "3,5-5,1")),
        # What looks like a flag and is none.
        ("H pylori IgG 1.5 U/mL <0.8", Row("H pylori IgG", "1.5", "", "U/mL", "<0.8")),
        ("Vitamin A 95 ug/dL 20-80", Row("Vitamin A", "95", "", "ug/dL", "20-80")),
        ("Complement Factor H 300 mg/L 200-400", Row("Complement Factor H", "300", "", "mg/L", "200-400")),
        # Numbers in names.
        ("CA 125 12 U/mL 0-35", Row("CA 125", "12", "", "U/mL", "0-35")),
        ("CA 19-9 12 U/mL 0-35", Row("CA 19-9", "12", "", "U/mL", "0-35")),
        ("Vitamin B 12 450 pg/mL 232-1245", Row("Vitamin B 12", "450", "", "pg/mL", "232-1245")),
        ("IGF 1\t180 170 11/23/2022\tng/mL\t50-300", Row("IGF 1", "180", "", "ng/mL", "50-300")),
        # What can be read in two ways.
        ("IGF 1 180 11/23/2022 ng/mL 50-300", Row("IGF", "1", "", "ng/mL", "50-300", sure=False)),
        ("Ferritine 1 250 µg/L 30-400", Row("Ferritine", "1 250", "", "µg/L", "30-400", sure=False)),
        ("CRP mg/l <5,0 <0,3", Row("CRP", "<5,0", "", "mg/l", "<0,3", sure=False)),
        # Words, titers, counts.
        ("Squamous Cells 0-5 /HPF < OR = 2 /HPF", Row("Squamous Cells", "0-5", "", "/HPF", "<=2 /HPF")),
        ("ANA Titer 1:80 H <1:40", Row("ANA Titer", "1:80", "H", "", "<1:40")),
        ("Ketones 2+ Negative", Row("Ketones", "2+", "", "", "Negative")),
        ("HIV\tNon-Reactive", Row("HIV", "Non-Reactive")),
        # Ranges in other languages, for men and women, and what stands behind them.
        ("Glycémie 5,40 mmol/L 3,90 à 5,50", Row("Glycémie", "5,40", "", "mmol/L", "3,90 à 5,50")),
        ("GPT 21 U/l bis 41", Row("GPT", "21", "", "U/l", "bis 41")),
        ("Hb 14,0 g/dl Männer 13,5-17,5 Frauen 12-16", Row("Hb", "14,0", "", "g/dl", "Männer 13,5-17,5 Frauen 12-16")),
        ("GLUCOSE 65 65-99 mg/dL Fasting reference interval", Row("GLUCOSE", "65", "", "mg/dL", "65-99")),
    ],
)
def test_rows(text: str, row: Row) -> None:
    assert read_row(text) == row


@pytest.mark.parametrize(
    "text",
    [
        "Page 1 of 2",
        "Phone: 555 0100",
        "Patient ID: 12345 mg",
        "Date Collected: 05/19/2023",
        "123 Main Street",
        "Age 45 years",
        "For values above 5 see the note on page 3 of this report",
        "Glucose 95 of patients 70-99",
        "12 mg/dL",
        "WBC 10E3/uL 3.4-10.8",
        "Glucose 95 mg/dL 92 70-99",
        "Sodium 140 mmol/L 135 145",
        "HDL 52 mg/dL 40-90 TSH 1.8 mIU/L 0.4-4.5",
        "RDW 12.2 12.5 % 11.6-15.4",
        "Optimal <100 mg/dL",
        "Near optimal 100-129 mg/dL",
        "Prediabetes 5.7-6.4 %",
        "Mangel < 20 ng/ml",
        "HIV Non-Reactive",
        "",
        "WBC",
    ],
)
def test_what_is_no_row(text: str) -> None:
    assert read_row(text) is None


@given(st.text(alphabet="aZ09 .,<>=-%/()°µ^*:", max_size=80))
def test_any_line_is_a_row_or_none(text: str) -> None:
    row = read_row(text)
    assert row is None or (row.name and row.value)


@pytest.mark.parametrize(
    "text", ["Reference Range: 65-99 mg/dL", "(3,9 - 5,5)", "70-99", "< OR = 5 /HPF", "Range: >60"]
)
def test_a_line_that_is_a_range(text: str) -> None:
    assert is_range(text)


@pytest.mark.parametrize("text", ["", "5.4", "5 of 7", "70-99 of them", "12-15 Main Street", "Negative"])
def test_a_line_that_is_no_range(text: str) -> None:
    assert not is_range(text)
