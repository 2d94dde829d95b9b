"""Tables as spreadsheets and portals write them, in four languages."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.interchange import csv_table
from services.labs.interchange.csv_dates import Dates
from services.labs.reports import Result, UnreadableReportError

EXPECTED = Result("", "Glukose", "5,4", "mmol/l", "3,9-5,5", flag="H", specimen="Serum", note="nüchtern")
ROW = ("Glukose", "5,4", "mmol/l", "3,9-5,5", "H", "Serum", "nüchtern", "03.02.2024", "Ost")
HEADERS = {
    "English": ("Test", "Result", "Units", "Reference Range", "Flag", "Specimen", "Comments", "Date Collected", "Lab"),
    "German": (
        *("Untersuchung", "Ergebnis", "Einheit", "Referenzbereich (Norm)", "Bewertung"),
        *("Probenmaterial", "Bemerkungen", "Entnahmedatum", "Labor"),
    ),
    "French": (
        *("Analyse", "Résultat", "Unité", "Valeurs de référence", "Anomalie"),
        *("Type d'échantillon", "Commentaire", "Date de prélèvement", "Laboratoire"),
    ),
    "Spanish": (
        *("Prueba", "Resultado", "Unidades", "Valores de referencia", "Indicador"),
        *("Tipo de muestra", "Observaciones", "Fecha de extracción", "Laboratorio"),
    ),
}


def read(text: str, encoding: str = "utf-8") -> list[Result]:
    return [result for report in csv_table.read(text.encode(encoding)) for result in report.results]


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_language_an_encoding_and_a_delimiter(header: tuple[str, ...], encoding: str, delimiter: str) -> None:
    text = f"{delimiter.join(header)}\r\n{delimiter.join(ROW)}\r\n"
    (report,) = csv_table.read(text.encode(encoding))
    assert (report.lab_name, report.collected) == ("Ost", date(2024, 2, 3))
    (result,) = report.results
    names = ("name", "value", "unit", "reference_range", "flag", "specimen", "note")
    assert [getattr(result, name) for name in names] == [getattr(EXPECTED, name) for name in names]


@pytest.mark.parametrize(
    "before",
    [
        "sep=;\n",
        "Laborbericht; Dr. Vogel\n\nPatient:\tX,Y,Z\n",
        '"Report, printed on";"2024-02-03"\n\n',
        "A;B;C;D;E\n" * 15,
    ],
    ids=["Excel", "title", "quoted", "many"],
)
def test_a_header_further_down(before: str) -> None:
    text = f"{before}Test;Ergebnis;Einheit\nGlukose;5,4;mmol/l\nTest;Ergebnis;Einheit\nTSH;1,2;mU/l\n"
    results = read(text)
    line = before.count("\n") + 2
    assert [(result.name, result.place) for result in results] == [
        ("Glukose", f"line {line}"),
        ("TSH", f"line {line + 2}"),
    ]


def test_a_header_is_looked_for_at_the_beginning_only() -> None:
    with pytest.raises(UnreadableReportError, match="no column Test"):
        read("a;b\n" * 20 + "Test;Ergebnis\nTSH;1,2\n")


def test_commas_in_values_do_not_delimit() -> None:
    (result,) = read("Test;Result\nGlucose, fasting, plasma;5,4\n")
    assert (result.name, result.value) == ("Glucose, fasting, plasma", "5,4")


def test_the_person_s_name_and_day_are_no_result_s() -> None:
    (report,) = csv_table.read(b"Name,Date,Test,Result,Collected\nAda L,1985-12-10,Glucose,5.4,2024-02-03\n")
    assert (report.results[0].name, report.collected) == ("Glucose", date(2024, 2, 3))


MORNING = datetime(2024, 4, 3, 8, 5)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("2024-04-03", "", date(2024, 4, 3)),
        ("20240403", "", date(2024, 4, 3)),
        ("2024-04-03 08:05", "", MORNING),
        ("3.4.2024", "", date(2024, 4, 3)),
        ("03. 04. 2024, 08:05:00", "", MORNING),
        ("03.04.2024 08:05", "month_first", MORNING),
        ("04/03/2024 8:05 AM", "month_first", MORNING),
        ("4/3/2024 8:05 pm", "month_first", MORNING.replace(hour=20)),
        ("4/3/2024 12:05 AM", "month_first", MORNING.replace(hour=0)),
        ("4/3/2024 12:05 p.m.", "month_first", MORNING.replace(hour=12)),
        ("4/3/2024 13:05 PM", "month_first", None),
        ("03-04-2024", "day_first", date(2024, 4, 3)),
        ("03-04-2024", "", None),
        ("03/04-2024", "day_first", None),
        ("3 Apr 2024", "", date(2024, 4, 3)),
        ("03-APR-2024 08:05", "", MORNING),
        ("April 3, 2024", "", date(2024, 4, 3)),
        ("Apr. 3, 2024, 8:05 AM", "", MORNING),
        ("31.04.2024", "", None),
        ("03.04.24", "", None),
        ("3 Foo 2024", "", None),
        ("yesterday", "", None),
    ],
)
def test_dates(text: str, order: str, expected: date | None) -> None:
    assert Dates([], order).read(text) == expected


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M", "%d %b %Y %H:%M", "%b %d, %Y %I:%M %p", "%m/%d/%Y %I:%M %p"]),
)
def test_a_written_date_is_read_as_it_was(when: datetime, written: str) -> None:
    minute = when.replace(second=0, microsecond=0)
    assert Dates([], "month_first").read(minute.strftime(written)) == minute
