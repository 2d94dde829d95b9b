"""Body measures in the units that a person prefers; the API has kilograms and centimetres, or pounds and inches."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vitalis_client.contract.models import Preferences

# How much of the API's unit each unit is: the international pound and inch of 1959 are exact.
KILOGRAMS = {"kg": 1.0, "g": 0.001, "lb": 0.45359237, "lbs": 0.45359237, "st": 6.35029318}
CENTIMETRES = {"cm": 1.0, "m": 100.0, "mm": 0.1, "in": 2.54, "ft": 30.48}
# How people write them.
SPELLINGS = {'"': "in", "″": "in", "inch": "in", "inches": "in", "'": "ft", "′": "ft", "feet": "ft", "foot": "ft"} | {
    "pound": "lb",
    "pounds": "lb",
    "stone": "st",
    "kgs": "kg",
    "kilo": "kg",
    "kilos": "kg",
}
# What the ends of the API's names say of their unit.
WEIGHTS, LENGTHS = ("_kg", "_lbs"), ("_cm", "_in")
UCUM_MARKS = dict.fromkeys(map(ord, "[]{}"))
PART = re.compile(r"\s*(\d+(?:[.,]\d+)?)\s*([^\d\s.,]*)")


@dataclass(frozen=True, slots=True)
class Units:
    """`weight` is `kg` or `lbs`, `height` is `cm` or `in`."""

    weight: str = "kg"
    height: str = "cm"

    def of(self, name: str) -> str:
        """The unit in which a field such as `target_weight_kg` is shown and typed; "" if it has none of these."""
        if name.endswith(WEIGHTS):
            return self.weight
        return self.height if name.endswith(LENGTHS) else ""

    def read(self, name: str, text: str) -> float:
        """What was typed for a field, in the API's unit: `154`, `154 lb`, `70,5 kg`, `5 ft 10 in`, `5'10"`.

        A number alone is in the person's own unit. Weights are rounded to two
        decimals and lengths to one, as they are stored. Raises ValueError, which
        says what is expected.
        """
        factors, decimals = (KILOGRAMS, 2) if name.endswith(WEIGHTS) else (CENTIMETRES, 1)
        total, place, smallest = 0.0, 0, float("inf")
        parts = list(PART.finditer(text.strip()))
        for part in parts:
            if part.start() != place:
                break
            place = part.end()
            unit = self._unit(name, part[2].lower(), first=part is parts[0], before=smallest)
            factor = factors.get(unit, float("inf"))
            if factor >= smallest or factor == float("inf"):
                break
            total, smallest = total + float(part[1].replace(",", ".")) * factor, factor
        else:
            if parts and place == len(text.strip()):
                return round(total / factors[name.rpartition("_")[2]], decimals)
        known = ", ".join(sorted(factors))
        raise ValueError(f"is a number, in {self.of(name)} unless a unit follows it ({known})")

    def _unit(self, name: str, spelled: str, *, first: bool, before: float) -> str:
        if spelled:
            return SPELLINGS.get(spelled, spelled)
        if first:
            return self.of(name)
        # What follows feet without a unit are inches, and what follows stones are pounds.
        return {CENTIMETRES["ft"]: "in", KILOGRAMS["st"]: "lb"}.get(before, "")

    def show(self, name: str, value: float) -> str:
        """A value of the API in the person's unit: `154.3 lbs`, `5 ft 10 in`."""
        unit = self.of(name)
        factors: Mapping[str, float] = KILOGRAMS if name.endswith(WEIGHTS) else CENTIMETRES
        shown = value * factors[name.rpartition("_")[2]] / factors[unit]
        if unit == "in":
            inches = round(shown, 1)
            return f"{int(inches // 12)} ft {trim(inches % 12)} in"
        return f"{trim(round(shown, 2 if unit == 'kg' else 1))} {unit}"


def preferred(preferences: Preferences) -> Units:
    """The units of somebody's preferences."""
    return Units(preferences.weight_unit, preferences.height_unit)


def trim(value: float) -> str:
    """A number with three decimals at the most, and without a fraction of nothing."""
    return f"{round(value, 3):.15g}"


def unit_words(ucum: str) -> str:
    """A unit of the API, in UCUM, as people write it: `mIU/L` of `m[IU]/L`; nothing for a pure number."""
    if ucum == "1":
        return ""
    written = re.sub(r"(?<=[\w\]])\{", " ", ucum).translate(UCUM_MARKS)
    return written.replace("(24.h)", "24 h").replace("10*", "10^").replace("1.73_m2", "1.73 m2").replace("'U", "U")
