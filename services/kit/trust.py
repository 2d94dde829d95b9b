"""Whose callers a service believes: the file TRUSTED_CALLERS_FILE, key by key.

    openssl genpkey -algorithm ed25519 -out new.pem
    openssl pkey -in new.pem -pubout -out new.pub.pem
    python -m services.kit.trust add identity new.pub.pem trusted.json      # wherever identity is believed
    mv new.pem identity.pem                                                 # what identity signs with
    python -m services.kit.trust remove identity OLD_ID trusted.json        # after half a minute

Nothing is restarted: services and signers look at their files every two seconds.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.kit.caller import public_jwk
from services.kit.watched import replace_file


class TrustError(Exception):
    """What cannot be done, and why."""


def main(arguments: list[str]) -> None:
    """The command line; ends with a message and exit code 2 for what cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m services.kit.trust", description="Whose callers are believed.")
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("add", help="believe a key too")
    add.add_argument("issuer", help="gateway, or the name of a service")
    add.add_argument("public_key", type=Path, help="Ed25519, PEM")
    remove = commands.add_parser("remove", help="believe a key no more")
    remove.add_argument("issuer")
    remove.add_argument("key_id")
    for command in (add, remove, commands.add_parser("list", help="show whose keys are believed")):
        command.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    try:
        _command(options)
    except (TrustError, OSError) as error:
        print(f"trust: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _command(options: argparse.Namespace) -> None:
    trusted = _read(options.file)
    if options.command == "add":
        jwk = public_jwk(_public_key(options.public_key))
        keys = trusted.setdefault(options.issuer, {"keys": []})["keys"]
        if all(key["kid"] != jwk["kid"] for key in keys):
            keys.append(jwk)
    elif options.command == "remove":
        keys = trusted.get(options.issuer, {"keys": []})["keys"]
        left = [key for key in keys if key["kid"] != options.key_id]
        if len(left) == len(keys):
            raise TrustError(f"{options.issuer} has no key {options.key_id}")
        trusted[options.issuer] = {"keys": left}
    if options.command != "list":
        # Public, and read by whoever the services run as.
        replace_file(options.file, json.dumps(trusted, indent=2).encode(), 0o644)
    for issuer, key_set in trusted.items():
        for key in key_set["keys"]:
            print(issuer, key["kid"])


def _read(file: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    try:
        content = json.loads(file.read_text())
        return {issuer: {"keys": list(key_set["keys"])} for issuer, key_set in content.items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TrustError(f"{file} holds no JSON object from issuer to a JSON Web Key Set") from None


def _public_key(file: Path) -> Ed25519PublicKey:
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise TrustError(f"{file} holds no Ed25519 public key in PEM")
    return key


if __name__ == "__main__":
    main(sys.argv[1:])
