"""Units: exact factors, both ways."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracking import units

NAMES = sorted(units.UNITS)


@given(st.sampled_from(NAMES), st.sampled_from(NAMES), st.floats(-1e6, 1e6))
def test_a_value_comes_back_from_every_unit_of_its_quantity(source: str, target: str, value: float) -> None:
    if units.UNITS[source].dimension != units.UNITS[target].dimension:
        with pytest.raises(units.UnknownUnit):
            units.convert(value, source, target)
        return
    back = units.convert(units.convert(value, source, target), target, source)
    assert math.isclose(back, value, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (150, "lb", "kg", 68.0388555),
        (11, "st", "kg", 69.85322498),
        (1, "mi", "m", 1609.344),
        (6, "ft", "cm", 182.88),
        (100, "yd", "m", 91.44),
        (12, "in", "m", 0.3048),
        (212, "degF", "degC", 100),
        (98.6, "degF", "degC", 37),
        (310.15, "K", "degC", 37),
        (1, "Cal", "kcal", 1),
        (1000, "cal", "kcal", 1),
        (4184, "kJ", "kcal", 1000),
        (1.5, "count/s", "count/min", 90),
        (0.05, "s", "ms", 50),
        (1.5, "hr", "min", 90),
        (41.2, "mL/min·kg", "ml/(kg*min)", 41.2),
        (5, "mmol<180.1558800000541>/L", "mg/dL", 90.07794),
        (0.97, "fraction", "pct", 97),
    ],
)
def test_known_values(value: float, source: str, target: str, expected: float) -> None:
    assert units.convert(value, source, target) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("unit", ["furlong", "", "LB", "mmol/L", "mmol<>/L", "mmol<1e9>/L", "kg ", "%"])
def test_an_unknown_unit_is_never_guessed(unit: str) -> None:
    with pytest.raises(units.UnknownUnit):
        units.unit(unit)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        units.convert(value, "kg", "kg")


def test_factors_leave_out_what_differs_by_more() -> None:
    assert set(units.factors("degC")) == {"degC", "°C"}
    assert units.factors("m")["mi"] == 1609.344
