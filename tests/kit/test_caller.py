"""The token that says who is calling: what is believed, and what is not."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given
from hypothesis import strategies as st

from services.kit import caller
from services.kit.caller import (
    ANONYMOUS,
    Caller,
    CallerSigner,
    CallerVerifier,
    calling,
    current,
    key_id,
    load_private_key,
    load_trusted,
    public_jwk,
    service_caller,
)
from services.kit.errors import ServiceError

GATEWAY = Ed25519PrivateKey.generate()
INSIGHTS = Ed25519PrivateKey.generate()
ADA = Caller("ada", "ada", "user", frozenset({"wearables.read"}), "request-1")


def verifier(audience: str = "tracking") -> CallerVerifier:
    return CallerVerifier(
        audience,
        {
            "gateway": {key_id(GATEWAY): GATEWAY.public_key()},
            "insights": {key_id(INSIGHTS): INSIGHTS.public_key()},
        },
    )


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    values = {
        "iss": "gateway",
        "aud": "tracking",
        "sub": "ada",
        "actor": "ada",
        "role": "user",
        "scopes": ["wearables.read"],
        "iat": now,
        "exp": now + 60,
        **changes,
    }
    return {name: value for name, value in values.items() if value is not None}


def token(key: Ed25519PrivateKey = GATEWAY, **changes: Any) -> str:
    kid = changes.pop("kid", key_id(GATEWAY))
    return jwt.encode(claims(**changes), key, algorithm="EdDSA", headers={"kid": kid})


def by_hand(header: dict[str, Any] | None = None, sign: Callable[[bytes], bytes] = GATEWAY.sign, **changes: Any) -> str:
    """A token with whatever header and claims; libraries refuse to make some of them."""
    whole = {"alg": "EdDSA", "typ": "JWT", "kid": key_id(GATEWAY), **(header or {})}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (whole, claims(**changes))]
    content = b".".join(parts)
    return (content + b"." + base64.urlsafe_b64encode(sign(content)).rstrip(b"=")).decode()


def refused(text: str, audience: str = "tracking") -> None:
    for _ in range(2):  # the second time out of whatever the first one left behind
        with pytest.raises(ServiceError) as caught:
            verifier(audience).verify(text, "request-1")
        assert caught.value.reason.name == "UNAUTHENTICATED"
        assert "ada" not in caught.value.message


def test_a_signed_caller_arrives_as_it_was_sent() -> None:
    for sent in (
        ADA,
        ANONYMOUS,
        Caller("coach", "ada", "coach", frozenset({"wearables.read"})),
        Caller("root", "ada", "admin", frozenset({"*"})),
    ):
        arrived = verifier().verify(CallerSigner("gateway", GATEWAY).token(sent, "tracking"), "request-2")
        assert arrived == Caller(sent.actor, sent.subject, sent.role, sent.scopes, "request-2")


def test_a_service_speaks_for_itself_about_a_person() -> None:
    sent = service_caller("insights", "ada")
    arrived = verifier().verify(CallerSigner("insights", INSIGHTS).token(sent, "tracking"), "")
    assert arrived == sent
    assert arrived.is_service


def test_one_signature_serves_many_requests_of_one_caller() -> None:
    signer = CallerSigner("gateway", GATEWAY)
    again = Caller(ADA.actor, ADA.subject, ADA.role, ADA.scopes, "request-9")
    assert signer.token(ADA, "tracking") == signer.token(again, "tracking")
    assert signer.token(ADA, "tracking") != signer.token(ADA, "identity")


def test_caches_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "CACHE_SIZE", 3)
    signer, checks = CallerSigner("gateway", GATEWAY), verifier()
    for number in range(20):
        checks.verify(signer.token(Caller(str(number), str(number), "user", frozenset()), "tracking"), "")
    assert len(signer._cache) <= 3
    assert len(checks._cache) <= 3


def test_a_token_is_believed_no_longer_than_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    checks = verifier()
    text = token()
    checks.verify(text, "")
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(ServiceError, match="expired"):
        checks.verify(text, "")


def test_the_clock_of_who_signs_may_run_ahead() -> None:
    issued = int(time.time()) + caller.LEEWAY_SECONDS - 2
    assert verifier().verify(by_hand(iat=issued, exp=issued + 30), "").actor == "ada"


def test_a_token_ends_when_what_it_rests_on_does(monkeypatch: pytest.MonkeyPatch) -> None:
    signer, now = CallerSigner("gateway", GATEWAY), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    usual = signer.token(ADA, "tracking")
    short = signer.token(ADA, "tracking", now + 20)
    assert short != usual
    assert signer.token(ADA, "tracking", now + 20) == short
    # One that may live longer is handed out no longer than it would be anyway, and one that may not is signed anew.
    assert signer.token(ADA, "tracking", now + 25) == short
    assert signer.token(ADA, "tracking", now + 19) != short
    service = verifier()
    assert service.verify(short, "").subject == "ada"
    monkeypatch.setattr(time, "time", lambda: now + 20)
    with pytest.raises(ServiceError, match="expired"):
        service.verify(short, "")


def test_a_signer_renews_a_token_before_it_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = CallerSigner("gateway", GATEWAY)
    first = signer.token(ADA, "tracking")
    later = time.time() + caller.LIFETIME_SECONDS - caller.MARGIN_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert signer.token(ADA, "tracking") != first


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 1},
        {"iat": int(time.time()) + 3600, "exp": int(time.time()) + 7200},
        {"nbf": int(time.time()) + 3600},
        {"aud": "identity"},
        {"aud": ["identity"]},
        {"aud": "vitalis-api"},
        {"iss": "vitalis"},
        {"iss": "insights"},
        {"iss": ["gateway"]},
        *({name: None} for name in ("iss", "aud", "sub", "actor", "role", "scopes", "iat", "exp")),
        {"sub": 7},
        {"exp": "soon"},
        {"exp": float("inf")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_claims_that_do_not_hold_are_refused(changes: dict[str, Any]) -> None:
    refused(by_hand(**changes))


def test_a_token_for_one_service_does_not_open_another() -> None:
    refused(CallerSigner("gateway", GATEWAY).token(ADA, "tracking"), audience="identity")


@pytest.mark.parametrize(
    "kid",
    [None, "", "unknown", key_id(INSIGHTS), 7, ["a"], "../gateway.pem"],
    ids=["none", "empty", "unknown", "insights", "number", "list", "path"],
)
def test_an_unknown_key_is_refused(kid: Any) -> None:
    refused(by_hand({"kid": kid}))


def test_a_token_made_by_hand_is_as_good_as_the_librarys() -> None:
    verifier().verify(by_hand(), "")


def test_another_key_under_a_known_name_is_refused() -> None:
    refused(token(Ed25519PrivateKey.generate()))


def test_no_algorithm_but_ours_is_believed() -> None:
    refused(by_hand({"alg": "none"}, lambda content: b""))
    public = GATEWAY.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    # A library that takes the public key for an HMAC secret would believe anybody who knows it.
    for secret in (raw, public_jwk(GATEWAY)["x"].encode(), json.dumps(public_jwk(GATEWAY)).encode()):
        refused(by_hand({"alg": "HS256"}, partial(hmac.digest, secret, digest="sha256")))
    for algorithm in ("ES256", "Ed25519", "eddsa", "NONE", None, ["EdDSA"]):
        refused(by_hand({"alg": algorithm}))
    refused(jwt.encode(claims(), generate_private_key(65537, 2048), "RS256", headers={"kid": key_id(GATEWAY)}))


def test_a_key_inside_the_token_is_not_believed() -> None:
    own = Ed25519PrivateKey.generate()
    headers = {"kid": key_id(own), "jwk": public_jwk(own), "jku": "https://example.com/jwks.json"}
    refused(jwt.encode(claims(), own, algorithm="EdDSA", headers=headers))


def test_a_changed_token_is_refused() -> None:
    head, body, signature = token().split(".")
    others = token(sub="eve", actor="eve").split(".")
    for text in (f"{head}.{others[1]}.{signature}", f"{head}.{body}.", f"{head}.{body}.{others[2]}"):
        refused(text)


def test_a_service_speaks_for_nobody_else() -> None:
    def by_insights(**changes: Any) -> str:
        return token(INSIGHTS, kid=key_id(INSIGHTS), iss="insights", **changes)

    assert verifier().verify(by_insights(actor="service:insights", role="service"), "").is_service
    refused(by_insights())
    refused(by_insights(role="admin"))
    refused(by_insights(actor="service:insights"))
    refused(by_insights(role="service"))
    refused(by_insights(actor="service:labs", role="service"))
    refused(by_insights(actor="service:gateway", role="service"))


def test_the_gateway_speaks_for_no_service() -> None:
    refused(token(actor="service:gateway", role="service"))
    refused(token(iss="insights", actor="service:insights", role="service", kid=key_id(GATEWAY)))


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")) | st.just("a.b.c") | st.just("e30.e30."))
def test_anything_else_is_refused_and_nothing_breaks(text: str) -> None:
    refused(text)


def test_the_current_caller_ends_with_its_block() -> None:
    assert current() == ANONYMOUS
    with calling(ADA):
        with calling(service_caller("tracking", "eve")):
            assert current().subject == "eve"
        assert current() == ADA
    assert current() == ANONYMOUS


def test_scopes_are_exact_names() -> None:
    assert ADA.may("wearables.read")
    assert ADA.may("")
    for scope in ("wearables.write", "wearables", "wearables.", "Wearables.read", "*"):
        assert not ADA.may(scope)
    assert service_caller("tracking").may("anything.at.all")


def test_only_an_ed25519_key_is_taken(tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048)
    path = tmp_path / "key.pem"
    for key, taken in ((GATEWAY, True), (rsa, False)):
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        if taken:
            assert key_id(load_private_key(path)) == key_id(GATEWAY)
        else:
            with pytest.raises(ValueError, match=r"key\.pem holds no Ed25519 private key"):
                load_private_key(path)


def test_trusted_callers_are_read_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "trusted.json"
    path.write_text(json.dumps({"gateway": {"keys": [public_jwk(GATEWAY)]}}))
    CallerVerifier("tracking", load_trusted(path)).verify(token(), "")


def test_the_key_id_is_the_thumbprint_of_rfc_8037() -> None:
    """Appendix A.1 and A.3 of RFC 8037."""
    d = jwt.utils.base64url_decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    assert key_id(Ed25519PrivateKey.from_private_bytes(d)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
