"""Passwords: Argon2id, off the event loop, at a cost that cannot pile up; how strong one is.

Parameters: the OWASP Password Storage Cheat Sheet's minimum for Argon2id (19 MiB
of memory, 2 iterations, 1 lane; RFC 9106 defines them), which settings can raise.
Every hash carries its own, so a hash of other parameters still verifies and is
replaced at the next login. A bcrypt hash, which an import of another system's
accounts brings, verifies once: that login replaces it too.
"""

import asyncio
import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from services.identity.strength import weakness
from services.kit.errors import ServiceError, Violation

MEMORY_KIB = 19_456
ITERATIONS = 2
LANES = 1
RETRY_AFTER_SECONDS = 1.0
# A cost above 14 takes more than a second of a core; no known system has used it.
BCRYPT = re.compile(r"\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}")
# bcrypt reads no further.
BCRYPT_BYTES = 72

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

    def require_room(self) -> None:
        """Raises UNAVAILABLE if one more would be refused, before anything else is done for it."""
        if not self._room.acquire(blocking=False):
            raise busy()
        self._room.release()

    async def require_strength(self, field: str, password: str, own_words: Sequence[str]) -> None:
        """Raises PASSWORD_WEAK, with a hint, for a password that is easy to guess, and UNAVAILABLE.

        `own_words` are the person's: their address and name are no passwords.
        """
        if hint := await self._in_thread(lambda: weakness(password, own_words)):
            raise password_weak(field, f"is easy to guess: {hint}")

    async def require_unused(self, field: str, password: str, earlier: Sequence[str]) -> None:
        """Raises PASSWORD_WEAK if one of the hashes in `earlier` is of this password, and UNAVAILABLE."""
        prepared = _prepared(password)
        for stored in earlier:
            # One at a time, so that one person's five hashes take turns with other people's.
            if await self._in_thread(lambda stored=stored: self._matches(stored, password, prepared)):  # type: ignore[misc]
                raise password_weak(field, "was one of your last passwords")

    async def verify(self, stored: str | None, password: str) -> Verdict:
        """Compares; with `stored` None (nobody, or nobody with a password) it is wrong at the same cost.

        Raises UNAVAILABLE when too many wait.
        """
        return await self._in_thread(lambda: self._verify(stored, password))

    def _verify(self, stored: str | None, password: str) -> Verdict:
        prepared = _prepared(password)
        if not self._matches(stored or self._decoy, password, prepared) or stored is None:
            return Verdict(False)
        stale = stored.startswith("$2") or self._hasher.check_needs_rehash(stored)
        return Verdict(True, self._hasher.hash(prepared) if stale else None)

    def _matches(self, stored: str, password: str, prepared: bytes) -> bool:
        if stored.startswith("$2"):
            return _matches_bcrypt(stored, password)
        try:
            return self._hasher.verify(stored, prepared)
        except VerifyMismatchError:
            return False

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if not self._room.acquire(blocking=False):
            raise busy()
        future: Future[Result] = self._pool.submit(work)
        # A caller who gives up leaves the queue, but a hash that has begun keeps
        # its place: only the pool knows when it is free.
        future.add_done_callback(lambda _: self._room.release())
        return await asyncio.wrap_future(future)


def _matches_bcrypt(stored: str, password: str) -> bool:
    """Whether a hash of bcrypt is of the password, as the systems that made it hashed.

    They took the bytes as they came, looked at no more than 72, and refused NUL,
    which ends a password in C. Any other hash that begins so matches nothing.
    """
    import bcrypt

    raw = password.encode()
    if not BCRYPT.fullmatch(stored) or b"\0" in raw:
        return False
    return bcrypt.checkpw(raw[:BCRYPT_BYTES], stored.encode())


def busy() -> ServiceError:
    return ServiceError(
        "UNAVAILABLE", "too many people are logging in; try again", retry_after_seconds=RETRY_AFTER_SECONDS
    )


def password_weak(field: str, rule: str) -> ServiceError:
    return ServiceError("PASSWORD_WEAK", f"{field}: {rule}", violations=[Violation(field, rule)])


def _prepared(password: str) -> bytes:
    """The password's bytes, so that keyboards that compose characters differently agree.

    The OpaqueString profile (RFC 8265 section 4.2.2): other spaces become U+0020,
    then NFC. NFKC is not used: it makes distinct characters one, which weakens.
    """
    spaced = "".join(" " if unicodedata.category(character) == "Zs" else character for character in password)
    return unicodedata.normalize("NFC", spaced).encode()
