"""Every marker of the dictionary is found under every name of it."""

from functools import cache

import pytest

from services.labs.biomarkers.catalogue import catalogue
from services.labs.matching import MarkerIndex, Row
from services.labs.units import units_of


@cache
def index() -> MarkerIndex:
    return MarkerIndex(catalogue())


@pytest.mark.parametrize("slug", list(catalogue().markers))
def test_every_name_of_a_marker_is_its(slug: str) -> None:
    marker = catalogue().markers[slug]
    unit = "" if marker.is_qualitative or marker.canonical_unit == "1" else marker.canonical_unit
    for name in marker.names():
        found = index().match(Row(name, unit, marker.specimen.replace("_", " ")))
        assert (found.slug, name) == (slug, name)
        assert found.confidence >= 0.97


@pytest.mark.parametrize(
    ("name", "unit", "slug"),
    [
        # Two quantities of one name.
        ("Lp(a)", "nmol/L", "lipoprotein_a"),
        ("LIPOPROTEIN (a)", "mg/dL", "lipoprotein_a_mass"),
        ("Lp(a)", "", None),
        ("CK-MB", "U/L", "ck_mb_activity"),
        ("CK-MB", "µg/L", "ck_mb_mass"),
        ("PCT", "%", "plateletcrit"),
        ("PCT", "ng/mL", "procalcitonin"),
        ("RDW", "fL", "rdw_sd"),
        ("RDW", "%", "rdw"),
        ("TP", "%", "quick"),
        ("PT", "%", "quick"),
        ("PT", "sec", "prothrombin_time"),
        ("TP", "seg", "prothrombin_time"),
        ("TP", "g/dL", "protein_total"),
        ("ACE", "U/L", "angiotensin_converting_enzyme"),
        ("ACE", "ng/mL", "cea"),
        ("Free PSA", "%", "psa_free_pct"),
        ("Sm Antibody", "AI", "anti_smith_index"),
        ("Sm Antibody", "U/mL", "anti_smith"),
        ("Polynucléaires neutrophiles", "%", "neutrophils_pct"),
        ("Polynucléaires neutrophiles", "G/L", "neutrophils_absolute"),
        ("%", "%", "nothing"),
        ("Percent", "%", "nothing"),
        # Of one quantity, and of another size.
        ("Cr", "ug/L", "chromium"),
        ("Cr", "mg/dL", "creatinine"),
        ("Cr", "umol/L", "creatinine"),
        ("Cr", "ug/dL", None),
        ("Cr", "", None),
        ("Tg", "ng/mL", "thyroglobulin"),
        ("TG", "mg/dL", "triglycerides"),
        # An abbreviation of two letters in a unit that the marker is not reported in is another's.
        ("Al", "g/dL", None),
        ("CK", "IU/L", "creatine_kinase"),
        ("LH", "mU/mL", "lh"),
        # Two ways of measuring that give different numbers.
        ("LDL SMALL", "nmol/L", "ldl_small"),
        ("Small LDL-P", "nmol/L", "ldl_small_nmr"),
        ("LDL PEAK SIZE", "Angstrom", "ldl_peak_size"),
        ("LDL Size", "nm", "ldl_size_nmr"),
        ("HDL LARGE", "nmol/L", "hdl_large"),
        ("Large HDL-P", "umol/L", "hdl_large_nmr"),
        # As laboratories in four languages print it.
        ("CHOL/HDLC RATIO", "(calc)", "cholesterol_hdl_ratio"),
        ("OMEGA-6/OMEGA-3 RATIO", "", "omega6_omega3_ratio"),
        ("Cyclic Citrullinated Peptide (CCP) Ab (IgG)", "UNITS", "anti_ccp"),
        ("Potassium, Whole Blood", "mmol/L", "potassium"),
        ("Glucose SerPl-mCnc", "mg/dL", "glucose"),
        ("Sed Rate, Westergren", "mm/hr", "esr"),
        ("MCHC", "%", "mchc"),
        ("Kreatinin i.S.", "mg/dl", "creatinine"),
        ("Natrium i.U.", "mmol/l", "urine_sodium"),
        ("LDL-Cholesterin (berechnet)", "mg/dl", "ldl_cholesterol"),
        ("BSG 1 h", "mm", "esr"),
        ("Retikulozyten", "‰", "reticulocytes_pct"),
        ("Cholestérol LDL calculé", "g/L", "ldl_cholesterol"),
        ("V.G.M.", "µm3", "mcv"),
        ("Taux de prothrombine (TP)", "%", "quick"),
        ("Leucocitos", "miles/mm3", "wbc"),
        ("Hemoglobina glicosilada (HbA1c)", "%", "hba1c"),
    ],
)
def test_names_as_laboratories_print_them(name: str, unit: str, slug: str | None) -> None:
    found = index().match(Row(name, unit))
    # None that is sure, of these; or none at all.
    assert (found.slug or ("nothing" if not found.candidates else None)) == slug
    if found.slug and not catalogue().markers[found.slug].is_qualitative:
        assert units_of(found.slug).read(unit)


@pytest.mark.parametrize("slug", list(catalogue().markers))
def test_every_loinc_of_a_marker_is_its(slug: str) -> None:
    marker = catalogue().markers[slug]
    for term in (marker.loinc, *marker.other_loincs):
        if term is not None:
            assert index().match(Row("", loinc=term.code)).slug == slug
