"""Units of laboratories: read from what is printed, converted for a marker."""

from services.labs.units.conversion import MarkerUnits, UnitRefused, compile_units, rounded, units_of
from services.labs.units.spelling import is_unit, read_unit
from services.labs.units.ucum import Unit, UnknownUnit

__all__ = [
    "MarkerUnits",
    "Unit",
    "UnitRefused",
    "UnknownUnit",
    "compile_units",
    "is_unit",
    "read_unit",
    "rounded",
    "units_of",
]
