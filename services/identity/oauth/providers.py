"""Identity providers by configuration: any OpenID Connect issuer, with Google and Apple as presets."""

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

NAME = re.compile("[a-z][a-z0-9-]{0,31}")
# Asymmetric only: with HMAC the client's secret would be a signing key, and `none` signs nothing.
ALGORITHMS = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]
ANY_DOMAIN = "*"
# What the flow itself says in an authorization request.
RESERVED = frozenset(
    {
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "nonce",
        "redirect_uri",
        "request",
        "request_uri",
        "response_mode",
        "response_type",
        "scope",
        "state",
    }
)
# What a provider needs besides the client's own credentials.
PRESETS: dict[str, dict[str, Any]] = {
    "google": {
        "issuer": "https://accounts.google.com",
        # developers.google.com/identity/gsi/web/guides/verify-google-id-token: Google answers for
        # Gmail's addresses, and for those of the organisation that `hd` names.
        "email_domains": ("gmail.com", "googlemail.com"),
        "email_domain_claim": "hd",
    },
    "apple": {
        "issuer": "https://appleid.apple.com",
        "scopes": ("openid", "email", "name"),
        # Apple asks for it wherever name or email is among the scopes.
        "response_mode": "form_post",
        "email_domains": ("privaterelay.appleid.com", "icloud.com", "me.com", "mac.com"),
    },
}


class AppleKey(BaseModel):
    """The team's key that signs Apple's client secrets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    team_id: str = Field(min_length=1, max_length=32)
    key_id: str = Field(min_length=1, max_length=32)
    private_key_file: Path

    @field_validator("private_key_file")
    @classmethod
    def _is_p256(cls, path: Path) -> Path:
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except OSError:
            raise ValueError(f"{path.name} cannot be read") from None
        except (TypeError, ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise ValueError(f"{path.name} holds no P-256 private key in PEM")
        return path


class Provider(BaseModel):
    """One provider and how it knows us.

    `email_domains` are the domains whose addresses the issuer answers for (`*`:
    all of them); where it does and says `email_verified`, the address counts as
    proved. `email_domain_claim` names a claim that holds one more such domain.
    `redirect_uris` are matched exactly, but for the port of a loopback one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: str
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: SecretStr | None = None
    client_secret_file: Path | None = None
    apple_key: AppleKey | None = None
    scopes: tuple[str, ...] = ("openid", "email", "profile")
    response_mode: Literal["query", "form_post"] = "query"
    algorithms: tuple[ALGORITHMS, ...] = Field(("RS256", "PS256", "ES256", "Ed25519"), min_length=1)
    redirect_uris: tuple[str, ...] = Field(min_length=1)
    email_domains: tuple[str, ...] = ()
    email_domain_claim: str = ""
    extra: dict[str, str] = Field(default_factory=dict, description="More parameters of the authorization request.")

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, issuer: str) -> str:
        parts = urlsplit(issuer)
        if not is_safe(issuer) or parts.query or parts.fragment:
            raise ValueError("must be an https URL without query and fragment, or http on a loopback address")
        return issuer

    @field_validator("redirect_uris")
    @classmethod
    def _redirects(cls, uris: tuple[str, ...]) -> tuple[str, ...]:
        # A native app may also have a scheme of its own, with a dot in it (RFC 8252 section 7.1).
        if not all((is_safe(uri) or "." in urlsplit(uri).scheme) and not urlsplit(uri).fragment for uri in uris):
            raise ValueError("must be https URLs, http on a loopback address, or an app's own scheme (com.example.app)")
        return uris

    @field_validator("scopes")
    @classmethod
    def _scopes(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("must hold openid")
        return scopes

    @field_validator("extra")
    @classmethod
    def _extra(cls, extra: dict[str, str]) -> dict[str, str]:
        if taken := sorted(RESERVED & set(extra)):
            raise ValueError(f"must leave {', '.join(taken)} to the flow")
        return extra

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if sum(given is not None for given in (self.client_secret, self.client_secret_file, self.apple_key)) > 1:
            raise ValueError("needs one of client_secret, client_secret_file and apple_key")
        if self.client_secret_file and not _readable(self.client_secret_file):
            raise ValueError(f"{self.client_secret_file.name} cannot be read")
        return self

    @property
    def secret(self) -> str:
        """The client's secret; "" for a public client."""
        if self.client_secret_file:
            return self.client_secret_file.read_text().strip()
        return self.client_secret.get_secret_value() if self.client_secret else ""

    def redirects_to(self, uri: str) -> bool:
        """Whether the provider may send somebody to that URI."""
        return any(uri == allowed or _same_loopback(uri, allowed) for allowed in self.redirect_uris)

    def answers_for(self, email: str, claims: Mapping[str, Any]) -> bool:
        """Whether the issuer has authority over an address, given the token's claims."""
        domain = email.rpartition("@")[2]
        own = str(claims.get(self.email_domain_claim, "")) if self.email_domain_claim else ""
        return ANY_DOMAIN in self.email_domains or domain in self.email_domains or (domain == own.lower() != "")


def with_presets(providers: object) -> object:
    """The configured providers with what their presets add, for a validator that runs before."""
    if not isinstance(providers, dict):
        return providers
    for name in providers:
        if not NAME.fullmatch(str(name)):
            raise ValueError("a provider's name must have up to 32 of a-z, 0-9 and -, and begin with a letter")
    return {
        name: {**PRESETS.get(name, {}), **given} if isinstance(given, dict) else given
        for name, given in providers.items()
    }


def is_safe(url: str) -> bool:
    """Whether a URL is https, or http that does not leave this machine."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url))


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine by an address (RFC 8252 section 8.3: `localhost` may resolve elsewhere)."""
    try:
        return ipaddress.ip_address(urlsplit(url).hostname or "").is_loopback
    except ValueError:
        return False


def _same_loopback(uri: str, allowed: str) -> bool:
    """RFC 8252 section 7.3: any port of a loopback address, as a program takes one that is free."""
    if not (is_loopback(allowed) and is_safe(uri) and is_loopback(uri)):
        return False
    one, other = urlsplit(uri), urlsplit(allowed)
    return (one.scheme, one.hostname, one.path, one.query, one.fragment) == (
        other.scheme,
        other.hostname,
        other.path,
        other.query,
        "",
    )


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_text().strip())
    except (OSError, ValueError):
        return False
