"""As whom the gateway calls a service, and what identity says of who may."""

import time
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.kit.caller import Caller, CallerVerifier, key_id
from services.kit.errors import ServiceError
from tests.gateway.support import BOB, Backend
from vitalis.identity.v1.callers_pb2 import ResolvedGrant

MINE = "/api/v1/users/me/things/7"
BOBS = f"/api/v1/users/{BOB}/things/7"
REVIEW = f"{BOBS}:review"
GRANT = "01930000-0000-7000-8000-00000000f00d"
# Nothing is remembered for longer than it takes to ask again.
FORGETFUL = {"caller_memory_seconds": 0.000001}


def grant(*scopes: str, **values: Any) -> ResolvedGrant:
    return ResolvedGrant(id=GRANT, scopes=scopes or ("wearables.read",), **values)


class Called:
    """As whom the service was called last, and until when it believes that."""

    def __init__(self, backend: Backend, key: Ed25519PrivateKey) -> None:
        self._backend = backend
        self._trusted = {"gateway": {key_id(key): key.public_key()}}

    @property
    def token(self) -> str:
        return self._backend.things.metadata["vitalis-caller"]

    @property
    def by(self) -> Caller:
        return CallerVerifier("sample", self._trusted).verify(self.token, "")

    @property
    def until(self) -> float:
        return CallerVerifier("sample", self._trusted)._decode(self.token)[0]


def reason(answer: httpx.Response) -> str:
    found: str = answer.json()["error"]["details"][0]["reason"]
    return found


class Clock:
    """A module `time` that stands still; `time.time` is the real one plus what it is ahead."""

    def __init__(self, monotonic: float) -> None:
        self._ahead = monotonic - time.monotonic()
        self._monotonic = monotonic

    def monotonic(self) -> float:
        return self._monotonic

    def time(self) -> float:
        return time.time() + self._ahead


async def unavailable() -> None:
    raise ServiceError("UNAVAILABLE", "the database cannot be reached; try again")


async def broken() -> None:
    raise ServiceError("INTERNAL", "something went wrong")
