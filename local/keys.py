"""The keys with which the processes of one machine know each other."""

import json
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from local.directory import private_directory, write_private
from services.kit import keyset
from services.kit.caller import load_private_key, public_jwk

ACCESS_TOKEN_KEY = "access-token.pem"
TRUSTED_CALLERS = "trusted-callers.json"


def caller_key_file(directory: Path, name: str) -> Path:
    return directory / f"{name}.pem"


def vault_keyset_file(directory: Path, service: str) -> Path:
    return directory / f"{service}-vault.json"


def ensure_keys(directory: Path, gateway: str, services: Sequence[str]) -> None:
    """Creates what is missing: the callers' keys and whom to trust, access tokens' key, the services' master keys."""
    private_directory(directory)
    callers = (gateway, *services)
    for file in (directory / ACCESS_TOKEN_KEY, *(caller_key_file(directory, name) for name in callers)):
        if not file.exists():
            write_private(file, _new_key())
    for service in services:
        if not (vault := vault_keyset_file(directory, service)).exists():
            write_private(vault, keyset.as_json(keyset.new_keyset()))
    trusted = {name: {"keys": [public_jwk(load_private_key(caller_key_file(directory, name)))]} for name in callers}
    write_private(directory / TRUSTED_CALLERS, json.dumps(trusted, indent=2).encode())


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
