"""Many rows as one parameter: what PostgreSQL unpacks takes one statement, whatever their number."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa


def recordset(table: sa.Table, names: Iterable[str]) -> sa.TableValuedAlias:
    """The parameter `rows`, a JSON list of objects, as rows of these columns of the table; what one lacks is null."""
    columns = [sa.column(name, table.c[name].type) for name in names]
    rows: Any = sa.cast(sa.bindparam("rows", type_=sa.Text), sa.JSON)
    return sa.func.json_to_recordset(rows).table_valued(*columns, name="incoming").render_derived(with_types=True)


def payload(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of columns' values as that parameter. Numbers keep their digits, bytes are as PostgreSQL reads them."""
    return orjson.dumps(rows, default=_text).decode()


def _text(value: object) -> str:
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)
