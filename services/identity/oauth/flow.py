"""One run of the authorization code flow (RFC 6749 section 4.1) with PKCE (RFC 7636) and a nonce.

`state` goes through the browser; `binding` stays with the client that started.
The verifier of PKCE and the nonce are derived from both, so the database, which
holds only hashes of the two, cannot tell them.
"""

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlencode, urlsplit

from services.identity.oauth.discovery import Metadata
from services.identity.oauth.providers import Provider

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Flow:
    """The two secrets of a run, and who may end it: a person's id for linking, "" for logging in."""

    state: str = field(repr=False)
    binding: str = field(repr=False)
    linking: str = ""

    @classmethod
    def begin(cls, linking: str = "") -> Self:
        return cls(secrets.token_urlsafe(SECRET_BYTES), secrets.token_urlsafe(SECRET_BYTES), linking)

    @property
    def state_sha256(self) -> bytes:
        return hashlib.sha256(self.state.encode()).digest()

    @property
    def binding_sha256(self) -> bytes:
        """Also of who links, so that nobody ends what another person began."""
        return hashlib.sha256(f"{self.linking} {self.binding}".encode()).digest()

    @property
    def verifier(self) -> str:
        """PKCE's `code_verifier`: 43 characters of 256 bits."""
        return self._derive("verifier")

    @property
    def nonce(self) -> str:
        return self._derive("nonce")

    def _derive(self, purpose: str) -> str:
        return _base64url(hmac.digest(self.binding.encode(), f"{purpose} {self.state}".encode(), "sha256"))

    def authorization_url(self, provider: Provider, metadata: Metadata, redirect_uri: str) -> str:
        """Where the person's browser goes."""
        parameters = {
            **provider.extra,
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(provider.scopes),
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": _base64url(hashlib.sha256(self.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        if provider.response_mode != "query":
            parameters["response_mode"] = provider.response_mode
        # The endpoint may have a query of its own (RFC 6749 section 3.1).
        endpoint = metadata.authorization_endpoint
        return endpoint + ("&" if urlsplit(endpoint).query else "?") + urlencode(parameters)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
