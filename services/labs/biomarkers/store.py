"""Brings the dictionary's copy in the database to what the files of this version say.

A migration does it for a new database, `make up` at every start and `python -m
services.labs load-biomarkers` by hand; all may be repeated.
"""

import sys
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.kit.settings import MigrateSettings, load
from services.labs.biomarkers.catalogue import Catalogue, Marker, Range, catalogue

# Ids are made of slugs, so that they are the same in every installation.
_NAMESPACE = UUID("5d0c2d4e-6c0b-5b0e-9a55-6b1f7c1d3a90")
# Not tables.py's: a migration's table stays as it was when it was written.
_TEXTS = ("slug", "display_name", "category", "sub_panel", "specimen", "canonical_unit", "loinc_code", "description")
_NUMBERS = (
    *("optimal_low_male", "optimal_high_male", "optimal_low_female", "optimal_high_female"),
    *("normal_low", "normal_high"),
)
_TABLE = sa.table(
    "biomarkers",
    sa.column("id", sa.Uuid),
    *(sa.column(name, sa.Text) for name in _TEXTS),
    *(sa.column(name, ARRAY(sa.Text)) for name in ("common_units", "aliases")),
    *(sa.column(name, sa.Numeric) for name in _NUMBERS),
    *(sa.column(name, sa.Boolean) for name in ("sex_specific_ranges", "is_qualitative", "is_active")),
    sa.column("sort_order", sa.Integer),
    sa.column("updated_at", sa.DateTime(timezone=True)),
)


def id_of(slug: str) -> UUID:
    """The biomarker's id, the same everywhere."""
    return uuid5(_NAMESPACE, slug)


def store(connection: sa.Connection, dictionary: Catalogue) -> int:
    """Makes the table say what the dictionary says; how many rows it changed.

    What the dictionary does not have any more stays, since results refer to
    it, and is not active. Needs a role that may write the table: the app's may
    not.
    """
    rows = [_row(marker) for marker in dictionary.markers.values()]
    statement = insert(_TABLE).values(rows)
    new = {name: statement.excluded[name] for name in rows[0] if name != "id"}
    differs = sa.tuple_(*(_TABLE.c[name] for name in new)).is_distinct_from(sa.tuple_(*new.values()))
    upsert = statement.on_conflict_do_update(
        index_elements=["id"], set_={**new, "updated_at": sa.func.now()}, where=differs
    )
    changed = connection.execute(upsert.returning(_TABLE.c.id))
    gone = connection.execute(
        sa.update(_TABLE)
        .where(_TABLE.c.id.not_in([row["id"] for row in rows]), _TABLE.c.is_active)
        .values(is_active=False, updated_at=sa.func.now())
        .returning(_TABLE.c.id)
    )
    return len(changed.all()) + len(gone.all())


def load_biomarkers(arguments: Sequence[str]) -> None:
    """`load-biomarkers`: stores the files' dictionary, as the role that owns the tables."""
    if arguments:
        sys.exit("usage: python -m services.labs load-biomarkers")
    settings = load(MigrateSettings, "LABS_")
    changed = refresh(settings.migrator_database_url.get_secret_value())
    print(f"{len(catalogue().markers)} biomarkers, {changed} changed")


def refresh(migrator_url: str) -> int:
    """Stores this version's dictionary in labs' database; how many rows it changed."""
    url = sa.make_url(migrator_url).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        return store(connection, catalogue())


def _row(marker: Marker) -> dict[str, Any]:
    ranges = (*marker.normal, *marker.optimal)
    return {
        "id": id_of(marker.slug),
        "slug": marker.slug,
        "display_name": marker.display_name,
        "category": marker.category,
        "sub_panel": marker.sub_panel,
        "specimen": marker.specimen,
        "canonical_unit": marker.canonical_unit,
        "common_units": [unit.ucum for unit in marker.units],
        "loinc_code": marker.loinc.code if marker.loinc else None,
        "description": marker.description,
        "aliases": list(marker.names())[1:],
        "sex_specific_ranges": any(stated.sex for stated in ranges),
        **_ends("optimal", marker, marker.optimal, "male"),
        **_ends("optimal", marker, marker.optimal, "female"),
        **_ends("normal", marker, marker.normal, None),
        "is_qualitative": marker.is_qualitative,
        "sort_order": marker.sort_order,
        "is_active": True,
    }


def _ends(kind: str, marker: Marker, ranges: Sequence[Range], sex: str | None) -> dict[str, Any]:
    """The columns of the first range for grown people of that sex, whatever their age and cycle; of any, if None."""
    suffix = f"_{sex}" if sex else ""
    found = next(
        (
            stated
            for stated in ranges
            if stated.unit == marker.canonical_unit
            and stated.sex in (None, sex)
            and stated.cycle_phase is None
            and stated.age_low_years is None
        ),
        None,
    )
    return {
        f"{kind}_low{suffix}": found.low if found else None,
        f"{kind}_high{suffix}": found.high if found else None,
    }
