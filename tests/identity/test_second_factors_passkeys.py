"""Passkeys: registering and managing them, and what they sign as a proof."""

import asyncio
from typing import Any
from uuid import UUID

import cbor2
import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from services.identity.second_factors.passkeys import MOST
from services.identity.second_factors.webauthn_ceremonies import Assertion, Refused, RelyingParty, challenge_of_creation
from services.identity.settings import IdentitySettings
from tests.harness import reason
from tests.identity.authenticator import ORIGIN, PRESENT, VERIFIED, Authenticator, decode, encode, to_struct
from tests.identity.conftest import Identity
from tests.identity.factors import BY_PASSWORD, Owner, somebody
from vitalis.identity.v1 import passkeys_pb2
from vitalis.identity.v1 import second_factors_pb2 as pb

RELYING_PARTY = RelyingParty("localhost", "Vitalis", (ORIGIN,))


@pytest.fixture
async def ada(identity: Identity) -> Owner:
    return await somebody(identity)


@pytest.fixture
async def eve(identity: Identity) -> Owner:
    return await somebody(identity, "eve@example.com")


def as_dict(struct: Struct) -> Any:
    return json_format.MessageToDict(struct)


async def refused(owner: Owner, authenticator: Authenticator) -> str:
    """What a proof with a passkey is answered."""
    signed = authenticator.get(await owner.passkey_options())
    return await reason(owner.ask("RegenerateRecoveryCodes", proof=pb.Proof(passkey=signed)))


async def prove(owner: Owner, authenticator: Authenticator) -> None:
    signed = authenticator.get(await owner.passkey_options())
    await owner.ask("RegenerateRecoveryCodes", proof=pb.Proof(passkey=signed))


async def test_a_passkey_is_registered_used_renamed_and_removed(ada: Owner) -> None:
    phone = await ada.add_passkey(name="Phone")
    assert len(ada.recovery_codes) == 10
    (passkey,) = await ada.passkeys()
    assert (passkey.name, passkey.backed_up, passkey.HasField("last_used_at")) == ("Phone", False, False)

    await prove(ada, phone)
    (used,) = await ada.passkeys()
    assert used.HasField("last_used_at")

    renamed = passkeys_pb2.Passkey(name="Old phone", etag=used.etag)
    answer = await ada.ask("UpdatePasskey", id=passkey.id, passkey=renamed)
    assert answer.passkey.name == "Old phone"
    assert await reason(ada.ask("UpdatePasskey", id=passkey.id, passkey=renamed)) == "ETAG_MISMATCH"

    await ada.ask("RemovePasskey", id=passkey.id, proof=BY_PASSWORD)
    assert await ada.passkeys() == []
    assert await ada.ask("GetSecondFactors") == pb.GetSecondFactorsResponse()
    again = ada.ask("RemovePasskey", id=passkey.id, proof=BY_PASSWORD)
    assert await reason(again) == "NOT_FOUND"
    assert await ada.mails() == [
        "A second factor was added",
        "Your recovery codes were replaced",
        "Your account has no second factor any more",
    ]


async def test_recovery_codes_stay_while_there_is_a_factor(ada: Owner) -> None:
    await ada.add_passkey()
    codes = ada.recovery_codes
    await ada.add_passkey(name="Key ring")
    assert ada.recovery_codes == codes
    newest, _ = await ada.passkeys()
    assert newest.name == "Key ring"
    await ada.ask("RemovePasskey", id=newest.id, proof=pb.Proof(recovery_code=codes[0]))
    assert (await ada.ask("GetSecondFactors")).recovery_codes_left == 9
    assert (await ada.mails())[-2:] == ["A recovery code was used", "A second factor was removed"]


async def test_what_a_browser_is_asked_for(ada: Owner) -> None:
    phone = await ada.add_passkey()
    asked = as_dict((await ada.ask("BeginPasskey", proof=BY_PASSWORD)).passkey_options)
    assert asked["rp"] == {"id": "localhost", "name": "Vitalis"}
    # The user handle is no email, and no name.
    assert decode(asked["user"]["id"]).hex() == ada.user_id.replace("-", "")
    assert [one["id"] for one in asked["excludeCredentials"]] == [encode(phone.credential_id)]
    assert asked["authenticatorSelection"]["residentKey"] == "preferred"
    assert asked["timeout"] == 300_000
    assert asked["attestation"] == "none"
    assert len(decode(asked["challenge"])) >= 32
    options = as_dict(await ada.passkey_options())
    assert options["allowCredentials"] == [
        {"id": encode(phone.credential_id), "type": "public-key", "transports": ["internal", "hybrid"]}
    ]


LIES = {
    "another origin": {"origin": "https://localhost.example.com"},
    "another port": {"origin": "http://localhost:8081"},
    "another domain": {"rp_id": "example.com"},
    "a frame of another page": {"cross_origin": True},
    "nobody was there": {"flags": VERIFIED},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_a_registration_that_does_not_hold(ada: Owner, lie: dict[str, Any]) -> None:
    options = (await ada.ask("BeginPasskey", proof=BY_PASSWORD)).passkey_options
    sent = Authenticator(**lie).create(options)
    assert await reason(ada.ask("CreatePasskey", credential=sent, name="Phone")) == "PASSKEY_REFUSED"
    # It has used up the challenge.
    honest = Authenticator().create(options)
    assert await reason(ada.ask("CreatePasskey", credential=honest, name="Phone")) == "PASSKEY_REFUSED"
    assert await ada.passkeys() == []


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_an_assertion_that_does_not_hold(ada: Owner, lie: dict[str, Any]) -> None:
    phone = await ada.add_passkey()
    assert await refused(ada, phone.but(**lie)) == "PROOF_REFUSED"
    await prove(ada, phone.but(counter=9))


async def test_a_passkey_that_does_not_verify_its_owner_is_a_second_factor(ada: Owner) -> None:
    key = await ada.add_passkey(Authenticator(flags=PRESENT))
    await prove(ada, key)


async def test_another_key_under_the_same_id(ada: Owner) -> None:
    phone = await ada.add_passkey()
    forged = phone.but(key=Authenticator().key)
    assert await refused(ada, forged) == "PROOF_REFUSED"


async def test_a_signature_is_good_once(ada: Owner) -> None:
    phone = await ada.add_passkey()
    signed = pb.Proof(passkey=phone.get(await ada.passkey_options()))
    await ada.ask("RegenerateRecoveryCodes", proof=signed)
    assert await reason(ada.ask("RegenerateRecoveryCodes", proof=signed)) == "PROOF_REFUSED"


async def test_a_signature_is_good_for_five_minutes(ada: Owner) -> None:
    phone = await ada.add_passkey()
    options = await ada.passkey_options()
    ada.write("UPDATE challenges SET expires_at = expires_at - interval '5 minutes' WHERE user_id = %s")
    late = ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(passkey=phone.get(options)))
    assert await reason(late) == "PROOF_REFUSED"


async def test_a_challenge_is_for_one_purpose(ada: Owner) -> None:
    phone = await ada.add_passkey()
    registration = as_dict((await ada.ask("BeginPasskey", proof=BY_PASSWORD)).passkey_options)
    signed = phone.get(to_struct({**registration, "rpId": "localhost"}))
    call = ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(passkey=signed))
    assert await reason(call) == "PROOF_REFUSED"
    proof = as_dict(await ada.passkey_options())
    made = Authenticator().create(to_struct({**registration, "challenge": proof["challenge"]}))
    assert await reason(ada.ask("CreatePasskey", credential=made, name="Phone")) == "PASSKEY_REFUSED"


async def test_somebody_elses_passkey_and_challenge(ada: Owner, eve: Owner) -> None:
    phone, hers = await ada.add_passkey(), await eve.add_passkey()
    # Her passkey on Ada's challenge, and under Ada's name.
    assert await refused(ada, hers) == "PROOF_REFUSED"
    assert await refused(ada, hers.but(user_handle=phone.user_handle)) == "PROOF_REFUSED"
    assert await refused(ada, hers.but(credential_id=phone.credential_id, user_handle=phone.user_handle)) == (
        "PROOF_REFUSED"
    )
    # Ada's signature on Eve's challenge is Eve's proof as little as Ada's.
    signed = pb.Proof(passkey=phone.get(await eve.passkey_options()))
    assert await reason(ada.ask("RegenerateRecoveryCodes", proof=signed)) == "PROOF_REFUSED"
    assert await reason(eve.ask("RegenerateRecoveryCodes", proof=signed)) == "PROOF_REFUSED"
    # A registration begun by one is completed by nobody else.
    options = (await ada.ask("BeginPasskey", proof=BY_PASSWORD)).passkey_options
    made = Authenticator().create(options)
    assert await reason(eve.ask("CreatePasskey", credential=made, name="Phone")) == "PASSKEY_REFUSED"


async def test_somebody_with_a_right_proof_reaches_their_own_passkeys_alone(ada: Owner, eve: Owner) -> None:
    await ada.add_passkey()
    before = await ada.passkeys()
    assert await reason(eve.ask("RemovePasskey", id=before[0].id, proof=BY_PASSWORD)) == "NOT_FOUND"
    assert await reason(eve.ask("UpdatePasskey", id=before[0].id, passkey={"name": "Hers"})) == "NOT_FOUND"
    assert await eve.passkeys() == []
    assert await ada.passkeys() == before


async def test_a_passkey_that_names_somebody_else_is_refused(ada: Owner, eve: Owner) -> None:
    phone = await ada.add_passkey()
    hers = await eve.add_passkey()
    assert await refused(ada, phone.but(user_handle=hers.user_handle)) == "PROOF_REFUSED"
    await prove(ada, phone.but(user_handle=b"", counter=5))


async def test_one_credential_of_two_people_opens_to_each_their_own(ada: Owner, eve: Owner) -> None:
    """Somebody who has seen a credential's id and public key can register them as their own, and gains nothing."""
    phone = await ada.add_passkey()
    options = (await eve.ask("BeginPasskey", proof=BY_PASSWORD)).passkey_options
    await eve.ask("CreatePasskey", credential=phone.but().create(options), name="Taken")
    await prove(ada, phone)
    assert len(await ada.passkeys()) == len(await eve.passkeys()) == 1


async def test_a_counter_that_goes_back_is_refused_recorded_and_told(ada: Owner) -> None:
    phone = await ada.add_passkey()
    copy = phone.but()
    for _ in range(3):
        await prove(ada, phone)
    assert await refused(ada, copy) == "PROOF_REFUSED"
    (passkey,) = await ada.passkeys()
    assert passkey.HasField("copy_suspected_at")
    assert (await ada.mails())[-1] == "A passkey was refused"
    # Standing still is going back.
    assert await refused(ada, phone.but(counter=2)) == "PROOF_REFUSED"
    await prove(ada, phone)


async def test_a_counter_is_not_recorded_for_a_signature_that_does_not_hold(ada: Owner) -> None:
    phone = await ada.add_passkey()
    await prove(ada, phone)
    assert await refused(ada, phone.but(counter=0, key=Authenticator().key)) == "PROOF_REFUSED"
    (passkey,) = await ada.passkeys()
    assert not passkey.HasField("copy_suspected_at")


async def test_a_passkey_that_does_not_count_works_again_and_again(ada: Owner) -> None:
    phone = await ada.add_passkey(Authenticator(counts=False))
    await prove(ada, phone)
    await prove(ada, phone)


async def test_of_two_at_once_with_one_counter_one_gets_through(ada: Owner) -> None:
    phone = await ada.add_passkey()
    first, second = await ada.passkey_options(), await ada.passkey_options()
    signed = [phone.but().get(options) for options in (first, second)]
    calls = [ada.ask("RegenerateRecoveryCodes", proof=pb.Proof(passkey=one)) for one in signed]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(outcome, BaseException) for outcome in outcomes) == 1


async def test_the_same_passkey_twice(ada: Owner) -> None:
    phone = await ada.add_passkey()
    options = (await ada.ask("BeginPasskey", proof=BY_PASSWORD)).passkey_options
    again = ada.ask("CreatePasskey", credential=phone.create(options), name="Again")
    assert await reason(again) == "ALREADY_EXISTS"


async def test_nobody_has_passkeys_without_end(ada: Owner) -> None:
    await ada.add_passkey()
    begun = (await ada.ask("BeginPasskey", proof=BY_PASSWORD)).passkey_options
    ada.write(
        "INSERT INTO passkeys (id, name, credential_id, public_key, sign_count, transports, backed_up, user_id)"
        " SELECT gen_random_uuid(), 'Copy', int4send(n), '', 0, '{}', false, p.user_id"
        " FROM passkeys p, generate_series(2, %s) n WHERE p.user_id = %s",
        MOST,
    )
    assert await reason(ada.ask("BeginPasskey", proof=BY_PASSWORD)) == "TOO_MANY_PASSKEYS"
    late = ada.ask("CreatePasskey", credential=Authenticator().create(begun), name="Late")
    assert await reason(late) == "TOO_MANY_PASSKEYS"
    page = await ada.ask("ListPasskeys", page_size=7)
    assert len(page.passkeys) == 7
    assert await reason(ada.ask("ListPasskeys", page_token=page.next_page_token[:-2])) == "INVALID_PAGE_TOKEN"


async def test_without_a_passkey_there_is_nothing_to_sign(ada: Owner) -> None:
    assert await reason(ada.ask("BeginPasskeyProof")) == "NOT_FOUND"
    unknown = {"id": "01990000-0000-7000-8000-000000000001"}
    assert await reason(ada.ask("UpdatePasskey", **unknown, passkey={"name": "New"})) == "NOT_FOUND"
    for name in ("", " ", "a\tb", "x" * 101):
        assert await reason(ada.ask("CreatePasskey", credential={"id": "a"}, name=name)) == "INVALID_FIELD"


async def test_passkeys_need_a_proof(ada: Owner) -> None:
    await ada.enable_totp()
    await ada.add_passkey()
    (passkey,) = await ada.passkeys()
    assert await reason(ada.ask("RemovePasskey", id=passkey.id)) == "PROOF_REFUSED"
    assert await reason(ada.ask("BeginPasskey")) == "PROOF_REFUSED"
    for _ in range(5):
        await reason(ada.ask("BeginPasskey", proof=pb.Proof(totp_code=ada.wrong_code())))
    slowed = pb.Proof(totp_code=ada.code())
    assert await reason(ada.ask("BeginPasskey", proof=slowed)) == "TOO_MANY_ATTEMPTS"
    assert await reason(ada.ask("RemovePasskey", id=passkey.id, proof=slowed)) == "TOO_MANY_ATTEMPTS"
    assert await reason(ada.ask("BeginTotp", proof=slowed)) == "TOO_MANY_ATTEMPTS"
    assert await reason(ada.ask("RegenerateRecoveryCodes", proof=slowed)) == "TOO_MANY_ATTEMPTS"


async def test_recovery_codes_are_for_who_has_a_factor(ada: Owner) -> None:
    assert await reason(ada.ask("RegenerateRecoveryCodes", proof=BY_PASSWORD)) == "NOT_FOUND"


# What a browser sends, changed at random: everything is refused, and nothing is a fault.

OPTIONS = RELYING_PARTY.creation_options(UUID(int=7), "ada@example.com", "Ada", b"vch_challenge", [])
CREATED = Authenticator().create(OPTIONS)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def test_the_unchanged_one_is_accepted() -> None:
    assert challenge_of_creation(CREATED) == "vch_challenge"
    assert RELYING_PARTY.verify_creation(CREATED, "vch_challenge").sign_count == 0


@given(st.sampled_from(["id", "rawId", "type", "response"]), ANYTHING)
def test_a_changed_field_is_refused(name: str, value: Any) -> None:
    sent = as_dict(CREATED)
    if sent[name] == value:
        return
    with pytest.raises(Refused):
        RELYING_PARTY.verify_creation(to_struct({**sent, name: value}), "vch_challenge")


@given(st.sampled_from(["clientDataJSON", "attestationObject"]), ANYTHING)
def test_a_changed_part_of_the_response_is_refused(name: str, value: Any) -> None:
    sent = as_dict(CREATED)
    changed = {**sent, "response": {**sent["response"], name: value}}
    with pytest.raises(Refused):
        RELYING_PARTY.verify_creation(to_struct(changed), "vch_challenge")


CBOR = st.recursive(
    st.integers() | st.binary(max_size=40) | st.text(max_size=10) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4),
    max_leaves=8,
)


@given(st.binary(max_size=300) | CBOR.map(cbor2.dumps))
@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_attestation_is_refused_or_read(attestation: bytes) -> None:
    sent = as_dict(CREATED)
    changed = {**sent, "response": {**sent["response"], "attestationObject": encode(attestation)}}
    with pytest.raises(Refused):
        RELYING_PARTY.verify_creation(to_struct(changed), "vch_challenge")


@given(st.dictionaries(st.sampled_from(["id", "rawId", "type", "response", "x"]), ANYTHING))
def test_any_object_is_no_assertion(sent: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        Assertion.read(to_struct(sent))


@given(st.binary(max_size=400))
def test_any_other_signature_does_not_hold(noise: bytes) -> None:
    phone = Authenticator()
    made = RELYING_PARTY.verify_creation(phone.create(OPTIONS), "vch_challenge")
    asked = RELYING_PARTY.request_options(b"vch_other", [], alone=False)
    sent = as_dict(phone.get(asked))
    assert (
        RELYING_PARTY.verify_assertion(Assertion.read(to_struct(sent)), "vch_other", made.public_key, alone=True) == 1
    )
    if encode(noise) == sent["response"]["signature"]:
        return
    changed = to_struct({**sent, "response": {**sent["response"], "signature": encode(noise)}})
    with pytest.raises(Refused):
        RELYING_PARTY.verify_assertion(Assertion.read(changed), "vch_other", made.public_key, alone=True)


# Settings


@pytest.mark.parametrize(
    ("rp_id", "origins", "complaint"),
    [
        ("example.com", "https://example.com, https://app.example.com:8443", ""),
        ("localhost", "http://localhost:8080", ""),
        ("example.com", "https://example.com.evil.test", "does not belong"),
        ("example.com", "https://notexample.com", "does not belong"),
        ("example.com", "http://example.com", "must begin with https"),
        ("example.com", "https://example.com/", "must end with its host"),
        ("example.com", "https://user@example.com/path", "must end with its host"),
        ("example.com", "", "at least 1 item"),
    ],
)
def test_origins_belong_to_the_domain(
    settings: tuple[IdentitySettings, Any], rp_id: str, origins: str, complaint: str
) -> None:
    values = {**settings[0].model_dump(), "rp_id": rp_id, "origins": origins}
    if complaint:
        with pytest.raises(ValidationError, match=complaint):
            IdentitySettings(**values)
    else:
        assert IdentitySettings(**values).relying_party.id == rp_id
