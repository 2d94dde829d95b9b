"""Conversion between the units of a marker.

A marker's entry in the dictionary says which units it has and how each gets
to the canonical one. A unit that is printed counts as one of them if it is
the same quantity: where mg/dL is a unit, so is g/L. A share (%, mmol/mol,
L/L) does not, because one marker's shares may be of different things; it has
to be in the dictionary itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import cache, lru_cache
from typing import NamedTuple

from services.labs.biomarkers.catalogue import Marker, catalogue
from services.labs.biomarkers.catalogue import Unit as MarkerUnit
from services.labs.units.formulas import FORMULAS
from services.labs.units.spelling import is_unprinted, read_unit
from services.labs.units.ucum import Dimension, Unit, UnknownUnit, parse

# Far more digits than are measured, so that there and back is the same number.
_CONTEXT = Context(prec=34)
# More digits than any laboratory's; a conversion's endless ones end here.
_SHOWN = Context(prec=15, rounding=ROUND_HALF_EVEN)
# What stands for itself when no unit is printed.
_UNPRINTED = (parse("1"), parse("[pH]"))
# "Units" of an assay are printed as U or as IU, whichever the laboratory
# prefers: one stands for the other where the marker has only the other. Those
# of a pH are called so too.
_UNITS = {"U": ("[IU]", "[ARB'U]", "[pH]"), "[IU]": ("U",)}
# An enzyme's U is 1 µmol/min, a katal 1 mol/s (NC-IUBMB).
_UNITS_IN_KATAL = ("U", Fraction(60_000_000))


class UnitRefused(ValueError):
    """A unit that the marker is not measured in; `accepted` are those that it is, in UCUM."""

    def __init__(self, marker: str, accepted: tuple[str, ...]) -> None:
        super().__init__(f"{marker} is measured in {', '.join(accepted)}" if accepted else f"{marker} has no unit")
        self.accepted = accepted


class Reading(NamedTuple):
    """A printed unit as the marker's: its UCUM code, and canonical value = value * slope + offset."""

    ucum: str
    slope: Decimal
    offset: Decimal


class _Known(NamedTuple):
    """One of the marker's units, compiled."""

    unit: Unit
    slope: Fraction
    offset: Fraction


@dataclass(frozen=True, eq=False, slots=True)
class MarkerUnits:
    """The units of one marker."""

    slug: str
    canonical: str
    accepted: tuple[str, ...]
    known: tuple[_Known, ...]

    def read(self, printed: str) -> Reading:
        """What a printed unit means for this marker; none at all is a pure number or a pH. Raises UnitRefused."""
        return _read(self, printed)

    def accepts(self, printed: str) -> bool:
        """Whether the marker is measured in a printed unit."""
        try:
            self.read(printed)
        except UnitRefused:
            return False
        return True

    def to_canonical(self, value: Decimal, printed: str) -> Decimal:
        """A finite value in the printed unit as the canonical unit's. Raises UnitRefused."""
        unit = _read(self, printed)
        return _line(value, unit.slope, unit.offset)

    def convert(self, value: Decimal, source: str, target: str) -> Decimal:
        """A finite value from one printed unit to another. Raises UnitRefused."""
        a, b = _read(self, source), _read(self, target)
        if (a.slope, a.offset) == (b.slope, b.offset):
            return value
        return _CONTEXT.divide(_CONTEXT.subtract(_line(value, a.slope, a.offset), b.offset), b.slope)


def rounded(value: Decimal) -> Decimal:
    """A converted number as it is stored and shown, in 15 digits."""
    return _SHOWN.plus(value)


def _line(value: Decimal, slope: Decimal, offset: Decimal) -> Decimal:
    if slope == 1 and not offset:
        return value
    product = _CONTEXT.multiply(value, slope)
    return _CONTEXT.add(product, offset) if offset else product


@lru_cache(maxsize=8192)
def _read(units: MarkerUnits, printed: str) -> Reading:
    readings = list(_readings(units, printed))
    if not readings:
        raise UnitRefused(units.slug, units.accepted)
    # A spelling of two units is the one that the marker is reported in.
    usual = {slope for _, slope, _ in units.known}
    return next((reading for slope, reading in readings if slope in usual), readings[0][1])


def _readings(units: MarkerUnits, printed: str) -> Iterator[tuple[Fraction, Reading]]:
    """Each reading of the printed unit that is of the marker's quantity, with its exact slope."""
    unprinted = is_unprinted(printed)
    for candidate in _UNPRINTED if unprinted else _candidates(printed):
        for dimension in _meant(candidate.dimension):
            for unit, slope, offset in units.known:
                if dimension != unit.dimension or not (dimension or _same_share(candidate, unit)):
                    continue
                # A haematocrit of 45 without a unit is not 45 L/L.
                if unprinted and unit.cancelled:
                    continue
                by = slope * candidate.magnitude / unit.magnitude
                yield by, Reading(candidate.code, _decimal(by), _decimal(offset))
                break


def _same_share(one: Unit, other: Unit) -> bool:
    """Whether two units without a dimension are one: L/L is a ratio, and % is not mg/g."""
    return one.magnitude == other.magnitude and (one.cancelled == other.cancelled or one.magnitude == 1)


def _candidates(printed: str) -> tuple[Unit, ...]:
    try:
        return read_unit(printed)
    except UnknownUnit:
        return ()


def _meant(dimension: Dimension) -> Iterator[Dimension]:
    yield dimension
    for base, _ in dimension:
        for other in _UNITS.get(base, ()):
            yield tuple(sorted((other if name == base else name, power) for name, power in dimension))


def _decimal(fraction: Fraction) -> Decimal:
    return _CONTEXT.divide(Decimal(fraction.numerator), Decimal(fraction.denominator))


@cache
def units_of(slug: str) -> MarkerUnits:
    """The units of a marker of the dictionary. Raises KeyError."""
    return compile_units(catalogue().markers[slug])


def compile_units(marker: Marker) -> MarkerUnits:
    """The units of a marker. Raises ValueError for an entry whose units cannot be right."""
    canonical = parse(marker.canonical_unit)
    known = tuple(_compile(marker, canonical, entry) for entry in marker.units)
    return MarkerUnits(marker.slug, marker.canonical_unit, tuple(entry.ucum for entry in marker.units), known)


def _compile(marker: Marker, canonical: Unit, entry: MarkerUnit) -> _Known:
    unit = parse(entry.ucum)
    if entry.conversion == "factor" and entry.factor is not None:
        return _Known(unit, Fraction(entry.factor), Fraction(0))
    if entry.conversion == "formula" and entry.formula is not None:
        formula = FORMULAS[entry.formula]
        return _Known(unit, Fraction(formula.slope), Fraction(formula.offset))
    rates = {"kat": _UNITS_IN_KATAL}
    if entry.conversion in ("molar", "equivalent") and marker.charge:
        rates["eq"] = ("mol", 1 / Fraction(marker.charge))
    if entry.conversion in ("molar", "equivalent") and marker.molar_mass_g_per_mol:
        rates["mol"] = ("g", Fraction(marker.molar_mass_g_per_mol))
    magnitude, dimension = _expressed(unit, rates)
    magnitude_of_canonical, dimension_of_canonical = _expressed(canonical, rates)
    if dimension != dimension_of_canonical:
        raise ValueError(f"{marker.slug}: {entry.ucum} is another quantity than {marker.canonical_unit}")
    return _Known(unit, magnitude / magnitude_of_canonical, Fraction(0))


def _expressed(unit: Unit, rates: dict[str, tuple[str, Fraction]]) -> tuple[Fraction, Dimension]:
    """A unit's magnitude and dimension with some base units written as so many of another."""
    magnitude, powers = unit.magnitude, dict(unit.dimension)
    for base, (other, rate) in rates.items():
        power = powers.pop(base, 0)
        magnitude *= rate**power
        powers[other] = powers.get(other, 0) + power
    return magnitude, tuple(sorted((base, power) for base, power in powers.items() if power))
