"""The dictionary's data: what is in it is right, and what cannot be right is refused."""

import re
from collections import Counter
from decimal import Decimal

import pytest

from services.labs.biomarkers.catalogue import Loinc, catalogue

CATALOGUE = catalogue()
MARKERS = list(CATALOGUE.markers.values())

# Standard atomic weights, abridged to the digits that molar masses here need:
# IUPAC Commission on Isotopic Abundances and Atomic Weights, 2021.
ATOMIC_WEIGHTS = {
    "H": "1.008",
    "Li": "6.94",
    "B": "10.81",
    "C": "12.011",
    "N": "14.007",
    "O": "15.999",
    "F": "18.998",
    "Na": "22.990",
    "Mg": "24.305",
    "Al": "26.982",
    "P": "30.974",
    "S": "32.06",
    "Cl": "35.45",
    "K": "39.098",
    "Ca": "40.078",
    "Cr": "51.996",
    "Mn": "54.938",
    "Fe": "55.845",
    "Co": "58.933",
    "Ni": "58.693",
    "Cu": "63.546",
    "Zn": "65.38",
    "As": "74.922",
    "Se": "78.971",
    "Br": "79.904",
    "Mo": "95.95",
    "Cd": "112.41",
    "I": "126.90",
    "Hg": "200.59",
    "Tl": "204.38",
    "Pb": "207.2",
}


def molar_mass(formula: str) -> Decimal:
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", formula)
    assert "".join(element + count for element, count in parts) == formula
    return sum((Decimal(ATOMIC_WEIGHTS[e]) * int(n or 1) for e, n in parts), Decimal(0))


def check_digit(code: str) -> int:
    """The last digit of a LOINC code: mod 10, doubling every second digit from the right."""
    digits = [int(digit) for digit in reversed(code.split("-")[0])]
    total = sum(sum(divmod(d * 2, 10)) if i % 2 == 0 else d for i, d in enumerate(digits))
    return -total % 10


def terms() -> list[Loinc]:
    return [term for marker in MARKERS for term in (marker.loinc, *marker.other_loincs) if term]


def test_no_loinc_twice_and_every_check_digit_right() -> None:
    codes = [term.code for term in terms()]
    assert [code for code, times in Counter(codes).items() if times > 1] == []
    assert [code for code in codes if check_digit(code) != int(code[-1])] == []


@pytest.mark.parametrize("marker", [m for m in MARKERS if m.chemical_formula], ids=lambda marker: marker.slug)
def test_molar_mass_is_the_formulas(marker) -> None:  # type: ignore[no-untyped-def]
    assert abs(molar_mass(marker.chemical_formula) - marker.molar_mass_g_per_mol) <= Decimal("0.002")
