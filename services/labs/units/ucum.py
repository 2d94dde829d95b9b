"""Units in UCUM (The Unified Code for Units of Measure, 2.2), as far as laboratories use it.

A unit is a magnitude in base units and a dimension. Two things differ from
UCUM, and mean that fewer units convert into each other: an equivalent and an
osmole are no moles, because only the substance says how many of one make the
other, and neither is a katal a unit (U), because many a U is an arbitrary
unit of its assay and not a µmol/min. Every magnitude is exact.
"""

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

# (base unit, exponent), sorted by base unit.
Dimension = tuple[tuple[str, int], ...]


class Unit(NamedTuple):
    """A UCUM code and what it means: `magnitude` in the base units of its `dimension`.

    A share of something has no dimension; `cancelled` are the base units that
    stood above and below its line, so that mg/g and mmol/mol are told apart.
    """

    code: str
    magnitude: Fraction
    dimension: Dimension
    cancelled: tuple[str, ...] = ()


class UnknownUnit(ValueError):
    """A text that is no unit that is known here. Does not repeat it: it may be anything."""

    def __init__(self) -> None:
        super().__init__("that is no unit that is known here")


_PREFIXES = {
    symbol: Fraction(10) ** exponent
    for symbol, exponent in {
        "": 0,
        "T": 12,
        "G": 9,
        "M": 6,
        "k": 3,
        "h": 2,
        "da": 1,
        "d": -1,
        "c": -2,
        "m": -3,
        "u": -6,
        "n": -9,
        "p": -12,
        "f": -15,
        "a": -18,
    }.items()
}
_LITRE = (Fraction(1, 1000), {"m": 3})
# The pascal in base units, with the gram as UCUM's base unit of mass.
_PASCAL = {"g": 1, "m": -1, "s": -2}

_METRIC: dict[str, tuple[Fraction, dict[str, int]]] = {
    "g": (Fraction(1), {"g": 1}),
    "mol": (Fraction(1), {"mol": 1}),
    "eq": (Fraction(1), {"eq": 1}),
    "osm": (Fraction(1), {"osm": 1}),
    "L": _LITRE,
    "l": _LITRE,
    "m": (Fraction(1), {"m": 1}),
    "s": (Fraction(1), {"s": 1}),
    "U": (Fraction(1), {"U": 1}),
    "kat": (Fraction(1), {"kat": 1}),
    "Pa": (Fraction(1000), _PASCAL),
    "m[Hg]": (Fraction("133322.387415") * 1000, _PASCAL),
    **{f"[{name}]": (Fraction(1), {f"[{name.upper()}]": 1}) for name in ("IU", "iU", "arb'U", "CFU")},
}
# Units of one procedure each: none of them converts into anything else.
_PROCEDURES = ("GPL'U", "MPL'U", "APL'U", "ELU", "EU", "AU", "HPF", "LPF", "pH", "beth'U", "USP'U", "todd'U")

_NOT_METRIC: dict[str, tuple[Fraction, dict[str, int]]] = {
    "%": (Fraction(1, 100), {}),
    "[ppth]": (Fraction(1, 10**3), {}),
    "[ppm]": (Fraction(1, 10**6), {}),
    "min": (Fraction(60), {"s": 1}),
    "h": (Fraction(3600), {"s": 1}),
    "d": (Fraction(86400), {"s": 1}),
    "wk": (Fraction(604800), {"s": 1}),
    "Ao": (Fraction(1, 10**10), {"m": 1}),
    **{f"[{name}]": (Fraction(1), {f"[{name}]": 1}) for name in _PROCEDURES},
}
_ATOMS = _NOT_METRIC | {
    prefix + atom: (power * magnitude, dimension)
    for atom, (magnitude, dimension) in _METRIC.items()
    for prefix, power in _PREFIXES.items()
    if prefix + atom not in _NOT_METRIC
}
# What is counted or measured says nothing about the size, so annotations mean
# nothing in UCUM. These do: a D-dimer is about half a fibrinogen equivalent,
# and a clearance may or may not be one for a standard body surface.
_TELLING = ("{FEU}", "{DDU}", "{1.73_m2}")

_TOKEN = re.compile(
    r"(?P<operator>[./])"
    r"|(?P<open>\()|(?P<close>\))"
    r"|(?P<annotation>\{[!-z|~]*\})"
    r"|10[*^](?P<power>[+-]?\d{1,2})?"
    r"|(?P<number>[1-9]\d{0,8})"
    r"|(?P<atom>[%A-Za-z]*(?:\[[A-Za-z0-9']+\])?)(?P<exponent>[+-]?[1-9])?"
)
# UCUM allows every number; in a laboratory's unit others are what is left of a damaged power of ten.
_NUMBERS = ("1", "10", "24", "100", "1000", "10000", "100000", "1000000")
_HIGHEST_POWER = 18
# A laboratory's largest are 10*12/L and its smallest fmol. Factors that cancel make any number of a unit that looks
# like a usual one ("Tm9/am9.g/L"); beyond this it is nobody's.
_MOST = Fraction(10) ** 40
_LONGEST = 60

_Term = tuple[Fraction, dict[str, int]]


@lru_cache(maxsize=4096)
def parse(code: str) -> Unit:
    """The unit of a UCUM code (case sensitive). Raises UnknownUnit."""
    code = code.replace("10^", "10*")
    tokens = _tokens(code)
    magnitude, bases = _term(tokens)
    if tokens or not 1 / _MOST <= magnitude <= _MOST:
        raise UnknownUnit
    dimension = tuple(sorted((base, power) for base, power in bases.items() if power))
    return Unit(code, magnitude, dimension, tuple(sorted(base for base, power in bases.items() if not power)))


def _tokens(code: str) -> list[re.Match[str]]:
    """The tokens, the last one first, so that each can be popped."""
    if not code or len(code) > _LONGEST:
        raise UnknownUnit
    tokens, position = [], 0
    while position < len(code):
        token = _TOKEN.match(code, position)
        if token is None or token.end() == position:
            raise UnknownUnit
        tokens.append(token)
        position = token.end()
    return tokens[::-1]


def _term(tokens: list[re.Match[str]]) -> _Term:
    """Components joined by `.` and `/`, read from left to right, up to a closing bracket or the end."""
    magnitude, bases = Fraction(1), dict[str, int]()
    sign = 1
    if tokens and tokens[-1]["operator"] == "/":
        tokens.pop()
        sign = -1
    while True:
        factor, more = _component(tokens)
        magnitude *= factor**sign
        for base, power in more.items():
            # A telling annotation tells the same above and below the line.
            bases[base] = 1 if base.startswith("{") else bases.get(base, 0) + sign * power
        if not tokens or tokens[-1]["close"]:
            return magnitude, bases
        operator = tokens.pop()["operator"]
        if operator is None:
            raise UnknownUnit
        sign = -1 if operator == "/" else 1


def _component(tokens: list[re.Match[str]]) -> _Term:
    """One factor with the annotations behind it."""
    if not tokens:
        raise UnknownUnit
    magnitude, bases = _factor(tokens)
    while tokens and tokens[-1]["annotation"]:
        bases = bases | _annotation(tokens.pop()["annotation"])
    return magnitude, bases


def _factor(tokens: list[re.Match[str]]) -> _Term:
    token = tokens.pop()
    if token["annotation"]:
        return Fraction(1), _annotation(token["annotation"])
    if token["number"]:
        if token["number"] not in _NUMBERS:
            raise UnknownUnit
        return Fraction(int(token["number"])), {}
    if token[0].startswith("10"):
        power = int(token["power"] or 1)
        if abs(power) > _HIGHEST_POWER:
            raise UnknownUnit
        return Fraction(10) ** power, {}
    if token["open"]:
        inner = _term(tokens)
        if not tokens:
            raise UnknownUnit
        tokens.pop()
        return inner
    known = _ATOMS.get(token["atom"] or "")
    if known is None:
        raise UnknownUnit
    exponent = int(token["exponent"] or 1)
    return known[0] ** exponent, {base: power * exponent for base, power in known[1].items()}


def _annotation(text: str) -> dict[str, int]:
    return {text: 1} if text in _TELLING else {}
