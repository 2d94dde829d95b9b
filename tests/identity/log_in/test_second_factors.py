"""Logging in with a second factor, and with a passkey alone."""

import asyncio
from dataclasses import replace

import pytest
import structlog

from services.identity.second_factors.challenges import TRIES, forget_challenges
from tests.harness import failure, reason
from tests.identity.authenticator import PRESENT, Authenticator
from tests.identity.conftest import PASSWORD, Identity
from tests.identity.factors import BY_PASSWORD, Owner, somebody
from tests.identity.log_in.conftest import GONE, WRONG, begin_passkey, challenge_of, complete, works
from vitalis.identity.v1 import credentials_pb2, users_pb2
from vitalis.identity.v1 import second_factors_pb2 as pb


async def test_without_a_factor_the_password_is_enough(ada: Owner, identity: Identity) -> None:
    answer = await identity.log_in()
    assert answer.user.id == ada.user_id
    assert not answer.HasField("challenge")


async def test_a_begun_app_holds_nobody_back(ada: Owner, identity: Identity) -> None:
    await ada.ask("BeginTotp", proof=BY_PASSWORD)
    assert (await identity.log_in()).tokens.access_token


async def test_a_code_completes_the_log_in(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    challenge = await challenge_of(ada)
    assert list(challenge.methods) == ["totp", "recovery_code"]
    assert not challenge.HasField("passkey_options")
    assert challenge.challenge.startswith("vch_")
    await works(identity, await complete(identity, challenge, totp_code=ada.code()), ada)
    # The challenge is used up, with a new code too.
    ada.wait()
    assert await reason(complete(identity, challenge, totp_code=ada.code())) == GONE


async def test_a_code_that_logged_in_logs_in_nobody_again(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    code = ada.code()
    await complete(identity, await challenge_of(ada), totp_code=code)
    assert await reason(complete(identity, await challenge_of(ada), totp_code=code)) == WRONG
    assert await reason(ada.ask("RemoveTotp", proof=pb.Proof(totp_code=code))) == "PROOF_REFUSED"


async def test_the_wrong_password_is_told_as_before(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    assert await reason(identity.log_in(password="wrong horse battery staple")) == "WRONG_CREDENTIALS"
    assert ada.rows("challenges") == []


async def test_a_challenge_has_five_tries(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    challenge = await challenge_of(ada)
    for _ in range(TRIES):
        # Recovery codes are not slowed down, and count as tries.
        assert await reason(complete(identity, challenge, recovery_code="0000")) == WRONG
    assert await reason(complete(identity, challenge, totp_code=ada.code())) == GONE
    await works(identity, await complete(identity, await challenge_of(ada), totp_code=ada.code()), ada)


async def test_many_tries_at_once_are_five(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    challenge = await challenge_of(ada)
    calls = [reason(complete(identity, challenge, recovery_code="0000")) for _ in range(12)]
    outcomes = await asyncio.gather(*calls)
    assert (outcomes.count(WRONG), outcomes.count(GONE)) == (TRIES, 12 - TRIES)


async def test_new_challenges_bring_no_new_guesses(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    outcomes = []
    for _ in range(4):
        challenge = await challenge_of(ada)
        outcomes += [await reason(complete(identity, challenge, totp_code=ada.wrong_code())) for _ in range(2)]
    assert outcomes == [WRONG] * 5 + ["TOO_MANY_ATTEMPTS"] * 3
    slowed = await failure(complete(identity, await challenge_of(ada), totp_code=ada.code()))
    assert slowed.reason.name == "TOO_MANY_ATTEMPTS"
    assert slowed.retry_after_seconds
    # Nobody is locked out: a recovery code works at once, the app after the wait.
    await complete(identity, await challenge_of(ada), recovery_code=ada.recovery_codes[0])
    ada.wait()
    await complete(identity, await challenge_of(ada), totp_code=ada.code())


async def test_a_challenge_lasts_five_minutes(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    challenge = await challenge_of(ada)
    ada.write("UPDATE challenges SET expires_at = expires_at - interval '5 minutes' WHERE user_id = %s")
    assert await reason(complete(identity, challenge, totp_code=ada.code())) == GONE
    await forget_challenges(identity.running.pool)
    assert ada.rows("challenges") == []


async def test_a_challenge_is_somebodys(ada: Owner, eve: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    await eve.enable_totp()
    challenge = await challenge_of(ada)
    for factor in ({"totp_code": eve.code()}, {"recovery_code": eve.recovery_codes[0]}):
        assert await reason(complete(identity, challenge, **factor)) == WRONG
    answer = await complete(identity, await challenge_of(eve), totp_code=eve.code())
    assert answer.user.id == eve.user_id


async def test_a_challenge_opens_nothing_else(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    token = (await challenge_of(ada)).challenge
    assert await reason(identity.refresh(token)) == "REFRESH_TOKEN_INVALID"
    metadata = (("vitalis-caller", token),)
    request = users_pb2.GetUserRequest(user_id=ada.user_id)
    assert await reason(identity.users.GetUser(request, metadata=metadata)) == "UNAUTHENTICATED"
    for made_up in ("vch_unknown", "x", "\0", token[:-1], token + "A"):
        fake = pb.LogInChallenge(challenge=made_up)
        assert await reason(complete(identity, fake, totp_code=ada.code())) == GONE


async def test_one_factor_has_to_be_given(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    challenge = await challenge_of(ada)
    assert await reason(complete(identity, challenge)) == "INVALID_FIELD"
    assert await reason(complete(identity, challenge, totp_code="12345")) == "INVALID_FIELD"


async def test_the_token_is_stored_as_a_hash(ada: Owner) -> None:
    await ada.enable_totp()
    token = (await challenge_of(ada)).challenge
    (row,) = ada.rows("challenges")
    assert token.encode() not in bytes(row["token_sha256"])
    assert token not in str(row)


async def test_a_recovery_code_works_once_and_is_told(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    code = ada.recovery_codes[3]
    # As somebody types it who reads it off paper.
    typed = code.upper().replace("-", " ").replace("1", "I").replace("0", "O")
    await works(identity, await complete(identity, await challenge_of(ada), recovery_code=typed), ada)
    assert await reason(complete(identity, await challenge_of(ada), recovery_code=code)) == WRONG
    assert (await ada.ask("GetSecondFactors")).recovery_codes_left == 9
    assert (await ada.mails())[-1] == "A recovery code was used"
    assert "You have 9 left" in str(identity.mails()[-1].get_content())


async def test_new_recovery_codes_end_the_old_ones(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    old = ada.recovery_codes
    new = (await ada.ask("RegenerateRecoveryCodes", proof=BY_PASSWORD)).recovery_codes
    assert not set(old) & set(new)
    assert await reason(complete(identity, await challenge_of(ada), recovery_code=old[0])) == WRONG
    await works(identity, await complete(identity, await challenge_of(ada), recovery_code=new[0]), ada)


async def test_without_recovery_codes_left_they_are_not_offered(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    ada.write("UPDATE recovery_codes SET used_at = now() WHERE user_id = %s")
    assert list((await challenge_of(ada)).methods) == ["totp"]


async def test_a_passkey_completes_the_log_in(ada: Owner, identity: Identity) -> None:
    # It does not verify its owner: the password has.
    key = await ada.add_passkey(Authenticator(flags=PRESENT))
    challenge = await challenge_of(ada)
    assert list(challenge.methods) == ["passkey", "recovery_code"]
    signed = key.get(challenge.passkey_options)
    await works(identity, await complete(identity, challenge, passkey=signed), ada)
    assert await reason(complete(identity, challenge, passkey=signed)) == GONE
    # Nor does what it signed complete another log-in.
    assert await reason(complete(identity, await challenge_of(ada), passkey=signed)) == WRONG


async def test_a_passkeys_signature_is_for_its_challenge(ada: Owner, identity: Identity) -> None:
    phone = await ada.add_passkey()
    first, second = await challenge_of(ada), await challenge_of(ada)
    assert await reason(complete(identity, second, passkey=phone.get(first.passkey_options))) == WRONG
    # One that was signed as a proof completes no log-in either.
    assert await reason(complete(identity, second, passkey=phone.get(await ada.passkey_options()))) == WRONG


async def test_removing_the_last_factor_makes_the_password_enough_again(ada: Owner, identity: Identity) -> None:
    await ada.enable_totp()
    await challenge_of(ada)
    await ada.ask("RemoveTotp", proof=BY_PASSWORD)
    assert (await identity.log_in()).tokens.access_token


async def test_a_log_in_that_waits_is_not_completed_by_a_factor_that_was_removed(
    ada: Owner, identity: Identity
) -> None:
    await ada.enable_totp()
    await ada.add_passkey()
    challenge = await challenge_of(ada)
    await ada.ask("RemoveTotp", proof=BY_PASSWORD)
    assert await reason(complete(identity, challenge, totp_code=ada.code())) == WRONG


@pytest.mark.parametrize("state", ["suspended", "deleted"])
async def test_who_is_suspended_or_gone_completes_nothing(ada: Owner, identity: Identity, state: str) -> None:
    phone = await ada.add_passkey()
    await ada.enable_totp()
    challenge, alone = await challenge_of(ada), await begin_passkey(identity)
    change = {
        "suspended": "account_status = 'suspended', suspended_at = now()",
        "deleted": "account_status = 'deleted', deleted_at = now()",
    }
    ada.write(f"UPDATE users SET {change[state]} WHERE id = %s")
    refused = {
        await reason(complete(identity, challenge, totp_code=ada.code())),
        await reason(complete(identity, alone, passkey=phone.get(alone.passkey_options))),
    }
    assert refused == {"ACCOUNT_SUSPENDED"}
    assert ada.rows("sessions") == []


async def test_a_new_password_ends_log_ins_that_wait(ada: Owner, identity: Identity) -> None:
    """Who knew the old password, and has a code by now, comes too late."""
    await ada.enable_totp()
    challenge = await challenge_of(ada)
    change = credentials_pb2.ChangePasswordRequest(
        user_id=ada.user_id, old_password=PASSWORD, new_password="quite another horse's battery"
    )
    await identity.credentials.ChangePassword(change, metadata=identity.metadata(ada.caller))
    assert await reason(complete(identity, challenge, totp_code=ada.code())) == GONE


async def test_somebody_without_password_or_factor_proves_by_having_just_logged_in(identity: Identity) -> None:
    linus = await somebody(identity, "linus@example.com", password_hash=None)
    session = "01990000-0000-7000-8000-000000000009"
    linus.write("INSERT INTO sessions (id, expires_at, user_id) VALUES (%s, now() + interval '1 day', %s)", session)
    logged_in = replace(linus, session_id=session)
    assert await reason(linus.ask("BeginTotp")) == "PROOF_REFUSED"
    logged_in.secret = (await logged_in.ask("BeginTotp")).secret
    linus.write("UPDATE sessions SET created_at = now() - interval '10 minutes' WHERE user_id = %s")
    assert await reason(logged_in.ask("BeginTotp")) == "PROOF_REFUSED"
    # From now on there is something to prove with.
    linus.write("UPDATE sessions SET created_at = now() WHERE user_id = %s")
    await logged_in.confirm()
    assert await reason(logged_in.ask("RemoveTotp")) == "PROOF_REFUSED"
    await logged_in.ask("RemoveTotp", proof=pb.Proof(totp_code=logged_in.code()))


async def test_somebody_elses_session_proves_nothing(ada: Owner, eve: Owner, identity: Identity) -> None:
    for owner in (ada, eve):
        owner.write("UPDATE users SET password_hash = NULL WHERE id = %s")
    session = "01990000-0000-7000-8000-000000000009"
    eve.write("INSERT INTO sessions (id, expires_at, user_id) VALUES (%s, now() + interval '1 day', %s)", session)
    assert await reason(replace(ada, session_id=session).ask("BeginTotp")) == "PROOF_REFUSED"
    # An ended session neither.
    eve.write("UPDATE sessions SET revoked_at = now(), revoked_reason = 'logged_out' WHERE user_id = %s")
    assert await reason(replace(eve, session_id=session).ask("BeginTotp")) == "PROOF_REFUSED"


async def test_who_has_a_password_needs_it_however_fresh_the_session(ada: Owner, identity: Identity) -> None:
    session = "01990000-0000-7000-8000-000000000009"
    ada.write("INSERT INTO sessions (id, expires_at, user_id) VALUES (%s, now() + interval '1 day', %s)", session)
    assert await reason(replace(ada, session_id=session).ask("BeginTotp")) == "PROOF_REFUSED"


async def test_logs_hold_no_secret(ada: Owner, identity: Identity) -> None:
    with structlog.testing.capture_logs() as lines:
        await ada.enable_totp()
        phone = await ada.add_passkey()
        challenge = await challenge_of(ada)
        wrong = ada.wrong_code()
        await reason(complete(identity, challenge, totp_code=wrong))
        code = ada.code()
        await complete(identity, challenge, totp_code=code)
        alone = await begin_passkey(identity)
        signed = phone.get(alone.passkey_options)
        answer = await complete(identity, alone, passkey=signed)
        await reason(complete(identity, alone, passkey=signed))
        await ada.mails()
    written = repr([{**line, "request_id": ""} for line in lines])
    secrets = [ada.secret, PASSWORD, ada.email, challenge.challenge, alone.challenge, *ada.recovery_codes]
    secrets += [answer.tokens.refresh_token, answer.tokens.access_token, ada.user_id]
    assert [secret for secret in secrets if secret in written] == []


async def test_a_challenge_does_not_name_the_person(ada: Owner) -> None:
    await ada.enable_totp()
    challenge = await challenge_of(ada)
    assert ada.user_id not in str(challenge)
    assert ada.email not in str(challenge)
