"""What is read from printed reports, and what hostile files come to."""

import asyncio
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
from fpdf import FPDF
from fpdf.enums import EncryptionMethod
from hypothesis import given
from hypothesis import strategies as st

from services.labs.confined import Limits
from services.labs.documents.confined import LIMITS, parse_confined
from services.labs.documents.layouts import Reader, read_pages
from services.labs.documents.pages import Word, lines_of
from services.labs.documents.parse import parse
from services.labs.documents.pdf import has_ocr, read_pdf
from services.labs.documents.rows import Row, read_row
from tests.labs.documents import printed
from tests.labs.documents.hostile import object_file

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


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), st.floats(0, 600), st.floats(0, 700)), max_size=30))
def test_no_word_is_lost_whatever_the_page_looks_like(placed: list[tuple[str, float, float]]) -> None:
    words = [Word(text, x, top, x + 5 * len(text), top + 9) for text, x, top in placed]
    assert sorted(word for line in lines_of(1, words) for word in line.words) == sorted(words)


# What a file of lies looks like: hostile, damaged, or no PDF at all.


def refused(path: Path, limits: Limits = LIMITS) -> str:
    found: dict[str, Any] = asyncio.run(parse_confined(path, limits))
    assert found["status"] == "unreadable", found
    return str(found["reason"])


def test_a_file_made_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(object_file(b"BT /F1 9 Tf 50 700 Td (TSH 1.2 mIU/L 0.4-4.0) Tj ET"))
    found = asyncio.run(parse_confined(path))
    assert [(r["name"], r["value"]) for r in found["readings"]] == [("TSH", "1.2")]


def test_a_stream_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pdf"
    path.write_bytes(object_file(bytes(1 << 20), times=512))
    assert path.stat().st_size < 2 << 20
    assert refused(path, LIMITS._replace(memory_bytes=512 << 20))


def test_a_page_that_is_drawn_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "slow.pdf"
    path.write_bytes(object_file(b"BT /F1 9 Tf " + b"(a) Tj " * 1000 + b"ET ", times=3000))
    assert "time or memory" in refused(path, LIMITS._replace(processor_seconds=3))


def test_more_text_than_a_page_holds(tmp_path: Path) -> None:
    path = tmp_path / "dense.pdf"
    path.write_bytes(object_file(b"BT /F1 9 Tf " + b"(aaaaaaaaaa) Tj " * 6_000 + b"ET"))
    assert "more text than a page can hold" in refused(path)


def test_more_pages_than_a_report_has(tmp_path: Path) -> None:
    path = tmp_path / "long.pdf"
    path.write_bytes(object_file(b"BT ET", pages=201))
    assert "more than 200 pages" in refused(path)


def test_an_encrypted_document_is_named_as_one(tmp_path: Path) -> None:
    pdf = FPDF()
    pdf.add_page()
    pdf.set_encryption(owner_password="a", user_password="b", encryption_method=EncryptionMethod.AES_128)
    pdf.output(str(tmp_path / "x.pdf"))
    assert "encrypted" in refused(tmp_path / "x.pdf")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
def test_a_file_that_ends_too_soon(tmp_path: Path, keep: float) -> None:
    whole = printed.table(tmp_path / "x.pdf", printed.LABCORP_ROWS).read_bytes()
    path = tmp_path / "cut.pdf"
    path.write_bytes(whole[: int(len(whole) * keep)])
    found = parse(path)
    assert found["status"] == "unreadable" or found["readings"] == []


def test_what_only_says_that_it_is_a_pdf(tmp_path: Path) -> None:
    path = tmp_path / "x.pdf"
    path.write_bytes(b"%PDF-1.7 and nothing else")
    assert "no PDF" in str(parse(path)["reason"])


def test_a_scan_says_that_text_recognition_is_missing_or_is_read(tmp_path: Path) -> None:
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("L", (1700, 500), 255)
    ImageDraw.Draw(picture).text((100, 100), "TSH 1.8 mIU/L 0.4-4.5", font=ImageFont.load_default(48), fill=0)
    picture.save(tmp_path / "scan.png")
    pdf = FPDF(unit="pt", format="letter")
    pdf.add_page()
    pdf.image(str(tmp_path / "scan.png"), 0, 0, 612)
    pdf.output(str(tmp_path / "scan.pdf"))
    for name in ("scan.pdf", "scan.png"):
        found = parse(tmp_path / name)
        if has_ocr():
            assert [r["name"] for r in found["readings"]] == ["TSH"]
        else:
            assert found["status"] == "no_ocr"
