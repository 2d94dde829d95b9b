"""Whether an ID token holds (OpenID Connect Core 1.0, sections 3.1.3.7 and 3.1.3.8), and who it names."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from services.identity.oauth.providers import Provider

LEEWAY_SECONDS = 30
# A token is made when the code is exchanged; an older one is not the answer to that.
MAX_AGE_SECONDS = 600
MAX_SUBJECT = 255
# The hash of `at_hash` is the one of the signature's algorithm; Ed25519 hashes with SHA-512 (RFC 8032).
HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class InvalidIdTokenError(Exception):
    """The token does not hold; the text says why, and quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who somebody is to an issuer."""

    subject: str
    all: Mapping[str, Any] = field(repr=False)


def key_id_of(token: str) -> str | None:
    """Which key a token says that it was signed with. Raises InvalidIdTokenError."""
    head = token.partition(".")[0]
    try:
        header = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
        kid = header.get("kid")
    except (ValueError, AttributeError, RecursionError):
        raise InvalidIdTokenError("no JWT") from None
    return kid if isinstance(kid, str) else None


def verify(token: str, provider: Provider, keys: KeySet, nonce: str, access_token: str) -> Claims:
    """The claims of a token that answers our own request. Raises InvalidIdTokenError for any other."""
    # Headers that are not known are ignored (RFC 7515 section 4), but for those that `crit` lists.
    registry = JWSRegistry(algorithms=list(provider.algorithms), strict_check_header=False)
    now = int(time.time())
    rules = jwt.JWTClaimsRegistry(
        now,
        LEEWAY_SECONDS,
        iss={"essential": True, "value": provider.issuer},
        aud={"essential": True, "value": provider.client_id},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        decoded = jwt.decode(token, keys, algorithms=list(provider.algorithms), registry=registry)
        rules.validate(decoded.claims)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise InvalidIdTokenError(type(error).__name__) from None
    claims = decoded.claims
    if claims["iat"] < now - MAX_AGE_SECONDS - LEEWAY_SECONDS:
        raise InvalidIdTokenError("issued long ago")
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    # Made for somebody else besides us, it is ours only if we are the one who asked for it.
    if claims.get("azp", None if len(audience) > 1 else provider.client_id) != provider.client_id:
        raise InvalidIdTokenError("another authorized party")
    if not isinstance(claims["nonce"], str):
        raise InvalidIdTokenError("no nonce")
    if "at_hash" in claims and not _is_hash_of(claims["at_hash"], access_token, decoded.header["alg"]):
        raise InvalidIdTokenError("another access token")
    subject = claims["sub"]
    if len(subject) > MAX_SUBJECT or not subject.isascii() or not subject.isprintable():
        raise InvalidIdTokenError("no subject")
    return Claims(subject, claims)


def _is_hash_of(at_hash: object, access_token: str, algorithm: str) -> bool:
    """The left half of the token's hash, base64url."""
    digest = HASHES.get(algorithm[-3:], hashlib.sha512)(access_token.encode()).digest()
    half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=")
    return isinstance(at_hash, str) and hmac.compare_digest(at_hash.encode("utf-8", "replace"), half)
