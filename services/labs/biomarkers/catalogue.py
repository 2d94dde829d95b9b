"""The dictionary's reviewed data, read from the TOML files in `data/` into frozen dataclasses.

No database is needed: units, matching and importers work on this. A file that
says what cannot be (an unknown key, a source that `sources.toml` does not
name, a molar unit without a molar mass) is refused as a whole with
`CatalogueError`, so that a mistake shows in review and not in a person's trend.
"""

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

ADULT_YEARS = 18

Sex = Literal["female", "male"]
# The last is no phase of a cycle: it is where there are none any more.
CyclePhase = Literal["menstruation", "follicular", "ovulation", "luteal", "postmenopause"]
# Bleeding is the beginning of the follicular phase, whose intervals laboratories count from its first day.
_PART_OF: Mapping[str | None, CyclePhase] = {"menstruation": "follicular"}
Language = Literal["en", "de", "fr", "es"]
Specimen = Literal[
    "serum",  # or plasma: where laboratories treat them alike
    "plasma",
    "blood",  # whole blood
    "arterial_blood",
    "red_cells",
    "urine",  # of one void
    "urine_24h",
    "stool",
    "saliva",
    "semen",
    "breath",
]
Conversion = Literal[
    "metric",  # the canonical unit with other prefixes: UCUM itself says the factor
    "molar",  # mass and amount of substance, by the marker's molar mass
    "equivalent",  # moles and equivalents, by the marker's charge
    "factor",  # a factor of this marker, stated with its origin
    "formula",  # a named formula that `services.labs.units` knows
]


class CatalogueError(ValueError):
    """A data file of the dictionary that cannot be right; says which marker and why."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit that a marker is reported in, by its UCUM code, and how it gets to the canonical one."""

    ucum: str
    conversion: Conversion
    factor: Decimal | None = None  # canonical value = value * factor; of "factor" only
    formula: str | None = None  # of "formula" only
    origin: str | None = None  # where the factor or the formula comes from: a key of the sources


@dataclass(frozen=True, slots=True)
class Loinc:
    """A LOINC term by its code and those of its parts that tell it from its neighbours."""

    code: str
    component: str
    property: str  # MCnc is mass/volume, SCnc moles/volume, NFr a fraction of a number, …
    system: str  # Ser/Plas, Bld, Urine, …


@dataclass(frozen=True, slots=True)
class Range:
    """A range of values in `unit`; None is an open end.

    The ages are in years, `age_low_years` belongs to the band and
    `age_high_years` does not. A range without ages is one for adults. What
    else is None holds for everybody.
    """

    low: Decimal | None
    high: Decimal | None
    low_belongs: bool  # ">= 60" is True, "> 2" False
    high_belongs: bool
    unit: str  # UCUM
    source: str  # a key of `Catalogue.sources`
    sex: Sex | None = None
    age_low_years: Decimal | None = None
    age_high_years: Decimal | None = None
    cycle_phase: CyclePhase | None = None
    condition: str | None = None  # how the specimen is taken: "fasting", "morning", "therapeutic"

    def covers(self, *, sex: str | None, age_years: float | None, cycle_phase: str | None = None) -> bool:
        """Whether the range is one for such a person; what is unknown fits no range that asks for it."""
        if self.sex not in (None, sex) or self.cycle_phase not in (None, cycle_phase, _PART_OF.get(cycle_phase)):
            return False
        if self.age_low_years is None and self.age_high_years is None:
            return age_years is None or age_years >= ADULT_YEARS
        return age_years is not None and (self.age_low_years or 0) <= age_years < (self.age_high_years or math.inf)


@dataclass(frozen=True, slots=True)
class Variation:
    """How much a healthy person's value moves by itself, in percent."""

    cvi_pct: Decimal  # within a person
    cva_pct: Decimal | None  # of the measurement, where the source has measured it
    source: str


@dataclass(frozen=True, slots=True)
class Marker:
    """One thing that a laboratory measures in one kind of specimen."""

    slug: str
    display_name: str
    category: str
    sub_panel: str
    specimen: Specimen
    canonical_unit: str  # UCUM; "1" where the result has none
    units: tuple[Unit, ...]  # the canonical one first; none for a qualitative marker
    loinc: Loinc | None
    other_loincs: tuple[Loinc, ...]  # the same marker as another property or by another method
    aliases: Mapping[Language, tuple[str, ...]]
    chemical_formula: str | None
    molar_mass_g_per_mol: Decimal | None
    molar_mass_origin: str | None  # where no chemical formula says it
    charge: int | None  # equivalents in a mole
    normal: tuple[Range, ...]
    optimal: tuple[Range, ...]
    results: tuple[str, ...]  # what a qualitative marker can be
    expected: str  # which of them healthy people have; "" where none is better than another
    variation: Variation | None
    description: str
    notes: str
    sort_order: int

    @property
    def is_qualitative(self) -> bool:
        """Whether the result is one of a few words and no number."""
        return bool(self.results)

    @property
    def is_titer(self) -> bool:
        """Whether the result is a dilution (1:160), and the number its reciprocal."""
        return self.canonical_unit == "{titer}"

    def names(self) -> Iterator[str]:
        """The display name, then the aliases of every language."""
        yield self.display_name
        for names in self.aliases.values():
            yield from names


@dataclass(frozen=True, slots=True)
class Category:
    """A group of markers, as a dashboard shows them."""

    slug: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The whole dictionary."""

    categories: Mapping[str, Category]
    sources: Mapping[str, str]  # key to the full reference
    markers: Mapping[str, Marker]  # by slug
    by_loinc: Mapping[str, Marker]

    def of(self, slug: str) -> Marker | None:
        """The marker of that slug."""
        return self.markers.get(slug)


@cache
def catalogue() -> Catalogue:
    """The dictionary of this version, read once."""
    folder = files(__package__) / "data"
    return read(
        {
            entry.name.removesuffix(".toml"): entry.read_text("utf-8")
            for entry in folder.iterdir()
            if entry.name.endswith(".toml")
        }
    )


def read(texts: Mapping[str, str]) -> Catalogue:
    """The dictionary from TOML texts by file name: `sources`, `categories`, and one for each category."""
    parsed = {name: tomllib.loads(text, parse_float=Decimal) for name, text in texts.items()}
    sources = {str(key): str(text) for key, text in parsed.pop("sources").items()}
    categories = {slug: Category(slug, str(name)) for slug, name in parsed.pop("categories").items()}
    if set(parsed) != set(categories):
        raise CatalogueError(f"files and categories differ: {set(parsed) ^ set(categories)}")
    markers: dict[str, Marker] = {}
    by_loinc: dict[str, Marker] = {}
    for category in categories:
        for order, entry in enumerate(parsed[category]["marker"]):
            marker = _marker(entry, category, order, sources)
            if marker.slug in markers:
                raise CatalogueError(f"{marker.slug}: twice in the dictionary")
            markers[marker.slug] = marker
            for term in (marker.loinc, *marker.other_loincs):
                if term is None:
                    continue
                if term.code in by_loinc:
                    other = by_loinc[term.code].slug
                    raise CatalogueError(f"{marker.slug}: {term.code} is {other}'s too")
                by_loinc[term.code] = marker
    return Catalogue(
        MappingProxyType(categories),
        MappingProxyType(sources),
        MappingProxyType(markers),
        MappingProxyType(by_loinc),
    )


def _marker(entry: dict[str, Any], category: str, order: int, sources: Mapping[str, str]) -> Marker:
    take = _Taker(entry)
    slug = take.slug
    unit = take("canonical_unit", "1")
    results = tuple(take("results", ()))
    canonical = [] if results else [Unit(unit, "metric")]
    ranges = take("normal", ()), take("optimal", ())
    loinc = take("loinc", None)
    marker = Marker(
        slug=slug,
        display_name=take("display_name"),
        category=category,
        sub_panel=take("sub_panel", ""),
        specimen=cast(Specimen, take.one_of(Specimen, "specimen", take("specimen"))),
        canonical_unit=unit,
        units=(
            *canonical,
            *(Unit(code, "metric") for code in take("units", ())),
            *(Unit(code, "molar") for code in take("molar_units", ())),
            *(Unit(code, "equivalent") for code in take("equivalent_units", ())),
            *(_factor(stated) for stated in take("factors", ())),
            *(
                Unit(stated["ucum"], "formula", None, stated["formula"], stated["origin"])
                for stated in take("formulas", ())
            ),
        ),
        loinc=None if loinc is None else Loinc(**loinc),
        other_loincs=tuple(Loinc(**term) for term in take("other_loincs", ())),
        aliases=MappingProxyType(
            {
                cast(Language, take.one_of(Language, "aliases", language)): tuple(names)
                for language, names in take("aliases", {}).items()
            }
        ),
        chemical_formula=take("chemical_formula", None),
        molar_mass_g_per_mol=take.decimal("molar_mass_g_per_mol"),
        molar_mass_origin=take("molar_mass_origin", None),
        charge=take("charge", None),
        normal=tuple(_range(take, stated, unit) for stated in ranges[0]),
        optimal=tuple(_range(take, stated, unit) for stated in ranges[1]),
        results=results,
        expected=take("expected", ""),
        variation=_variation(take("variation", None)),
        description=take("description", ""),
        notes=take("notes", ""),
        sort_order=order,
    )
    if entry:
        raise CatalogueError(f"{slug}: unknown keys {sorted(entry)}")
    for reason in _wrong(marker, sources):
        raise CatalogueError(f"{slug}: {reason}")
    return marker


class _Taker:
    """Takes keys out of a table, so that what is left over in the end is a mistake."""

    def __init__(self, entry: dict[str, Any]) -> None:
        self._entry = entry
        self.slug = str(entry.pop("slug", "a marker without a slug"))

    def __call__(self, key: str, *default: Any) -> Any:
        if key not in self._entry and not default:
            raise CatalogueError(f"{self.slug}: {key} is missing")
        return self._entry.pop(key, *default)

    def decimal(self, key: str) -> Decimal | None:
        return _decimal(self._entry.pop(key, None))

    def one_of(self, values: Any, key: str, value: object) -> object:
        if value not in get_args(values):
            raise CatalogueError(f"{self.slug}: {key} {value!r} is none of {get_args(values)}")
        return value


def _decimal(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _factor(stated: dict[str, Any]) -> Unit:
    """A stated factor: of the unit to the canonical one, or how many of the unit make one canonical."""
    factor = 1 / Decimal(stated["per_canonical"]) if "per_canonical" in stated else Decimal(stated["factor"])
    return Unit(stated["ucum"], "factor", factor, None, stated["origin"])


def _range(take: _Taker, stated: dict[str, Any], unit: str) -> Range:
    for values, key in ((Sex, "sex"), (CyclePhase, "cycle_phase")):
        if key in stated:
            take.one_of(values, key, stated[key])
    above, below = _decimal(stated.pop("above", None)), _decimal(stated.pop("below", None))
    low, high, youngest, oldest = (
        _decimal(stated.pop(key, None)) for key in ("low", "high", "age_low_years", "age_high_years")
    )
    return Range(
        low=low if above is None else above,
        high=high if below is None else below,
        low_belongs=above is None,
        high_belongs=below is None,
        age_low_years=youngest,
        age_high_years=oldest,
        **{"unit": unit, **stated},
    )


def _variation(stated: dict[str, Any] | None) -> Variation | None:
    if stated is None:
        return None
    return Variation(Decimal(stated["cvi_pct"]), _decimal(stated.get("cva_pct")), stated["source"])


def _wrong(marker: Marker, sources: Mapping[str, str]) -> Iterator[str]:
    """What cannot be right about a marker by itself."""
    codes = [unit.ucum for unit in marker.units]
    needs: dict[Conversion, Callable[[Unit], object]] = {
        "molar": lambda _: marker.molar_mass_g_per_mol,
        "equivalent": lambda _: marker.charge,
        "factor": lambda unit: unit.factor and unit.origin in sources,
        "formula": lambda unit: unit.formula and unit.origin in sources,
    }
    for unit in marker.units:
        if not needs.get(unit.conversion, bool)(unit):
            yield f"{unit.ucum} lacks what a conversion by {unit.conversion} needs"
    if len(set(codes)) != len(codes):
        yield "a unit stands twice"
    if marker.expected not in ("", *marker.results):
        yield f"{marker.expected!r} is none of its results"
    if marker.results and (marker.normal or marker.optimal):
        yield "a qualitative marker has no range of numbers"
        return
    for stated in (*marker.normal, *marker.optimal):
        if stated.source not in sources:
            yield f"{stated.source!r} is no source"
        if stated.low is None and stated.high is None:
            yield "a range without ends"
        if stated.low is not None and stated.high is not None and stated.low > stated.high:
            yield f"{stated.low} is above {stated.high}"
        if stated.unit not in codes:
            yield f"a range in {stated.unit}, which is none of its units"
    if marker.variation is not None and marker.variation.source not in sources:
        yield f"{marker.variation.source!r} is no source"
    if marker.chemical_formula is None and (
        (marker.molar_mass_g_per_mol is None) != (marker.molar_mass_origin is None)
    ):
        yield "a molar mass needs a chemical formula or an origin"
