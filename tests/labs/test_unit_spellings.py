"""Units as laboratories print them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.units import UnknownUnit, read_unit

SPELLINGS = {
    "ug/dL": (
        "mcg/dL",
        "ug/dl",
        "µg/dL",
        "μg/dL",
        "UG/DL",
        "mcg/dl",
        "µg/100 ml",
        "micrograms/dL",
        "ug per dL",
        "ug dl",
        "µg%",
    ),
    "mg/dL": (
        "mg/dl",
        "MG/DL",
        "mg/dL (calc)",
        "mg/dl (berechnet)",
        "mg/dL calculé",
        "mg/dL RBC",
        "mg/dL calculated",
        "mg%",
        "mg / dL",
        " mg/dl ",
        "mg/100ml",
        "mgs%",
    ),
    "10*3/uL": (
        *(
            "x10E3/uL",
            "X10E3/UL",
            "x10^3/µL",
            "10^3/ul",
            "10³/µl",
            "x10(3)/uL",
            "10*3/uL",
            "K/uL",
            "k/ul",
            "K/UL",
            "K/mcL",
        ),
        *(
            "thou/uL",
            "Thousand/uL",
            "Thous/cumm",
            "Tsd/µl",
            "Tsd./µl",
            "T/µl",
            "x10 3/uL",
            "x103/uL",
            "103/uL",
            "10**3/uL",
        ),
        *("miles/mm3", "miles/µL", "x1000/uL", "1E3/uL"),
        *("10x3/uL", "1000/uL", "1,000/uL", "x10^3 cells/uL", "10*3/mm3", "10^3/mm³", "x10^3/mcL", "E3/uL", "10e3/ul"),
    ),
    "10*6/uL": ("x10E6/uL", "M/uL", "m/uL", "Mill/mcL", "Million/uL", "Mio/µl", "Mio./µl", "millones/mm3", "10*6/µl"),
    "10*9/L": (
        "10^9/L",
        "10⁹/l",
        "x10*9/L",
        "10 9/L",
        "x109/L",
        "109/L",
        "E9/l",
        "Gpt/l",
        "Mrd/l",
        "x 10^9/L",
        "10exp9/l",
        "bil/L",
    ),
    "10*12/L": ("10^12/L", "10¹²/L", "T/l", "T/L", "Tpt/l", "1012/L", "10E12/L", "tril/L", "Trillion/L"),
    "/nL": ("/nl",),
    "/uL": ("/ul", "/µL", "/mm3", "/cumm"),
    "{cells}/uL": ("cells/uL", "Cells/mcL", "Zellen/µl", "cell/mm3"),
    "{copies}/mL": ("copies/mL", "cp/ml", "COPIES/ML", "Kopien/ml"),
    "mmol/mol": ("mmol/mol", "MMOL/MOL", "mmol/mol (IFCC)", "mmol/mol IFCC"),
    "%": ("%", "percent", "% of total Hgb", "%Hb", "% (NGSP)", "% (calc)", "Vol-%", "% by wt", "% BY WT"),
    "U/L": ("U/l", "u/L", "Units/L", "E/l", "units/l", "U/l 37°C", "U/L (37 °C)"),
    "kU/L": ("kU/l", "KU/L", "kE/l"),
    "[IU]/L": ("IU/L", "iu/l", "UI/L", "IE/l", "I.U./L", "[IU]/L"),
    "m[IU]/L": ("mIU/L", "MIU/L", "mUI/L", "mIE/l"),
    "u[IU]/mL": ("uIU/mL", "uIU/ml", "µIU/mL", "UIU/ML", "mcIU/mL"),
    "mU/L": ("mU/L", "MU/L", "mE/l"),
    "uU/mL": ("µU/ml", "uU/mL", "mcU/mL", "µE/ml"),
    "ng/dL": ("ng/dl", "NG/DL"),
    "pg/mL": ("pg/ml", "PG/ML", "pg/mL "),
    "mL/min/{1.73_m2}": (
        *("mL/min/1.73m2", "mL/min/1.73 m²", "ml/min/1,73m²", "mL/min/1.73", "mL/min/1.73m^2", "mL/min/1.73 m*2"),
        *("ML/MIN/1.73M2", "mL/min/{1.73_m2}", "ml/min/1.73 sq m", "mL / min / 1.73 m2"),
        *("ml/mn/1,73m2", "ml/min/1,73 qm", "mL/min per 1.73 m2"),
    ),
    "meq/L": ("mEq/L", "MEQ/L", "meq/l", "mval/l"),
    "fL": ("fl", "FL"),
    "um3": ("µm3", "µm³", "um^3", "cu microns"),
    "pg": ("Pg", "PG"),
    "{ratio}": ("ratio", "Ratio", "RATIO"),
    "mm/h": ("mm/hr", "MM/HR", "mm/1h", "mm/hour", "mm/Std"),
    "s": ("sec", "SEC", "seconds", "sek", "sec.", "secondes", "segundos", "seg."),
    "mg/g{creat}": ("mg/g creat", "mg/g Cr", "mg/gCreat", "mg/g creatinine", "mg/g Krea", "mg/g{creat}"),
    "mg/mmol{creat}": ("mg/mmol creat", "mg/mmolCr", "mg/mmol"),
    "ng/mL{FEU}": ("ng/mL FEU", "ng/ml (FEU)", "ng FEU/mL", "ng/mL{FEU}"),
    "ug/L{DDU}": ("µg/L DDU",),
    "mg/d": ("mg/24 h", "mg/24hr", "mg/day", "mg/24h", "mg/d", "mg/(24.h)", "mg/die", "mg/Tag", "mg/jour"),
    "mmol/L": ("mM", "mmol.L-1", "mmol·L⁻¹", "mmol L-1", "millimol/l", "MMOL/L"),
    "ukat/L": ("µkat/l", "ukat/L", "UKAT/L"),
    "mosm/kg": ("mOsm/kg", "mosmol/kg", "MOSM/KG", "mosmol/kg H2O", "mOsm/kgH2O"),
    "/[HPF]": ("/HPF", "/hpf", "HPF", "per HPF", "cells/hpf"),
    "/100{WBC}": ("/100 WBC", "/100WBC", "/100{WBC}"),
    "[GPL'U]": ("GPL", "GPL U/mL", "GPL-U/mL", "GPLU/mL", "U GPL/mL"),
    "ug/g": ("mcg/g", "µg/g Stuhl", "ug/g stool"),
    "mm[Hg]": ("mmHg", "mm Hg", "mm[Hg]"),
    "U/g{Hb}": ("U/g Hb", "U/gHb", "U/g Hgb"),
}


@pytest.mark.parametrize(("code", "spelling"), [(code, text) for code, texts in SPELLINGS.items() for text in texts])
def test_a_usual_spelling_is_read(code: str, spelling: str) -> None:
    expected = read_unit(code)[0]
    first, *others = read_unit(spelling)
    assert (first.magnitude, first.dimension) == (expected.magnitude, expected.dimension)
    assert not others


@pytest.mark.parametrize(
    ("spelling", "codes"), [("G/L", ["10*9/L", "g/L"]), ("G/l", ["10*9/L", "g/L"]), ("g/L", ["g/L"])]
)
def test_giga_and_gram_are_told_apart_only_by_case(spelling: str, codes: list[str]) -> None:
    assert [unit.code for unit in read_unit(spelling)] == codes


def test_a_word_for_thousands_here_and_millions_there_has_both_readings() -> None:
    assert [unit.code for unit in read_unit("mil/mm3")] == ["10*6/uL", "10*3/uL"]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "foo",
            "mg/foo",
            "K",
            "k",
            "t",
            "G",
            "M",
            "H",
            "S",
            "*",
            "(calc)",
            "lb",
            "log IU/mL",
            "mg/dL/",
            "107/uL",
        ),
        *(
            "John Smith",
            "10E",
            "x/uL",
            "mg/dL mg/dL",
            "mg dL h",
            "3.4-10.8",
            "High",
            "a" * 100,
            "µ",
            "//",
            "10*99/L",
            "\x00",
        ),
    ],
)
def test_what_is_no_unit_is_not_guessed(text: str) -> None:
    with pytest.raises(UnknownUnit):
        read_unit(text)


@given(st.text(max_size=70))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        readings = read_unit(text)
    except UnknownUnit:
        return
    assert readings


@given(st.sampled_from([s for texts in SPELLINGS.values() for s in texts if "/" in s]), st.integers(0, 2))
def test_blanks_around_the_line_do_not_matter(spelling: str, blanks: int) -> None:
    spread = (" " * blanks + "/" + " " * blanks).join(spelling.split("/"))
    assert [unit.magnitude for unit in read_unit(spread)] == [unit.magnitude for unit in read_unit(spelling)]
