"""Weights and heights as people type and see them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitalis_client.cli.units import Units, preferred, unit_words
from vitalis_client.contract.models import Preferences

METRIC, IMPERIAL = Units("kg", "cm"), Units("lbs", "in")


@pytest.mark.parametrize(
    ("units", "name", "text", "expected"),
    [
        (METRIC, "weight_kg", "70", 70),
        (METRIC, "weight_kg", "70,5", 70.5),
        (METRIC, "weight_kg", " 70.5 KG ", 70.5),
        (METRIC, "weight_kg", "154 lb", 69.85),
        (METRIC, "weight_kg", "11 st 4", 71.67),
        (METRIC, "weight_kg", "11 stone 4 pounds", 71.67),
        (IMPERIAL, "target_weight_kg", "154", 69.85),
        (IMPERIAL, "target_weight_kg", "154 pounds", 69.85),
        (IMPERIAL, "target_weight_kg", "70 kg", 70),
        (METRIC, "height_cm", "178", 178),
        (METRIC, "height_cm", "1,78 m", 178),
        (METRIC, "height_cm", "1m78cm", 178),
        (METRIC, "height_cm", "5'10\"", 177.8),
        (METRIC, "height_cm", "5′ 10″", 177.8),
        (IMPERIAL, "height_cm", "70", 177.8),
        (IMPERIAL, "height_cm", "5 ft 10", 177.8),
        (IMPERIAL, "height_cm", "5 feet 10.5 inches", 179.1),
        (IMPERIAL, "height_cm", "178cm", 178),
    ],
)
def test_what_is_typed_becomes_the_unit_of_the_api(units: Units, name: str, text: str, expected: float) -> None:
    assert units.read(name, text) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("weight_kg", ""),
        ("weight_kg", "heavy"),
        ("weight_kg", "70 cm"),
        ("weight_kg", "70 kg 5 kg"),
        ("weight_kg", "70 5"),
        ("weight_kg", "-70"),
        ("weight_kg", "7e1"),
        ("weight_kg", "70 kg!"),
        ("height_cm", "10 in 5 ft"),
        ("height_cm", "178 kg"),
        ("height_cm", "1.2.3"),
    ],
)
def test_what_is_no_measure_is_refused(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"^is a number, in (kg|cm) unless a unit follows it"):
        METRIC.read(name, text)


@given(st.floats(20, 500), st.sampled_from([METRIC, IMPERIAL]))
def test_a_weight_that_is_shown_reads_back_as_itself(kilograms: float, units: Units) -> None:
    shown = units.show("weight_kg", kilograms)
    assert units.read("weight_kg", shown) == pytest.approx(kilograms, abs=0.03)


@given(st.floats(50, 300), st.sampled_from([METRIC, IMPERIAL]))
def test_a_height_that_is_shown_reads_back_as_itself(centimetres: float, units: Units) -> None:
    assert units.read("height_cm", units.show("height_cm", centimetres)) == pytest.approx(centimetres, abs=0.2)


def test_how_measures_are_shown() -> None:
    assert [METRIC.show("weight_kg", value) for value in (70.0, 70.25)] == ["70 kg", "70.25 kg"]
    assert IMPERIAL.show("weight_kg", 69.85) == "154 lbs"
    assert METRIC.show("height_cm", 177.8) == "177.8 cm"
    # Not 5 ft 12 in.
    assert [IMPERIAL.show("height_cm", value) for value in (177.8, 182.8)] == ["5 ft 10 in", "6 ft 0 in"]
    assert METRIC.of("meals_per_day") == ""


def test_the_units_are_those_of_the_preferences() -> None:
    preferences = Preferences(weight_unit="lbs", height_unit="cm", notification_prefs={}, dashboard_layout={})
    assert preferred(preferences) == Units("lbs", "cm")


@pytest.mark.parametrize(
    ("ucum", "expected"),
    [
        ("mg/dL", "mg/dL"),
        ("1", ""),
        ("m[IU]/L", "mIU/L"),
        ("[arb'U]/mL", "arbU/mL"),
        ("10*3/uL", "10^3/uL"),
        ("mg/(24.h)", "mg/24 h"),
        ("mL/min/{1.73_m2}", "mL/min/1.73 m2"),
        ("ug/mL{FEU}", "ug/mL FEU"),
        ("U/g{Hb}", "U/g Hb"),
        ("/100{WBC}", "/100 WBC"),
        ("{copies}/mL", "copies/mL"),
        ("mm[Hg]", "mmHg"),
    ],
)
def test_units_of_the_api_are_shown_as_people_write_them(ucum: str, expected: str) -> None:
    assert unit_words(ucum) == expected


@pytest.mark.parametrize(
    ("units", "name", "text", "expected", "shown"),
    [
        (METRIC, "total_fat_lbs", "18.2", 40.12, "18.2 kg"),
        (IMPERIAL, "total_fat_lbs", "40", 40, "40 lbs"),
        (METRIC, "height_in", "178", 70.1, "178.1 cm"),
        (IMPERIAL, "height_in", "5'10", 70, "5 ft 10 in"),
    ],
)
def test_what_the_api_has_in_pounds_and_inches(units: Units, name: str, text: str, expected: float, shown: str) -> None:
    assert units.read(name, text) == expected
    assert units.show(name, expected) == shown
