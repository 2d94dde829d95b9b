"""Access tokens (JWT, Ed25519) and refresh tokens (opaque, stored as SHA-256)."""

import hashlib
import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.kit.caller import key_id, load_private_key, public_jwk

ISSUER = "vitalis"
AUDIENCE = "vitalis-api"
ACCESS_SECONDS = 15 * 60
# A recognisable prefix lets secret scanners find a leaked token.
REFRESH_PREFIX = "vrt_"
REFRESH_BYTES = 32


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token and the second at which it stops working."""

    token: str = field(repr=False)
    expires_at: datetime


class AccessTokens:
    """Signs access tokens with the first key and publishes all of them.

    A new key is published in second place first, and signs once every verifier
    has read the key set again; the old one stays for another 15 minutes.
    """

    def __init__(self, keys: Sequence[Ed25519PrivateKey]) -> None:
        if not keys:
            raise ValueError("at least one signing key is needed")
        self._key = keys[0]
        self._kid = key_id(keys[0])
        self._key_set = tuple(public_jwk(key) for key in keys)

    @classmethod
    def from_files(cls, paths: Sequence[Path]) -> Self:
        """Reads the keys (PKCS#8 PEM). Raises OSError or ValueError, neither with a key's content."""
        return cls([load_private_key(path) for path in paths])

    @property
    def key_set(self) -> tuple[dict[str, str], ...]:
        """The public keys as JSON Web Keys (RFC 7517, RFC 8037)."""
        return self._key_set

    def derive(self, purpose: str) -> bytes:
        """A secret of 32 bytes for another purpose, the same in every replica while the signing key is."""
        raw = self._key.private_bytes_raw()
        return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose.encode()).derive(raw)

    def issue(self, user_id: uuid.UUID, session_id: uuid.UUID, role: str) -> AccessToken:
        """An access token for one person's session."""
        issued = int(time.time())
        expires = issued + ACCESS_SECONDS
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": str(session_id),
            "role": role,
            "iat": issued,
            "exp": expires,
            "jti": secrets.token_urlsafe(16),
        }
        token = jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": self._kid})
        return AccessToken(token, datetime.fromtimestamp(expires, UTC))


def new_refresh_token() -> str:
    """A refresh token of 256 random bits."""
    return REFRESH_PREFIX + secrets.token_urlsafe(REFRESH_BYTES)


def fingerprint(refresh_token: str) -> bytes:
    """What is stored of a refresh token: 32 bytes.

    A plain SHA-256 is enough, because 256 random bits cannot be guessed offline.
    """
    return hashlib.sha256(refresh_token.encode()).digest()
