"""Guessing is slowed down, the same for everybody, and nobody is locked out for good."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.identity.attempts import network
from services.kit.caller import ANONYMOUS
from services.kit.errors import from_rpc_error
from tests.harness import failure, reason
from tests.identity.conftest import Identity
from tests.people import EMAIL, PASSWORD
from vitalis.identity.v1 import sessions_pb2 as pb

HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"
MOST_SECONDS = 900


@pytest.fixture
def owner(identity: Identity) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(identity.database.migrator_url, autocommit=True) as connection:
        yield connection


async def log_in(identity: Identity, address: str, password: str = PASSWORD, email: str = EMAIL) -> pb.LogInResponse:
    metadata = identity.metadata(replace(ANONYMOUS, address=address))
    return await identity.sessions.LogIn(pb.LogInRequest(email=email, password=password), metadata=metadata)


async def fail(identity: Identity, address: str, times: int, email: str = EMAIL) -> list[str]:
    return [await reason(log_in(identity, address, "wrong", email)) for _ in range(times)]


def wait_over(owner: psycopg.Connection[Any]) -> None:
    """As if all waits had passed."""
    owner.execute("UPDATE attempts SET blocked_until = now() - interval '1 second' WHERE blocked_until > now()")


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_ten_wrong_passwords_are_free_and_then_each_waits_twice_as_long(
    identity: Identity, owner: psycopg.Connection[Any], email: str
) -> None:
    await identity.register()
    assert await fail(identity, HOME, 10, email) == ["WRONG_CREDENTIALS"] * 10
    for seconds in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900):
        error = await failure(log_in(identity, HOME, PASSWORD, email))
        assert error.reason.name == "TOO_MANY_ATTEMPTS"
        assert error.message == f"too many attempts; try again in {seconds} seconds"
        assert error.retry_after_seconds == seconds
        wait_over(owner)
        assert await fail(identity, HOME, 1, email) == ["WRONG_CREDENTIALS"]


async def test_what_is_refused_is_not_counted(identity: Identity, owner: psycopg.Connection[Any]) -> None:
    await fail(identity, HOME, 10)
    assert await fail(identity, HOME, 20) == ["TOO_MANY_ATTEMPTS"] * 20
    assert owner.execute("SELECT max(failures) FROM attempts").fetchone() == (10,)


async def test_a_success_starts_anew(identity: Identity) -> None:
    await identity.register()
    for _ in range(3):
        assert await fail(identity, HOME, 9) == ["WRONG_CREDENTIALS"] * 9
        assert (await log_in(identity, HOME)).user.email == EMAIL


async def test_a_day_of_peace_starts_anew(identity: Identity, owner: psycopg.Connection[Any]) -> None:
    await fail(identity, HOME, 10)
    owner.execute("UPDATE attempts SET last_at = now() - interval '25 hours', blocked_until = now()")
    assert await fail(identity, HOME, 10) == ["WRONG_CREDENTIALS"] * 10


async def test_another_address_and_another_person_are_not_held_up(identity: Identity) -> None:
    await identity.register()
    await fail(identity, HOME, 11)
    assert (await log_in(identity, ELSEWHERE)).user.email == EMAIL
    assert await reason(log_in(identity, HOME, email="bob@example.com")) == "WRONG_CREDENTIALS"


async def test_guesses_from_many_places_are_held_up_and_the_person_at_home_is_not(
    identity: Identity, owner: psycopg.Connection[Any]
) -> None:
    await identity.register()
    await log_in(identity, HOME)
    owner.execute("UPDATE attempts SET failures = 99 WHERE succeeded_at IS NULL AND last_at IS NOT NULL")
    for last in range(2):
        await fail(identity, f"203.0.113.{last}", 1)
    # From anywhere new nobody gets through, the person neither; at home they do, and that ends it.
    assert await reason(log_in(identity, ELSEWHERE)) == "TOO_MANY_ATTEMPTS"
    assert (await log_in(identity, HOME)).user.email == EMAIL
    assert (await log_in(identity, ELSEWHERE)).user.email == EMAIL


async def test_what_goes_wrong_at_home_is_not_held_against_the_account(
    identity: Identity, owner: psycopg.Connection[Any]
) -> None:
    await identity.register()
    await log_in(identity, HOME)
    elsewhere = "SELECT key, failures FROM attempts WHERE succeeded_at IS NULL ORDER BY key"
    before = owner.execute(elsewhere).fetchall()
    await fail(identity, HOME, 5)
    assert owner.execute(elsewhere).fetchall() == before


async def test_a_home_is_forgotten_after_ninety_days(identity: Identity, owner: psycopg.Connection[Any]) -> None:
    await identity.register()
    await log_in(identity, HOME)
    owner.execute("UPDATE attempts SET succeeded_at = now() - interval '91 days' WHERE succeeded_at IS NOT NULL")
    owner.execute(
        "UPDATE attempts SET failures = 110, blocked_until = now() + interval '1 hour' WHERE succeeded_at IS NULL"
    )
    assert await reason(log_in(identity, HOME)) == "TOO_MANY_ATTEMPTS"


async def test_many_at_once_are_counted_one_by_one(identity: Identity) -> None:
    await identity.register()
    answers = await asyncio.gather(*(log_in(identity, HOME, "wrong") for _ in range(30)), return_exceptions=True)
    reasons = [from_rpc_error(answer).reason.name for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(reasons) == 30
    assert reasons.count("WRONG_CREDENTIALS") == 10


async def test_the_table_says_nothing_of_whom(identity: Identity, owner: psycopg.Connection[Any]) -> None:
    await identity.register()
    await fail(identity, HOME, 2)
    stored = repr(owner.execute("SELECT key, to_jsonb(a)::text FROM attempts a").fetchall())
    for private in (EMAIL, HOME, "ada"):
        assert private not in stored
    with psycopg.connect(identity.database.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("SELECT FROM attempts")


async def test_old_attempts_are_forgotten_and_homes_are_kept(
    identity: Identity, owner: psycopg.Connection[Any]
) -> None:
    await identity.register()
    await fail(identity, ELSEWHERE, 1)
    owner.execute(
        "UPDATE attempts SET last_at = now() - interval '2 days', succeeded_at = CASE"
        " WHEN succeeded_at IS NOT NULL THEN now() - interval '2 days' END"
    )
    owner.execute("SELECT forget_logins()")
    assert owner.execute("SELECT count(*), count(succeeded_at) FROM attempts").fetchone() == (1, 1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**31 - 1), st.integers(1, 1000))
def test_the_wait_doubles_and_never_passes_a_quarter_of_an_hour(
    owner: psycopg.Connection[Any], failures: int, free: int
) -> None:
    def wait(count: int) -> float:
        row = owner.execute("SELECT extract(epoch FROM attempt_delay(%s, %s))", [count, free]).fetchone()
        assert row
        return float(row[0])

    now = wait(failures)
    assert now == (0 if failures < free else min(MOST_SECONDS, 2 ** min(failures - free, 10)))
    assert 0 <= now <= MOST_SECONDS
    if failures:
        assert wait(failures - 1) <= now


@given(st.ip_addresses(v=4).map(str))
def test_an_ipv4_address_is_a_place_of_its_own(address: str) -> None:
    assert network(address) == network(f"::ffff:{address}") == address


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_an_ipv6_client_is_one_place_whatever_it_takes_of_its_network(address: Any, host: int) -> None:
    other = type(address)(int(address) >> 64 << 64 | host)
    if not address.ipv4_mapped and not other.ipv4_mapped:
        assert network(str(address)) == network(str(other))


@pytest.mark.parametrize("address", ["", "unix:", "not an address"])
def test_what_is_no_address_is_itself(address: str) -> None:
    assert network(address) == address
