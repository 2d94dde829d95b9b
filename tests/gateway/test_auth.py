"""Who may call what: access tokens, audiences, and the signed caller context."""

import base64
import json
import time
from collections.abc import Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import tokens
from services.kit.caller import ANONYMOUS, CallerVerifier, key_id
from tests.gateway.conftest import Client, MakeClient
from tests.gateway.support import ADA, BOB, Backend, bearer, mint

THING = "/api/v1/users/me/things/7"


def unsigned(**header: str) -> str:
    """A token with no signature."""

    def part(content: dict[str, object]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()

    claims = {"iss": "vitalis", "aud": "vitalis-api", "sub": ADA, "role": "admin", "iat": 0, "exp": 9_999_999_999}
    return f"{part({'typ': 'JWT', **header})}.{part(claims)}."


def forged(key: Ed25519PrivateKey) -> str:
    return mint(Ed25519PrivateKey.generate(), kid=key_id(key))


def signed_with_the_public_key(key: Ed25519PrivateKey) -> str:
    """The key confusion attack: HMAC with what everybody knows."""
    claims = {"iss": "vitalis", "aud": "vitalis-api", "sub": ADA, "role": "user", "iat": 0, "exp": 9_999_999_999}
    secret = key.public_key().public_bytes_raw()
    return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": key_id(key)})


def tampered(key: Ed25519PrivateKey) -> str:
    header, _, signature = mint(key).split(".")
    _, claims, _ = mint(key, person=BOB).split(".")
    return f"{header}.{claims}.{signature}"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda key: mint(key, exp=int(time.time()) - 60), id="expired"),
        pytest.param(lambda key: mint(key, nbf=int(time.time()) + 60), id="not yet valid"),
        pytest.param(forged, id="forged"),
        pytest.param(tampered, id="tampered"),
        pytest.param(lambda key: mint(key, aud="another-api"), id="wrong audience"),
        pytest.param(lambda key: mint(key, iss="somebody"), id="wrong issuer"),
        pytest.param(lambda key: unsigned(alg="none", kid=key_id(key)), id="alg none"),
        pytest.param(lambda key: unsigned(alg="EdDSA", kid=key_id(key)), id="no signature"),
        pytest.param(signed_with_the_public_key, id="key confusion"),
        pytest.param(lambda key: mint(key, kid="unknown"), id="unknown kid"),
        pytest.param(lambda key: mint(key, exp=None), id="no exp"),
        pytest.param(lambda key: mint(key, aud=None), id="no aud"),
        pytest.param(lambda key: mint(key, sub=None), id="no sub"),
        pytest.param(lambda key: mint(key, sub=""), id="empty sub"),
        pytest.param(lambda key: mint(key, role="service"), id="a service's role"),
        pytest.param(lambda key: mint(key, role="anonymous"), id="no person's role"),
        pytest.param(lambda key: "garbage", id="garbage"),
        pytest.param(lambda key: "", id="empty"),
    ],
)
async def test_tokens_that_do_not_hold(
    make_client: MakeClient, backend: Backend, make: Callable[[Ed25519PrivateKey], str]
) -> None:
    client = await make_client()
    answer = await client.get(THING, headers={"Authorization": f"Bearer {make(backend.key)}"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert answer.json()["error"]["status"] == "UNAUTHENTICATED"
    assert backend.things.requests == []


async def test_no_token_at_all(make_client: MakeClient) -> None:
    client = await make_client()
    answer = await client.get(THING)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    basic = await client.get(THING, headers={"Authorization": "Basic YTpi"})
    assert basic.status_code == 401


async def test_the_caller_is_signed_for_the_service(
    client: Client, backend: Backend, gateway_key: Ed25519PrivateKey
) -> None:
    inbound = {"vitalis-caller": "forged", "Vitalis-Request-Id": "forged-request-id", "vitalis-anything": "x"}
    assert (await client.get(THING, headers=inbound)).status_code == 200
    metadata = backend.things.metadata
    assert "forged" not in json.dumps(metadata)
    assert "vitalis-anything" not in metadata
    trusted = {"gateway": {key_id(gateway_key): gateway_key.public_key()}}
    caller = CallerVerifier("sample", trusted).verify(metadata["vitalis-caller"], metadata["vitalis-request-id"])
    assert (caller.actor, caller.subject, caller.role, caller.scopes) == (ADA, ADA, "user", frozenset({"*"}))
    assert len(caller.request_id) == 36


@pytest.mark.parametrize("authorization", [None, "Bearer garbage"])
async def test_a_public_rpc_is_called_anonymously(
    make_client: MakeClient, backend: Backend, gateway_key: Ed25519PrivateKey, authorization: str | None
) -> None:
    client = await make_client()
    headers = {"Authorization": authorization} if authorization else {}
    assert (await client.get("/api/v1/notices/7", headers=headers)).status_code == 200
    trusted = {"gateway": {key_id(gateway_key): gateway_key.public_key()}}
    caller = CallerVerifier("sample", trusted).verify(backend.things.metadata["vitalis-caller"], "")
    assert caller == ANONYMOUS


async def test_a_verified_token_is_remembered_until_it_expires(
    make_client: MakeClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await make_client()
    headers = bearer(mint(backend.key, exp=int(time.time()) + 100))
    assert (await client.get(THING, headers=headers)).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(jwt, "decode", None)
        assert (await client.get(THING, headers=headers)).status_code == 200
    later = time.time() + 200
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(jwt, "decode", lambda *a, **k: (_ for _ in ()).throw(jwt.ExpiredSignatureError))
    assert (await client.get(THING, headers=headers)).status_code == 401


async def test_new_keys_are_found_and_old_ones_forgotten(
    make_client: MakeClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "FETCH_PAUSE_SECONDS", 0.0)
    client = await make_client()
    old = bearer(mint(backend.key))
    assert (await client.get(THING, headers=old)).status_code == 200
    backend.identity.keys = [Ed25519PrivateKey.generate()]
    assert (await client.get(THING, headers=bearer(mint(backend.key)))).status_code == 200
    assert (await client.get(THING, headers=old)).status_code == 401


async def test_unknown_key_ids_do_not_become_load_on_identity(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client()
    for number in range(20):
        await client.get(THING, headers=bearer(mint(backend.key, kid=f"unknown-{number}")))
    assert backend.identity.fetches == 1


async def test_without_identity_tokens_are_unavailable_and_not_wrong(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client()
    token = bearer(mint(backend.key))
    await backend.server.stop(None)
    answer = await client.get(THING, headers=token)
    assert answer.status_code == 503
    assert "retry-after" in answer.headers
