"""Links in mails: signed, for one thing, until a certain moment.

A link is a JWT (Ed25519) whose audience is what it is for, so that none passes
for another or for an access token. It says whose and which thing it is about;
whether it still holds is in that thing's row, which is how it is revoked.
"""

import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER = "vitalis"
EXPORT = "vitalis-export"
CANCEL_DELETION = "vitalis-cancel-deletion"


class Target(NamedTuple):
    """What a link leads to: a row of a person."""

    user_id: UUID
    id: UUID


class Links:
    """Signs with the first key of access tokens, and believes all that are published."""

    def __init__(self, key_files: Sequence[Path]) -> None:
        self._files = key_files
        self._loaded: tuple[Ed25519PrivateKey, ...] = ()

    @property
    def _keys(self) -> "tuple[Ed25519PrivateKey, ...]":
        # When they are first needed: most workers' days pass without a link.
        if not self._loaded:
            from services.kit.caller import load_private_key

            self._loaded = tuple(load_private_key(path) for path in self._files)
        return self._loaded

    def sign(self, purpose: str, target: Target, expires_at: datetime) -> str:
        """The token of a link."""
        import jwt

        claims = {
            "iss": ISSUER,
            "aud": purpose,
            "sub": str(target.user_id),
            "jti": str(target.id),
            "iat": int(time.time()),
            "exp": int(expires_at.timestamp()),
        }
        return jwt.encode(claims, self._keys[0], algorithm="EdDSA")

    def verify(self, purpose: str, token: str) -> Target | None:
        """What a token leads to; None for one that is not ours, not for this, or too old."""
        import jwt

        for key in self._keys:
            try:
                claims = jwt.decode(
                    token,
                    key.public_key(),
                    algorithms=["EdDSA"],
                    audience=purpose,
                    issuer=ISSUER,
                    options={"require": ["exp", "aud", "iss", "sub", "jti"]},
                )
                return Target(UUID(claims["sub"]), UUID(claims["jti"]))
            except (jwt.InvalidTokenError, ValueError):
                continue
        return None
