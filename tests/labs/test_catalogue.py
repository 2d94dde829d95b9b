"""The dictionary's data: what is in it is right, and what cannot be right is refused."""

import re
from collections import Counter
from decimal import Decimal
from itertools import permutations
from pathlib import Path

import pytest

from services.labs.biomarkers.catalogue import Loinc, Marker, catalogue
from services.labs.matching.names import name_of, plain
from services.labs.matching.words import GROUPS
from services.labs.units import UnitRefused, compile_units, units_of

CATALOGUE = catalogue()
MARKERS = list(CATALOGUE.markers.values())
LOINC_NOTES = Path(__file__).parents[2] / "docs/labs/loinc.md"

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


# What LOINC's properties measure, as the units of UCUM that such a result can have.
UNITS_OF_PROPERTY = {
    "MCnc": r"[munpk]?g/[dm]?L(\{FEU\})?",
    "SCnc": r"([mun]?p?mol|m?eq)/[dm]?L",
    "ACnc": r"([mkun]?\[IU\]|k?\[arb'U\]|U)/m?L|\[[GM]PL'U\]",
    "CCnc": r"k?U/L|[un]kat/L|ng/mL/h|nmol/min/mL",
    "NCnc": r"(10\*\d+)?/[un]?L|\{copies\}/mL",
    "NFr": "%",
    "MFr": "%",
    "SFr": "%|mmol/mol",
    "VFr": "%|L/L",
    "AFr": "%",
    "CFr": "%",
    "MRto": "1|mg/g|mg/mg|mg/mmol",
    "SRto": "mmol/mol|mg/mmol",
    "NRto": "1",
    "Ratio": "%|1|/100\\{WBC\\}",
    "RelTime": "1|%",
    "ArVRat": r"mL/min/\{1\.73_m2\}",
    "MCnt": "[um]g/k?g",
    "CCnt": r"U/g\{Hb\}",
    "MRat": r"[mu]?g/\(24\.h\)",
    "SRat": r"[mun]?mol/\(24\.h\)",
    "EntMass": "pg|fmol",
    "EntVol": "fL",
    "EntMeanVol": "fL|um3",
    "Rden": "1",
    "Osmol": "m?osm/kg",
    "LsCnc": r"\[pH\]",
    "Time": "s",
    "Vel": "mm/h",
    "Len": "Ao|nm",
    "PPres": r"mm\[Hg\]|kPa",
    "Naric": r"/\[[HL]PF\]",
    "Titr": r"\{titer\}",
    "Score": r"\{Zscore\}",
}
OF_WORDS = {"PrThr", "Type", "Aper", "Prid"}

SYSTEMS = {
    "serum": {"Ser/Plas", "Ser", "Ser/Plas/Bld", "Bld", "PlasV"},
    "plasma": {"Plas", "PPP", "Ser/Plas", "Bld", "PlasV"},
    "blood": {"Bld", "BldV", "BldC", "Bld/Tiss", "RBC", "PPP"},
    "arterial_blood": {"BldA"},
    "red_cells": {"RBC"},
    "urine": {"Urine", "Urine sed"},
    "urine_24h": {"Urine"},
    "stool": {"Stool"},
    "saliva": {"Saliva"},
    "breath": {"Exhl gas"},
}


def test_no_loinc_twice_and_every_check_digit_right() -> None:
    codes = [term.code for term in terms()]
    assert [code for code, times in Counter(codes).items() if times > 1] == []
    assert [code for code in codes if check_digit(code) != int(code[-1])] == []


def test_markers_without_a_code_are_those_that_are_said_to_have_none() -> None:
    said = re.split(r"^## ", LOINC_NOTES.read_text(encoding="utf-8"), flags=re.M)
    (left_empty,) = [section for section in said if section.startswith("Left empty")]
    assert Counter(re.findall(r"`(\w+)`", left_empty)) == Counter(m.slug for m in MARKERS if not m.loinc)


@pytest.mark.parametrize("marker", MARKERS, ids=lambda marker: marker.slug)
class TestAMarker:
    def test_loinc_is_of_its_kind_of_unit(self, marker: Marker) -> None:
        codes = [unit.ucum for unit in marker.units]
        for term in filter(None, (marker.loinc, *marker.other_loincs)):
            if marker.results:
                assert term.property in OF_WORDS
            else:
                assert any(re.fullmatch(UNITS_OF_PROPERTY[term.property], code) for code in codes), term

    def test_loinc_is_of_its_specimen(self, marker: Marker) -> None:
        for term in filter(None, (marker.loinc, *marker.other_loincs)):
            assert term.system in SYSTEMS[marker.specimen], term

    def test_loincs_are_of_one_component(self, marker: Marker) -> None:
        """All terms of a marker measure one thing; where LOINC names it differently, it stands here."""
        components = {term.component.split("^")[0] for term in (marker.loinc, *marker.other_loincs) if term}
        assert len(components) <= 1 or components in SAME_THING

    def test_units_convert_there_and_back(self, marker: Marker) -> None:
        units = compile_units(marker)
        for unit in marker.units:
            for value in (Decimal("0.0123456789"), Decimal(1), Decimal("98765.4321")):
                there = units.convert(value, unit.ucum, marker.canonical_unit)
                back = units.convert(there, marker.canonical_unit, unit.ucum)
                assert abs(back - value) <= value * Decimal("1e-9"), unit

    def test_molar_mass_is_the_formulas(self, marker: Marker) -> None:
        if marker.chemical_formula is not None:
            assert marker.molar_mass_g_per_mol is not None
            assert abs(molar_mass(marker.chemical_formula) - marker.molar_mass_g_per_mol) <= Decimal("0.002")

    def test_says_what_it_measures_or_how_it_is_told(self, marker: Marker) -> None:
        assert re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", marker.slug)
        assert marker.sub_panel
        assert marker.aliases.get("en")


# One thing under several names of LOINC: a total and its main part, a test and
# the calculation that stands for it.
SAME_THING: list[set[str]] = [
    {"Calcidiol", "Calcidiol+ercalcidiol"},
    {"Carbon dioxide", "Bicarbonate"},
    {"Anion gap", "Anion gap 3"},
    {"Apolipoprotein B", "Apolipoprotein B-100"},
    {"Choriogonadotropin", "Choriogonadotropin.beta subunit"},
    {"Cyclic citrullinated peptide Ab", "Cyclic citrullinated peptide Ab.IgG"},
    {"Glomerular filtration rate", "Glomerular filtration rate/1.73 sq M.predicted"},
    {"1,25-Dihydroxyvitamin D", "Calcitriol"},
]


def test_names_are_unambiguous_within_a_specimen() -> None:
    """Serum, plasma and blood count as one; a name may mean one thing in blood and another in urine.

    In one specimen only the unit can tell two markers of a name apart: neither lists a unit of the other's.
    """
    owners: dict[tuple[str, str], set[str]] = {}
    for marker in MARKERS:
        for name in marker.names():
            owners.setdefault((GROUPS[marker.specimen], name_of(name).key), set()).add(marker.slug)
    shared = {name: slugs for name, slugs in owners.items() if len(slugs) > 1}
    for (group, name), slugs in shared.items():
        for one, other in permutations(slugs, 2):
            specimens = {CATALOGUE.markers[slug].specimen for slug in (one, other)}
            if group == "urine" and len(specimens) > 1:
                continue
            units = units_of(other)
            sizes = {units.read(unit).slope for unit in units.accepted}
            for unit in units_of(one).accepted or pytest.fail(f"{name} of {one} and {other}"):
                try:
                    assert units.read(unit).slope not in sizes, (name, one, other, unit)
                except UnitRefused:
                    continue
    assert {name for _, name in shared} >= {name_of(name).key for name in ("Lp(a)", "CK-MB", "PCT", "RDW", "Cr")}


def test_every_source_is_cited() -> None:
    cited = {stated.source for marker in MARKERS for stated in (*marker.normal, *marker.optimal)}
    cited |= {unit.origin for marker in MARKERS for unit in marker.units if unit.origin}
    cited |= {marker.variation.source for marker in MARKERS if marker.variation}
    assert cited == set(CATALOGUE.sources)


def test_a_name_is_said_once() -> None:
    for marker in MARKERS:
        names = [plain(name) for name in marker.names()]
        assert len(set(names)) == len(names), marker.slug


# VIT 7: the categories and what each one names.
SPECIFIED = {
    "metabolic": "glucose bun creatinine egfr sodium potassium chloride carbon_dioxide calcium protein_total albumin"
    " globulin bilirubin_total alp alt ast",
    "lipids": "cholesterol_total hdl_cholesterol ldl_cholesterol triglycerides non_hdl_cholesterol",
    "lipids_advanced": "ldl_particle_number ldl_small ldl_medium hdl_large apolipoprotein_b lipoprotein_a ldl_pattern"
    " ldl_peak_size",
    "fatty_acids": "omega3_total omega6_total epa dpa dha arachidonic_acid linoleic_acid",
    "thyroid": "tsh t3_free t3_total t4_free t4_total tpo_antibodies thyroglobulin_antibodies",
    "hormones": "testosterone_total testosterone_free estradiol fsh lh prolactin shbg dhea_s cortisol insulin leptin",
    "hematology": "wbc rbc hemoglobin hematocrit mcv mch mchc rdw platelets mpv neutrophils_absolute neutrophils_pct"
    " lymphocytes_absolute lymphocytes_pct monocytes_absolute monocytes_pct eosinophils_absolute eosinophils_pct"
    " basophils_absolute basophils_pct",
    "inflammation": "hs_crp homocysteine rheumatoid_factor",
    "nutrition": "vitamin_d_25_hydroxy ferritin iron methylmalonic_acid vitamin_b12 zinc magnesium",
    "heavy_metals": "mercury_blood lead_blood",
    "immunology": "ana_screen",
    "urinalysis": "urine_color urine_appearance urine_specific_gravity urine_ph urine_protein_dipstick"
    " urine_glucose_dipstick urine_ketones urine_blood urine_bilirubin urine_urobilinogen urine_nitrite"
    " urine_leukocyte_esterase urine_wbc urine_rbc urine_squamous_epithelial_cells urine_bacteria urine_hyaline_casts",
}


@pytest.mark.parametrize("category", SPECIFIED)
def test_what_the_specification_names_is_there(category: str) -> None:
    for slug in SPECIFIED[category].split():
        assert CATALOGUE.markers[slug].category == category


# Of what VIT 7 names these have no published range, or their laboratory's only.
WITHOUT_RANGE = "omega6_total urine_hyaline_casts"


@pytest.mark.parametrize("slug", [slug for named in SPECIFIED.values() for slug in named.split()])
def test_what_the_specification_names_is_told_with_its_range(slug: str) -> None:
    marker = CATALOGUE.markers[slug]
    assert marker.is_qualitative or marker.normal or marker.optimal or slug in WITHOUT_RANGE.split()


SPECIFIC = {
    "normal": "creatinine ggt hdl_cholesterol cholesterol_hdl_ratio apolipoprotein_a1 testosterone_total"
    " testosterone_free shbg estradiol progesterone fsh lh prolactin dhea_s leptin hemoglobin hematocrit ferritin"
    " transferrin esr creatine_kinase troponin_t_hs calcitonin",
    "optimal": "alt ferritin cholesterol_hdl_ratio ldl_hdl_ratio apob_apoa1_ratio",
}


@pytest.mark.parametrize(("kind", "slug"), [(kind, slug) for kind, slugs in SPECIFIC.items() for slug in slugs.split()])
def test_ranges_differ_by_sex(kind: str, slug: str) -> None:
    ranges = getattr(CATALOGUE.markers[slug], kind)
    assert {stated.sex for stated in ranges} == {"female", "male"}
    ends = {sex: {(r.low, r.high) for r in ranges if r.sex == sex} for sex in ("female", "male")}
    assert ends["female"] != ends["male"]


@pytest.mark.parametrize("slug", ["estradiol", "progesterone", "fsh", "lh", "hydroxyprogesterone_17"])
def test_ranges_differ_by_the_phase_of_the_cycle(slug: str) -> None:
    phases = {stated.cycle_phase for stated in CATALOGUE.markers[slug].normal if stated.sex == "female"}
    assert phases >= {"follicular", "luteal", "postmenopause"}


@pytest.mark.parametrize("marker", [m for m in MARKERS if m.normal or m.optimal], ids=lambda marker: marker.slug)
def test_ranges_of_a_marker_are_of_one_magnitude(marker: Marker) -> None:
    """In the canonical unit: a range that slipped by a unit stands a factor of ten or more beside the others."""
    units = units_of(marker.slug)
    ends = [
        units.to_canonical(end, stated.unit)
        for stated in (*marker.normal, *marker.optimal)
        for end in (stated.high or stated.low,)
        if end
    ]
    ends = [end for end in ends if end > 0]
    # Sex hormones differ that much between the sexes and through the cycle.
    most = 240 if marker.sub_panel in ("Sex Hormones", "Pituitary") else 10
    assert not ends or max(ends) / min(ends) <= most


def test_variation_is_a_share_and_mostly_measured() -> None:
    """Coefficients of variation in percent; a study that pools others has no measurement's."""
    variations = [marker.variation for marker in MARKERS if marker.variation]
    assert all(0 < variation.cvi_pct < 100 for variation in variations)
    assert all(0 < variation.cva_pct < 100 for variation in variations if variation.cva_pct is not None)
    thyroid = {"tsh": "17.7", "t3_free": "5.0", "t4_free": "4.8", "thyroglobulin": "10.3", "calcitonin": "13.0"}
    assert {
        slug: str(variation.cvi_pct) for slug in thyroid if (variation := CATALOGUE.markers[slug].variation)
    } == thyroid
    assert {"glucose", "hba1c", "creatinine", "ldl_cholesterol"} <= {m.slug for m in MARKERS if m.variation}


def test_size() -> None:
    assert len(MARKERS) >= 250
    assert set(SPECIFIED) <= set(CATALOGUE.categories)


@pytest.mark.parametrize(
    ("slug", "unit", "factor"),
    # VIT 8, DHEA-S as domain.md corrects it.
    [
        ("testosterone_total", "nmol/L", "0.03467"),
        ("glucose", "mmol/L", "0.05551"),
        ("cholesterol_total", "mmol/L", "0.02586"),
        ("creatinine", "umol/L", "88.42"),
        ("dhea_s", "nmol/L", "27.14"),
        ("dhea_s", "umol/L", "0.02714"),
    ],
)
def test_factors_of_the_specification(slug: str, unit: str, factor: str) -> None:
    marker = CATALOGUE.markers[slug]
    converted = compile_units(marker).convert(Decimal(1), marker.canonical_unit, unit)
    assert abs(converted / Decimal(factor) - 1) < Decimal("0.0005")


def test_estradiol_as_the_specification_converts_it() -> None:
    converted = compile_units(CATALOGUE.markers["estradiol"]).convert(Decimal(1), "pg/mL", "pmol/L")
    assert abs(converted - Decimal("3.671")) < Decimal("0.0005")
