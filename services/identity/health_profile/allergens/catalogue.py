"""The list of allergens as its file (allergens.toml) has it.

The database has a copy for rows to refer to, which a migration makes with
`store`: whoever changes the file adds a migration that stores it again.
"""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib import resources
from typing import Any, NamedTuple
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

# uuid5(NAMESPACE_DNS, "allergens.vitalis"): an allergen's id is made of it and of the allergen's key in the file.
NAMESPACE = UUID("83d61884-4adc-5410-bb25-aeae67337b6b")
US = "us"


class Allergen(NamedTuple):
    """One allergen, with the message's fields. See allergens.proto."""

    id: UUID
    name: str
    category: str
    description: str
    lists: tuple[str, ...]
    parent_ids: tuple[UUID, ...]
    synonyms: tuple[str, ...]
    derivatives: tuple[str, ...]
    common_foods: tuple[str, ...]
    fda_recognized: bool
    is_active: bool


class Catalogue:
    """All allergens, by id and in the order of their names."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """`entries` as in the file, by key. Raises KeyError for a parent that is none."""
        self._entries = entries
        self.by_id = {id_of(key): self._allergen(key) for key in entries}

    def _allergen(self, key: str) -> Allergen:
        entry = self._entries[key]
        return Allergen(
            id_of(key),
            entry["name"],
            entry["category"],
            entry["description"],
            tuple(entry.get("lists", ())),
            tuple(id_of(parent) for parent in entry.get("parents", ())),
            tuple(entry.get("synonyms", ())),
            tuple(entry.get("derivatives", ())),
            tuple(entry.get("common_foods", ())),
            any(US in self._entries[above].get("lists", ()) for above in self._with_parents(key)),
            entry.get("is_active", True),
        )

    def _with_parents(self, key: str) -> Iterable[str]:
        yield key
        for parent in self._entries[key].get("parents", ()):
            yield from self._with_parents(parent)

    @cached_property
    def by_name(self) -> list[Allergen]:
        return sorted(self.by_id.values(), key=lambda allergen: allergen.name)

    def with_groups(self, allergen_id: UUID) -> frozenset[UUID]:
        """The allergen and all groups that it belongs to."""
        above = self.by_id[allergen_id].parent_ids
        return frozenset((allergen_id,)).union(*map(self.with_groups, above))


def id_of(key: str) -> UUID:
    return uuid5(NAMESPACE, key)


def read(name: str) -> dict[str, Any]:
    """A TOML file of this package."""
    return tomllib.loads(resources.files(__package__).joinpath(name).read_text("utf-8"))


CATALOGUE = Catalogue(read("allergens.toml"))


def store(connection: sa.Connection) -> None:
    """Brings the table to what the file says; what is not in the file any more stays, and is not active."""
    texts = ("lists", "synonyms", "derivatives", "common_foods")
    table = sa.table(
        "allergens",
        sa.column("id", sa.Uuid),
        *(sa.column(name, sa.Text) for name in ("name", "category", "description")),
        *(sa.column(name, ARRAY(sa.Text)) for name in texts),
        sa.column("parent_ids", ARRAY(sa.Uuid)),
        *(sa.column(name, sa.Boolean) for name in ("fda_recognized", "is_active")),
    )
    rows = [
        {name: list(value) if isinstance(value, tuple) else value for name, value in allergen._asdict().items()}
        for allergen in CATALOGUE.by_name
    ]
    statement = insert(table).values(rows)
    changed = {column.name: statement.excluded[column.name] for column in table.c if column.name != "id"}
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=changed))
    connection.execute(sa.update(table).where(table.c.id.not_in(CATALOGUE.by_id)).values(is_active=False))
