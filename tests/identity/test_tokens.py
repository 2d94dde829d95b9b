"""Signing keys and tokens, and the settings that name them."""

import hashlib
import uuid
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.identity.settings import IdentitySettings
from services.identity.tokens import AccessTokens, fingerprint, new_refresh_token
from services.kit.settings import load
from tests.harness import write_key


def environment(monkeypatch: pytest.MonkeyPatch, directory: Path, signing_key_files: str) -> None:
    write_key(directory / "caller.pem")
    for name, value in {
        "LISTEN": "127.0.0.1:7101",
        "DATABASE_URL": "postgresql://app:hunter2@127.0.0.1/vitalis_identity",
        "CALLER_KEY_FILE": str(directory / "caller.pem"),
        "TRUSTED_CALLERS_FILE": str(directory / "trusted.json"),
        "SIGNING_KEY_FILES": signing_key_files,
        "VAULT_KEYSET_FILE": str(directory / "vault.json"),
        "MAILBOX": str(directory / "mail"),
        "OBJECT_STORE_URL": directory.as_uri(),
    }.items():
        monkeypatch.setenv(f"IDENTITY_{name}", value)


def test_key_files_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths = [tmp_path / "one.pem", tmp_path / "two.pem"]
    for path in paths:
        write_key(path)
    environment(monkeypatch, tmp_path, f"{paths[0]}, {paths[1]},")
    settings = load(IdentitySettings, "IDENTITY_")
    assert list(settings.signing_key_files) == paths
    assert "hunter2" not in repr(settings)
    assert (settings.lifetimes.refresh_token.days, settings.lifetimes.session.days) == (30, 90)


@pytest.mark.parametrize("given", ["", " , ", "missing.pem", "ecdsa.pem", "text.pem", "locked.pem"])
def test_a_wrong_key_file_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    (tmp_path / "ecdsa.pem").write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(pem, pkcs8, plain))
    (tmp_path / "text.pem").write_text("a secret that is no key")
    (tmp_path / "locked.pem").write_bytes(
        Ed25519PrivateKey.generate().private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"passphrase"))
    )
    environment(monkeypatch, tmp_path, str(tmp_path / given) if given.endswith(".pem") else given)
    with pytest.raises(SystemExit):
        load(IdentitySettings, "IDENTITY_")
    message = capsys.readouterr().err
    assert "IDENTITY_SIGNING_KEY_FILES" in message
    assert "a secret" not in message
    assert not given.endswith(".pem") or given in message


def test_argon2_cannot_be_set_below_the_minimum(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_key(tmp_path / "one.pem")
    environment(monkeypatch, tmp_path, str(tmp_path / "one.pem"))
    monkeypatch.setenv("IDENTITY_PASSWORD_MEMORY_KIB", "4096")
    monkeypatch.setenv("IDENTITY_PASSWORD_ITERATIONS", "1")
    with pytest.raises(SystemExit):
        load(IdentitySettings, "IDENTITY_")
    message = capsys.readouterr().err
    assert "IDENTITY_PASSWORD_MEMORY_KIB" in message
    assert "IDENTITY_PASSWORD_ITERATIONS" in message


def test_a_key_is_needed() -> None:
    with pytest.raises(ValueError, match="signing key"):
        AccessTokens([])


def test_an_access_token_does_not_show_itself() -> None:
    issued = AccessTokens([Ed25519PrivateKey.generate()]).issue(uuid.uuid4(), uuid.uuid4(), "user")
    assert issued.token not in repr(issued)


def test_the_key_set_holds_no_private_part() -> None:
    (key,) = AccessTokens([Ed25519PrivateKey.generate()]).key_set
    assert set(key) == {"kty", "crv", "x", "kid", "use", "alg"}


def test_refresh_tokens_are_256_random_bits_with_a_prefix() -> None:
    tokens = {new_refresh_token() for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        # base64url without padding: 43 characters for 32 bytes.
        assert token.startswith("vrt_")
        assert len(token) == 4 + 43
        assert fingerprint(token) == hashlib.sha256(token.encode()).digest()
