"""A report's name to a marker. Wrong is worse than none."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.biomarkers.catalogue import Catalogue, read
from services.labs.matching import MarkerIndex, Match, Row, alias_key

# slug | specimen | unit (qualitative: -) | names
MARKERS = """
glucose | serum | mg/dL | Glucose; GLU; Fasting Glucose; Blood Sugar; Glukose
urine_glucose | urine | mg/dL | Glucose, Urine; Glucose
urine_ph | urine | [pH] | pH
urine_glucose_dipstick | urine | - | Glucose, Dipstick
creatinine | serum | mg/dL | Creatinine
total_protein | serum | g/dL | Protein, Total; Total Protein; Protein
urine_protein_24h | urine_24h | mg/d | Protein, 24 Hour Urine; Protein
protein_c | plasma | % | Protein C Activity; Protein C
protein_s | plasma | % | Protein S Activity; Protein S
bilirubin_total | serum | mg/dL | Bilirubin, Total; Bilirubin
bilirubin_direct | serum | mg/dL | Bilirubin, Direct; Conjugated Bilirubin
t3_total | serum | ng/dL | T3, Total; Triiodothyronine; T3
t3_free | serum | pg/mL | T3, Free; Free T3; FT3
t4_free | serum | ng/dL | T4, Free; FT4; Free Thyroxine
tsh | serum | m[IU]/L | TSH; Thyroid Stimulating Hormone; Thyrotropin
hemoglobin | blood | g/dL | Hemoglobin; Hgb; Haemoglobin
hba1c | blood | % | Hemoglobin A1c; HbA1c; A1c
mch | blood | pg | MCH; Mean Corpuscular Hemoglobin
mchc | blood | g/dL | MCHC; Mean Corpuscular Hemoglobin Concentration
testosterone_total | serum | ng/dL | Testosterone, Total; Testosterone
neutrophils_pct | blood | % | Neutrophils; Neutrophils, Percent
neutrophils_abs | blood | 10*3/uL | Neutrophils, Absolute; Absolute Neutrophil Count; ANC
monocytes_pct | blood | % | Monocytes; Monos
platelets | blood | 10*3/uL | Platelet Count; Platelets; PLT
ldl | serum | mg/dL | LDL Cholesterol; LDL-C
hdl | serum | mg/dL | HDL Cholesterol
ldl_hdl_ratio | serum | 1 | LDL/HDL Ratio
alt | serum | U/L | ALT; SGPT; Alanine Aminotransferase
alp | serum | U/L | Alkaline Phosphatase; ALP; Alk Phos
phosphorus | serum | mg/dL | Phosphorus; Phosphate; Phos
potassium | serum | mmol/L | Potassium; K
calcium | serum | mg/dL | Calcium
vitamin_b12 | serum | pg/mL | Vitamin B12; Cobalamin
vitamin_d | serum | ng/mL | Vitamin D, 25-Hydroxy; 25-OH Vitamin D; Vitamin D
crp | serum | mg/L | C-Reactive Protein; CRP
hs_crp | serum | mg/L | hs-CRP; C-Reactive Protein, High Sensitivity
estradiol | serum | pg/mL | Estradiol; E2
homocysteine | plasma | umol/L | Homocysteine
ferritin | serum | ng/mL | Ferritin
progesterone | serum | ng/mL | Progesterone
"""


def dictionary() -> Catalogue:
    entries = []
    for order, line in enumerate(MARKERS.strip().splitlines()):
        slug, specimen, unit, names = (part.strip() for part in line.split("|"))
        first, *aliases = (name.strip() for name in names.split(";"))
        measured = 'results = ["Negative", "Positive"]' if unit == "-" else f'canonical_unit = "{unit}"'
        digits = f"{order + 1000}"
        doubled = [int(d) * 2 if i % 2 == 0 else int(d) for i, d in enumerate(reversed(digits))]
        code = f"{digits}-{-sum(sum(divmod(d, 10)) for d in doubled) % 10}"
        entries.append(
            f'[[marker]]\nslug = "{slug}"\ndisplay_name = "{first}"\nspecimen = "{specimen}"\n{measured}\n'
            f'loinc = {{ code = "{code}", component = "x", property = "x", system = "x" }}\n'
            f"[marker.aliases]\nen = {aliases}\n"
        )
    return read({"sources": "", "categories": 'x = "X"', "x": "\n".join(entries)})


@cache
def index() -> MarkerIndex:
    return MarkerIndex(dictionary())


def match(name: str, unit: str = "", specimen: str = "", section: str = "", loinc: str = "") -> Match:
    return index().match(Row(name, unit, specimen, section, loinc))


@pytest.mark.parametrize(
    ("name", "unit", "slug"),
    [
        ("Glucose", "mg/dL", "glucose"),
        ("GLUCOSE", "MG/DL", "glucose"),
        ("  glucose ", "", None),  # of blood or of urine
        ("GLU", "", "glucose"),
        ("Glucose, Serum", "mg/dL", "glucose"),
        ("Fasting Glucose", "", "glucose"),
        ("Glucose, Fasting", "mg/dL", "glucose"),
        ("Glukose", "mg/dl", "glucose"),
        ("Protein, Total", "g/dL", "total_protein"),
        ("PROTEIN TOTAL", "", "total_protein"),
        ("Total Protein, Serum", "g/L", "total_protein"),
        ("Bilirubin, Direct", "mg/dL", "bilirubin_direct"),
        ("Direct Bilirubin", "", "bilirubin_direct"),
        ("Bili, Total", "mg/dL", "bilirubin_total"),
        ("T3", "ng/dL", "t3_total"),
        ("Free T3", "", "t3_free"),
        ("T-3, Free", "pg/mL", "t3_free"),
        ("FT3", "", "t3_free"),
        ("Hemoglobin", "g/dL", "hemoglobin"),
        ("Hgb", "g/dL", "hemoglobin"),
        ("Haemoglobin", "", "hemoglobin"),
        ("Hgb A1C", "%", "hba1c"),
        ("Hb A1c", "%", "hba1c"),
        ("Haemoglobin A1c (IFCC)", "%", "hba1c"),
        ("Hemoglobin A1c", "", "hba1c"),
        ("MCH", "pg", "mch"),
        ("MCHC", "g/dL", "mchc"),
        ("LDL Chol Calc", "mg/dL", "ldl"),
        ("LDL CHOL", "", "ldl"),
        ("HDL CHOL", "mg dl", "hdl"),
        ("Cholesterol, HDL", "mg/dL", "hdl"),
        ("ALT (SGPT)", "U/L", "alt"),
        ("SGPT/ALT", "IU/L", "alt"),
        ("ALT - Alanine Aminotransferase", "", "alt"),
        ("Thyroid Stimulating Hormone (TSH)", "uIU/mL", "tsh"),
        ("TSH w/ Reflex to FT4", "mIU/L", "tsh"),
        ("TSH, 3rd generation", "mIU/L", None),
        ("Alk Phos", "U/L", "alp"),
        ("Phos", "mg/dL", "phosphorus"),
        ("Vitamin B-12", "pg/mL", "vitamin_b12"),
        ("VITAMIN B 12", "", "vitamin_b12"),
        ("25-OH Vitamin D", "ng/mL", "vitamin_d"),
        ("C-reactive protein", "mg/L", "crp"),
        ("hs CRP", "mg/L", "hs_crp"),
        ("Oestradiol", "pg/mL", "estradiol"),
        ("PLT", "x10E3/uL", "platelets"),
        ("Platelets, Automated", "K/uL", "platelets"),
        ("S-Calcium", "mg/dL", "calcium"),
        ("Calcium, S", "mg/dL", "calcium"),
        ("Protein S", "%", "protein_s"),
        ("K", "mmol/L", "potassium"),
        ("LDL/HDL Ratio", "ratio", "ldl_hdl_ratio"),
        ("LDL / HDL ratio", "", "ldl_hdl_ratio"),
        ("Calcium [Mass/volume] in Serum or Plasma", "mg/dL", "calcium"),
        ("Hemoglobin A1c [Mass fraction] in Blood by HPLC", "%", "hba1c"),
        ("Neutrophils [#/volume] in Blood by Automated count", "K/uL", "neutrophils_abs"),
        ("Glucose [Mass/volume] in Urine by Test strip", "mg/dL", "urine_glucose"),
        ("Platelets Number", "K/uL", "platelets"),
    ],
)
def test_what_a_name_is(name: str, unit: str, slug: str | None) -> None:
    assert match(name, unit).slug == slug


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        # Something else with a word in common.
        ("Creatinine, Urine", "mg/dL"),
        ("Urine Creatinine", ""),
        ("Creatinine (U)", "mg/dL"),
        ("U-Creatinine", "mg/dL"),
        ("Creatinine, 24 Hr Urine", "mg/d"),
        ("Creatinine Clearance", "mL/min"),
        ("Albumin/Creatinine Ratio", "mg/g"),
        ("BUN/Creatinine", ""),
        ("Reverse T3", "ng/dL"),
        ("T3 Uptake", "%"),
        ("rT3", ""),
        ("Testosterone, Free", "pg/mL"),
        ("Testosterone, Bioavailable", "ng/dL"),
        ("Testosterone (Free)", "ng/dL"),
        ("Free Testosterone", "ng/dL"),
        ("Bilirubin, Indirect", "mg/dL"),
        ("Bilirubin, Urine", ""),
        ("Glucose, CSF", "mg/dL"),
        ("Glucose, 2 Hour", "mg/dL"),
        ("Glucose Tolerance", "mg/dL"),
        ("Hemoglobin F", "%"),
        ("Fetal Hemoglobin", "%"),
        ("Hemoglobin Electrophoresis", ""),
        ("Mean Hemoglobin", "g/dL"),
        ("Plasma Free Hemoglobin", "mg/dL"),
        ("TSH Receptor Antibody", "IU/L"),
        ("17-OH Progesterone", "ng/mL"),
        ("Alkaline Phosphatase, Bone", "U/L"),
        ("Calcium, Ionized", "mmol/L"),
        ("Protein Electrophoresis", "g/dL"),
        ("Protein", "mg/dL"),  # of what?
        ("HDL/LDL Ratio", "ratio"),
        ("Non-HDL Cholesterol", "mg/dL"),
        ("VLDL Cholesterol", "mg/dL"),
        ("LDL Particle Number", "nmol/L"),
        ("Vitamin D, 1,25-Dihydroxy", "pg/mL"),
        ("Vitamin B6", "ng/mL"),
        ("Immature Platelets", "%"),
        ("Mean Platelet Volume", "fL"),
        ("Mono Test", ""),
        ("Calcium [Mass/volume] in Urine", "mg/dL"),
        ("Calcium [Mass/volume] in Dialysis fluid", "mg/dL"),
        ("Calcium.ionized [Moles/volume] in Serum or Plasma", "mmol/L"),
        ("Calcium [Presence] in Serum", ""),
        ("pH", "pH"),  # of what?
        ("Complement C3", "mg/dL"),
        # A slip of the pen away, and another substance.
        ("Creatine", "mg/dL"),
        ("Creatin", "mg/dL"),
        ("Creatinie", "mg/dL"),  # as near to creatine
        ("Homocystine", "umol/L"),
        ("Cobalamine deficiency", "pg/mL"),
        ("Estriol", "pg/mL"),
        ("Protein Z", "%"),
        ("Protein D", "%"),
        ("T5, Free", "pg/mL"),
        ("Vitamin B13", "pg/mL"),
        # The unit or the specimen says that it is not that.
        ("Glucose", "U/L"),
        ("Hemoglobin", "%"),
        ("Platelets", "fL"),
        ("Creatinine", "mg/g"),
        # No names.
        ("", ""),
        ("   ", "mg/dL"),
        ("---", ""),
        ("%", "%"),
        ("Serum", "mg/dL"),
        ("Total", "mg/dL"),
        ("Calculated", ""),
        ("See note", ""),
        ("K", ""),
        ("Foo Marker", "mg/dL"),
        ("x" * 500, ""),
        ("((((", ""),
        ("/", ""),
        ("Glucose " * 40, "mg/dL"),
    ],
)
def test_what_is_not_sure_is_none(name: str, unit: str) -> None:
    found = match(name, unit)
    assert found.slug is None
    assert found.confidence < 0.8


@pytest.mark.parametrize(
    ("name", "unit", "specimen", "section", "slug"),
    [
        ("Glucose", "mg/dL", "serum", "", "glucose"),
        ("Glucose", "", "ser/plas", "", "glucose"),
        ("Glucose", "mg/dL", "urine", "", "urine_glucose"),
        ("GLU", "mg/dl", "urine", "", None),
        ("Glucose", "", "", "URINALYSIS", "urine_glucose"),
        ("Glucose", "mg/dL", "serum", "Urinalysis", "glucose"),
        ("Glucose, Urine", "mg/dL", "serum", "", None),
        ("Glucose, Urine", "mg/dL", "", "", "urine_glucose"),
        ("Glucose, Random Urine", "mg/dL", "", "", "urine_glucose"),
        ("Glucose", "mg/dL", "CSF", "", None),
        ("Creatinine", "mg/dL", "Urine", "", None),
        ("Hemoglobin", "g/dL", "bld", "", "hemoglobin"),
        ("Hemoglobin", "g/dL", "whole blood", "", "hemoglobin"),
        ("Hemoglobin", "g/dL", "stool", "", None),
        ("Protein", "g/dL", "", "", "total_protein"),
        ("Protein", "mg/24h", "", "", "urine_protein_24h"),
        ("Protein", "mg/d", "urine", "", "urine_protein_24h"),
        ("Protein, 24 hr urine", "mg/24 h", "", "", "urine_protein_24h"),
        ("Protein", "mg/dL", "24 hour urine", "", None),
        ("Neutrophils", "%", "", "", "neutrophils_pct"),
        ("Neutrophils", "x10E3/uL", "", "", "neutrophils_abs"),
        ("Neutrophils (Absolute)", "x10E3/uL", "", "", "neutrophils_abs"),
        ("pH", "", "urine", "", "urine_ph"),
        ("pH", "", "", "Urinalysis", "urine_ph"),
        ("Neut Abs", "10^9/L", "", "", "neutrophils_abs"),
        ("Neutrophils #", "K/uL", "", "", "neutrophils_abs"),
        ("Neut %", "%", "", "", "neutrophils_pct"),
        ("Absolute Neutrophils", "%", "", "", None),
        ("Monocytes, Absolute", "10*3/uL", "", "", None),
        ("Monocytes", "10*3/uL", "", "", None),
    ],
)
def test_specimen_and_unit_are_evidence(name: str, unit: str, specimen: str, section: str, slug: str | None) -> None:
    assert match(name, unit, specimen, section).slug == slug


@pytest.mark.parametrize(
    ("name", "unit", "slug"),
    [
        ("Homocystein", "umol/L", "homocysteine"),
        ("Hemaglobin", "g/dL", "hemoglobin"),
        ("Feritin", "ng/mL", "ferritin"),
        ("Alkaline Phosphotase", "U/L", "alp"),
        ("Progestrone", "ng/mL", "progesterone"),
        ("Testostorone, Total", "ng/dL", "testosterone_total"),
    ],
)
def test_a_slip_of_the_pen_needs_a_unit_that_fits(name: str, unit: str, slug: str) -> None:
    assert match(name, unit) == (slug, 0.85, "misspelt", ())
    without = match(name)
    assert without.slug is None
    assert without.candidates == ((slug, 0.7, "misspelt"),)


def test_how_sure_a_match_is() -> None:
    assert match("Calcium", "mg/dL")[:3] == ("calcium", 1.0, "exact")
    assert match("total bilirubin")[:3] == ("bilirubin_total", 0.97, "normalized")
    assert match("Calcium, Serum")[:3] == ("calcium", 0.95, "without_specimen")
    assert match("ALT/SGPT")[:3] == ("alt", 0.95, "synonyms")
    assert match("Ferritin level")[:3] == ("ferritin", 0.93, "without_method")
    assert match("Glucose", "mg/dL")[:3] == ("glucose", 0.9, "exact")
    refused = match("Calcium", "U/L")
    assert (refused.slug, refused.candidates) == (None, (("calcium", 0.5, "exact"),))


def test_a_loinc_code_says_it() -> None:
    codes = {slug: marker.loinc.code for slug, marker in dictionary().markers.items() if marker.loinc}
    assert match("anything", "mg/dL", loinc=codes["calcium"])[:3] == ("calcium", 1.0, "loinc")
    # Not against the unit or the specimen, and not by the name instead.
    assert match("Calcium", "U/L", loinc=codes["calcium"]).slug is None
    assert match("Calcium", "mg/dL", "urine", loinc=codes["calcium"]).slug is None
    assert match("Calcium", "mg/dL", loinc=codes["alt"]).slug is None
    # A code that no marker has makes a name alone unsure.
    assert match("Calcium", "mg/dL", loinc="9999-9").slug == "calcium"
    assert match("Calcium", loinc="9999-9").slug is None


def test_an_alias_of_ones_own_goes_first() -> None:
    own = {alias_key("Zucker"): "glucose", alias_key("Calcium"): "urine_glucose", alias_key("Gone"): "no_such_marker"}
    assert index().match(Row("ZUCKER", "mg/dL"), own)[:3] == ("glucose", 1.0, "own_alias")
    assert index().match(Row("calcium", "mg/dL"), own).slug == "urine_glucose"
    assert index().match(Row("Zucker", "U/L"), own).slug is None
    assert index().match(Row("Zucker", "mg/dL", "urine"), own).slug is None
    assert index().match(Row("Gone"), own).slug is None


def test_many_rows_are_matched_as_each_is() -> None:
    rows = [Row(name, unit) for name in ("Glucose", "Calcium", "Foo", "Neutrophils") for unit in ("mg/dL", "%", "")] * 3
    assert index().match_many(rows) == [index().match(row) for row in rows]


@given(st.text(max_size=60), st.text(max_size=12), st.text(max_size=12))
def test_any_text_gets_an_answer(name: str, unit: str, specimen: str) -> None:
    found = index().match(Row(name, unit, specimen))
    assert 0 <= found.confidence <= 1
    assert (found.slug is None) == (found.confidence < 0.8)


NAMES = [line.split("|")[3].split(";")[0].strip() for line in MARKERS.strip().splitlines()]


@given(st.sampled_from([name for name in NAMES if "/" not in name]), st.data())
def test_order_case_and_punctuation_do_not_matter(name: str, data: st.DataObject) -> None:
    words = data.draw(st.permutations(name.replace(",", "").split()))
    joined = data.draw(st.sampled_from([" ", ", ", "  ", " ,"])).join(words)
    written = data.draw(st.sampled_from([str.upper, str.lower, str.title]))(joined)
    assert index().match(Row(written, specimen="serum")).slug == index().match(Row(name, specimen="serum")).slug


@pytest.mark.parametrize("name", NAMES)
def test_a_word_more_is_another_marker(name: str) -> None:
    """No marker is found under its name and a word that nobody knows."""
    assert match(f"{name} Qwxyz").slug is None
    assert match(f"Qwxyz {name}").slug is None
