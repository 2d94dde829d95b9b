"""Lists as JSON."""

import sys
from collections.abc import Iterable

from pydantic import BaseModel


def print_array(rows: Iterable[BaseModel]) -> None:
    """One JSON array with one object a line, written as the rows arrive.

    So it is valid JSON for any reader, needs no memory for long histories, and
    line-based tools can work on it as well.
    """
    sys.stdout.write("[")
    separator = "\n"
    for row in rows:
        sys.stdout.write(separator + row.model_dump_json(exclude_none=True))
        separator = ",\n"
    sys.stdout.write("\n]\n")
