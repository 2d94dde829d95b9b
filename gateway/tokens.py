"""Verifies people's access tokens against the keys that identity publishes.

Access tokens are JWTs signed with Ed25519 (RFC 8037). A token that has been
verified is remembered until it expires, so that a person's next request costs
a dictionary look-up; the memory is emptied whenever the keys change.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.kit.caller import EVERYTHING, Caller
from services.kit.errors import ServiceError

log = structlog.get_logger("gateway.tokens")

ROLES = frozenset({"user", "coach", "admin"})
LEEWAY_SECONDS = 5
CACHE_SIZE = 20_000
# How soon after a fetch an unknown key id may cause the next one.
FETCH_PAUSE_SECONDS = 5.0
RETRY_SECONDS = 1.0
REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "sid", "role"]

Jwks = Sequence[Mapping[str, str]]


class InvalidTokenError(ServiceError):
    """A token was sent and does not hold (RFC 6750 section 3.1: `invalid_token`)."""

    def __init__(self) -> None:
        super().__init__("UNAUTHENTICATED", "the access token is not valid; refresh it or log in again")


class Person(NamedTuple):
    """Whom an access token speaks for, in which session, until `expires` (Unix seconds).

    `caller` is the person about themselves, with the role that the token says.
    """

    id: str
    session: str
    caller: Caller
    expires: float


class KeySet:
    """Identity's public keys by key id, fetched when they are first needed."""

    def __init__(self, fetch: Callable[[], Awaitable[Jwks]], on_change: Callable[[], None]) -> None:
        self._fetch = fetch
        self._on_change = on_change
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._lock = asyncio.Lock()
        self._next_fetch = 0.0

    async def key(self, kid: str) -> Ed25519PublicKey | None:
        """The key of that id; None if identity has no such key.

        Raises UNAVAILABLE while no key could be fetched at all.
        """
        if kid not in self._keys:
            async with self._lock:
                if kid not in self._keys and time.monotonic() >= self._next_fetch:
                    await self.refresh()
            if not self._keys:
                raise ServiceError("UNAVAILABLE", "tokens cannot be verified now; try again", retry_after_seconds=2)
        return self._keys.get(kid)

    async def refresh(self) -> None:
        """Fetches the keys; keeps those it has if identity does not answer."""
        try:
            fetched = await self._fetch()
        except ServiceError as error:
            self._next_fetch = time.monotonic() + RETRY_SECONDS
            log.warning("identity's keys could not be fetched", reason=error.reason.name)
            return
        self._next_fetch = time.monotonic() + FETCH_PAUSE_SECONDS
        keys = {jwk["kid"]: key for jwk in fetched if (key := _ed25519(jwk))}
        if keys.keys() != self._keys.keys():
            self._on_change()
        self._keys = keys

    async def keep_fresh(self, seconds: float) -> None:
        """Refreshes the keys for as long as the gateway runs."""
        while True:
            await self.refresh()
            await asyncio.sleep(seconds if self._keys else RETRY_SECONDS)


class AccessTokens:
    """Turns `Authorization` headers into people."""

    def __init__(self, fetch: Callable[[], Awaitable[Jwks]], issuer: str, audience: str) -> None:
        self._issuer = issuer
        self._audience = audience
        self._people: dict[bytes, Person] = {}
        self.keys = KeySet(fetch, self._people.clear)

    def remembered(self, authorization: bytes) -> Person | None:
        """The person of a header that was verified before and has not expired."""
        person = self._people.get(authorization)
        return person if person and person.expires > time.time() else None

    async def verify(self, authorization: bytes) -> Person:
        """The person of a header. Raises UNAUTHENTICATED if it does not hold."""
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not token:
            raise InvalidTokenError
        claims = await self._claims(token.strip())
        person_id, session, role = claims["sub"], claims["sid"], claims["role"]
        if not isinstance(person_id, str) or not person_id or role not in ROLES:
            raise InvalidTokenError
        if not isinstance(session, str) or not session:
            raise InvalidTokenError
        caller = Caller(person_id, person_id, role, frozenset({EVERYTHING}), session_id=session)
        person = Person(person_id, session, caller, float(claims["exp"]))
        if len(self._people) >= CACHE_SIZE:
            self._people.clear()
        self._people[authorization] = person
        return person

    async def _claims(self, token: bytes) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != "EdDSA":
                raise InvalidTokenError
            key = await self.keys.key(str(header.get("kid")))
            if key is None:
                raise InvalidTokenError
            return jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": REQUIRED_CLAIMS},
            )
        except (jwt.InvalidTokenError, ValueError):
            raise InvalidTokenError from None


def _ed25519(jwk: Mapping[str, str]) -> Ed25519PublicKey | None:
    if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519" or not jwk.get("kid"):
        return None
    try:
        key = jwt.PyJWK(dict(jwk), algorithm="EdDSA").key
    except jwt.PyJWKError:
        return None
    return key if isinstance(key, Ed25519PublicKey) else None
