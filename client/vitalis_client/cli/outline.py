"""A message of the API as lines that a person reads."""

from collections.abc import Iterator, Mapping
from typing import Any

from vitalis_client.cli.terminal import clean
from vitalis_client.cli.units import LENGTHS, WEIGHTS, Units, trim

# What a field's name says of its unit, and how that is written behind its value.
SUFFIXES = {
    "_percentage": " %",
    "_kcal": " kcal",
    "_grams_target": " g",
    "_grams": " g",
    "_minutes": " min",
    "_ml": " ml",
    "_weeks": " weeks",
    "_usd": " USD",
    "_pct": " %",
    "_in3": " in³",
    "_g_cm2": " g/cm²",
}
ABBREVIATIONS = {"bmr", "bmc", "bmd"}
INDENT = "  "


def outline(values: Mapping[str, Any], units: Units, hidden: frozenset[str], depth: int = 0) -> Iterator[str]:
    """One line a value, parts indented below their name; entries of a list have the index that paths have.

    `values` is a message as JSON; what is not set is left out.
    """
    inner = {name: value for name, value in values.items() if name not in hidden and value not in (None, "", [], {})}
    width = max((len(label(name)) for name, value in inner.items() if not nested(value)), default=0)
    for name, value in inner.items():
        if not nested(value):
            yield f"{INDENT * depth}{label(name):<{width}}  {text(name, value, units)}"
    for name, value in inner.items():
        if nested(value):
            yield f"{INDENT * depth}{label(name)}"
        if isinstance(value, Mapping):
            yield from outline(value, units, hidden, depth + 1)
        elif nested(value):
            for index, entry in enumerate(value):
                yield f"{INDENT * (depth + 1)}[{index}] {in_a_line(entry, units, hidden)}"


def nested(value: Any) -> bool:
    """Whether a value has lines of its own."""
    return isinstance(value, Mapping) or (isinstance(value, list) and any(isinstance(one, Mapping) for one in value))


def in_a_line(entry: Any, units: Units, hidden: frozenset[str] = frozenset()) -> str:
    """An entry of a list: `goal type primary; target weight 154 lbs`."""
    if not isinstance(entry, Mapping):
        return text("", entry, units)
    shown = {name: value for name, value in entry.items() if name not in hidden and value not in (None, "", [], {})}
    return "; ".join(f"{label(name).lower()} {text(name, value, units)}" for name, value in shown.items())


def label(name: str) -> str:
    """What a field is called: `target_weight_kg` is the target weight."""
    for suffix in (*WEIGHTS, *LENGTHS, *SUFFIXES):
        if name.endswith(suffix):
            name = name.removesuffix(suffix)
            break
    words = " ".join(word.upper() if word in ABBREVIATIONS else word for word in name.split("_"))
    return clean(words[:1].upper() + words[1:])


def text(name: str, value: Any, units: Units) -> str:
    """A value with its unit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if units.of(name):
            return units.show(name, value)
        return trim(value) + next((unit for suffix, unit in SUFFIXES.items() if name.endswith(suffix)), "")
    if isinstance(value, list):
        return ", ".join(in_a_line(one, units) for one in value)
    if isinstance(value, Mapping):
        return in_a_line(value, units)
    # The values of closed sets are words with underscores; what people write has none, or keeps them.
    written = clean(str(value))
    return written.replace("_", " ") if written.replace("_", "").isalpha() else written
