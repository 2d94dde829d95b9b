"""What HL7 v2 says of a value, in each of its types, and of what it is about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.interchange import hl7
from services.labs.reports import Report, Result

HEAD = [r"MSH|^~\&|LIS|North Lab|APP|ME|202503051200||ORU^R01|7|P|2.5.1", "OBR|1||A-1|X^Panel|||20250304080000"]


def read(*segments: str) -> list[Report]:
    return list(hl7.read("\r".join([*HEAD, *segments]).encode()))


def result(*segments: str) -> Result:
    ((found,),) = [report.results for report in read(*segments)]
    return found


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        ("NM", "5.4", "5.4"),
        ("NM", "<5.4", "<5.4"),
        ("SN", "<^5", "<5"),
        ("SN", "^5", "5"),
        ("SN", ">=^60", ">=60"),
        ("SN", "^1^:^128", "1:128"),
        ("SN", "^100^-^200", "100-200"),
        ("SN", "^2^+", "2+"),
        ("ST", "Negative", "Negative"),
        ("ST", "a^b", "a^b"),
        ("TX", "first~second", "first; second"),
        ("FT", r"first\.br\second", "first\nsecond"),
        ("FT", r"\H\critical\N\ at 5\.sp3\ now", "critical at 5\n now"),
        ("FT", r"x\.br\y\X41\z", "x\nyAz"),
        ("ST", r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        ("ST", r"caf\XC3A9\ ", "café"),
        ("CE", "Y^Yellow^L", "Yellow"),
        ("CE", "Y", "Y"),
        ("CWE", "^^^260415000^Not detected^SCT", "Not detected"),
        ("CWE", "^^^^^^^^as written", "as written"),
        ("CWE", "A^first^L~B^second^L", "first; second"),
    ],
)
def test_types(kind: str, written: str, value: str) -> None:
    assert result(f"OBX|1|{kind}|X^Name||{written}|mg/dL|1-2|||||").value == value


@pytest.mark.parametrize(("written", "flag"), [("H", "H"), ("N~HH", "HH"), ("L^Low^HL70078", "L"), ("N", ""), ("", "")])
def test_flags(written: str, flag: str) -> None:
    assert result(f"OBX|1|NM|X^Name||5|mg/dL|1-2|{written}|||F").flag == flag


def test_comments_are_about_what_they_stand_behind() -> None:
    (report,) = read(
        "NTE|1||of the order~in two parts",
        "OBX|1|NM|X^One||1",
        "NTE|1||of one",
        r"NTE|2||again\.br\and again",
        "NTE|3||",
        "OBX|2|NM|X^Two||",
        "NTE|1||of what is no result",
        "OBX|3|NM|X^Three||3",
        "SPM|1|S-1^L-1||SER^Serum",
        "NTE|1||of the specimen",
        "ORC|RE",
        "NTE|1||of the next order",
    )
    assert report.note == "of the order\nin two parts\nof the specimen"
    assert {one.name: one.note for one in report.results} == {"One": "of one\nagain\nand again", "Three": ""}
    assert report.specimen_id == "L-1"


def test_each_order_is_a_report() -> None:
    reports = read("OBX|1|NM|X^One||1", "OBR|2||A-2|Y^Other|||20250305", "NTE|1||late", "OBX|1|NM|X^One||2")
    assert [(report.panel_name, report.source_id, report.note) for report in reports] == [
        ("Panel", "A-1", ""),
        ("Other", "A-2", "late"),
    ]
    assert [one.value for report in reports for one in report.results] == ["1", "2"]


@pytest.mark.parametrize("told", ["202503051200", "202503051130"])
def test_neither_time_of_the_report_is_when_it_was_collected(told: str) -> None:
    order = "OBR|1||A-1|X^Panel|||20250304080000|||||||||||||||202503051130"
    text = "\r".join([HEAD[0], order, f"OBX|1|NM|X^Name||5||||||F|||{told}"])
    (report,) = hl7.read(text.encode())
    assert report.results[0].collected is None


def test_a_specimen_s_time_where_the_order_has_none() -> None:
    text = "\r".join(
        [HEAD[0], "OBR|1||A-1|X^Panel", "SPM|1|||BLD^Blood" + "|" * 13 + "20250304081500", "OBX|1|NM|X^Y||5"]
    )
    (report,) = hl7.read(text.encode())
    assert report.collected is not None
    assert (report.collected.isoformat(), report.results[0].specimen) == ("2025-03-04T08:15:00", "Blood")


def test_a_specimen_that_comes_after_its_results() -> None:
    (report,) = read(
        "OBX|1|NM|X^One||1", "SPM|1|||UR^Urine", "OBX|2|NM|X^Two||2", "SPM|2|||SER^Serum", "OBX|3|NM|X^Z||3"
    )
    assert [one.specimen for one in report.results] == ["Urine", "Urine", "Serum"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n", exclude_categories=["C", "Z"]), min_size=1))
def test_what_is_escaped_is_read_as_it_was(text: str) -> None:
    signs = {
        "\\": r"\E\ ".strip(),
        "|": r"\F\ ".strip(),
        "~": r"\R\ ".strip(),
        "^": r"\S\ ".strip(),
        "&": r"\T\ ".strip(),
    }
    escaped = "".join(signs.get(sign, sign) for sign in text)
    assert result(f"OBX|1|ST|X^Name||{escaped}").value == text


def test_a_comment_without_end_is_not_read_to_it() -> None:
    one = result("OBX|1|NM|X^One||1", *["NTE|1||" + "x" * 100] * 1000)
    assert 4000 < len(one.note) < 5000


def test_a_specimen_for_each_result_is_that_one_s() -> None:
    segments = [line for at in range(2000) for line in (f"SPM|1|||S{at}^Specimen {at}", f"OBX|1|NM|X{at}^X{at}||1")]
    (report,) = read(*segments)
    assert [one.specimen for one in report.results] == [f"Specimen {at}" for at in range(2000)]
