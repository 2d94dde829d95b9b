"""CHECKs made from the proto's rules: the last line behind its validation."""

import sqlalchemy as sa
from google.protobuf import descriptor

from services.kit.contract import closed_values, ranges_of


def ranges(message: descriptor.Descriptor) -> list[sa.CheckConstraint]:
    """One CHECK for each number of the message that has a range."""
    return [
        sa.CheckConstraint(f"{name} BETWEEN {low:.15g} AND {high:.15g}", name=name)
        for name, (low, high) in ranges_of(message).items()
    ]


def one_of(column: str, rule: object) -> sa.CheckConstraint:
    """That the column's values are those of a closed set (options/v1/rules.proto)."""
    return sa.CheckConstraint(sa.column(column).in_(closed_values(rule)), name=column)
