"""Passwords: Argon2id, off the event loop, at a cost that cannot pile up.

Parameters: the OWASP Password Storage Cheat Sheet's minimum for Argon2id (19 MiB
of memory, 2 iterations, 1 lane; RFC 9106 defines them), which settings can raise.
Every hash carries its own, so a hash of other parameters still verifies and is
replaced at the next login.
"""

import asyncio
import secrets
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from services.kit.errors import ServiceError

MEMORY_KIB = 19_456
ITERATIONS = 2
LANES = 1
RETRY_AFTER_SECONDS = 1.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a password is right, and the hash that should replace the stored one (None: keep it)."""

    right: bool
    replacement: str | None = field(default=None, repr=False)


class Passwords:
    """Hashes and verifies passwords on `threads` threads of its own.

    At most `capacity` requests are hashing or waiting to; one more is refused
    with UNAVAILABLE at once, because a wait that ends in a missed deadline costs
    the person as much and the server more.
    """

    def __init__(
        self, *, threads: int, capacity: int, memory_kib: int = MEMORY_KIB, iterations: int = ITERATIONS
    ) -> None:
        self._hasher = PasswordHasher(time_cost=iterations, memory_cost=memory_kib, parallelism=LANES)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._room = threading.BoundedSemaphore(capacity)
        # Verified against where there is nothing to verify, so that an unknown
        # email costs what a wrong password does.
        self._decoy = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """The hash to store, in the PHC string format. Raises UNAVAILABLE when too many wait."""
        return await self._in_thread(lambda: self._hasher.hash(_prepared(password)))

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Compares; with `stored` None (nobody, or nobody with a password) it is wrong at the same cost.

        Raises UNAVAILABLE when too many wait.
        """
        return await self._in_thread(lambda: self._verify(stored, _prepared(password)))

    def _verify(self, stored: str | None, password: bytes) -> Verdict:
        try:
            self._hasher.verify(stored or self._decoy, password)
        except VerifyMismatchError:
            return Verdict(False)
        if stored is None:
            return Verdict(False)
        stale = self._hasher.check_needs_rehash(stored)
        return Verdict(True, self._hasher.hash(password) if stale else None)

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if not self._room.acquire(blocking=False):
            raise ServiceError(
                "UNAVAILABLE", "too many people are logging in; try again", retry_after_seconds=RETRY_AFTER_SECONDS
            )
        future: Future[Result] = self._pool.submit(work)
        # A caller who gives up leaves the queue, but a hash that has begun keeps
        # its place: only the pool knows when it is free.
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)


def _prepared(password: str) -> bytes:
    """The password's bytes, so that keyboards that compose characters differently agree.

    The OpaqueString profile (RFC 8265 section 4.2.2): other spaces become U+0020,
    then NFC. NFKC is not used: it makes distinct characters one, which weakens.
    """
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    return unicodedata.normalize("NFC", spaced).encode()
