"""Units of laboratories: read from what is printed, converted for a marker."""

from services.labs.units.spelling import read_unit
from services.labs.units.ucum import Unit, UnknownUnit

__all__ = ["Unit", "UnknownUnit", "read_unit"]
