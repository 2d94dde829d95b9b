"""Authenticator apps: turning them on and off, and what a code is good for."""

import asyncio
import hashlib
import hmac
import json
import time
from base64 import b32decode, b32encode
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import assume, given
from hypothesis import strategies as st

from services.identity.attempts import PAIR_FREE
from services.identity.second_factors.totp import FREE_FAILURES, LONGEST_DELAY, delay, matching_step
from tests.harness import failure, person, reason
from tests.identity.conftest import PASSWORD, Identity
from tests.identity.factors import BY_PASSWORD, Owner, somebody
from vitalis.identity.v1 import second_factors_pb2 as pb
from vitalis.identity.v1 import second_factors_pb2_grpc

# RFC 6238 appendix B, SHA-1: the secret is "12345678901234567890"; the last six of its eight digits.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_CODES = {
    59: "287082",
    1111111109: "081804",
    1111111111: "050471",
    1234567890: "005924",
    2000000000: "279037",
    20000000000: "353130",
}


@pytest.fixture
async def ada(identity: Identity) -> Owner:
    return await somebody(identity)


@pytest.fixture
async def eve(identity: Identity) -> Owner:
    return await somebody(identity, "eve@example.com")


@pytest.mark.parametrize(("moment", "code"), RFC_CODES.items())
def test_the_codes_of_the_rfc(moment: int, code: str) -> None:
    assert matching_step(RFC_SECRET, code, moment, None) == moment // 30


SECRETS = st.binary(min_size=20, max_size=20).map(lambda raw: b32encode(raw).decode())


@given(SECRETS, st.integers(300, 2**33), st.integers(-5, 5), st.none() | st.integers(-3, 3))
def test_a_code_counts_one_step_around_and_once(secret: str, moment: int, offset: int, last: int | None) -> None:
    app, now = pyotp.TOTP(secret), moment // 30
    code = app.generate_otp(now + offset)
    # Two steps have the same code once in a million times.
    assume(all(app.generate_otp(now + other) != code for other in (-1, 0, 1) if other != offset))
    is_new = last is None or offset > last
    found = matching_step(secret, code, moment, None if last is None else now + last)
    assert found == (now + offset if abs(offset) <= 1 and is_new else None)


@given(st.integers(0, 10**9))
def test_wrong_codes_cost_more_and_more_time_but_an_hour_at_most(failures: int) -> None:
    wait, next_wait = delay(failures), delay(failures + 1)
    assert (wait is None) == (failures < FREE_FAILURES)
    assert wait is None or wait <= LONGEST_DELAY
    assert wait is None or (next_wait and wait <= next_wait)


async def test_an_app_is_on_once_a_code_of_it_was_seen(ada: Owner) -> None:
    begun = await ada.ask("BeginTotp", proof=BY_PASSWORD)
    assert not (await ada.ask("GetSecondFactors")).HasField("totp_confirmed_at")
    ada.secret = begun.secret
    answer = await ada.ask("ConfirmTotp", totp_code=ada.code())
    assert len(set(answer.recovery_codes)) == 10
    state = await ada.ask("GetSecondFactors")
    assert state.HasField("totp_confirmed_at")
    assert (state.recovery_codes_left, state.passkeys) == (10, 0)


async def test_the_uri_says_the_same_as_the_secret(ada: Owner) -> None:
    begun = await ada.ask("BeginTotp", proof=BY_PASSWORD)
    uri = urlsplit(begun.otpauth_uri)
    assert (uri.scheme, uri.netloc, unquote(uri.path)) == ("otpauth", "totp", f"/Vitalis:{ada.email}")
    assert parse_qs(uri.query) == {"secret": [begun.secret], "issuer": ["Vitalis"]}
    # An app's own arithmetic, without the library.
    digest = hmac.digest(b32decode(begun.secret), (int(time.time()) // 30).to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    await ada.ask("ConfirmTotp", totp_code=f"{number % 10**6:06d}")


async def test_the_secret_is_stored_encrypted_and_bound_to_its_row(ada: Owner, eve: Owner) -> None:
    await ada.enable_totp()
    (row,) = ada.rows("totp_factors")
    assert ada.secret.encode() not in row["secret"]
    await eve.enable_totp()
    # Her own secret in the place of Ada's would let her in.
    ada.write("UPDATE totp_factors SET secret = %s WHERE user_id = %s", eve.rows("totp_factors")[0]["secret"])
    refused = await failure(ada.ask("RemoveTotp", proof=pb.Proof(totp_code=eve.code())))
    assert refused.reason.name == "INTERNAL"


async def test_a_wrong_code_turns_nothing_on(ada: Owner) -> None:
    assert await reason(ada.ask("ConfirmTotp", totp_code="000000")) == "NOT_FOUND"
    ada.secret = (await ada.ask("BeginTotp", proof=BY_PASSWORD)).secret
    assert await reason(ada.ask("ConfirmTotp", totp_code=ada.wrong_code())) == "CODE_WRONG"
    for code in ("", "12345", "1234567", "12345a", "１２３４５６", "123456\n"):
        assert await reason(ada.ask("ConfirmTotp", totp_code=code)) == "INVALID_FIELD"
    assert not (await ada.ask("GetSecondFactors")).HasField("totp_confirmed_at")


async def test_a_secret_can_be_confirmed_for_a_quarter_of_an_hour(ada: Owner) -> None:
    ada.secret = (await ada.ask("BeginTotp", proof=BY_PASSWORD)).secret
    ada.write("UPDATE totp_factors SET created_at = created_at - interval '15 minutes' WHERE user_id = %s")
    assert await reason(ada.ask("ConfirmTotp", totp_code=ada.code())) == "NOT_FOUND"


async def test_beginning_again_replaces_what_was_not_confirmed(ada: Owner) -> None:
    ada.secret = (await ada.ask("BeginTotp", proof=BY_PASSWORD)).secret
    first = ada.code()
    ada.secret = (await ada.ask("BeginTotp", proof=BY_PASSWORD)).secret
    if first != ada.code():
        assert await reason(ada.ask("ConfirmTotp", totp_code=first)) == "CODE_WRONG"
    await ada.confirm()
    assert len(ada.rows("totp_factors")) == 1


async def test_a_new_app_replaces_the_old_one_when_it_is_confirmed(ada: Owner) -> None:
    await ada.enable_totp()
    old, codes = ada.secret, ada.recovery_codes
    ada.secret = (await ada.ask("BeginTotp", proof=pb.Proof(totp_code=ada.code()))).secret
    # The old one holds until then.
    new, ada.secret = ada.secret, old
    ada.wait()
    await ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(totp_code=ada.code()))
    ada.secret = new
    await ada.confirm()
    # Recovery codes that are there are not replaced.
    assert ada.recovery_codes == codes
    ada.secret = old
    assert await reason(ada.ask("RemoveTotp", proof=pb.Proof(totp_code=ada.code()))) == "PROOF_REFUSED"
    ada.secret = new
    await ada.ask("RemoveTotp", proof=pb.Proof(totp_code=ada.code()))


async def test_a_code_works_once(ada: Owner) -> None:
    await ada.enable_totp()
    code = ada.code()
    await ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(totp_code=code))
    again = ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(totp_code=code))
    assert await reason(again) == "PROOF_REFUSED"


async def test_the_code_that_turned_the_app_on_is_used_up_too(ada: Owner) -> None:
    ada.secret = (await ada.ask("BeginTotp", proof=BY_PASSWORD)).secret
    code = ada.code()
    await ada.ask("ConfirmTotp", totp_code=code)
    assert await reason(ada.ask("RemoveTotp", proof=pb.Proof(totp_code=code))) == "PROOF_REFUSED"


async def test_of_many_at_once_with_one_code_one_gets_through(ada: Owner) -> None:
    await ada.enable_totp()
    code = ada.code()
    calls = [ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(totp_code=code)) for _ in range(6)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1


async def test_guessing_is_slowed_down_and_told_and_ends(ada: Owner) -> None:
    await ada.enable_totp()
    for _ in range(FREE_FAILURES):
        refused = await failure(ada.ask("RemoveTotp", proof=pb.Proof(totp_code=ada.wrong_code())))
        assert refused.reason.name == "PROOF_REFUSED"
    # Now even the right one is not looked at, and does not count as wrong.
    for _ in range(3):
        slowed = await failure(ada.ask("RemoveTotp", proof=pb.Proof(totp_code=ada.code())))
        assert slowed.reason.name == "TOO_MANY_ATTEMPTS"
        assert slowed.retry_after_seconds
        assert 0 < slowed.retry_after_seconds <= 30
    assert await ada.mails() == ["A second factor was added", "Wrong codes for your account"]
    # The next wrong one after the wait costs more; the person is not told again.
    ada.wait()
    await reason(ada.ask("RemoveTotp", proof=pb.Proof(totp_code=ada.wrong_code())))
    longer = await failure(ada.ask("RemoveTotp", proof=pb.Proof(totp_code=ada.code())))
    assert longer.retry_after_seconds
    assert 30 < longer.retry_after_seconds <= 60
    assert len(await ada.mails()) == 2
    # What cannot be guessed goes on working meanwhile.
    await ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(recovery_code=ada.recovery_codes[0]))
    ada.wait()
    await ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(totp_code=ada.code()))
    assert ada.rows("totp_factors")[0]["failures"] == 0


async def test_many_wrong_codes_at_once_are_no_way_around_the_wait(ada: Owner) -> None:
    await ada.enable_totp()
    wrong = pb.Proof(totp_code=ada.wrong_code())
    calls = [reason(ada.ask("RemoveTotp", proof=wrong)) for _ in range(12)]
    outcomes = await asyncio.gather(*calls)
    assert outcomes.count("PROOF_REFUSED") == FREE_FAILURES
    assert outcomes.count("TOO_MANY_ATTEMPTS") == 12 - FREE_FAILURES


async def test_a_guessed_secret_to_confirm_is_slowed_down_too(ada: Owner) -> None:
    ada.secret = (await ada.ask("BeginTotp", proof=BY_PASSWORD)).secret
    for _ in range(FREE_FAILURES):
        assert await reason(ada.ask("ConfirmTotp", totp_code=ada.wrong_code())) == "CODE_WRONG"
    assert await reason(ada.ask("ConfirmTotp", totp_code=ada.code())) == "TOO_MANY_ATTEMPTS"


async def test_changes_need_a_proof_and_it_must_be_right(ada: Owner) -> None:
    await ada.enable_totp()
    proofs = [
        pb.Proof(),
        pb.Proof(password="wrong horse battery staple"),
        pb.Proof(totp_code=ada.wrong_code()),
        pb.Proof(recovery_code="0000-0000-0000-0000-0000-0000"),
        pb.Proof(passkey=Struct()),
    ]
    for proof in proofs:
        for name in ("BeginTotp", "RemoveTotp", "RegenerateRecoveryCodes", "BeginPasskey"):
            assert await reason(ada.ask(name, proof=proof)) == "PROOF_REFUSED"
        ada.wait()
        ada.write("UPDATE totp_factors SET failures = 0 WHERE user_id = %s")


async def test_passwords_are_not_guessed_as_proofs_either(ada: Owner) -> None:
    guess = pb.Proof(password="wrong horse battery staple")
    outcomes = [await reason(ada.ask("BeginTotp", proof=guess)) for _ in range(PAIR_FREE + 2)]
    assert outcomes == ["PROOF_REFUSED"] * PAIR_FREE + ["TOO_MANY_ATTEMPTS"] * 2
    assert await reason(ada.ask("BeginTotp", proof=BY_PASSWORD)) == "TOO_MANY_ATTEMPTS"


async def test_somebody_elses_proof_is_none(ada: Owner, eve: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    await eve.enable_totp()
    for proof in (pb.Proof(totp_code=eve.code()), pb.Proof(recovery_code=eve.recovery_codes[0])):
        assert await reason(ada.ask("RemoveTotp", proof=proof)) == "PROOF_REFUSED"
    # Nor does her own proof reach Ada's factors.
    request = pb.RemoveTotpRequest(user_id=ada.user_id, proof=BY_PASSWORD)
    stub = second_factors_pb2_grpc.SecondFactorsServiceStub(identity.running.channel)
    assert await reason(stub.RemoveTotp(request, metadata=identity.metadata(eve.caller))) == "SUBJECT_MISMATCH"


async def test_removing_the_last_factor_leaves_nothing_and_is_told(ada: Owner) -> None:
    assert await reason(ada.ask("RemoveTotp", proof=BY_PASSWORD)) == "NOT_FOUND"
    await ada.enable_totp()
    await ada.ask("RemoveTotp", proof=BY_PASSWORD)
    assert await ada.ask("GetSecondFactors") == pb.GetSecondFactorsResponse()
    assert (ada.rows("totp_factors"), ada.rows("recovery_codes")) == ([], [])
    assert await ada.mails() == [
        "A second factor was added",
        "Your account has no second factor any more",
    ]


async def test_somebody_who_is_not_there_begins_nothing(identity: Identity) -> None:
    nobody = Owner(identity, person().subject, "nobody@example.com")
    assert await reason(nobody.ask("BeginTotp", proof=BY_PASSWORD)) == "PROOF_REFUSED"
    assert await reason(nobody.ask("ConfirmTotp", totp_code="000000")) == "NOT_FOUND"


async def test_the_trail_says_what_happened_and_no_secret(ada: Owner) -> None:
    await ada.enable_totp()
    await ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(recovery_code=ada.recovery_codes[0]))
    written = json.dumps([{**row, "created_at": None} for row in ada.rows("audit_log")], default=str)
    assert '"table_name": "totp_factors"' in written
    assert '"table_name": "recovery_codes"' in written
    (row,) = ada.rows("totp_factors")
    for secret in (ada.secret, row["secret"].hex(), PASSWORD, *ada.recovery_codes):
        assert secret not in written
