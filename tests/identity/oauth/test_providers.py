"""How providers are configured, and where they may send people."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, TypeAdapter, ValidationError

from services.identity.oauth.providers import Provider
from services.identity.settings import IdentitySettings
from services.kit.settings import load

SECRET = "a-secret-that-is-never-shown"
GOOGLE = {"client_id": "id", "client_secret": SECRET, "redirect_uris": ["https://app.example/callback"]}
Start = Callable[[Any], IdentitySettings]


@pytest.fixture
def start(settings: tuple[IdentitySettings, Any], monkeypatch: pytest.MonkeyPatch) -> Start:
    """The settings of a process whose environment configures these providers."""
    given, _ = settings
    needed = [name for name, field in IdentitySettings.model_fields.items() if field.is_required()]
    for name in (*needed, "mailbox"):
        value = getattr(given, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        monkeypatch.setenv(f"IDENTITY_{name.upper()}", text)

    def configured(providers: Any) -> IdentitySettings:
        monkeypatch.setenv("IDENTITY_OIDC_PROVIDERS", json.dumps(providers))
        return load(IdentitySettings, "IDENTITY_")

    return configured


def private_key(directory: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    path = directory / "apple.p8"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(path)


def test_google_and_apple_need_their_credentials_alone(start: Start, tmp_path: Path) -> None:
    key = private_key(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    apple = {
        "client_id": "com.example.vitalis",
        "apple_key": {"team_id": "TEAM", "key_id": "KEY", "private_key_file": key},
        "redirect_uris": ["https://api.example/api/v1/oauth/apple/callback"],
    }
    providers = start({"google": GOOGLE, "apple": apple}).oidc_providers
    assert providers["google"].issuer == "https://accounts.google.com"
    assert providers["google"].secret == SECRET
    assert SECRET not in repr(providers)
    assert (providers["apple"].issuer, providers["apple"].response_mode) == ("https://appleid.apple.com", "form_post")


def test_a_secret_may_lie_in_a_file(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    configured = {**GOOGLE, "client_secret": None, "client_secret_file": str(file)}
    assert start({"google": configured}).oidc_providers["google"].secret == SECRET


def test_nobody_is_configured_by_default(start: Start) -> None:
    assert start({}).oidc_providers == {}


WRONG: dict[str, Any] = {
    "no object": [],
    "a name with a capital": {"Google": GOOGLE},
    "a name that leads elsewhere": {"../google": GOOGLE},
    "no client": {"google": {"redirect_uris": ["https://app.example/callback"]}},
    "no redirect": {"google": {**GOOGLE, "redirect_uris": []}},
    "a redirect without TLS": {"google": {**GOOGLE, "redirect_uris": ["http://app.example/callback"]}},
    "a redirect to a name": {"google": {**GOOGLE, "redirect_uris": ["http://localhost/callback"]}},
    "a redirect that is a script": {"google": {**GOOGLE, "redirect_uris": ["javascript:alert(1)"]}},
    "a redirect with a fragment": {"google": {**GOOGLE, "redirect_uris": ["https://app.example/#x"]}},
    "no issuer": {"keycloak": GOOGLE},
    "an issuer without TLS": {"keycloak": {**GOOGLE, "issuer": "http://accounts.example"}},
    "an issuer with a query": {"keycloak": {**GOOGLE, "issuer": "https://accounts.example/?a=b"}},
    "an issuer with a password": {"keycloak": {**GOOGLE, "issuer": "https://a:b@accounts.example"}},
    "no openid": {"google": {**GOOGLE, "scopes": ["email"]}},
    "a shared key's algorithm": {"google": {**GOOGLE, "algorithms": ["HS256"]}},
    "no signature": {"google": {**GOOGLE, "algorithms": ["none"]}},
    "no algorithm": {"google": {**GOOGLE, "algorithms": []}},
    "a parameter of the flow": {"google": {**GOOGLE, "extra": {"state": "fixed"}}},
    "a misspelt name": {"google": {**GOOGLE, "client_secrets": "x"}},
    "two secrets": {"google": {**GOOGLE, "client_secret_file": __file__}},
    "a file that is not there": {"google": {**GOOGLE, "client_secret": None, "client_secret_file": "/nowhere"}},
}


@pytest.mark.parametrize("providers", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_and_no_secret_is(
    providers: Any, start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        start(providers)
    said = capsys.readouterr().err
    assert "IDENTITY_OIDC_PROVIDERS" in said
    assert SECRET not in said


def test_apples_key_is_one_that_signs_es256(start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def apple(file: str) -> Any:
        key = {"team_id": "TEAM", "key_id": "KEY", "private_key_file": file}
        return {"apple": {**GOOGLE, "client_secret": None, "apple_key": key}}

    wrong = (
        private_key(tmp_path, ed25519.Ed25519PrivateKey.generate()),
        private_key(tmp_path, ec.generate_private_key(ec.SECP384R1())),
        str(tmp_path / "nowhere.p8"),
    )
    for file in wrong:
        with pytest.raises(SystemExit):
            start(apple(file))
        assert "PRIVATE_KEY_FILE" in capsys.readouterr().err


def provider(*uris: str) -> Provider:
    return TypeAdapter(Provider).validate_python(
        {**GOOGLE, "issuer": "https://accounts.example", "redirect_uris": uris}
    )


@given(st.text(max_size=40))
def test_a_redirect_is_the_configured_one_or_none(text: str) -> None:
    exact = "https://app.example/callback"
    for uri in (text, exact + text, text + exact, f"https://app.example/{text}"):
        assert provider(exact).redirects_to(uri) == (uri == exact)


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("http://127.0.0.1:41241/callback", True),
        ("http://127.0.0.1/callback", True),
        ("http://[::1]:41241/callback", False),
        ("http://127.0.0.1:41241/callback/", False),
        ("http://127.0.0.1:41241/callback?next=x", False),
        ("http://127.0.0.1:41241/callback#x", False),
        ("https://127.0.0.1:41241/callback", False),
        ("http://127.0.0.2:41241/callback", False),
        ("http://localhost:41241/callback", False),
        ("http://127.0.0.1:41241@evil.example/callback", False),
        ("http://evil.example:41241/callback", False),
        ("http://127.0.0.1:x/callback", False),
        ("http://127.0.0.1.evil.example/callback", False),
    ],
)
def test_a_program_takes_any_port_of_this_machine(uri: str, allowed: bool) -> None:
    assert provider("http://127.0.0.1/callback").redirects_to(uri) is allowed


def test_an_app_may_have_a_scheme_of_its_own() -> None:
    assert provider("com.example.app:/callback").redirects_to("com.example.app:/callback")
    with pytest.raises(ValidationError):
        provider("app:/callback")
