"""The pool and its transactions: whose they are, and what becomes of them when the server goes away."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import DBAPIError

from services.kit.caller import Caller, calling, current
from services.kit.database import Database, Statement, UnsafeRole, to_service_error, uuid7, uuid7_texts
from services.kit.errors import ServiceError
from tests.databases import DatabaseServer, ServiceDatabase
from tests.harness import person

CALLER = sa.text(
    "SELECT current_setting('app.subject_id', true), current_setting('app.actor_id', true),"
    " current_setting('app.request_id', true)"
)
INSERT = sa.text(
    "INSERT INTO wearable_daily (id, user_id, date, source, steps) VALUES (:id, :user, :date, :source, :steps)"
)
READ = Statement(sa.select(sa.func.current_setting("app.subject_id", True)))


@pytest.fixture
async def pool(database: ServiceDatabase) -> AsyncIterator[Database]:
    pool = Database(database.app_url, pool_size=3)
    await pool.open()
    yield pool
    await pool.close()


class Outage:
    """Takes one database away as a restart of its server does, and brings it back."""

    def __init__(self, server: DatabaseServer, database: ServiceDatabase) -> None:
        self._url = server.admin_url
        self._name = str(conninfo_to_dict(database.app_url)["dbname"])

    def _run(self, allowed: bool) -> None:
        with psycopg.connect(self._url, autocommit=True) as admin:
            name = sql.Identifier(self._name)
            admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(name, sql.Literal(allowed)))

    def begin(self) -> None:
        self._run(allowed=False)
        self.drop_connections()

    def end(self) -> None:
        self._run(allowed=True)

    def drop_connections(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", [self._name]
            )


@pytest.fixture
def outage(postgres_server: DatabaseServer, database: ServiceDatabase) -> Outage:
    return Outage(postgres_server, database)


async def caller_in(connection: Any) -> tuple[str | None, ...]:
    return tuple((await connection.execute(CALLER)).one())


async def fill(pool: Database, count: int = 3) -> None:
    """Has the pool hold that many connections."""
    connections = [await pool.pool.getconn() for _ in range(count)]
    for connection in connections:
        await pool.pool.putconn(connection)


async def test_a_transaction_carries_its_caller_and_the_next_one_its_own(database: ServiceDatabase) -> None:
    pool = Database(database.app_url, pool_size=1)
    await pool.open()
    ada, eve = person(), Caller("service:insights", str(uuid4()), "service", frozenset(), "request-2")
    for caller in (ada, eve):
        with calling(caller):
            async with pool.transaction() as connection:
                assert await caller_in(connection) == (caller.subject, caller.actor, caller.request_id)
            assert await pool.fetch(READ, {}) == [(caller.subject,)]
    async with pool.transaction() as connection:
        assert await caller_in(connection) == ("", "", "")
    async with pool.pool.connection() as bare:
        assert tuple((await (await bare.execute(str(CALLER))).fetchone()) or ()) == ("", "", "")
    await pool.close()


async def test_a_caller_ends_with_a_transaction_that_fails(database: ServiceDatabase) -> None:
    pool = Database(database.app_url, pool_size=1)
    await pool.open()
    with calling(person()):
        with pytest.raises(DBAPIError):
            async with pool.transaction() as connection:
                await connection.execute(sa.text("SELECT 1 / 0"))
        with pytest.raises(psycopg.errors.DivisionByZero):
            await pool.fetch(Statement(sa.select(sa.literal_column("1") / sa.literal_column("0"))), {})
    async with pool.pool.connection() as bare:
        assert tuple((await (await bare.execute(str(CALLER))).fetchone()) or ()) == ("", "", "")
    await pool.close()


async def test_a_transaction_that_is_cancelled_stores_nothing_and_gives_its_connection_back(
    database: ServiceDatabase,
) -> None:
    pool = Database(database.app_url, pool_size=1)
    await pool.open()
    user = person()
    begun = asyncio.Event()

    async def write() -> None:
        with calling(user):
            async with pool.transaction() as connection:
                await connection.execute(
                    sa.text(
                        "INSERT INTO wearable_daily (id, user_id, date, source) VALUES (:i, :u, '2026-01-01', 'oura')"
                    ),
                    {"i": uuid7(), "u": UUID(user.subject)},
                )
                begun.set()
                await connection.execute(sa.text("SELECT pg_sleep(600)"))

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with calling(user):
        async with pool.transaction() as connection:
            assert (await connection.execute(sa.text("SELECT count(*) FROM wearable_daily"))).scalar_one() == 0
    await pool.close()


async def test_callers_at_once_see_themselves(pool: Database) -> None:
    async def who(caller: Caller) -> tuple[str | None, ...]:
        with calling(caller):
            async with pool.transaction() as connection:
                await asyncio.sleep(0)
                seen = await caller_in(connection)
            assert await pool.fetch(READ, {}) == [(current().subject,)]
            return seen

    people = [person() for _ in range(30)]
    assert await asyncio.gather(*map(who, people)) == [(p.subject, p.actor, p.request_id) for p in people]


async def test_reads_and_writes_survive_connections_that_the_server_dropped(pool: Database, outage: Outage) -> None:
    ada = person()
    with calling(ada):
        for _ in range(3):
            await fill(pool)
            outage.drop_connections()
            assert await asyncio.gather(*(pool.fetch(READ, {}) for _ in range(9))) == [[(ada.subject,)]] * 9
            await fill(pool)
            outage.drop_connections()
            for _ in range(4):
                async with pool.transaction() as connection:
                    assert (await caller_in(connection))[0] == ada.subject
            await fill(pool)
            outage.drop_connections()
            await pool.ping()


async def test_a_ping_leaves_nothing_behind(pool: Database, caplog: pytest.LogCaptureFixture) -> None:
    await pool.ping()
    assert caplog.messages == []


async def test_an_outage_is_told_as_one_and_ends_by_itself(
    pool: Database, outage: Outage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool.pool, "timeout", 0.5)
    # The pool gives up for the time being in the middle of it.
    monkeypatch.setattr(pool.pool, "reconnect_timeout", 0.1)
    await fill(pool)
    outage.begin()
    for work in (pool.fetch(READ, {}), enter(pool), pool.ping()):
        with pytest.raises(Exception) as caught:  # noqa: PT011
            await work
        error = to_service_error(caught.value)
        assert error
        assert (error.reason.name, error.retry_after_seconds) == ("UNAVAILABLE", 1)
    outage.end()
    monkeypatch.setattr(pool.pool, "timeout", 30)
    await pool.fetch(READ, {})
    await enter(pool)
    await pool.ping()


async def enter(pool: Database) -> None:
    async with pool.transaction() as connection:
        await caller_in(connection)


async def test_a_write_whose_connection_breaks_is_not_repeated(pool: Database, outage: Outage) -> None:
    """Nobody knows whether its COMMIT arrived, so it is for the client to ask again with its request id."""
    entered = 0

    async def write() -> None:
        nonlocal entered
        async with pool.transaction() as connection:
            entered += 1
            outage.drop_connections()
            await caller_in(connection)

    # More often than the pool has connections: each break would cost it one if it did not get it back.
    for attempt in range(1, 6):
        with pytest.raises(DBAPIError) as caught:
            await write()
        error = to_service_error(caught.value)
        assert error
        assert (error.reason.name, entered) == ("UNAVAILABLE", attempt)
    await asyncio.gather(*(enter(pool) for _ in range(9)))


@pytest.mark.parametrize(
    ("power", "why"),
    [("SUPERUSER", "is a superuser"), ("BYPASSRLS", "bypasses row security"), (None, "owns tables")],
)
async def test_a_role_that_row_security_does_not_hold_is_refused(
    postgres_server: DatabaseServer, database: ServiceDatabase, power: str | None, why: str
) -> None:
    parts = conninfo_to_dict(database.migrator_url)
    role = sql.Identifier(f"unsafe_{uuid4().hex}")
    with psycopg.connect(postgres_server.admin_url, autocommit=True, dbname=str(parts["dbname"])) as admin:
        admin.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} {}").format(
                role, sql.Literal(postgres_server.password), sql.SQL(power or "NOSUPERUSER")
            )
        )
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(str(parts["dbname"])), role))
        if not power:
            admin.execute(sql.SQL("CREATE TABLE held AS SELECT 1; ALTER TABLE held OWNER TO {}").format(role))
        try:
            url = psycopg.conninfo.make_conninfo(database.app_url, user=role.as_string().strip('"'))
            pool = Database(url, pool_size=1)
            with pytest.raises(UnsafeRole, match=why):
                await pool.open()
            await pool.close()
        finally:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(role))
            admin.execute(sql.SQL("DROP ROLE {}").format(role))


async def test_the_migrator_is_refused_and_the_app_is_not(database: ServiceDatabase) -> None:
    for url, refused in ((database.migrator_url, True), (database.app_url, False)):
        pool = Database(url, pool_size=1)
        if refused:
            with pytest.raises(UnsafeRole):
                await pool.open()
        else:
            await pool.open()
        await pool.close()


async def test_what_the_database_says_stays_in_it(pool: Database) -> None:
    ada = person()

    async def insert(**changes: Any) -> None:
        row = {"id": uuid7(), "user": UUID(ada.subject), "date": "2026-01-01", "source": "oura", "steps": 5, **changes}
        async with pool.transaction(ada) as connection:
            for _ in range(2):
                await connection.execute(INSERT, row)

    async def refusal(**changes: Any) -> ServiceError:
        with pytest.raises(DBAPIError) as caught:
            await insert(**changes)
        error = to_service_error(caught.value)
        assert error
        return error

    for changes, name in (
        ({}, "ALREADY_EXISTS"),
        ({"steps": -4711}, "INVALID_FIELD"),
        ({"steps": 2**40}, "INVALID_FIELD"),
        ({"source": "a\0b4711"}, "INVALID_FIELD"),
        ({"date": "1700-01-01"}, "DATE_OUT_OF_RANGE"),
    ):
        error = await refusal(**changes)
        assert error.reason.name == name
        for secret in (ada.subject, "4711", "INSERT", "wearable_daily", "1700"):
            assert secret not in error.message + str(error.violations)
    assert to_service_error(ValueError("no database error")) is None
    assert to_service_error(psycopg.errors.InsufficientPrivilege("a policy")) is None


def test_ids_are_uuids_of_version_7_and_sort_by_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_750_000_000_000_000_000
    ids = []
    for step in range(100):
        monkeypatch.setattr(time, "time_ns", lambda moment=now + step * 1_000_000: moment)
        ids += [uuid7(), UUID(uuid7_texts(1)[0])]
    assert [id_.version for id_ in ids] == [7] * len(ids)
    assert {id_.variant for id_ in ids} == {"specified in RFC 4122"}
    stamps = [id_.int >> 80 for id_ in ids]
    assert stamps == sorted(stamps)
    assert stamps[0] == now // 1_000_000
    assert len(set(ids)) == len(ids)


@given(st.integers(1, 300))
def test_many_ids_at_once_are_as_good_as_one(count: int) -> None:
    texts = uuid7_texts(count)
    assert len(set(texts)) == count
    assert all(str(UUID(text)) == text and UUID(text).version == 7 for text in texts)
