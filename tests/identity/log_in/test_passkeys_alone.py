"""Logging in with a passkey and nothing else."""

import asyncio
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from tests.harness import reason
from tests.identity.authenticator import ORIGIN, PRESENT, Authenticator, to_struct
from tests.identity.conftest import Identity
from tests.identity.factors import Owner
from tests.identity.log_in.conftest import GONE, WRONG, begin_passkey, challenge_of, complete, works


async def test_a_passkey_alone_logs_in(ada: Owner, identity: Identity) -> None:
    phone = await ada.add_passkey()
    challenge = await begin_passkey(identity)
    asked: Any = json_format.MessageToDict(challenge.passkey_options)
    assert asked["userVerification"] == "required"
    assert asked["allowCredentials"] == []
    signed = phone.get(challenge.passkey_options)
    await works(identity, await complete(identity, challenge, passkey=signed), ada)
    assert await reason(complete(identity, challenge, passkey=signed)) == GONE
    # Neither is it taken for another one, nor after the password.
    assert await reason(complete(identity, await begin_passkey(identity), passkey=signed)) == WRONG
    assert await reason(complete(identity, await challenge_of(ada), passkey=signed)) == WRONG


async def test_a_passkey_alone_has_to_verify_its_owner(ada: Owner, identity: Identity) -> None:
    phone = await ada.add_passkey()
    challenge = await begin_passkey(identity)
    signed = phone.but(flags=PRESENT).get(challenge.passkey_options)
    assert await reason(complete(identity, challenge, passkey=signed)) == WRONG


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "https://example.com"},
        {"origin": ORIGIN + "1"},
        {"rp_id": "example.com"},
        {"cross_origin": True},
        {"user_handle": b""},
        {"user_handle": b"short"},
        {"user_handle": bytes(16)},
        {"key": Authenticator().key},
        {"credential_id": b"another"},
    ],
    ids=lambda lie: next(iter(lie)),
)
async def test_a_passkey_alone_that_does_not_hold(ada: Owner, identity: Identity, lie: dict[str, Any]) -> None:
    phone = await ada.add_passkey()
    challenge = await begin_passkey(identity)
    signed = phone.but(**lie).get(challenge.passkey_options)
    assert await reason(complete(identity, challenge, passkey=signed)) == WRONG
    # There was one try.
    honest = phone.but(counter=5).get(challenge.passkey_options)
    assert await reason(complete(identity, challenge, passkey=honest)) == GONE


async def test_a_passkey_alone_logs_in_its_owner_and_nobody_else(ada: Owner, eve: Owner, identity: Identity) -> None:
    phone, hers = await ada.add_passkey(), await eve.add_passkey()
    challenge = await begin_passkey(identity)
    pretending = hers.but(user_handle=phone.user_handle).get(challenge.passkey_options)
    assert await reason(complete(identity, challenge, passkey=pretending)) == WRONG
    challenge = await begin_passkey(identity)
    answer = await complete(identity, challenge, passkey=hers.get(challenge.passkey_options))
    assert answer.user.id == eve.user_id


async def test_a_challenge_of_nobody_takes_passkeys_alone(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    for factor in ({"totp_code": ada.code()}, {"recovery_code": ada.recovery_codes[0]}, {"passkey": Struct()}):
        challenge = await begin_passkey(identity)
        assert await reason(complete(identity, challenge, **factor)) == WRONG


async def test_a_password_challenge_is_no_challenge_of_a_passkey_alone(ada: Owner, identity: Identity) -> None:
    """Who knows the password cannot make its challenge one that needs nothing but a passkey, nor the reverse."""
    phone = await ada.add_passkey()
    theirs = await challenge_of(ada)
    nobodys = await begin_passkey(identity)
    swapped = to_struct({**json_format.MessageToDict(nobodys.passkey_options)})
    assert await reason(complete(identity, theirs, passkey=phone.get(swapped))) == WRONG


async def test_a_passkey_alone_with_a_counter_that_goes_back(ada: Owner, identity: Identity) -> None:
    phone = await ada.add_passkey()
    copy = phone.but()
    for _ in range(2):
        challenge = await begin_passkey(identity)
        await complete(identity, challenge, passkey=phone.get(challenge.passkey_options))
    challenge = await begin_passkey(identity)
    assert await reason(complete(identity, challenge, passkey=copy.get(challenge.passkey_options))) == WRONG
    assert (await ada.passkeys())[0].HasField("copy_suspected_at")


async def test_a_challenge_of_nobody_lasts_five_minutes(ada: Owner, identity: Identity) -> None:
    phone = await ada.add_passkey()
    challenge = await begin_passkey(identity)
    ada.write("UPDATE passkey_log_ins SET expires_at = expires_at - interval '5 minutes' WHERE %s IS NOT NULL")
    signed = phone.get(challenge.passkey_options)
    assert await reason(complete(identity, challenge, passkey=signed)) == GONE


async def test_of_two_at_once_one_gets_a_session(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    challenge, code = await challenge_of(ada), ada.code()
    calls = [complete(identity, challenge, totp_code=code) for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert len(ada.rows("sessions")) == 1
