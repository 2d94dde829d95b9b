"""What a service declares about the data it holds on people. Light on purpose, as parts.py is.

A table with `user_id` is exported and erased without further ado (privacy.py).
Declared is what tables cannot say: whose row it is where the column has another
name, what is a secret, and where files are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

if TYPE_CHECKING:
    # A worker without files need not have the library in its memory.
    from services.kit.files import Files

OWNER = "user_id"
# The trail stays when its person goes, without what is personal in it.
AUDIT_LOG = "audit_log"
# Destroyed before anything else, and never exported.
DATA_KEYS = "data_keys"
# `sa.Table(…, info={CATEGORY: MENTAL_WELLNESS})`: what can be erased by itself.
CATEGORY = "category"
MENTAL_WELLNESS = "mental_wellness"
# What everything else is.
GENERAL = "general"
# Of a column's `info`: the purpose of the key that its values are encrypted with (vault.py).
ENCRYPTED = "encrypted"


class Folder(NamedTuple):
    """Where a service keeps people's files: those of a person are below `<prefix><user_id>/`.

    Not `exported` are those that hold nothing of their own.
    """

    files: "Files"
    prefix: str
    exported: bool = True


@dataclass(frozen=True)
class PersonalData:
    """What a service holds about people.

    `owners` names the column that says whose row it is, for tables where it is
    not `user_id`; `mentions` the column that names a person in rows that belong
    to somebody else, which go with either of them. `left_out` are tables that an
    export leaves out and `secret` columns that never leave, each with its reason.
    `kept` are tables whose rows stay when their person goes, with the reason; that
    they name nobody any more is the service's own to see to.
    `locks` are prefixes of advisory locks (`imports:` before a person's id) that
    writers hold, so that none of them is halfway through while rows go.

    Raises ValueError for a name that is none of the tables'; for a column of bytes
    that is neither encrypted nor secret, as nobody could read it in an export; and
    for one whose key is erased with a category that its table is not of.
    """

    metadata: sa.MetaData
    owners: Mapping[str, str] = field(default_factory=dict)
    mentions: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    folders: Sequence[Folder] = ()
    locks: Sequence[str] = ()

    def __post_init__(self) -> None:
        named = {name: (column,) for name, column in (*self.owners.items(), *self.mentions.items())}
        for name, columns in [
            *named.items(),
            *self.secret.items(),
            *((name, ()) for name in (*self.left_out, *self.kept)),
        ]:
            table = self.metadata.tables.get(name)
            if table is None or any(column not in table.c for column in columns):
                raise ValueError(f"{name} ({', '.join(columns)}) is no table of this service")
        for table in self.exported():
            for column in self.columns(table):
                purpose = column.info.get(ENCRYPTED)
                if isinstance(column.type, sa.LargeBinary) and purpose is None:
                    raise ValueError(f"{table.name}.{column.name}: say whether it is encrypted or secret")
                if purpose and table.info.get(CATEGORY, GENERAL) != purpose:
                    raise ValueError(f"{table.name}.{column.name}: its key is for the category {purpose}")

    def owner(self, table: sa.Table) -> str:
        """The column that says whose row it is; "" for a table that is nobody's."""
        return self.owners.get(table.name) or (OWNER if OWNER in table.c else "")

    def owned(self) -> Iterator[sa.Table]:
        """The tables with people's rows, those that others refer to first."""
        return (table for table in self.metadata.sorted_tables if self.owner(table))

    def exported(self) -> Iterator[sa.Table]:
        return (table for table in self.owned() if table.name != DATA_KEYS and table.name not in self.left_out)

    def columns(self, table: sa.Table) -> list[sa.Column[Any]]:
        """What leaves of a table."""
        return [column for column in table.c if column.name not in self.secret.get(table.name, ())]

    def erased(self, category: str) -> Iterator[tuple[str, str]]:
        """Tables and their owner columns, in the order in which rows can go."""
        for table in reversed(list(self.owned())):
            if table.name not in (AUDIT_LOG, DATA_KEYS, *self.kept) and (
                not category or table.info.get(CATEGORY) == category
            ):
                yield table.name, self.owner(table)
                if table.name in self.mentions:
                    yield table.name, self.mentions[table.name]
