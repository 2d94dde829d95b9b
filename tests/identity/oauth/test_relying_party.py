"""What a provider says is believed only where it holds: each rule broken alone, by a real provider over HTTP."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from services.identity.oauth import web
from services.identity.oauth.flow import Flow
from services.identity.oauth.providers import AppleKey
from services.identity.oauth.relying_party import Person, RelyingParty
from services.identity.oauth.web import Web
from services.kit.errors import ServiceError
from tests.identity.oauth.conftest import REDIRECT, Strict, query_of
from tests.identity.oauth.provider import CLIENT_SECRET, DISCOVERY

KEYS = "/jwks"


@pytest.fixture
def asking() -> Web:
    return Web()


async def log_in(party: RelyingParty, strict: Strict, **changes: str) -> Person:
    """The whole flow of somebody who agrees; `changes` replace what comes back with them."""
    flow = Flow.begin()
    returned = strict.consent(await party.start(flow, REDIRECT)) | changes
    assert returned["state"] == flow.state
    return await party.finish(flow, returned["code"], returned["iss"], REDIRECT)


async def reason(attempt: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        await attempt
    return caught.value.reason.name


async def test_a_code_names_somebody(strict: Strict, asking: Web) -> None:
    person = await log_in(RelyingParty("strict", strict.provider(), asking), strict)
    assert person.id == f"{strict.url} ada"
    assert (person.email, person.email_proved, person.name) == ("Ada@Example.com", True, "Ada Lovelace")
    assert person.tokens.access_token
    assert person.tokens.refresh_token
    assert person.tokens.expires_at
    assert 3500 < (person.tokens.expires_at - datetime.now(UTC)).total_seconds() <= 3600
    shown = repr(person)
    assert person.tokens.access_token not in shown
    assert person.tokens.refresh_token not in shown


async def test_what_goes_through_the_browser_and_what_does_not(strict: Strict, asking: Web) -> None:
    party = RelyingParty("strict", strict.provider(extra={"prompt": "login"}), asking)
    flow = Flow.begin()
    url = await party.start(flow, REDIRECT)
    query = query_of(url)
    assert url.startswith(f"{strict.url}/authorize?tenant=1&")
    assert query["prompt"] == "login"
    assert query["scope"] == "openid email profile"
    for secret in (flow.binding, flow.verifier, CLIENT_SECRET):
        assert secret not in url
        assert secret not in repr(flow)
    others = Flow.begin()
    mixed = Flow(flow.state, others.binding)
    assert len({flow.verifier, flow.nonce, others.verifier, mixed.verifier, mixed.nonce}) == 5


LONG_AGO = 3600
BROKEN_TOKENS: dict[str, dict[str, Any]] = {
    "no signature": {"algorithm": "none"},
    "signed with the public key": {"algorithm": "HS256"},
    "signed with the shared key of the set": {"algorithm": "HS256", "kid": "symmetric"},
    "an algorithm that is not allowed": {"algorithm": "RS512", "claims": {"at_hash": None}},
    "another key under a known id": {"another_key": True},
    "an unknown key": {"kid": "unknown"},
    "a key of another kind": {"kid": "curve"},
    "a key too short": {"kid": "weak"},
    "a header that must be understood": {"header": {"crit": ["secrets"], "secrets": True}},
    "another issuer": {"claims": {"iss": "https://accounts.example"}},
    "no issuer": {"claims": {"iss": None}},
    "another audience": {"claims": {"aud": "somebody-else"}},
    "another authorized party": {"claims": {"azp": "somebody-else"}},
    "several audiences and no authorized party": {"claims": {"aud": ["vitalis", "somebody-else"]}},
    "another nonce": {"claims": {"nonce": "of another flow"}},
    "no nonce": {"claims": {"nonce": None}},
    "expired": {"seconds_ago": 340},
    "issued long ago though it lasts": {"seconds_ago": LONG_AGO, "exp": 2**33},
    "issued in the future": {"claims": {"iat": 2**33, "exp": 2**33 + 1}},
    "no expiry": {"claims": {"exp": None}},
    "an expiry that is no number": {"claims": {"exp": "tomorrow"}},
    "the hash of another access token": {"claims": {"at_hash": "b3RoZXI"}},
    "a hash that is no text": {"claims": {"at_hash": 1}},
    "nobody": {"claims": {"sub": None}},
    "a subject that is no text": {"claims": {"sub": 7}},
    "a subject with a blank line": {"claims": {"sub": "ada\n"}},
    "a subject without end": {"claims": {"sub": "a" * 256}},
    "no token": {"token": {"id_token": None}},
    "a token that is none": {"token": {"id_token": "a.b.c"}},
    "a token of another type": {"token": {"id_token": {"sub": "ada"}}},
    "no access token": {"token": {"access_token": None}},
    "an access token without end": {"token": {"access_token": "a" * 20_000}},
}


@pytest.mark.parametrize("rules", BROKEN_TOKENS.values(), ids=BROKEN_TOKENS)
async def test_a_token_that_does_not_hold_names_nobody(rules: dict[str, Any], strict: Strict, asking: Web) -> None:
    strict.rules(**rules)
    with capture_logs() as logs:
        assert await reason(log_in(RelyingParty("strict", strict.provider(), asking), strict)) == "OAUTH_REFUSED"
    assert [line["provider"] for line in logs] == ["strict"]


@pytest.mark.parametrize(
    "rules",
    [
        {"claims": {"aud": ["vitalis", "another"], "azp": "vitalis"}},
        {"claims": {"at_hash": None}},
        {"kid": "curve", "algorithm": "ES256", "claims": {"at_hash": None}},
        {"algorithm": "PS256"},
        {"header": {"x": "a header that nobody knows"}},
        {"seconds_ago": 20},
    ],
    ids=["several audiences", "no hash of the access token", "a curve", "RSA-PSS", "an unknown header", "a slow clock"],
)
async def test_what_the_standard_allows_is_allowed(rules: dict[str, Any], strict: Strict, asking: Web) -> None:
    strict.rules(**rules)
    assert (await log_in(RelyingParty("strict", strict.provider(), asking), strict)).id == f"{strict.url} ada"


async def test_a_code_is_good_once_and_only_with_its_verifier(strict: Strict, asking: Web) -> None:
    party = RelyingParty("strict", strict.provider(), asking)
    flow = Flow.begin()
    returned = strict.consent(await party.start(flow, REDIRECT))
    stolen = party.finish(Flow(flow.state, Flow.begin().binding), returned["code"], returned["iss"], REDIRECT)
    assert await reason(stolen) == "OAUTH_REFUSED"
    assert await reason(party.finish(flow, returned["code"], returned["iss"], REDIRECT)) == "OAUTH_REFUSED"


async def test_an_answer_of_another_issuer_is_a_mix_up(strict: Strict, asking: Web) -> None:
    party = RelyingParty("strict", strict.provider(), asking)
    assert await reason(log_in(party, strict, iss="https://evil.example")) == "OAUTH_REFUSED"
    # The provider says that it names itself, so an answer without a name is another's (RFC 9207 section 2.4).
    assert await reason(log_in(party, strict, iss="")) == "OAUTH_REFUSED"
    assert strict.seen("/token") == []
    strict.rules(metadata={"authorization_response_iss_parameter_supported": False})
    assert await log_in(RelyingParty("strict", strict.provider(), asking), strict, iss="")


async def test_what_the_token_does_not_say_the_userinfo_does(strict: Strict, asking: Web) -> None:
    strict.rules(claims_in_token=False)
    party = RelyingParty("strict", strict.provider(), asking)
    assert (await log_in(party, strict)).email == "Ada@Example.com"
    strict.rules(claims_in_token=False, userinfo={"sub": "bert"})
    assert await reason(log_in(party, strict)) == "OAUTH_REFUSED"
    strict.rules(claims_in_token=False, broken={"/userinfo": {"status": 403, "content": {}}})
    assert await reason(log_in(party, strict)) == "OAUTH_REFUSED"


PEOPLE: dict[str, tuple[dict[str, Any], tuple[str, bool, bool]]] = {
    "its own address": ({}, ("Ada@Example.com", True, True)),
    "said as text": ({"email_verified": "true"}, ("Ada@Example.com", True, True)),
    "not verified": ({"email_verified": False}, ("Ada@Example.com", False, False)),
    "not said to be verified": ({"email_verified": None}, ("Ada@Example.com", False, False)),
    "verified as a word": ({"email_verified": "yes"}, ("Ada@Example.com", False, False)),
    "somebody else's domain": ({"email": "ada@bank.example"}, ("ada@bank.example", True, False)),
    "a domain below": ({"email": "ada@sub.example.com"}, ("ada@sub.example.com", True, False)),
    "a domain that it says is its own": (
        {"email": "ada@firm.example", "hd": "firm.example"},
        ("ada@firm.example", True, True),
    ),
    "two domains": ({"email": "ada@example.com@bank.example"}, ("", False, False)),
    "the look of an address": ({"email": "ada@exаmple.com"}, ("", False, False)),
    "a line break": ({"email": "ada@example.com\n"}, ("", False, False)),
    "none": ({"email": None}, ("", False, False)),
    "a number": ({"email": 7}, ("", False, False)),
}


@pytest.mark.parametrize(("person", "expected"), PEOPLE.values(), ids=PEOPLE)
async def test_whose_word_counts_for_an_address(
    person: dict[str, Any], expected: tuple[str, bool, bool], strict: Strict, asking: Web
) -> None:
    strict.rules(person=person)
    found = await log_in(RelyingParty("strict", strict.provider(email_domain_claim="hd"), asking), strict)
    assert (found.email, found.email_verified, found.email_proved) == expected


async def test_a_name_can_be_shown(strict: Strict, asking: Web) -> None:
    strict.rules(person={"name": "\0Ada\n\u202eecalevoL" + "x" * 200})
    name = (await log_in(RelyingParty("strict", strict.provider(), asking), strict)).name
    assert name.startswith("AdaecalevoL")
    assert len(name) == 100


async def test_one_log_in_leaves_the_next_nothing(strict: Strict, asking: Web) -> None:
    party = RelyingParty("strict", strict.provider(), asking)
    for _ in range(2):
        await log_in(party, strict)
    asked = [*strict.seen(DISCOVERY), *strict.seen(KEYS), *strict.seen("/token")]
    assert len(asked) == 4
    assert [request for request in asked if "cookie" in request["headers"]] == []


async def test_ways_to_prove_which_client_it_is(strict: Strict, asking: Web) -> None:
    await log_in(RelyingParty("strict", strict.provider(), asking), strict)
    assert strict.seen("/token")[0]["headers"]["authorization"].startswith("Basic ")
    assert "client_secret" not in strict.seen("/token")[0]["form"]
    strict.rules(metadata={"token_endpoint_auth_methods_supported": ["client_secret_post"]})
    await log_in(RelyingParty("strict", strict.provider(), asking), strict)
    assert "authorization" not in strict.seen("/token")[0]["headers"]
    strict.rules(public=True)
    await log_in(RelyingParty("strict", strict.provider(client_secret=None), asking), strict)
    strict.rules()
    wrong = RelyingParty("strict", strict.provider(client_secret="wrong"), asking)
    assert await reason(log_in(wrong, strict)) == "OAUTH_REFUSED"


async def test_apples_secret_is_signed_when_it_is_needed(strict: Strict, asking: Web, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private = tmp_path / "apple.p8"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    strict.rules(apple=public.decode(), metadata={"token_endpoint_auth_methods_supported": ["client_secret_post"]})
    apple = strict.provider(
        client_secret=None,
        apple_key=AppleKey(team_id="TEAM", key_id="KEY", private_key_file=private),
        response_mode="form_post",
    )
    party = RelyingParty("apple", apple, asking)
    assert query_of(await party.start(Flow.begin(), REDIRECT))["response_mode"] == "form_post"
    assert (await log_in(party, strict)).id == f"{strict.url} ada"


async def test_keys_that_rotate_are_found_and_forged_ids_cost_nothing(
    strict: Strict, asking: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    party = RelyingParty("strict", strict.provider(), asking)
    await log_in(party, strict)
    monkeypatch.setattr("services.identity.oauth.discovery.KEYS_PAUSE_SECONDS", 0.0)
    strict.rules(generation=1)
    await log_in(party, strict)
    assert len(strict.seen(KEYS)) == 1
    monkeypatch.undo()
    strict.rules(generation=1, kid="forged")
    for _ in range(5):
        assert await reason(log_in(party, strict)) == "OAUTH_REFUSED"
    assert len(strict.seen(KEYS)) == 0


async def test_metadata_is_fetched_once_for_all_who_ask(strict: Strict, asking: Web) -> None:
    party = RelyingParty("strict", strict.provider(), asking)
    await asyncio.gather(*(party.start(Flow.begin(), REDIRECT) for _ in range(20)))
    assert len(strict.seen(DISCOVERY)) == 1


BROKEN_METADATA: dict[str, dict[str, Any]] = {
    "another issuer": {"metadata": {"issuer": "https://accounts.example"}},
    "an endpoint without TLS": {"metadata": {"token_endpoint": "http://accounts.example/token"}},
    "an endpoint that is no URL": {"metadata": {"authorization_endpoint": "javascript:alert(1)"}},
    "an endpoint with a password": {"metadata": {"jwks_uri": "https://a:b@accounts.example/jwks"}},
    "no endpoint": {"metadata": {"token_endpoint": None}},
    "too large": {"broken": {DISCOVERY: "huge"}},
    "compressed": {"broken": {DISCOVERY: "bomb"}},
    "moved": {"broken": {DISCOVERY: "moved"}},
    "a list": {"broken": {DISCOVERY: {"status": 200, "content": []}}},
    "text": {"broken": {DISCOVERY: {"status": 200, "content": "hello"}}},
    "deep": {"broken": {DISCOVERY: {"status": 200, "content": [[[[[[{}]]]]]]}}},
    "not there": {"broken": {DISCOVERY: {"status": 404, "content": {}}}},
    "a fault": {"broken": {DISCOVERY: {"status": 500, "content": {}}}},
}


@pytest.mark.parametrize("rules", BROKEN_METADATA.values(), ids=BROKEN_METADATA)
async def test_metadata_that_does_not_hold_is_an_outage(rules: dict[str, Any], strict: Strict, asking: Web) -> None:
    strict.rules(**rules)
    with pytest.raises(ServiceError) as caught:
        await RelyingParty("strict", strict.provider(), asking).start(Flow.begin(), REDIRECT)
    assert (caught.value.reason.name, caught.value.retry_after_seconds) == ("UNAVAILABLE", 5)


@pytest.mark.parametrize(
    "rules",
    [
        {"broken": {KEYS: "huge"}},
        {"broken": {KEYS: {"status": 200, "content": {"keys": {}}}}},
        {"keys": []},
        {"keys": [7, {"kty": "oct", "k": "c2VjcmV0"}]},
        {"broken": {"/token": {"status": 500, "content": {}}}},
        {"broken": {"/token": {"status": 429, "content": {}}}},
        {"broken": {"/token": "huge"}},
        {"broken": {"/token": "moved"}},
    ],
    ids=["huge keys", "keys that are no list", "no keys", "no public keys", "a fault", "too busy", "huge", "moved"],
)
async def test_an_outage_later_on_is_one_too(rules: dict[str, Any], strict: Strict, asking: Web) -> None:
    strict.rules(**rules)
    expected = "OAUTH_REFUSED" if rules == {"broken": {"/token": "moved"}} else "UNAVAILABLE"
    assert await reason(log_in(RelyingParty("strict", strict.provider(), asking), strict)) == expected


@pytest.mark.parametrize("how", ["hangs", "drips"])
async def test_a_provider_that_hangs_holds_nobody_for_long(
    how: str, strict: Strict, asking: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "TOTAL_SECONDS", 0.5)
    strict.rules(broken={DISCOVERY: how})
    party = RelyingParty("strict", strict.provider(), asking)
    began = time.monotonic()
    reasons = await asyncio.gather(*(reason(party.start(Flow.begin(), REDIRECT)) for _ in range(20)))
    # Those who waited share the failure: twenty do not wait twenty times.
    assert set(reasons) == {"UNAVAILABLE"}
    assert time.monotonic() - began < 5
    assert len(strict.seen(DISCOVERY)) == 1


async def test_a_provider_that_is_back_is_asked_again(
    strict: Strict, asking: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict.rules(broken={DISCOVERY: {"status": 503, "content": {}}})
    party = RelyingParty("strict", strict.provider(), asking)
    assert await reason(party.start(Flow.begin(), REDIRECT)) == "UNAVAILABLE"
    strict.rules()
    assert await reason(party.start(Flow.begin(), REDIRECT)) == "UNAVAILABLE"
    assert strict.seen(DISCOVERY) == []
    monkeypatch.setattr("services.identity.oauth.discovery.FAILED_SECONDS", 0.0)
    assert await party.start(Flow.begin(), REDIRECT)


async def test_nobody_there(asking: Web, strict: Strict) -> None:
    party = RelyingParty("strict", strict.provider(issuer="http://127.0.0.1:9"), asking)
    assert await reason(party.start(Flow.begin(), REDIRECT)) == "UNAVAILABLE"


async def test_a_redirect_that_is_not_configured_is_refused_before_anything_is_asked(
    strict: Strict, asking: Web
) -> None:
    party = RelyingParty("strict", strict.provider(), asking)
    for uri in (REDIRECT + "/", REDIRECT + "?next=1", "https://app.example.evil.example/callback", "http://127.0.0.1/"):
        assert await reason(party.start(Flow.begin(), uri)) == "OAUTH_REDIRECT_NOT_ALLOWED"
    assert strict.seen(DISCOVERY) == []
