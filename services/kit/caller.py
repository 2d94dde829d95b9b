"""Who is calling: the caller, and the signed token that carries it between processes.

The gateway signs people's contexts, a service signs its own. A token is a JWT
signed with Ed25519, for one audience (a service) and half a minute, so that the
same caller's requests share one signature and one verification. What only
describes a request (its id, the client's address and user agent) is no authority
and travels beside it.

jwt and cryptography are loaded where a token is made or read, not at the top: a
worker does neither, and counts its memory.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from services.kit.errors import ServiceError
from services.kit.watched import Watched

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TOKEN_METADATA = "vitalis-caller"
REQUEST_ID_METADATA = "vitalis-request-id"
ADDRESS_METADATA = "vitalis-client-address"
USER_AGENT_METADATA = "vitalis-user-agent"
LIFETIME_SECONDS = 30
# A cached token is handed out until it has this long left to live.
MARGIN_SECONDS = 10
# Two machines' clocks differ; a token of one that runs ahead is not from the future.
LEEWAY_SECONDS = 5
CACHE_SIZE = 10_000
PEOPLE_ISSUER = "gateway"
GATEWAY_ROLE = "gateway"
EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling, and about whom.

    `actor` is a person's id or `service:<name>`; `subject` is the person whose
    data the call is about ("" if none). They differ for somebody with a grant,
    whose id is `grant_id`, and for an admin. `scopes` holds names such as
    `wearables.read`; `*` is every scope. `session_id` is the person's session.
    """

    actor: str
    subject: str
    role: str
    scopes: frozenset[str]
    request_id: str = ""
    session_id: str = ""
    grant_id: str = ""
    address: str = ""
    user_agent: str = ""

    def may(self, scope: str) -> bool:
        return not scope or EVERYTHING in self.scopes or scope in self.scopes

    @property
    def is_service(self) -> bool:
        return self.role == "service"

    @property
    def is_delegate(self) -> bool:
        """Whether a person acts on another person's data."""
        return not self.is_service and self.actor != self.subject


# Public keys by issuer and key id.
Trusted: TypeAlias = Mapping[str, Mapping[str, Any]]
ANONYMOUS = Caller("", "", "anonymous", frozenset())
# The gateway about nobody: for the RPCs by which it finds out who calls.
GATEWAY = Caller("gateway", "", GATEWAY_ROLE, frozenset())
_current: ContextVar[Caller] = ContextVar("caller", default=ANONYMOUS)


def current() -> Caller:
    """The caller of the RPC or job that is running; ANONYMOUS outside of one."""
    return _current.get()


@contextmanager
def calling(caller: Caller) -> Iterator[Caller]:
    """Makes `caller` the current one for the block."""
    token = _current.set(caller)
    try:
        yield caller
    finally:
        _current.reset(token)


def service_caller(service: str, subject: str = "", request_id: str = "") -> Caller:
    """The caller of a job: the service itself, about one person or nobody."""
    return Caller(f"service:{service}", subject, "service", frozenset({EVERYTHING}), request_id)


def describing(request_id: str, address: str, user_agent: str) -> tuple[tuple[str, str], ...]:
    """The metadata that only describes a request and is no authority."""
    return ((REQUEST_ID_METADATA, request_id), (ADDRESS_METADATA, address), (USER_AGENT_METADATA, user_agent))


class CallerSigner:
    """Signs callers in the name of one process."""

    def __init__(self, issuer: str, key: Ed25519PrivateKey | Watched[Ed25519PrivateKey]) -> None:
        """A watched key (`watch_private_key`) signs until its file holds another one."""
        self._issuer = issuer
        self._watched = key if isinstance(key, Watched) else None
        self._use(key.get() if isinstance(key, Watched) else key)

    def _use(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._kid = key_id(key)
        self._cache: dict[tuple[Caller, str], tuple[float, str]] = {}

    def metadata(self, caller: Caller, audience: str, until: float = math.inf) -> tuple[tuple[str, str], ...]:
        """The gRPC metadata that carries `caller` to the service `audience`, at most until then (Unix seconds)."""
        about = describing(caller.request_id, caller.address, caller.user_agent)
        return ((TOKEN_METADATA, self.token(caller, audience, until)), *about)

    def token(self, caller: Caller, audience: str, until: float = math.inf) -> str:
        if self._watched and (current_key := self._watched.get()) is not self._key:
            self._use(current_key)
        now = time.time()
        if caller.request_id or caller.address or caller.user_agent:
            caller = replace(caller, request_id="", address="", user_agent="")
        key = (caller, audience)
        cached = self._cache.get(key)
        if cached and now + MARGIN_SECONDS < cached[0] <= until:
            return cached[1]
        claims = {
            "iss": self._issuer,
            "aud": audience,
            "sub": caller.subject,
            "actor": caller.actor,
            "role": caller.role,
            "scopes": sorted(caller.scopes),
            "sid": caller.session_id,
            "grant": caller.grant_id,
            "iat": int(now),
            "exp": min(int(now) + LIFETIME_SECONDS, until),
        }
        import jwt

        token = jwt.encode(claims, self._key, algorithm="EdDSA", headers={"kid": self._kid})
        if len(self._cache) >= CACHE_SIZE:
            self._cache.clear()
        self._cache[key] = (claims["exp"], token)  # type: ignore[assignment]
        return token


class CallerVerifier:
    """Verifies the tokens of the processes that a service trusts.

    `trusted` maps an issuer to its public keys by key id. Only the gateway may
    speak for people; any other issuer only for itself.
    """

    def __init__(self, audience: str, trusted: Trusted | Watched[Trusted]) -> None:
        """Keys that are watched (`watch_trusted`) are trusted as long as their file holds them."""
        self._audience = audience
        self._watched = trusted if isinstance(trusted, Watched) else None
        self._use(trusted.get() if isinstance(trusted, Watched) else trusted)

    def _use(self, trusted: Trusted) -> None:
        self._trusted = trusted
        # What a key that is trusted no more has signed is not remembered either.
        self._cache: dict[str, tuple[float, Caller]] = {}

    def verify(self, token: str, request_id: str, address: str = "", user_agent: str = "") -> Caller:
        """The caller of a token, with what came beside it. Raises UNAUTHENTICATED for any that does not hold."""
        if self._watched and (trusted := self._watched.get()) is not self._trusted:
            self._use(trusted)
        now = time.time()
        cached = self._cache.get(token)
        if cached is None:
            cached = self._decode(token)
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[token] = cached
        expires, caller = cached
        if expires <= now:
            raise ServiceError("UNAUTHENTICATED", "the caller's token has expired")
        return replace(caller, request_id=request_id, address=address, user_agent=user_agent)

    def _decode(self, token: str) -> tuple[float, Caller]:
        import jwt

        try:
            issuer = str(jwt.decode(token, options={"verify_signature": False}).get("iss"))
            key = self._key(issuer, str(jwt.get_unverified_header(token).get("kid")))
            claims = jwt.decode(
                token,
                key,
                algorithms=["EdDSA"],
                audience=self._audience,
                issuer=issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "aud", "iss", "sub", "actor", "role", "scopes"]},
            )
        except (jwt.InvalidTokenError, KeyError, ValueError):
            raise ServiceError("UNAUTHENTICATED", "the caller's token does not hold") from None
        caller = Caller(
            claims["actor"],
            claims["sub"],
            claims["role"],
            frozenset(claims["scopes"]),
            session_id=claims.get("sid", ""),
            grant_id=claims.get("grant", ""),
        )
        speaks_for_itself = caller.role == "service" and caller.actor == f"service:{issuer}"
        if (issuer == PEOPLE_ISSUER) == speaks_for_itself:
            raise ServiceError("UNAUTHENTICATED", "the caller's token does not hold")
        return float(claims["exp"]), caller

    def _key(self, issuer: str, kid: str) -> Any:
        """A trusted key. Raises KeyError for one that the file does not hold either."""
        if self._watched and kid not in self._trusted.get(issuer, {}) and self._watched.look():
            self._use(self._watched.get())
        return self._trusted[issuer][kid]


def key_id(key: Ed25519PrivateKey | Ed25519PublicKey) -> str:
    """The key's id: its JWK thumbprint (RFC 7638, RFC 8037 appendix A.3)."""
    from cryptography.hazmat.primitives import serialization

    raw = _public(key).public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()


def _public(key: Ed25519PrivateKey | Ed25519PublicKey) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return key.public_key() if isinstance(key, Ed25519PrivateKey) else key


def public_jwk(key: Ed25519PrivateKey | Ed25519PublicKey) -> dict[str, str]:
    """The public half as a JSON Web Key."""
    import jwt

    jwk: dict[str, str] = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(_public(key)))
    return {**jwk, "kid": key_id(key), "use": "sig", "alg": "EdDSA"}


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Reads an Ed25519 private key (PKCS#8 PEM). Raises ValueError for any other."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{path.name} holds no Ed25519 private key")
    return key


def watch_private_key(path: Path) -> Watched[Ed25519PrivateKey]:
    """`load_private_key`, and again when the file has changed."""
    return Watched(lambda: load_private_key(path), path)


def watch_trusted(path: Path) -> Watched[Trusted]:
    """`load_trusted`, and again when the file has changed."""
    return Watched(lambda: load_trusted(path), path)


def load_trusted(path: Path) -> Trusted:
    """Reads the trusted issuers: a JSON object from issuer to a JSON Web Key Set."""
    import jwt

    content = json.loads(path.read_text())
    return {issuer: {jwk["kid"]: jwt.PyJWK(jwk).key for jwk in key_set["keys"]} for issuer, key_set in content.items()}
