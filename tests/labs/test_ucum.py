"""Units in UCUM: what a code means, checked against ucumvert, which reads UCUM's own tables."""

from fractions import Fraction
from functools import cache
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.units import UnknownUnit
from services.labs.units.ucum import parse

CODES = [
    *("mg/dL", "ug/dL", "ng/mL", "pg/mL", "g/L", "g/dL", "mmol/L", "umol/L", "nmol/L", "pmol/L", "fmol/L", "mmol/mol"),
    *("10*3/uL", "10*6/uL", "10*9/L", "10*12/L", "/uL", "{cells}/uL", "fL", "pg", "%", "mm/h", "s", "min", "ms"),
    *(
        "ug/mg{creat}",
        "mg/mmol{creat}",
        "mg/d",
        "g/(24.h)",
        "mmol/d",
        "mL/min",
        "mm[Hg]",
        "kPa",
        "nm",
        "Ao",
        "/100{WBC}",
    ),
    *("mol/m3", "kg/m2", "mg/kg", "mmol/kg", "mmol/g", "L/L", "(mg.L)/(dL.h)", "10*-3.g/L", "[ppm]", "[ppth]", "g.m-3"),
]


@cache
def registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry(non_int_type=Fraction)


@pytest.mark.parametrize("code", CODES)
def test_a_code_means_what_ucum_says(code: str) -> None:
    ours = parse(code)
    theirs = registry().from_ucum(code).to_base_units()
    # Theirs is in kilogram; ours, as UCUM, in gram.
    grams = dict(ours.dimension).get("g", 0)
    assert float(ours.magnitude) == pytest.approx(float(theirs.magnitude) * 1000.0**grams, rel=1e-12)
    bases = {"kilogram": "g", "meter": "m", "second": "s", "mole": "mol"}
    dimension = {bases[str(base)]: power for base, power in theirs.unit_items()}
    assert dict(ours.dimension) == dimension


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mol/L", "eq/L"),
        ("mmol/L", "mosm/L"),
        ("U/L", "umol/min/L"),
        ("U/L", "ukat/L"),
        ("U/L", "[IU]/L"),
        ("[IU]/mL", "[arb'U]/mL"),
        ("ng/mL{FEU}", "ng/mL{DDU}"),
        ("ng/mL{FEU}", "ng/mL"),
        ("mL/min/{1.73_m2}", "mL/min"),
        ("/[HPF]", "/[LPF]"),
        ("/uL", "/[HPF]"),
    ],
)
def test_what_only_looks_alike_is_another_quantity(one: str, other: str) -> None:
    assert parse(one).dimension != parse(other).dimension


@pytest.mark.parametrize(
    "code",
    [
        *(
            "",
            "mg/",
            "/",
            "mg//dL",
            "(mg",
            "mg)",
            "()",
            "foo",
            "mg dL",
            "{",
            "mg{",
            "K/uL",
            "m[Hg",
            "[IU",
            "mgg",
            "MG/DL",
        ),
        *("103/uL", "10*300", "1.73", "mg..dL", "mg/dL/", "µg", "a" * 61, "°C", "mmol/L\n", "%mg", "\x00"),
        # Of the right quantity, and more or less of it than there is.
        *("Tm9/am9.g/L", "am9/Tm9.g/L", "10*18.10*18.10*18.g/L", "10*-18.10*-18.10*-18.g"),
    ],
)
def test_no_unit(code: str) -> None:
    with pytest.raises(UnknownUnit) as refused:
        parse(code)
    assert str(refused.value) == "that is no unit that is known here"


@given(st.text(alphabet="mgukdnL[]IU{}()./10*^-+%s'", max_size=20))
def test_any_text_is_a_unit_or_refused(code: str) -> None:
    try:
        unit = parse(code)
    except UnknownUnit:
        return
    assert 0 < unit.magnitude <= 10**40


@given(st.sampled_from(CODES), st.sampled_from(CODES))
def test_a_quotient_is_the_quotient(one: str, other: str) -> None:
    above, below, both = parse(one), parse(other), parse(f"({one})/({other})")
    assert both.magnitude == above.magnitude / below.magnitude
    powers = dict(above.dimension)
    for base, power in below.dimension:
        powers[base] = powers.get(base, 0) - power
    assert dict(both.dimension) == {base: power for base, power in powers.items() if power}


def test_every_prefix_is_read_before_every_metric_unit() -> None:
    for prefix, atom in product(
        ("", "k", "d", "c", "m", "u", "n", "p", "f"), ("g", "mol", "L", "U", "[IU]", "eq", "kat")
    ):
        assert parse(prefix + atom).magnitude == parse(prefix + "g").magnitude * parse(atom).magnitude
