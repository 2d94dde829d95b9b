"""The vault: what was encrypted comes back to its owner in its place, and to nobody and nowhere else."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from services.kit.caller import Caller, service_caller
from services.kit.database import Database, uuid7
from services.kit.errors import ServiceError
from services.kit.vault import GENERAL, MENTAL_WELLNESS, DataKey, Vault, destroy_keys, wrapped_key
from tests.databases import ServiceDatabase
from tests.harness import write_keyset

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=20)
KEY = DataKey("ada", bytes(32))


def somebody() -> Caller:
    return service_caller("identity", str(uuid7()))


def refused(key: DataKey, table: str, column: str, row_id: str, stored: bytes) -> bool:
    with pytest.raises(ServiceError) as caught:
        key.decrypt(table, column, row_id, stored)
    return caught.value.reason.name == "INTERNAL"


@given(text=TEXT, table=NAMES, column=NAMES, row_id=st.uuids())
def test_any_text_comes_back(text: str, table: str, column: str, row_id: Any) -> None:
    stored = KEY.encrypt(table, column, row_id, text)
    assert len(stored) == len(text.encode()) + 29
    assert KEY.decrypt(table, column, str(row_id), stored) == text
    assert stored != KEY.encrypt(table, column, row_id, text)


@given(text=TEXT, position=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_refused(text: str, position: int, bit: int) -> None:
    stored = bytearray(KEY.encrypt("users", "name", "1", text))
    stored[position % len(stored)] ^= 1 << bit
    assert refused(KEY, "users", "name", "1", bytes(stored))


@given(stored=st.binary(max_size=60))
def test_what_was_never_encrypted_is_refused(stored: bytes) -> None:
    assert refused(KEY, "users", "name", "1", stored)


@given(end=st.integers(0, 40))
def test_what_was_cut_off_is_refused(end: int) -> None:
    assert refused(KEY, "users", "name", "1", KEY.encrypt("users", "name", "1", "x" * 12)[:end])


places = st.tuples(NAMES, NAMES, st.text("0123456789abcdef-", min_size=1, max_size=36))


@given(place=places, other=places)
def test_a_value_that_was_moved_is_refused(place: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assume(place != other)
    stored = KEY.encrypt(*place, "x")
    assert refused(KEY, *other, stored)
    assert refused(DataKey("eve", bytes(32)), *place, stored)
    assert refused(DataKey("ada", b"\1" * 32), *place, stored)


def test_a_failure_is_logged_by_its_place_and_nothing_else() -> None:
    with structlog.testing.capture_logs() as lines:
        assert refused(KEY, "users", "name", "1", b"\1" + b"a secret" * 5)
    assert [set(line) for line in lines] == [{"event", "log_level", "table", "column"}]
    assert (lines[0]["table"], lines[0]["column"]) == ("users", "name")


@pytest.fixture
def identity(clone_database: Callable[[str], ServiceDatabase]) -> ServiceDatabase:
    return clone_database("identity")


@pytest.fixture
async def pool(identity: ServiceDatabase, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(identity.app_url, 4, Vault(write_keyset(tmp_path / "vault.json")))
    await database.open()
    yield database
    await database.close()


async def seal(pool: Database, caller: Caller, text: str = "1815-12-10", purpose: str = GENERAL) -> bytes:
    async with pool.transaction(caller) as connection:
        key = await pool.vault.key(connection, purpose)
        return key.encrypt("users", "date_of_birth", caller.subject, text)


async def unseal(pool: Database, caller: Caller, stored: bytes, purpose: str = GENERAL) -> str:
    async with pool.transaction(caller) as connection:
        key = await pool.vault.key(connection, purpose)
        return key.decrypt("users", "date_of_birth", caller.subject, stored)


async def test_a_key_is_made_once_and_by_whoever_comes_first(pool: Database) -> None:
    ada = somebody()
    sealed = await asyncio.gather(*(seal(pool, ada, str(number)) for number in range(8)))
    assert [await unseal(pool, ada, stored) for stored in sealed] == [str(number) for number in range(8)]


async def test_a_key_that_was_never_committed_encrypts_nothing_later(pool: Database) -> None:
    ada = somebody()
    async with pool.transaction(ada) as connection:
        await pool.vault.key(connection)
        await connection.rollback()
    stored = await seal(pool, ada)
    assert await unseal(pool, ada, stored) == "1815-12-10"


async def test_another_person_or_purpose_has_another_key(pool: Database) -> None:
    ada, eve = somebody(), somebody()
    stored = await seal(pool, ada)
    for caller, purpose in ((eve, GENERAL), (ada, MENTAL_WELLNESS)):
        with pytest.raises(ServiceError) as caught:
            await unseal(pool, caller, stored, purpose)
        assert caught.value.reason.name == "INTERNAL"


async def test_a_wrapped_key_that_was_moved_does_not_unwrap(pool: Database, identity: ServiceDatabase) -> None:
    ada, eve = somebody(), somebody()
    await seal(pool, ada)
    await seal(pool, eve)
    with psycopg.connect(identity.migrator_url) as owner:
        owner.execute(
            "UPDATE data_keys SET wrapped_key = (SELECT wrapped_key FROM data_keys WHERE user_id = %s)"
            " WHERE user_id = %s",
            [ada.subject, eve.subject],
        )
    with pytest.raises(ServiceError) as caught:
        await seal(pool, eve)
    assert caught.value.reason.name == "INTERNAL"


async def test_a_transaction_about_nobody_has_no_key(pool: Database) -> None:
    with pytest.raises(RuntimeError, match="no subject"):
        await seal(pool, service_caller("identity"))


async def test_the_key_of_a_read_comes_with_its_rows(pool: Database) -> None:
    ada = somebody()
    stored = await seal(pool, ada)
    async with pool.transaction(ada) as connection:
        wrapped = (await connection.execute(sa.select(wrapped_key()))).scalar()
    key = pool.vault.open(ada.subject, GENERAL, wrapped)
    assert key.decrypt("users", "date_of_birth", ada.subject, stored) == "1815-12-10"


async def test_nothing_decrypts_once_the_keys_are_destroyed(pool: Database) -> None:
    ada, eve = somebody(), somebody()
    mine, wellness, hers = (
        await seal(pool, ada),
        await seal(pool, ada, purpose=MENTAL_WELLNESS),
        await seal(pool, eve),
    )
    async with pool.transaction(ada) as connection:
        assert await destroy_keys(connection, MENTAL_WELLNESS) == 1
    assert await unseal(pool, ada, mine) == "1815-12-10"
    async with pool.transaction(ada) as connection:
        assert await destroy_keys(connection) == 1
        assert await destroy_keys(connection) == 0
    for stored, purpose in ((mine, GENERAL), (wellness, MENTAL_WELLNESS)):
        with pytest.raises(ServiceError):
            await unseal(pool, ada, stored, purpose)
    assert await unseal(pool, eve, hers) == "1815-12-10"
    with pytest.raises(ServiceError):
        pool.vault.open(ada.subject, GENERAL, None)


async def test_keys_are_not_destroyed_under_a_write(pool: Database, identity: ServiceDatabase) -> None:
    ada = somebody()
    async with pool.transaction(ada) as connection:
        await pool.vault.key(connection)
    lock = f"SELECT FROM data_keys WHERE user_id = '{ada.subject}' FOR {{}} NOWAIT"
    async with pool.transaction(ada) as connection:
        await pool.vault.key(connection)
        with psycopg.connect(identity.migrator_url) as owner:
            # As the rotation of a master key does, and as a deletion does.
            owner.execute(lock.format("NO KEY UPDATE").encode())
            with pytest.raises(psycopg.errors.LockNotAvailable):
                owner.execute(lock.format("UPDATE").encode())
