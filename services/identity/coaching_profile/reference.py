"""The reference lists of a coaching profile, as they stand in reference.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Reference:
    """The rows of the reference tables, named as these are; `excludes` and `serves` by goal category."""

    ref_fitness_levels: list[dict[str, Any]]
    ref_goal_categories: list[dict[str, Any]]
    ref_diet_types: list[dict[str, Any]]
    ref_equipment_types: list[dict[str, Any]]
    excludes: dict[str, frozenset[str]]
    serves: dict[str, frozenset[str]]
    equipment: frozenset[str]
    equipment_categories: frozenset[str]


def load() -> Reference:
    """The lists of the file."""
    with (Path(__file__).parent / "reference.toml").open("rb") as file:
        content = tomllib.load(file)
    goals, by_category = content["goal_categories"], content["equipment_types"]
    equipment = [{**item, "category": category} for category, items in by_category.items() for item in items]
    return Reference(
        _sorted(content["fitness_levels"]),
        _sorted([{**goal, "compatible_with_primary": goal["code"] in goal["serves"]} for goal in goals]),
        _sorted(content["diet_types"]),
        _sorted(equipment),
        {goal["code"]: frozenset(goal["excludes"]) for goal in goals},
        {goal["code"]: frozenset(goal["serves"]) for goal in goals},
        frozenset(item["code"] for item in equipment),
        frozenset(by_category),
    )


def _sorted(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "sort_order": number} for number, entry in enumerate(entries, 1)]


REFERENCE = load()
