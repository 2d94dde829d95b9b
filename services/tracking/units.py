"""Units of measurement and their exact factors.

`factor` (and for temperatures `zero`) turn a value of the unit into the base
unit of its dimension: base = (value - zero) * factor. Every factor is exact by
definition: the international yard and pound of 1959 (1 yd = 0.9144 m, 1 lb =
0.45359237 kg), the thermochemical calorie (4.184 J, the one that HealthKit's
kilocalorie is) and the SI brochure (9th edition) for the rest.
"""

import math
import re
from typing import NamedTuple


class UnknownUnit(ValueError):
    """A unit that is not in the table, or one of another dimension."""


class Unit(NamedTuple):
    """How a unit relates to the base unit of its dimension."""

    dimension: str
    factor: float
    zero: float = 0.0


_VO2 = Unit("oxygen_uptake", 1.0)
_CELSIUS = Unit("temperature", 1.0)
_FAHRENHEIT = Unit("temperature", 5 / 9, 32.0)
_KILOCALORIE = Unit("energy", 4184.0)

# Base units: kg, m, s, J, °C, 1 (count and fraction), 1/s, m/s, W, mL/(kg·min), g/L, Pa.
UNITS: dict[str, Unit] = {
    "kg": Unit("mass", 1.0),
    "g": Unit("mass", 0.001),
    "mg": Unit("mass", 1e-6),
    "mcg": Unit("mass", 1e-9),
    "lb": Unit("mass", 0.45359237),
    "oz": Unit("mass", 0.028349523125),
    "st": Unit("mass", 6.35029318),
    "m": Unit("length", 1.0),
    "km": Unit("length", 1000.0),
    "cm": Unit("length", 0.01),
    "mm": Unit("length", 0.001),
    "in": Unit("length", 0.0254),
    "ft": Unit("length", 0.3048),
    "yd": Unit("length", 0.9144),
    "mi": Unit("length", 1609.344),
    "s": Unit("time", 1.0),
    "sec": Unit("time", 1.0),
    "ms": Unit("time", 0.001),
    "min": Unit("time", 60.0),
    "hr": Unit("time", 3600.0),
    "h": Unit("time", 3600.0),
    "d": Unit("time", 86400.0),
    "J": Unit("energy", 1.0),
    "kJ": Unit("energy", 1000.0),
    "cal": Unit("energy", 4.184),
    "kcal": _KILOCALORIE,
    # With a capital it is the kilocalorie of food labels.
    "Cal": _KILOCALORIE,
    "degC": _CELSIUS,
    "°C": _CELSIUS,
    "degF": _FAHRENHEIT,
    "°F": _FAHRENHEIT,
    "K": Unit("temperature", 1.0, 273.15),
    "count": Unit("count", 1.0),
    "fraction": Unit("fraction", 1.0),
    "pct": Unit("fraction", 0.01),
    "count/s": Unit("frequency", 1.0),
    "Hz": Unit("frequency", 1.0),
    "count/min": Unit("frequency", 1 / 60),
    "count/hr": Unit("frequency", 1 / 3600),
    "m/s": Unit("speed", 1.0),
    "km/hr": Unit("speed", 1 / 3.6),
    "km/h": Unit("speed", 1 / 3.6),
    "mi/hr": Unit("speed", 0.44704),
    "W": Unit("power", 1.0),
    "kW": Unit("power", 1000.0),
    "mL/min·kg": _VO2,
    "mL/kg·min": _VO2,
    "mL/(kg·min)": _VO2,
    "mL/(kg*min)": _VO2,
    "ml/kg/min": _VO2,
    "mL/kg/min": _VO2,
    "ml/(kg*min)": _VO2,
    "L/min·kg": Unit("oxygen_uptake", 1000.0),
    "g/L": Unit("mass_concentration", 1.0),
    "g/dL": Unit("mass_concentration", 10.0),
    "mg/dL": Unit("mass_concentration", 0.01),
    "mg/L": Unit("mass_concentration", 0.001),
    "Pa": Unit("pressure", 1.0),
    "kPa": Unit("pressure", 1000.0),
    # The conventional millimetre of mercury, ISO 80000-4.
    "mmHg": Unit("pressure", 133.322387415),
}

# HealthKit writes an amount of substance with its molar mass in g/mol: mmol<180.1558800000541>/L of glucose.
_MOLAR = re.compile(r"(m|u|µ|n)?mol<(\d{1,6}(?:\.\d{1,20})?)>/(L|dL)")
_MOLAR_PREFIX = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "n": 1e-9}


def unit(text: str) -> Unit:
    """The unit of that spelling. Raises UnknownUnit."""
    known = UNITS.get(text)
    if known is not None:
        return known
    molar = _MOLAR.fullmatch(text)
    if molar is None:
        raise UnknownUnit("the unit is not known")
    prefix, molar_mass, per = molar.groups()
    per_litre = 1.0 if per == "L" else 10.0
    return Unit("mass_concentration", _MOLAR_PREFIX[prefix or ""] * float(molar_mass) * per_litre)


def convert(value: float, source: str, target: str) -> float:
    """A value of the unit `source` in the unit `target`.

    Raises UnknownUnit for a unit that is not known or of another dimension, and
    ValueError for a value that is not finite.
    """
    if not math.isfinite(value):
        raise ValueError("the value is not finite")
    if source == target:
        return value
    a, b = unit(source), unit(target)
    if a.dimension != b.dimension:
        raise UnknownUnit("the unit is one of another quantity")
    return (value - a.zero) * a.factor / b.factor + b.zero


def factors(target: str) -> dict[str, float]:
    """For every unit that differs from `target` only by a factor: that factor."""
    wanted = unit(target)
    return {
        name: other.factor / wanted.factor
        for name, other in UNITS.items()
        if other.dimension == wanted.dimension and other.zero == wanted.zero
    }
