"""How the dictionary is read, whatever is in it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from services.labs.biomarkers.catalogue import CatalogueError, Range, read


class TestARange:
    RANGE = Range(Decimal(2), Decimal(5), low_belongs=False, high_belongs=True, unit="%", source="x")

    def test_without_ages_it_is_for_adults_and_for_who_does_not_say(self) -> None:
        assert self.RANGE.covers(sex=None, age_years=18)
        assert self.RANGE.covers(sex=None, age_years=None)
        assert not self.RANGE.covers(sex=None, age_years=17.9)

    def test_ages(self) -> None:
        banded = replace(self.RANGE, age_low_years=Decimal(20), age_high_years=Decimal(50))
        assert [banded.covers(sex=None, age_years=age) for age in (19.9, 20, 49.9, 50, None)] == [
            False,
            True,
            True,
            False,
            False,
        ]

    def test_bleeding_is_the_beginning_of_the_follicular_phase(self) -> None:
        follicular, luteal = (replace(self.RANGE, cycle_phase=phase) for phase in ("follicular", "luteal"))
        assert follicular.covers(sex=None, age_years=30, cycle_phase="menstruation")
        assert not luteal.covers(sex=None, age_years=30, cycle_phase="menstruation")
        assert not replace(self.RANGE, cycle_phase="menstruation").covers(
            sex=None, age_years=30, cycle_phase="follicular"
        )

    def test_sex_and_phase_that_are_unknown_fit_no_range_that_asks(self) -> None:
        hers = replace(self.RANGE, sex="female", cycle_phase="luteal")
        assert hers.covers(sex="female", age_years=30, cycle_phase="luteal")
        assert not hers.covers(sex="female", age_years=30)
        assert not hers.covers(sex=None, age_years=30, cycle_phase="luteal")
        assert not hers.covers(sex="male", age_years=30, cycle_phase="luteal")


def dictionary(**changes: str) -> dict[str, str]:
    marker = """
[[marker]]
slug = "zinc"
display_name = "Zinc"
sub_panel = "Minerals"
specimen = "serum"
canonical_unit = "ug/dL"
"""
    texts = {"sources": 'book = "A book."', "categories": 'minerals = "Minerals"', "minerals": marker}
    return {**texts, "minerals": marker + "\n".join(f"{key} = {value}" for key, value in changes.items())}


def test_a_small_dictionary_is_read() -> None:
    assert list(read(dictionary()).markers) == ["zinc"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"colour": '"blue"'}, "unknown keys"),
        ({"molar_units": '["umol/L"]'}, "lacks what a conversion by molar needs"),
        ({"equivalent_units": '["meq/L"]'}, "lacks what a conversion by equivalent needs"),
        ({"factors": '[{ ucum = "U/L", factor = 2, origin = "hearsay" }]'}, "lacks what a conversion by factor needs"),
        ({"units": '["ug/dL"]'}, "a unit stands twice"),
        ({"normal": '[{ low = 1, source = "hearsay" }]'}, "is no source"),
        ({"normal": '[{ source = "book" }]'}, "a range without ends"),
        ({"normal": '[{ low = 2, high = 1, source = "book" }]'}, "2 is above 1"),
        ({"normal": '[{ low = 2, unit = "g/L", source = "book" }]'}, "which is none of its units"),
        ({"normal": '[{ low = 2, sex = "other", source = "book" }]'}, "is none of"),
        ({"results": '["negative"]', "optimal": '[{ low = 2, source = "book" }]'}, "no range of numbers"),
        ({"results": '["negative"]', "expected": '"positive"'}, "'positive' is none of its results"),
        ({"variation": '{ cvi_pct = 5, source = "hearsay" }'}, "is no source"),
        ({"molar_mass_g_per_mol": "65.38"}, "needs a chemical formula or an origin"),
    ],
)
def test_what_cannot_be_right_is_refused(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(CatalogueError, match=f"zinc: .*{reason}"):
        read(dictionary(**changes))


def test_a_marker_without_a_name_a_code_or_a_slug_of_its_own_is_refused() -> None:
    texts = dictionary()
    with pytest.raises(CatalogueError, match="display_name is missing"):
        read({**texts, "minerals": '[[marker]]\nslug = "zinc"'})
    with pytest.raises(CatalogueError, match="zinc: twice"):
        read({**texts, "minerals": texts["minerals"] * 2})
    loinc = 'loinc = { code = "5763-8", component = "Zinc", property = "MCnc", system = "Ser/Plas" }\n'
    both = texts["minerals"] + loinc + texts["minerals"].replace('"zinc"', '"zinc_again"') + loinc
    with pytest.raises(CatalogueError, match="5763-8 is zinc's too"):
        read({**texts, "minerals": both})
    with pytest.raises(CatalogueError, match="files and categories differ"):
        read({**texts, "metals": ""})
