"""The master keys of a service: a Tink keyset of AES-256-GCM keys in a file, which wraps people's data keys.

The file holds the keyset as JSON, in clear with mode 0600, or encrypted by a
key management service (`aws-kms://…`, `gcp-kms://…`), which is then asked once
whenever the file is read. One key is the primary: it wraps, all of them unwrap.

    python -m services.kit.keyset create|list|add FILE [--kms-uri URI]
    python -m services.kit.keyset promote|remove KEY_ID FILE [--kms-uri URI]

A new key is added, waits until every process has it, is promoted, and after
`python -m services.<name> rotate-keys` the old one is removed.
"""

import argparse
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import tink
from tink import aead, secret_key_access
from tink.proto import tink_pb2

from services.kit.watched import Watched, replace_file

aead.register()
TEMPLATE = aead.aead_key_templates.AES256_GCM
# Binds an encrypted keyset to what it is for.
KEYSET_CONTEXT = b"vitalis keyset"
# Tink's own prefix of a ciphertext: a version byte and the key's id.
PREFIX = slice(1, 5)


class KeysetError(Exception):
    """A keyset that cannot be used, and why; the message holds nothing of its keys."""


class _Keys(NamedTuple):
    """A keyset as it is used."""

    aead: Any
    ids: frozenset[int]
    primary_id: int


class MasterKeys:
    """The keyset of a file, read again when the file changes."""

    def __init__(self, file: Path, kms_uri: str = "") -> None:
        """Raises KeysetError for a file that cannot be read, or that others can."""
        self._keys = Watched(lambda: _usable(read(file, kms_uri)), file)

    @property
    def primary_id(self) -> int:
        """The id of the key that wraps."""
        return self._keys.get().primary_id

    def wrap(self, secret: bytes, context: bytes) -> bytes:
        """`secret` under the primary key; unwrapped only with the same context."""
        wrapped: bytes = self._keys.get().aead.encrypt(secret, context)
        return wrapped

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """The secret. Raises KeysetError if no key of the keyset unwraps it in this context."""
        if key_id(wrapped) not in self._keys.get().ids:
            self._keys.look()
        try:
            secret: bytes = self._keys.get().aead.decrypt(wrapped, context)
        except tink.TinkError:
            raise KeysetError("a data key cannot be unwrapped") from None
        return secret


def _usable(keyset: Any) -> _Keys:
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    return _Keys(handle.primitive(aead.Aead), frozenset(key.key_id for key in keyset.key), keyset.primary_key_id)


def key_id(wrapped: bytes) -> int:
    """The id of the master key that wrapped a data key."""
    return int.from_bytes(wrapped[PREFIX], "big")


def new_keyset() -> Any:
    """A keyset with one new key."""
    handle = tink.new_keyset_handle(TEMPLATE)
    return tink_pb2.Keyset.FromString(tink.proto_keyset_format.serialize(handle, secret_key_access.TOKEN))


def as_json(keyset: Any, kms_uri: str = "") -> bytes:
    """What the file holds."""
    handle = tink.proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
    if kms_uri:
        serialize = tink.json_proto_keyset_format.serialize_encrypted
        text = _asking(lambda: serialize(handle, _kms(kms_uri), KEYSET_CONTEXT))
    else:
        text = tink.json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN)
    return str(text).encode()


def add(keyset: Any) -> int:
    """Adds a new key, which unwraps and does not wrap yet; its id."""
    key = new_keyset().key[0]
    if any(key.key_id == other.key_id for other in keyset.key):
        return add(keyset)
    keyset.key.append(key)
    return int(key.key_id)


def promote(keyset: Any, new_primary: int) -> None:
    """Makes a key the one that wraps. Raises KeysetError if the keyset has no such key."""
    if all(key.key_id != new_primary for key in keyset.key):
        raise KeysetError(f"there is no key {new_primary}")
    keyset.primary_key_id = new_primary


def remove(keyset: Any, old: int) -> None:
    """Forgets a key, and with it every data key that is still wrapped by it. Raises KeysetError for the primary."""
    if old == keyset.primary_key_id:
        raise KeysetError(f"{old} is the primary key; promote another one first")
    kept = [key for key in keyset.key if key.key_id != old]
    if len(kept) == len(keyset.key):
        raise KeysetError(f"there is no key {old}")
    del keyset.key[:]
    keyset.key.extend(kept)


def read(file: Path, kms_uri: str = "") -> Any:
    """The keyset of a file. Raises KeysetError."""
    try:
        text = file.read_text()
        if not kms_uri:
            _refuse_open(file)
    except OSError as error:
        raise KeysetError(f"the keyset {file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeysetError(f"{file} holds no keyset") from None
    try:
        if kms_uri:
            parse = tink.json_proto_keyset_format.parse_encrypted
            handle = _asking(lambda: parse(text, _kms(kms_uri), KEYSET_CONTEXT))
        else:
            handle = tink.json_proto_keyset_format.parse(text, secret_key_access.TOKEN)
        # Proves that its keys are for this: AEAD.
        handle.primitive(aead.Aead)
    except tink.TinkError:
        how = "that the key management service decrypts" if kms_uri else "in clear"
        raise KeysetError(f"{file} holds no AEAD keyset {how}") from None
    return tink_pb2.Keyset.FromString(tink.proto_keyset_format.serialize(handle, secret_key_access.TOKEN))


def _refuse_open(file: Path) -> None:
    """PostgreSQL's rule for private keys: ours alone, or root's and readable by our group."""
    status = file.stat()
    mode = stat.S_IMODE(status.st_mode)
    forbidden = 0o077 if status.st_uid == os.geteuid() else 0o037
    if status.st_uid not in (os.geteuid(), 0) or mode & forbidden:
        raise KeysetError(f"the keyset {file} can be read by others (mode {mode:04o}); chmod 600 it")


def _asking(call: Callable[[], Any]) -> Any:
    """`call`, which asks a key management service: what its library raises is told by its kind alone."""
    try:
        return call()
    except (KeysetError, tink.TinkError):
        raise
    except Exception as error:
        raise KeysetError(f"the key management service cannot be asked ({type(error).__name__})") from None


def _kms(uri: str) -> Any:
    """Tink's Aead of a key management service, with the credentials that its own library finds."""
    try:
        return tink.kms_client_from_uri(uri).get_aead(uri)
    except tink.TinkError:
        pass
    try:
        if uri.startswith("aws-kms://"):
            from tink.integration import awskms

            return awskms.AwsKmsClient(uri, None).get_aead(uri)
        if uri.startswith("gcp-kms://"):
            from tink.integration import gcpkms

            return gcpkms.GcpKmsClient(uri, None).get_aead(uri)
    except ImportError:
        extra = uri.partition("://")[0].replace("-", "")
        raise KeysetError(f"for this key management service, install tink[{extra}]") from None
    raise KeysetError("the key management service's URI must begin with aws-kms:// or gcp-kms://")


def main(arguments: list[str]) -> None:
    """The command line; ends with a message and exit code 2 for what cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m services.kit.keyset", description="Master keys in a file.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("create", "list", "add", "promote", "remove"):
        command = commands.add_parser(name)
        if name in ("promote", "remove"):
            command.add_argument("key_id", type=int)
        command.add_argument("file", type=Path)
        command.add_argument("--kms-uri", default="", help="the file is encrypted by this key")
    options = parser.parse_args(arguments)
    try:
        _command(options)
    except (KeysetError, OSError) as error:
        print(f"keyset: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _command(options: argparse.Namespace) -> None:
    if options.command == "create":
        if options.file.exists():
            raise KeysetError(f"{options.file} exists already")
        keyset = new_keyset()
    else:
        keyset = read(options.file, options.kms_uri)
    match options.command:
        case "add":
            add(keyset)
        case "promote":
            promote(keyset, options.key_id)
        case "remove":
            remove(keyset, options.key_id)
    if options.command != "list":
        replace_file(options.file, as_json(keyset, options.kms_uri), 0o600)
    for key in keyset.key:
        print(key.key_id, "primary" if key.key_id == keyset.primary_key_id else "")


if __name__ == "__main__":
    main(sys.argv[1:])
