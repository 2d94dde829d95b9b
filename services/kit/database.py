"""The database of a service: the pool, transactions that carry the caller, shared columns.

Every transaction sets `app.subject_id`, which is what the row-level security
policies read, and one that may write sets besides what the audit triggers read:
`app.actor_id`, `app.role`, `app.request_id`, `app.grant_id`, `app.address` and
`app.user_agent`. They hold for the transaction's own length, so it works behind
a transaction-mode PgBouncer.
"""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import psycopg
import psycopg_pool
import sqlalchemy as sa
from psycopg import AsyncConnection as DriverConnection
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from services.kit.caller import Caller, current
from services.kit.errors import ServiceError, Violation

if TYPE_CHECKING:
    from services.kit.vault import Vault

SET_SUBJECT = "SELECT set_config('app.subject_id', %s, true)"
SET_CALLER = "SELECT " + ", ".join(
    f"set_config('app.{name}', %s, true)"
    for name in ("subject_id", "actor_id", "role", "request_id", "grant_id", "address", "user_agent")
)
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
POOL_TIMEOUT_SECONDS = 5.0
CONNECT_TIMEOUT_SECONDS = 5
DIALECT: Any = postgresql.psycopg.dialect()  # type: ignore[no-untyped-call]


def new_metadata() -> sa.MetaData:
    """The metadata of one service, with the project's names for constraints and indexes."""
    return sa.MetaData(naming_convention=NAMING)


def owned() -> tuple[sa.Column[Any], ...]:
    """The columns of every table whose rows belong to a person: id, user_id, created_at, updated_at."""
    return (
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )


def changed_at(table: sa.Table) -> sa.ColumnElement[datetime]:
    """The `updated_at` of a row that changes: now, and later than before, because etags are made of it."""
    return sa.func.greatest(sa.func.now(), table.c.updated_at + sa.text("interval '1 microsecond'"))


def uuid7() -> UUID:
    """A UUID of version 7 (RFC 9562): its first 48 bits are the milliseconds since 1970, so new keys sort last."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value &= ~(0xF << 76) & ~(0x3 << 62)
    return UUID(int=value | 0x7 << 76 | 0x2 << 62)


def uuid7_texts(count: int) -> list[str]:
    """Many new ids at once, as text."""
    stamp = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | 0x2 << 62
    random = os.urandom(10 * count)
    texts = []
    for start in range(0, 10 * count, 10):
        rest = int.from_bytes(random[start : start + 10], "big") & ~(0xF << 76) & ~(0x3 << 62)
        digits = f"{stamp | rest:032x}"
        texts.append(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
    return texts


def _settings_of(caller: Caller) -> tuple[str, ...]:
    return (
        caller.subject,
        caller.actor,
        caller.role,
        caller.request_id,
        caller.grant_id,
        caller.address,
        caller.user_agent,
    )


class Statement:
    """A Core statement compiled once, for `Database.fetch`.

    Parameters are the statement's own `bindparam` names.
    """

    def __init__(self, statement: sa.Select[Any]) -> None:
        compiled = statement.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})
        self.sql = str(compiled)
        self.constants = {name: value for name, value in compiled.params.items() if value is not None}


class _Lent(DriverConnection[Any]):
    """A connection that goes back to its pool when it is closed, broken or not.

    psycopg's own `close_returns` keeps a broken one, and the pool a place less.
    """

    lender: psycopg_pool.AsyncConnectionPool[Any] | None = None

    async def close(self) -> None:
        lender, self.lender = self.lender, None
        await (lender.putconn(self) if lender else super().close())


class Database:
    """The pool of one service, connecting as the role that owns nothing."""

    def __init__(self, url: str, pool_size: int = 10, vault: Vault | None = None) -> None:
        """`url` is a `postgresql://` URL. Call `open` before use and `close` after.

        `vault` is there for a service that has encrypted columns.
        """
        self.pool = psycopg_pool.AsyncConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=POOL_TIMEOUT_SECONDS,
            reconnect_timeout=30,
            open=False,
            connection_class=_Lent,
            kwargs={"connect_timeout": CONNECT_TIMEOUT_SECONDS},
        )
        self._vault = vault
        self.engine = create_async_engine(
            "postgresql+psycopg://",
            poolclass=sa.pool.NullPool,
            async_creator=self._checkout,
            execution_options={"vault": vault},
        )

    @property
    def has_vault(self) -> bool:
        return self._vault is not None

    @property
    def vault(self) -> Vault:
        """The keys of encrypted columns. Raises RuntimeError in a service without `vault_keyset_file`."""
        if self._vault is None:
            raise RuntimeError("encrypted columns need the setting vault_keyset_file")
        return self._vault

    async def _checkout(self, timeout: float | None = None) -> _Lent:  # noqa: ASYNC109
        """A connection that the server has not closed while it was idle: a write is not tried again on another."""
        while True:
            connection = await self.pool.getconn(timeout)
            if not _spoken_to(connection):
                connection.lender = self.pool
                return connection
            connection.pgconn.finish()
            await self.pool.putconn(connection)

    async def open(self) -> None:
        """Opens the pool. Raises UnsafeRole if the role could get around row-level security."""
        await self.pool.open(wait=True, timeout=POOL_TIMEOUT_SECONDS * 2)
        await self.refuse_unsafe_role()

    async def close(self) -> None:
        await self.engine.dispose()
        await self.pool.close()

    async def ping(self) -> None:
        """Proves that the database answers. Raises if it does not."""
        connection = await self._checkout(timeout=2)
        try:
            await connection.execute("SELECT 1")
            await connection.commit()
        finally:
            await connection.close()

    async def fetch(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """Reads rows in a transaction of the current caller, in one round trip.

        A connection that the server has dropped is replaced and the read is
        tried once more.
        """
        for last in (False, True):
            try:
                return await self._fetch(statement, parameters)
            except psycopg.OperationalError:
                if last:
                    raise
                await self.pool.check()
        raise AssertionError("unreachable")

    async def _fetch(self, statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            async with connection.pipeline():
                await connection.execute(SET_SUBJECT, (current().subject,))
                await cursor.execute(statement.sql.encode(), {**statement.constants, **parameters})
                await connection.commit()
            return await cursor.fetchall()

    @asynccontextmanager
    async def transaction(self, caller: Caller | None = None) -> AsyncIterator[AsyncConnection]:
        """A transaction of `caller` (the current one by default); commits unless the block raises."""
        async with self.engine.begin() as connection:
            driver = await driver_connection(connection)
            async with driver.pipeline():
                await driver.execute(SET_CALLER, _settings_of(caller or current()))
            yield connection

    async def refuse_unsafe_role(self) -> None:
        """Raises UnsafeRole if the role is a superuser, bypasses row security or owns a table."""
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "SELECT rolsuper, rolbypassrls,"
                " EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid AND relpersistence <> 't')"
                " FROM pg_roles WHERE rolname = current_user"
            )
            row = await cursor.fetchone()
        for unsafe, why in zip(row or (), ("is a superuser", "bypasses row security", "owns tables"), strict=False):
            if unsafe:
                raise UnsafeRole(f"the database role {why}; connect as the service's app role")


def _spoken_to(connection: DriverConnection[Any]) -> bool:
    """Whether the server has sent something to an idle connection, unasked: that is how it says goodbye."""
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


class UnsafeRole(Exception):
    """The service was told to connect as a role that row-level security does not hold."""


async def driver_connection(connection: AsyncConnection) -> DriverConnection[Any]:
    """psycopg's own connection below SQLAlchemy's, for COPY, pipelines and the queue."""
    raw = await connection.get_raw_connection()
    return cast("DriverConnection[Any]", raw.driver_connection)


def to_service_error(error: BaseException) -> ServiceError | None:
    """What a database error means to the caller; None for a fault of ours.

    The database's own text stays out of it: it may quote values.
    """
    if isinstance(error, DBAPIError) and isinstance(error.orig, BaseException):
        error = error.orig
    if isinstance(error, (psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed, psycopg_pool.TooManyRequests)):
        return ServiceError("UNAVAILABLE", "the database cannot be reached; try again", retry_after_seconds=1)
    if not isinstance(error, psycopg.Error):
        return None
    if isinstance(error, psycopg.errors.UniqueViolation):
        return ServiceError("ALREADY_EXISTS", "a resource with the same key exists")
    if isinstance(error, psycopg.errors.CheckViolation):
        return _check_violation(error)
    if isinstance(error, psycopg.errors.NumericValueOutOfRange):
        return ServiceError("INVALID_FIELD", "a number is out of the range that can be stored")
    if isinstance(error, psycopg.DataError):
        return ServiceError("INVALID_FIELD", "a value cannot be stored: text must not hold NUL characters")
    if isinstance(error, psycopg.errors.QueryCanceled):
        return ServiceError("DEADLINE_EXCEEDED", "the request took longer than its deadline")
    if isinstance(error, psycopg.OperationalError):
        return ServiceError("UNAVAILABLE", "the database cannot be reached; try again", retry_after_seconds=1)
    return None


def _check_violation(error: psycopg.errors.CheckViolation) -> ServiceError:
    # A partition's name is its table's with the year (and the quarter), and its constraints are called as the table's.
    table, constraint = re.sub(r"_\d{4}(q[1-4])?$", "", error.diag.table_name or ""), error.diag.constraint_name
    if not constraint:
        return ServiceError("DATE_OUT_OF_RANGE", "the date lies outside the years that can be stored")
    rule = constraint.removeprefix("ck_").removeprefix(f"{table}_")
    return ServiceError(
        "INVALID_FIELD", f"the rule {rule} is broken", violations=[Violation(rule, f"breaks the rule {rule}")]
    )


def now() -> datetime:
    return datetime.now(UTC)
