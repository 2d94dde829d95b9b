"""A provider's metadata and keys (OpenID Connect Discovery 1.0, RFC 8414), fetched and remembered."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from pydantic import BaseModel, ValidationError

from services.identity.oauth.providers import Provider, is_loopback, is_safe
from services.identity.oauth.web import OK, Web, unavailable
from services.kit.errors import ServiceError

FRESH_SECONDS = 3600.0
# A provider that rotates its keys is asked for them at once, but not at every forged key id.
KEYS_PAUSE_SECONDS = 30.0
# Who asks while a provider is down shares the last failure, and does not wait for a new one.
FAILED_SECONDS = 3.0
# NIST SP 800-131A revision 2: RSA keys of less than 2048 bits verify nothing any more; as base64url.
MIN_RSA_CHARACTERS = 342
MAX_KEYS = 100
KINDS: dict[str, type[RSAKey] | type[ECKey] | type[OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}

Value = TypeVar("Value")


class Metadata(BaseModel):
    """What is used of a provider's metadata."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Remembered(Generic[Value]):
    """A value that is fetched when it is needed and old; whoever needs it meanwhile waits for the one fetch."""

    def __init__(self, fetch: Callable[[], Awaitable[Value]]) -> None:
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._value: Value | None = None
        self._failure: ServiceError | None = None
        self._at = float("-inf")

    async def get(self, max_age_seconds: float = FRESH_SECONDS) -> Value:
        """The value, at most that old. Raises UNAVAILABLE."""
        async with self._lock:
            age = time.monotonic() - self._at
            if self._failure and age < FAILED_SECONDS:
                raise self._failure
            if self._value is not None and self._failure is None and age < max_age_seconds:
                return self._value
            try:
                self._value, self._failure = await self._fetch(), None
            except ServiceError as failure:
                self._failure, self._at = failure, time.monotonic()
                raise
            self._at = time.monotonic()
            return self._value


class Discovery:
    """One provider's metadata and public keys."""

    def __init__(self, provider: Provider, web: Web) -> None:
        self._provider = provider
        self._web = web
        self._metadata = _Remembered(self._fetch_metadata)
        self._keys = _Remembered(self._fetch_keys)

    async def metadata(self) -> Metadata:
        """At most an hour old. Raises UNAVAILABLE."""
        return await self._metadata.get()

    async def keys(self, kid: str | None) -> KeySet:
        """The keys, fetched again if the one that is asked for is not among them. Raises UNAVAILABLE."""
        keys = await self._keys.get()
        if kid is None or any(key.kid == kid for key in keys):
            return keys
        return await self._keys.get(KEYS_PAUSE_SECONDS)

    async def _fetch_metadata(self) -> Metadata:
        issuer = self._provider.issuer
        host = urlsplit(issuer).hostname or ""
        answer = await self._web.ask("GET", issuer.rstrip("/") + "/.well-known/openid-configuration")
        try:
            metadata = Metadata.model_validate(answer.content)
        except ValidationError:
            raise unavailable(host, "incomplete metadata") from None
        # Without this a document of another issuer's making would be believed (OIDC Discovery 4.3).
        if answer.status != OK or metadata.issuer != issuer:
            raise unavailable(host, "metadata of another issuer")
        endpoints = [metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri]
        if metadata.userinfo_endpoint:
            endpoints.append(metadata.userinfo_endpoint)
        # An issuer elsewhere must not point at what listens on this machine.
        if not all(is_safe(url) and (is_loopback(issuer) or not is_loopback(url)) for url in endpoints):
            raise unavailable(host, "an endpoint that is not https")
        return metadata

    async def _fetch_keys(self) -> KeySet:
        metadata = await self.metadata()
        answer = await self._web.ask("GET", metadata.jwks_uri)
        published = answer.content.get("keys")
        keys = [] if not isinstance(published, list) else [_public_key(jwk) for jwk in published[:MAX_KEYS]]
        usable = [key for key in keys if key is not None]
        if answer.status != OK or not usable:
            raise unavailable(urlsplit(self._provider.issuer).hostname or "", "no usable keys")
        return KeySet(list(usable))


def _public_key(jwk: object) -> RSAKey | ECKey | OKPKey | None:
    """A key that can verify signatures; None for any other, which a set may well hold (RFC 7517 section 5)."""
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    kind = KINDS.get(str(jwk.get("kty")))
    if kind is None or (kind is RSAKey and len(str(jwk.get("n"))) < MIN_RSA_CHARACTERS):
        return None
    try:
        return kind.import_key(jwk)
    except (JoseError, ValueError, TypeError, KeyError):
        return None
