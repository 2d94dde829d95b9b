"""Units of laboratories: read from what is printed, converted for a marker."""

from services.labs.units.conversion import MarkerUnits, UnitRefused, compile_units, units_of
from services.labs.units.spelling import read_unit
from services.labs.units.ucum import Unit, UnknownUnit

__all__ = ["MarkerUnits", "Unit", "UnitRefused", "UnknownUnit", "compile_units", "read_unit", "units_of"]
