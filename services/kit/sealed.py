"""The encrypted columns of a resource: text in its message, ciphertext in its table.

Only a service that declares some imports this.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.caller import current
from services.kit.contract import ContractError
from services.kit.vault import ENCRYPTED, DataKey, Vault, unreadable, vault_of, wrapped_key


class Sealed:
    """The columns `names` of `table`, encrypted with the key of their owner for `purpose`."""

    def __init__(self, table: sa.Table, names: tuple[str, ...], purpose: str) -> None:
        """Raises ContractError for a column that is no bytea."""
        for name in names:
            if not isinstance(table.c[name].type, sa.LargeBinary):
                raise ContractError(f"{table.name}.{name} is encrypted, so its column must be LargeBinary")
            table.c[name].info[ENCRYPTED] = purpose
        self._table = table.name
        self._names = names
        self._purpose = purpose
        self.wrapped_key = wrapped_key(purpose)

    def open(self, vault: Vault, wrapped: bytes | None) -> DataKey | None:
        """The key that came with the rows of the current subject; None for somebody who has none."""
        return None if wrapped is None else vault.open(str(UUID(current().subject)), self._purpose, wrapped)

    def key_in(self, connection: AsyncConnection, wrapped: bytes | None) -> DataKey | None:
        """`open` in a transaction."""
        return self.open(vault_of(connection), wrapped)

    async def key(self, connection: AsyncConnection) -> DataKey:
        """The subject's key, for writing."""
        return await vault_of(connection).key(connection, self._purpose)

    async def seal(self, connection: AsyncConnection, row_id: UUID, values: dict[str, Any]) -> dict[str, Any]:
        """The values of a row as they are stored."""
        texts = {name: values[name] for name in self._names if values.get(name) is not None}
        if not texts:
            return values
        key = await self.key(connection)
        return values | {name: key.encrypt(self._table, name, row_id, text) for name, text in texts.items()}

    async def seal_rows(self, connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        """`seal` for rows that hold their ids, with one look for the key, and none if there is nothing to encrypt."""
        if not any(row.get(name) is not None for row in rows for name in self._names):
            return rows
        key = await self.key(connection)
        return [
            row
            | {
                name: key.encrypt(self._table, name, row["id"], row[name])
                for name in self._names
                if row.get(name) is not None
            }
            for row in rows
        ]

    async def open_rows(self, connection: AsyncConnection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows, which hold their ids, in clear: what `seal_rows` has sealed."""
        stored = [(row, name) for row in rows for name in self._names if row.get(name) is not None]
        if stored:
            key = await self.key(connection)
            for row, name in stored:
                row[name] = key.decrypt(self._table, name, row["id"], row[name])
        return rows


def decrypt(key: DataKey | None, table: str, column: str, row_id: str, stored: bytes) -> str:
    """The text of a stored value. Raises INTERNAL, also if its owner has no key (any more)."""
    if key is None:
        raise unreadable(table, column)
    return key.decrypt(table, column, row_id, stored)
