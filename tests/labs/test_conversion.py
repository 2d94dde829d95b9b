"""Conversion between the units of a marker."""

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.biomarkers.catalogue import Marker, catalogue, read
from services.labs.units import MarkerUnits, UnitRefused, compile_units, units_of
from services.labs.units.formulas import FORMULAS

MEASURED = [slug for slug, marker in catalogue().markers.items() if not marker.is_qualitative]
PAIRS = [(slug, a, b) for slug in MEASURED for a, b in product(units_of(slug).accepted, repeat=2)]


def close(one: Decimal, other: Decimal, digits: int = 9) -> bool:
    return abs(one - other) <= max(abs(one), abs(other)) * Decimal(10) ** -digits


@pytest.mark.parametrize(
    ("slug", "value", "source", "target", "expected"),
    [
        # VIT 8, to the digits that it gives.
        ("testosterone_total", "1", "ng/dL", "nmol/L", "0.03467"),
        ("glucose", "1", "mg/dL", "mmol/L", "0.05551"),
        ("creatinine", "1", "mg/dL", "umol/L", "88.40"),
        # VIT's factor for DHEA-S gives µmol/L.
        ("dhea_s", "1", "mcg/dL", "nmol/L", "27.14"),
        ("dhea_s", "1", "mcg/dL", "umol/L", "0.02714"),
        ("glucose", "99", "mg/dL", "mmol/l", "5.495"),
        ("glucose", "5.5", "mmol/L", "mg/dL", "99.09"),
        ("glucose", "1.26", "g/l", "MG/DL", "126"),
        ("hba1c", "42", "mmol/mol", "%", "6.0"),
        ("hba1c", "6.5", "%", "mmol/mol", "47.5"),
        ("hba1c", "6", "% of total Hgb", "mmol/mol IFCC", "42.06"),
        ("alt", "60", "IU/L", "µkat/L", "1.000"),
        ("alt", "1", "nkat/L", "U/L", "0.06"),
        ("sodium", "140", "mEq/L", "mmol/L", "140"),
        ("calcium", "10", "mg/dL", "mEq/L", "4.990"),
        ("calcium", "10", "mg/dL", "mmol/L", "2.495"),
    ],
)
def test_known_conversions(slug: str, value: str, source: str, target: str, expected: str) -> None:
    converted = units_of(slug).convert(Decimal(value), source, target)
    assert converted.quantize(Decimal(expected)) == Decimal(expected)


@pytest.mark.parametrize(
    ("slug", "source"),
    [
        ("glucose", ""),
        ("glucose", "K/uL"),
        ("glucose", "%"),
        ("glucose", "U/L"),
        ("glucose", "meq/L"),
        ("glucose", "mg/d"),
        ("glucose", "not a unit"),
        ("hba1c", "ratio"),
        ("hba1c", ""),
        ("hba1c", "g/dL"),
        ("hba1c", "mg/g"),
        ("alt", "mol/L"),
        ("alt", "mg/dL"),
        ("egfr", "mL/min"),
    ],
)
def test_what_is_no_conversion_is_refused_with_what_is(slug: str, source: str) -> None:
    units = units_of(slug)
    with pytest.raises(UnitRefused) as refused:
        units.to_canonical(Decimal(1), source)
    assert refused.value.accepted == units.accepted
    assert str(refused.value) == f"{slug} is measured in {', '.join(units.accepted)}"
    with pytest.raises(UnitRefused):
        units.convert(Decimal(1), units.canonical, source)


@pytest.mark.parametrize("slug", MEASURED)
def test_every_unit_comes_back_to_a_billionth(slug: str) -> None:
    units = units_of(slug)
    for value, (a, b) in product(
        (Decimal("0.0001"), Decimal("5.5"), Decimal("99999999.9999")), product(units.accepted, repeat=2)
    ):
        assert close(units.convert(units.convert(value, a, b), b, a), value)


@given(st.sampled_from(PAIRS), st.decimals(min_value="1e-6", max_value="1e9", allow_nan=False, allow_infinity=False))
def test_there_and_back_is_the_same(pair: tuple[str, str, str], value: Decimal) -> None:
    slug, a, b = pair
    units = units_of(slug)
    assert close(units.convert(units.convert(value, a, b), b, a), value)


@given(st.sampled_from(PAIRS), st.decimals(min_value="1e-6", max_value="1e9", allow_nan=False, allow_infinity=False))
def test_a_detour_over_the_canonical_unit_changes_nothing(pair: tuple[str, str, str], value: Decimal) -> None:
    slug, a, b = pair
    units = units_of(slug)
    assert close(units.convert(units.to_canonical(value, a), units.canonical, b), units.convert(value, a, b))


@given(st.sampled_from(PAIRS), st.text(max_size=20))
def test_any_text_is_a_unit_of_the_marker_or_refused(pair: tuple[str, str, str], text: str) -> None:
    try:
        converted = units_of(pair[0]).to_canonical(Decimal(1), text)
    except UnitRefused:
        return
    assert converted.is_finite()


def marker(**given: object) -> Marker:
    """A marker from as much of an entry as matters for its units."""
    lines = [f"{key} = {value}" for key, value in given.items()]
    entry = "\n".join(["[[marker]]", 'slug = "it"', 'display_name = "It"', 'specimen = "serum"', *lines])
    return read({"sources": 'x = "X"', "categories": 'x = "X"', "x": entry}).markers["it"]


def units(**given: object) -> MarkerUnits:
    return compile_units(marker(**given))


def test_giga_or_gram_is_told_by_the_marker() -> None:
    cells = units(canonical_unit='"10*3/uL"')
    protein = units(canonical_unit='"g/dL"')
    assert cells.to_canonical(Decimal("6.2"), "G/L") == Decimal("6.2")
    assert protein.to_canonical(Decimal(70), "G/L") == 7
    assert cells.to_canonical(Decimal(6200), "/µl") == Decimal("6.2")
    assert cells.to_canonical(Decimal("6.2"), "/nl") == Decimal("6.2")


def test_a_spelling_of_two_sizes_is_the_one_that_the_marker_is_reported_in() -> None:
    for slug, printed in (("wbc", "mil/mm3"), ("platelets", "mil/uL"), ("rbc", "mil/uL"), ("rbc", "mil/mm3")):
        assert units_of(slug).to_canonical(Decimal(5), printed) == 5, slug


def test_units_of_an_assay_are_printed_as_u_and_as_iu() -> None:
    enzyme, hormone, arbitrary = (units(canonical_unit=f'"{u}"') for u in ("U/L", "u[IU]/mL", "[arb'U]/mL"))
    assert enzyme.to_canonical(Decimal(40), "IU/L") == 40
    assert hormone.to_canonical(Decimal(2), "mU/L") == 2
    assert arbitrary.to_canonical(Decimal(35), "U/mL") == 35
    with pytest.raises(UnitRefused):
        arbitrary.to_canonical(Decimal(35), "IU/mL")
    # No katal where the dictionary does not say that the units are an enzyme's.
    with pytest.raises(UnitRefused):
        enzyme.to_canonical(Decimal(1), "ukat/L")


def test_a_stated_factor_is_the_markers_own() -> None:
    insulin = units(canonical_unit='"u[IU]/mL"', factors='[{ ucum = "pmol/L", factor = 0.1667, origin = "x" }]')
    assert insulin.to_canonical(Decimal(60), "pmol/l") == Decimal("10.002")
    assert close(insulin.to_canonical(Decimal("0.06"), "nmol/L"), Decimal("10.002"))
    with pytest.raises(UnitRefused):
        insulin.to_canonical(Decimal(1), "ng/mL")


def test_particles_are_not_their_mass() -> None:
    lipoprotein_a = units(canonical_unit='"nmol/L"')
    with pytest.raises(UnitRefused) as refused:
        lipoprotein_a.to_canonical(Decimal(30), "mg/dL")
    assert refused.value.accepted == ("nmol/L",)


def test_equivalents_need_a_charge_and_a_telling_annotation_stays() -> None:
    magnesium = units(
        canonical_unit='"mg/dL"',
        molar_units='["mmol/L"]',
        equivalent_units='["meq/L"]',
        charge=2,
        molar_mass_g_per_mol=24.305,
        molar_mass_origin='"x"',
    )
    assert close(magnesium.convert(Decimal(1), "mmol/L", "mEq/L"), Decimal(2))
    dimer = units(canonical_unit='"ng/mL{FEU}"')
    assert dimer.to_canonical(Decimal("0.5"), "mg/L FEU") == 500
    for other in ("ng/mL DDU", "ng/mL"):
        with pytest.raises(UnitRefused):
            dimer.to_canonical(Decimal(1), other)


def test_a_pure_number_has_no_unit() -> None:
    ratio = units(canonical_unit='"1"')
    for printed in ("", " ", "ratio", "INR", "index", "1", "(calc)", " calculated"):
        assert ratio.to_canonical(Decimal("1.1"), printed) == Decimal("1.1")
    for printed in ("%", "s", "mg/dL"):
        with pytest.raises(UnitRefused):
            ratio.to_canonical(Decimal("1.1"), printed)


def test_a_share_says_of_what_it_is_one() -> None:
    """A haematocrit of 45 is per cent, one of 0.45 L/L, and without a unit it is neither."""
    hematocrit = units_of("hematocrit")
    assert hematocrit.to_canonical(Decimal("0.45"), "L/L") == hematocrit.to_canonical(Decimal(45), "%") == 45
    for printed in ("", " "):
        with pytest.raises(UnitRefused):
            hematocrit.to_canonical(Decimal(45), printed)
        with pytest.raises(UnitRefused):
            units_of("urine_protein_creatinine_ratio").to_canonical(Decimal(150), printed)


def test_a_number_with_and_without_the_sign_that_laboratories_leave_out() -> None:
    for slug, printed in (
        ("free_androgen_index", "%"),
        ("free_androgen_index", ""),
        ("anti_ccp", "units"),
        ("anti_ccp", "U/mL"),
        ("igf1_z_score", "SD"),
        ("igf1_z_score", ""),
        ("epa", "% by wt"),
    ):
        assert units_of(slug).to_canonical(Decimal("1.5"), printed) == Decimal("1.5"), (slug, printed)


def test_a_ph_has_a_unit_that_is_seldom_printed() -> None:
    for printed in ("", "pH", "pH units", "units", "[pH]"):
        assert units(canonical_unit='"[pH]"').to_canonical(Decimal("7.4"), printed) == Decimal("7.4")
    with pytest.raises(UnitRefused):
        units(canonical_unit='"[pH]"').to_canonical(Decimal("7.4"), "ratio")


def test_a_share_is_of_one_kind() -> None:
    ratio = units(canonical_unit='"mg/g{creat}"')
    assert ratio.to_canonical(Decimal(30), "mcg/mg creat") == 30
    for printed in ("mmol/mol", "‰", "mg/mmol", "ratio", "%"):
        with pytest.raises(UnitRefused):
            ratio.to_canonical(Decimal(30), printed)
    haematocrit = units(canonical_unit='"%"', units='["L/L"]')
    assert haematocrit.to_canonical(Decimal("0.45"), "L/L") == haematocrit.to_canonical(Decimal("0.45"), "ratio") == 45


def test_a_qualitative_marker_has_no_units() -> None:
    with pytest.raises(UnitRefused, match="it has no unit"):
        units(results='["Negative"]').to_canonical(Decimal(1), "mg/dL")


@pytest.mark.parametrize(
    "wrong",
    [
        {"canonical_unit": '"mg/dL"', "units": '["mmol/L"]'},
        {"canonical_unit": '"U/L"', "units": '["mol/L"]'},
        {"canonical_unit": '"mg/dL"', "molar_units": '["U/L"]', "molar_mass_g_per_mol": 18, "molar_mass_origin": '"x"'},
        {"canonical_unit": '"mg/dL"', "equivalent_units": '["meq/L"]', "charge": 2},
        {"canonical_unit": '"MG/DL"'},
    ],
)
def test_an_entry_whose_units_cannot_be_right_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"quantity|known"):
        units(**wrong)


def test_every_formula_of_the_dictionary_is_known() -> None:
    used = {unit.formula for m in catalogue().markers.values() for unit in m.units if unit.formula}
    assert used <= set(FORMULAS)


@given(st.decimals(min_value=3, max_value=20, places=2))
def test_the_formulas_of_hba1c_agree_with_each_other(ngsp: Decimal) -> None:
    """The two published lines for estimated average glucose differ by less than their rounding."""
    mg_dl, mmol_l = (
        (ngsp - FORMULAS[name].offset) / FORMULAS[name].slope for name in ("hba1c_eag_mg_dl", "hba1c_eag_mmol_l")
    )
    assert abs(mg_dl / Decimal("18.0156") - mmol_l) < Decimal("0.11")
