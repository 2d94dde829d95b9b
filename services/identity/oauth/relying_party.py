"""Us, as a client of one provider: where to send somebody, and whom a code names."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import httpx
import jwt
import structlog

from services.identity.mail import ADDRESS
from services.identity.oauth.discovery import Discovery, Metadata
from services.identity.oauth.flow import Flow
from services.identity.oauth.id_token import Claims, InvalidIdTokenError, key_id_of, verify
from services.identity.oauth.providers import AppleKey, Provider
from services.identity.oauth.web import OK, Web
from services.kit.errors import ServiceError

log = structlog.get_logger()

MAX_ADDRESS = 254
MAX_TOKEN = 16 * 2**10
MAX_LIFETIME_SECONDS = 10 * 365 * 86400
# developer.apple.com/documentation/accountorganizationaldatasharing/creating-a-client-secret allows half a year.
APPLE_SECRET_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the provider gave us to act with, and until when."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody as a provider names them. `id` is unique among all issuers; `email` is "" where there is none.

    The provider says `email_verified`, and it is `email_proved` if the provider is the one to say so.
    """

    id: str
    email: str
    email_verified: bool
    email_proved: bool
    name: str
    tokens: Tokens = field(repr=False)


class RelyingParty:
    """One configured provider."""

    def __init__(self, name: str, provider: Provider, web: Web) -> None:
        self.name = name
        self._provider = provider
        self._web = web
        self._discovery = Discovery(provider, web)

    async def start(self, flow: Flow, redirect_uri: str) -> str:
        """The URL for the person's browser. Raises OAUTH_REDIRECT_NOT_ALLOWED, UNAVAILABLE."""
        if not self._provider.redirects_to(redirect_uri):
            raise ServiceError(
                "OAUTH_REDIRECT_NOT_ALLOWED", "redirect_uri: is not one that is configured for this provider"
            )
        return flow.authorization_url(self._provider, await self._discovery.metadata(), redirect_uri)

    async def finish(self, flow: Flow, code: str, issuer: str, redirect_uri: str) -> Person:
        """Whom the code names. Raises OAUTH_REFUSED, UNAVAILABLE."""
        metadata = await self._discovery.metadata()
        # RFC 9207: another provider's code must not be sent to this one. It says so itself, if it can.
        expected = self._provider.issuer if issuer or metadata.authorization_response_iss_parameter_supported else ""
        if issuer != expected:
            raise self._refused("another issuer answered")
        answer = await self._exchange(metadata, flow, code, redirect_uri)
        access_token, id_token = answer.get("access_token"), answer.get("id_token")
        if not isinstance(access_token, str) or not isinstance(id_token, str) or len(access_token) > MAX_TOKEN:
            raise self._refused("no tokens")
        try:
            keys = await self._discovery.keys(key_id_of(id_token))
            claims = verify(id_token, self._provider, keys, flow.nonce, access_token)
        except InvalidIdTokenError as error:
            raise self._refused(f"ID token: {error}") from None
        told = await self._told(metadata, claims, access_token)
        return self._person(claims, told, _tokens(access_token, answer))

    async def _exchange(self, metadata: Metadata, flow: Flow, code: str, redirect_uri: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": flow.verifier,
        }
        status, content = await self._web.ask("POST", metadata.token_endpoint, **self._authenticated(metadata, form))
        if status != OK:
            # `error` is a word of the standard's (RFC 6749 section 5.2); its description may be anything.
            raise self._refused(f"token endpoint: {str(content.get('error'))[:40]}")
        return content

    def _authenticated(self, metadata: Metadata, form: dict[str, str]) -> dict[str, Any]:
        """The form with the client's credentials, where the provider takes them (RFC 6749 section 2.3.1)."""
        client_id, secret = self._provider.client_id, self._provider.secret
        if self._provider.apple_key:
            secret = apple_secret(self._provider.apple_key, client_id, self._provider.issuer)
        if secret and "client_secret_basic" in metadata.token_endpoint_auth_methods_supported:
            return {"data": form, "auth": httpx.BasicAuth(quote_plus(client_id), quote_plus(secret))}
        return {"data": {**form, "client_id": client_id, **({"client_secret": secret} if secret else {})}}

    async def _told(self, metadata: Metadata, claims: Claims, access_token: str) -> Mapping[str, Any]:
        """The claims, with those of the userinfo endpoint where the token has no address (OIDC Core 5.3, 5.4)."""
        if "email" in claims.all or not metadata.userinfo_endpoint:
            return claims.all
        headers = {"authorization": f"Bearer {access_token}"}
        status, content = await self._web.ask("GET", metadata.userinfo_endpoint, headers=headers)
        # Somebody else's answer must not be mixed into this one (OIDC Core 5.3.2).
        if status != OK or content.get("sub") != claims.subject:
            raise self._refused("userinfo of somebody else")
        return {**content, **claims.all}

    def _person(self, claims: Claims, told: Mapping[str, Any], tokens: Tokens) -> Person:
        email = _address(told.get("email"))
        # Apple writes the boolean as text.
        verified = bool(email) and told.get("email_verified") in (True, "true")
        return Person(
            id=f"{self._provider.issuer} {claims.subject}",
            email=email,
            email_verified=verified,
            email_proved=verified and self._provider.answers_for(email.lower(), claims.all),
            name=_text(told.get("name")) or _text(told.get("given_name")) or _text(told.get("preferred_username")),
            tokens=tokens,
        )

    def _refused(self, why: str) -> ServiceError:
        log.warning("identity provider", provider=self.name, refused=why)
        return ServiceError("OAUTH_REFUSED", "the identity provider's answer does not hold; start again")


def apple_secret(key: AppleKey, client_id: str, audience: str) -> str:
    """A client secret as Apple wants it: a JWT of the team's, signed with ES256."""
    now = int(time.time())
    claims = {"iss": key.team_id, "iat": now, "exp": now + APPLE_SECRET_SECONDS, "aud": audience, "sub": client_id}
    return jwt.encode(claims, key.private_key_file.read_bytes(), algorithm="ES256", headers={"kid": key.key_id})


def _tokens(access_token: str, answer: Mapping[str, Any]) -> Tokens:
    seconds, refresh = answer.get("expires_in"), answer.get("refresh_token")
    lasts = isinstance(seconds, (int, float)) and 0 < seconds < MAX_LIFETIME_SECONDS
    return Tokens(
        access_token,
        refresh if isinstance(refresh, str) and len(refresh) <= MAX_TOKEN else "",
        datetime.now(UTC) + timedelta(seconds=float(seconds or 0)) if lasts else None,
    )


def _address(value: object) -> str:
    """An address that mail can be sent to, as those that are registered are; "" for anything else."""
    if not isinstance(value, str) or len(value) > MAX_ADDRESS:
        return ""
    return value if ADDRESS.fullmatch(value) else ""


def _text(value: object) -> str:
    """A name that can be shown: no control characters, at most 100 of the others."""
    if not isinstance(value, str):
        return ""
    return "".join(character for character in value if character.isprintable()).strip()[:100].strip()
