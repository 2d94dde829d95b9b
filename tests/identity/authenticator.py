"""An authenticator in software: makes passkeys and signs with them, as a browser would pass it on.

ES256 keys, attestation `none`. What an honest one does is the default; every
part of it can be made to lie.
"""

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field, replace
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

ORIGIN = "http://localhost:8080"
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")


def to_struct(value: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(value)
    return struct


@dataclass
class Authenticator:
    """One passkey, once `create` has made it. `overrides` of both ceremonies replace what would be honest."""

    origin: str = ORIGIN
    rp_id: str = ""
    flags: int = PRESENT | VERIFIED
    counter: int = 0
    # Synchronised passkeys do not count.
    counts: bool = True
    cross_origin: bool = False
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    user_handle: bytes = b""

    def but(self, **changes: Any) -> "Authenticator":
        """The same passkey in an authenticator or a browser that differs."""
        return replace(self, **changes)

    def create(self, options: Struct) -> Struct:
        """The answer of `navigator.credentials.create`."""
        asked: Any = json_format.MessageToDict(options)
        self.user_handle = decode(asked["user"]["id"])
        numbers = self.key.public_key().public_numbers()
        public_key = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        credential = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id
        data = self._data(asked["rp"]["id"], ATTESTED) + credential + cbor2.dumps(public_key)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {
            "clientDataJSON": encode(self._client_data("webauthn.create", asked["challenge"])),
            "attestationObject": encode(attestation),
            "transports": ["internal", "hybrid"],
        }
        return self._answer(response)

    def get(self, options: Struct) -> Struct:
        """The answer of `navigator.credentials.get`."""
        asked: Any = json_format.MessageToDict(options)
        if self.counts:
            self.counter += 1
        data = self._data(asked["rpId"])
        client_data = self._client_data("webauthn.get", asked["challenge"])
        signature = self.key.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": encode(client_data),
            "authenticatorData": encode(data),
            "signature": encode(signature),
            "userHandle": encode(self.user_handle),
        }
        return self._answer(response)

    def _data(self, rp_id: str, flags: int = 0) -> bytes:
        rp_id_hash = hashlib.sha256((self.rp_id or rp_id).encode()).digest()
        return rp_id_hash + bytes([self.flags | flags]) + self.counter.to_bytes(4, "big")

    def _client_data(self, kind: str, challenge: str) -> bytes:
        content = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin}
        return json.dumps(content).encode()

    def _answer(self, response: dict[str, Any]) -> Struct:
        identifier = encode(self.credential_id)
        return to_struct(
            {
                "id": identifier,
                "rawId": identifier,
                "type": "public-key",
                "authenticatorAttachment": "platform",
                "clientExtensionResults": {},
                "response": response,
            }
        )
