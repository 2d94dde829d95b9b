"""A new master key, while people read and write."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa

from services.kit import keyset
from services.kit.caller import Caller, service_caller
from services.kit.database import Database, uuid7
from services.kit.jobs import Jobs
from services.kit.keyset import main as keyset_command
from services.kit.rotation import Rotated, rotate_keys
from services.kit.vault import GENERAL, MENTAL_WELLNESS, Vault, wrapped_key
from tests.databases import ServiceDatabase
from tests.harness import write_keyset


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_keyset(tmp_path / "vault.json")


@pytest.fixture
def identity(clone_database: Callable[[str], ServiceDatabase]) -> ServiceDatabase:
    return clone_database("identity")


@pytest.fixture
async def pool(identity: ServiceDatabase, file: Path) -> AsyncIterator[Database]:
    database = Database(identity.app_url, 6, Vault(file))
    await database.open()
    yield database
    await database.close()


@pytest.fixture
async def worker(identity: ServiceDatabase, file: Path) -> AsyncIterator[Database]:
    """Another process: its own pool and its own view of the keyset."""
    database = Database(identity.app_url, 2, Vault(file))
    await database.open()
    yield database
    await database.close()


def somebody() -> Caller:
    return service_caller("identity", str(uuid7()))


async def seal(pool: Database, caller: Caller, text: str, purpose: str = GENERAL) -> bytes:
    async with pool.transaction(caller) as connection:
        return (await pool.vault.key(connection, purpose)).encrypt("t", "c", "1", text)


async def unseal(pool: Database, caller: Caller, stored: bytes, purpose: str = GENERAL) -> str:
    async with pool.transaction(caller) as connection:
        wrapped = (await connection.execute(sa.select(wrapped_key(purpose)))).scalar_one()
    return pool.vault.open(caller.subject, purpose, wrapped).decrypt("t", "c", "1", stored)


def new_primary(file: Path) -> tuple[int, int]:
    """Adds a key and promotes it; the ids of the old and of the new one."""
    keys = Vault(file).master_keys
    old = keys.primary_id
    keyset_command(["add", str(file)])
    (new,) = ids(file) - {old}
    keyset_command(["promote", str(new), str(file)])
    return old, new


def ids(file: Path) -> set[int]:
    return {key.key_id for key in keyset.read(file).key}


def masters(identity: ServiceDatabase) -> set[int]:
    """The master keys that data keys are wrapped by."""
    with psycopg.connect(identity.migrator_url) as owner:
        return {row[0] for row in owner.execute("SELECT DISTINCT master_key_id FROM data_keys")}


async def test_a_key_is_rotated_under_load(
    pool: Database, worker: Database, identity: ServiceDatabase, file: Path
) -> None:
    """Nobody who reads or writes notices, and in the end the old master key can go."""
    people = [somebody() for _ in range(30)]
    values = {person: await seal(pool, person, person.subject) for person in people}
    done = asyncio.Event()
    calls = 0

    async def use(number: int) -> None:
        nonlocal calls
        while not done.is_set():
            person = people[(calls + number) % len(people)]
            assert await unseal(pool, person, values[person]) == person.subject
            values[person] = await seal(pool, person, person.subject)
            newcomer = somebody()
            assert await unseal(pool, newcomer, await seal(pool, newcomer, "new")) == "new"
            calls += 1

    async def more_calls() -> None:
        """Returns when every call that is under way now, and some more, have ended."""
        until = calls + 10
        while calls < until:
            await asyncio.sleep(0.01)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(use(number))
        try:
            old, new = await asyncio.to_thread(new_primary, file)
            while (await rotate_keys(worker, "identity")).rewrapped == 0:
                # It has not looked at the file yet.
                await asyncio.sleep(0.01)
            # A process that had not either has wrapped the keys of newcomers with the old one.
            while pool.vault.master_keys.primary_id != new:
                await asyncio.sleep(0.01)
            await more_calls()
            await rotate_keys(worker, "identity")
            assert masters(identity) == {new}
            await asyncio.to_thread(keyset_command, ["remove", str(old), str(file)])
            await more_calls()
        finally:
            done.set()
    assert ids(file) == {new}
    fresh = Vault(file)
    for person in people:
        with psycopg.connect(identity.migrator_url) as owner:
            row = owner.execute("SELECT wrapped_key FROM data_keys WHERE user_id = %s", [person.subject]).fetchone()
        assert row
        assert fresh.open(person.subject, GENERAL, row[0]).decrypt("t", "c", "1", values[person]) == person.subject


async def test_every_key_of_everybody_is_wrapped_anew_once(
    pool: Database, identity: ServiceDatabase, file: Path
) -> None:
    people = [somebody() for _ in range(7)]
    sealed = {(p, purpose): await seal(pool, p, "x", purpose) for p in people for purpose in (GENERAL, MENTAL_WELLNESS)}
    assert await rotate_keys(pool, "identity") == Rotated(0, 0)
    _, new = new_primary(file)
    other = Database(identity.app_url, 2, Vault(file))
    await other.open()
    assert await rotate_keys(other, "identity") == Rotated(14, 0)
    assert await rotate_keys(other, "identity") == Rotated(0, 0)
    await other.close()
    assert masters(identity) == {new}
    for (person, purpose), stored in sealed.items():
        assert await unseal(pool, person, stored, purpose) == "x"


async def test_a_worker_rotates_by_itself(pool: Database, identity: ServiceDatabase, file: Path) -> None:
    """Every night; a service without a vault has no such job."""
    await seal(pool, somebody(), "x")
    _, new = new_primary(file)
    other = Database(identity.app_url, 2, Vault(file))
    await other.open()
    jobs = Jobs("identity", other)
    await jobs.open()
    await jobs.app.tasks["rotate_keys"](timestamp=0)
    await other.close()
    assert masters(identity) == {new}
    assert "rotate_keys" not in Jobs("tracking", Database(identity.app_url)).app.tasks


async def test_what_cannot_be_unwrapped_is_counted_and_stops_nothing(
    pool: Database, identity: ServiceDatabase, file: Path
) -> None:
    people = [somebody() for _ in range(3)]
    for person in people:
        await seal(pool, person, "x")
    lost = min(people, key=lambda person: UUID(person.subject))
    with psycopg.connect(identity.migrator_url) as owner:
        owner.execute("UPDATE data_keys SET wrapped_key = 'lost' WHERE user_id = %s", [lost.subject])
    new_primary(file)
    other = Database(identity.app_url, 2, Vault(file))
    await other.open()
    assert await rotate_keys(other, "identity") == Rotated(2, 1)
    await other.close()
