"""Argon2id off the event loop, with a bounded queue."""

import asyncio
import threading
from collections.abc import Callable

import bcrypt
import pytest
from argon2 import PasswordHasher, extract_parameters
from hypothesis import given, settings
from hypothesis import strategies as st

from services.identity.passwords import Passwords
from services.kit.errors import ServiceError

PASSWORD = "correct horse battery staple"


def cheap(threads: int = 1, capacity: int = 8, iterations: int = 1) -> Passwords:
    return Passwords(threads=threads, capacity=capacity, memory_kib=8, iterations=iterations)


async def test_the_parameters_are_those_of_owasp() -> None:
    parameters = extract_parameters(await Passwords(threads=1, capacity=1).hash(PASSWORD))
    assert (parameters.type.name, parameters.memory_cost, parameters.time_cost) == ("ID", 19 * 1024, 2)
    assert (parameters.parallelism, parameters.salt_len, parameters.hash_len) == (1, 16, 32)


async def test_the_right_password_and_no_other() -> None:
    passwords = cheap()
    stored = await passwords.hash(PASSWORD)
    assert (await passwords.verify(stored, PASSWORD)).right
    for other in (PASSWORD + " ", " " + PASSWORD, PASSWORD.upper(), PASSWORD[:-1], ""):
        assert not (await passwords.verify(stored, other)).right


async def test_two_hashes_of_one_password_differ() -> None:
    passwords = cheap()
    assert await passwords.hash(PASSWORD) != await passwords.hash(PASSWORD)


async def test_every_character_of_the_longest_password_counts() -> None:
    passwords = cheap()
    stored = await passwords.hash("é" * 127 + "a")
    assert (await passwords.verify(stored, "é" * 127 + "a")).right
    assert not (await passwords.verify(stored, "é" * 127 + "b")).right


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=128), st.text(min_size=1, max_size=128))
def test_any_text_is_a_password(password: str, other: str) -> None:
    async def check() -> tuple[bool, bool]:
        passwords = cheap()
        stored = await passwords.hash(password)
        right = await passwords.verify(stored, password)
        return right.right, (await passwords.verify(stored, password + "x" + other)).right

    assert asyncio.run(check()) == (True, False)


@pytest.mark.parametrize(
    ("typed", "same"),
    [
        ("caf\u00e9 au lait", "cafe\u0301 au lait"),
        ("caf\u00e9 au lait", "caf\u00e9\u00a0au\u3000lait"),
        ("\u1100\u1161", "\uac00"),
    ],
)
async def test_keyboards_that_compose_differently_agree(typed: str, same: str) -> None:
    passwords = cheap()
    assert (await passwords.verify(await passwords.hash(typed), same)).right


@pytest.mark.parametrize(("typed", "other"), [("x\u00b2", "x2"), ("\ufb01sh", "fish"), ("\uff21", "A")])
async def test_characters_that_only_look_alike_stay_distinct(typed: str, other: str) -> None:
    passwords = cheap()
    assert not (await passwords.verify(await passwords.hash(typed), other)).right


async def test_a_hash_of_other_parameters_verifies_and_is_replaced() -> None:
    stored = await cheap().hash(PASSWORD)
    later = cheap(iterations=2)
    verdict = await later.verify(stored, PASSWORD)
    assert verdict.right
    assert verdict.replacement
    assert await later.verify(verdict.replacement, PASSWORD) == type(verdict)(True)
    assert (await later.verify(stored, "wrong")).replacement is None


async def test_nobody_costs_what_a_wrong_password_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = cheap()
    stored = await passwords.hash(PASSWORD)
    costs = []
    verify = PasswordHasher.verify

    def counted(hasher: PasswordHasher, hash_: str, password: str) -> bool:
        parameters = extract_parameters(hash_)
        costs.append((parameters.memory_cost, parameters.time_cost, parameters.parallelism))
        return verify(hasher, hash_, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    for known in (stored, None):
        assert not (await passwords.verify(known, "wrong")).right
    assert costs[0] == costs[1]
    assert len(costs) == 2


async def test_nobody_has_no_password_that_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PasswordHasher, "verify", lambda *given: True)
    assert not (await cheap().verify(None, PASSWORD)).right


def blocking(monkeypatch: pytest.MonkeyPatch) -> tuple[Callable[[], None], list[str]]:
    """Makes every hash wait until the returned function is called; lists the threads that hash."""
    released = threading.Event()
    threads: list[str] = []
    hash_ = PasswordHasher.hash

    def wait(hasher: PasswordHasher, password: str) -> str:
        threads.append(threading.current_thread().name)
        assert released.wait(30)
        return hash_(hasher, password)

    monkeypatch.setattr(PasswordHasher, "hash", wait)
    return released.set, threads


async def test_the_event_loop_goes_on_while_hashing(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = cheap()
    release, threads = blocking(monkeypatch)
    hashing = asyncio.create_task(passwords.hash(PASSWORD))
    await asyncio.sleep(0)
    # This line is reached before the hash is done, or the wait above would fail.
    release()
    assert (await hashing).startswith("$argon2id$")
    assert threads == [threads[0]]
    assert threads[0].startswith("passwords")
    assert threads[0] != threading.current_thread().name


async def test_one_more_than_the_capacity_is_refused_and_room_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = cheap(threads=1, capacity=2)
    release, _ = blocking(monkeypatch)
    accepted = [asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as refused:
        await passwords.hash(PASSWORD)
    assert refused.value.reason.name == "UNAVAILABLE"
    assert refused.value.retry_after_seconds == 1
    release()
    await asyncio.gather(*accepted)
    for _ in range(5):
        await passwords.hash(PASSWORD)


async def test_who_gives_up_leaves_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = cheap(threads=1, capacity=2)
    release, threads = blocking(monkeypatch)
    first, second = (asyncio.create_task(passwords.hash(PASSWORD)) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    third = asyncio.create_task(passwords.hash(PASSWORD))
    await asyncio.sleep(0)
    release()
    await asyncio.gather(first, third)
    assert second.cancelled()
    assert len(threads) == 2


async def test_a_verdict_shows_no_hash() -> None:
    verdict = await cheap(iterations=2).verify(await cheap().hash(PASSWORD), PASSWORD)
    assert "argon2" not in repr(verdict)


def imported(password: bytes, prefix: str = "$2b$") -> str:
    return prefix + bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()[4:]


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_a_hash_of_bcrypt_verifies_once_and_is_replaced(prefix: str) -> None:
    passwords, stored = cheap(), imported(PASSWORD.encode(), prefix)
    assert not (await passwords.verify(stored, PASSWORD + "x")).right
    verdict = await passwords.verify(stored, PASSWORD)
    assert verdict.right
    assert verdict.replacement
    assert verdict.replacement.startswith("$argon2id$")
    assert (await passwords.verify(verdict.replacement, PASSWORD)).right


async def test_bcrypt_looked_at_72_bytes_and_the_replacement_looks_at_all() -> None:
    passwords, long = cheap(), "é" * 40
    stored = imported(long.encode()[:72])
    verdict = await passwords.verify(stored, long)
    assert verdict.right
    # As the system that made the hash would have let in.
    assert (await passwords.verify(stored, "é" * 36 + "something else")).right
    assert verdict.replacement
    assert not (await passwords.verify(verdict.replacement, "é" * 36 + "something else")).right


async def test_what_is_no_hash_of_bcrypt_lets_nobody_in() -> None:
    whole = imported(PASSWORD.encode())
    # Incomplete ones, the variant with the known fault, and one whose cost would take days.
    for stored in ("$2", "$2b$04$", whole[:-1], "$2x$" + whole[4:], "$2b$31$" + whole[7:]):
        assert not (await cheap().verify(stored, PASSWORD)).right


async def test_a_nul_is_no_way_to_shorten_a_password() -> None:
    stored = imported(b"short")
    assert not (await cheap().verify(stored, "short\0and more")).right
    assert not (await cheap().verify(imported(b""), "\0")).right


async def test_full_is_known_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = cheap(threads=1, capacity=1)
    release, _ = blocking(monkeypatch)
    passwords.require_room()
    hashing = asyncio.create_task(passwords.hash(PASSWORD))
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as refused:
        passwords.require_room()
    assert refused.value.reason.name == "UNAVAILABLE"
    release()
    await hashing
    passwords.require_room()
