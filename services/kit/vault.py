"""Values that are stored encrypted: AES-256-GCM with a data key per person and purpose.

A data key lies in the table `data_keys`, wrapped by a master key (`keyset.py`).
Whoever has no master key reads nothing; destroying a person's data keys makes
everything that was encrypted with them unreadable, wherever it is still stored.

    key = await database.vault.key(connection)
    stored = key.encrypt("users", "date_of_birth", user_id, "1815-12-10")
    key.decrypt("users", "date_of_birth", user_id, stored)

A value is bound to its table, column, owner and row: ciphertext that was moved
to another of them does not decrypt. Stored, it is a version byte, a random
nonce of 96 bits, and AES-GCM's ciphertext with its tag (29 bytes more than the
text). Data keys are not remembered between calls: unwrapping one takes 3 µs, and
what is not remembered need not be forgotten when a person is erased.
"""

import os
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.errors import ServiceError
from services.kit.keyset import KeysetError, MasterKeys, key_id
from services.kit.personal import ENCRYPTED as ENCRYPTED
from services.kit.personal import GENERAL as GENERAL
from services.kit.personal import MENTAL_WELLNESS as MENTAL_WELLNESS

log = structlog.get_logger()
PURPOSES = (GENERAL, MENTAL_WELLNESS)
VERSION = b"\x01"
NONCE_BYTES = 12
TAG_BYTES = 16

# The columns alone: a service declares the table itself with `data_keys`.
KEYS = sa.table(
    "data_keys",
    sa.column("user_id", sa.Uuid(as_uuid=False)),
    sa.column("purpose", sa.Text),
    sa.column("wrapped_key", sa.LargeBinary),
    sa.column("master_key_id", sa.BigInteger),
)
SUBJECT: sa.ColumnElement[str] = sa.literal_column(
    "CAST(nullif(current_setting('app.subject_id', true), '') AS uuid)", sa.Uuid(as_uuid=False)
)
HOLD = (
    sa.select(sa.cast(KEYS.c.user_id, sa.Text), KEYS.c.wrapped_key)
    .where(KEYS.c.user_id == SUBJECT, KEYS.c.purpose == sa.bindparam("purpose", type_=sa.Text))
    .with_for_update(key_share=True, read=True)
)


def data_keys(metadata: sa.MetaData) -> sa.Table:
    """The table of wrapped data keys; every service that encrypts something declares it."""
    return sa.Table(
        "data_keys",
        metadata,
        sa.Column("user_id", sa.Uuid, primary_key=True),
        sa.Column("purpose", sa.Text, primary_key=True),
        sa.Column("wrapped_key", sa.LargeBinary, nullable=False),
        sa.Column("master_key_id", sa.BigInteger, nullable=False, comment="of the key that wrapped it"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.CheckConstraint(sa.column("purpose").in_(PURPOSES), name="purpose"),
    )


class DataKey:
    """The key of one person for one purpose. Made by a `Vault`."""

    def __init__(self, owner: str, secret: bytes) -> None:
        self.owner = owner
        self._cipher = AESGCM(secret)

    def encrypt(self, table: str, column: str, row_id: UUID | str, text: str) -> bytes:
        """`text` as it is stored in that column of that row."""
        return self.encrypt_bytes(table, column, row_id, text.encode())

    def decrypt(self, table: str, column: str, row_id: UUID | str, stored: bytes) -> str:
        """The text. Raises INTERNAL for what was not encrypted with this key for this place."""
        return self.decrypt_bytes(table, column, row_id, stored).decode()

    def encrypt_bytes(self, table: str, column: str, row_id: UUID | str, content: bytes) -> bytes:
        """`encrypt` for what is no text."""
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, content, self._place(table, column, row_id))

    def decrypt_bytes(self, table: str, column: str, row_id: UUID | str, stored: bytes) -> bytes:
        """`decrypt` for what is no text."""
        try:
            if stored[:1] != VERSION or len(stored) < 1 + NONCE_BYTES + TAG_BYTES:
                raise InvalidTag
            nonce, sealed = stored[1 : 1 + NONCE_BYTES], stored[1 + NONCE_BYTES :]
            return self._cipher.decrypt(nonce, sealed, self._place(table, column, row_id))
        except InvalidTag:
            raise unreadable(table, column) from None

    def _place(self, table: str, column: str, row_id: UUID | str) -> bytes:
        # Names and ids hold no NUL, so no two places are written alike.
        return VERSION + "\0".join((table, column, self.owner, str(row_id))).encode()


class Vault:
    """The data keys of a service's people."""

    def __init__(self, keyset_file: Path, kms_uri: str = "") -> None:
        """Raises KeysetError, see `keyset.py`."""
        self.master_keys = MasterKeys(keyset_file, kms_uri)

    async def key(self, connection: AsyncConnection, purpose: str = GENERAL) -> DataKey:
        """The key of the transaction's subject, made if there is none yet.

        Until the transaction ends the key cannot be destroyed: what is written
        with it is destroyed with it, or not written.
        """
        row = (await connection.execute(HOLD, {"purpose": purpose})).first()
        if row is None:
            owner = (await connection.execute(sa.select(sa.cast(SUBJECT, sa.Text)))).scalar_one()
            if owner is None:
                raise RuntimeError("a data key belongs to a person, and the transaction has no subject")
            # Of two that make one at once, the second waits for the first and takes its key.
            await connection.execute(insert(KEYS).values(self._new(owner, purpose)).on_conflict_do_nothing())
            row = (await connection.execute(HOLD, {"purpose": purpose})).one()
        owner, wrapped = row
        return self.open(owner, purpose, wrapped)

    def _new(self, owner: str, purpose: str) -> dict[str, Any]:
        return {"user_id": owner, "purpose": purpose, **self._wrap(owner, purpose, AESGCM.generate_key(256))}

    def _wrap(self, owner: str, purpose: str, secret: bytes) -> dict[str, Any]:
        wrapped = self.master_keys.wrap(secret, _context(owner, purpose))
        return {"wrapped_key": wrapped, "master_key_id": key_id(wrapped)}

    def rewrap(self, owner: str, purpose: str, wrapped: bytes) -> dict[str, Any]:
        """The columns of the same data key under the primary master key. Raises KeysetError if none unwraps it."""
        return self._wrap(owner, purpose, self.master_keys.unwrap(wrapped, _context(owner, purpose)))

    def open(self, owner: str, purpose: str, wrapped: bytes | None) -> DataKey:
        """The key that `wrapped_key` selected, for reading. Raises INTERNAL if there is none, or none that unwraps."""
        try:
            if wrapped is None:
                raise KeysetError
            return DataKey(owner, self.master_keys.unwrap(wrapped, _context(owner, purpose)))
        except KeysetError:
            raise unreadable("data_keys", "wrapped_key") from None


def vault_of(connection: AsyncConnection) -> Vault:
    """The vault of the `Database` that a connection is from. Raises RuntimeError if it has none."""
    vault: Vault | None = connection.sync_connection.get_execution_options()["vault"]  # type: ignore[union-attr]
    if vault is None:
        raise RuntimeError("encrypted columns need the setting vault_keyset_file")
    return vault


def wrapped_key(purpose: str = GENERAL) -> sa.ColumnElement[bytes]:
    """The wrapped key of the subject, to be selected along with what is encrypted with it; for `Vault.open`."""
    return (
        sa.select(KEYS.c.wrapped_key)
        .where(KEYS.c.user_id == SUBJECT, KEYS.c.purpose == sa.literal(purpose, sa.Text))
        .scalar_subquery()
        .label("wrapped_key")
    )


async def destroy_keys(connection: AsyncConnection, purpose: str | None = None) -> int:
    """Destroys the keys of the transaction's subject, of all purposes or of one; how many there were.

    When the transaction has ended nothing that was encrypted with them can be
    read any more, by any process. Waits for transactions that are writing with
    them. A later write makes a new key.
    """
    doomed = sa.delete(KEYS).where(KEYS.c.user_id == SUBJECT)
    if purpose:
        doomed = doomed.where(KEYS.c.purpose == purpose)
    return (await connection.execute(doomed)).rowcount


def unreadable(table: str, column: str) -> ServiceError:
    """The error of a value that does not decrypt; the log gets its place and nothing of it."""
    log.error("a stored value cannot be decrypted", table=table, column=column)
    return ServiceError("INTERNAL", "a stored value cannot be decrypted; the request id finds it in the log")


def _context(owner: str, purpose: str) -> bytes:
    return f"vitalis data key\0{purpose}\0{owner}".encode()
