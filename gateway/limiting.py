"""Rate limits, counted in this process or in Valkey or Redis.

A store that does not answer lets every request through: a person who cannot
see their data because a counter is down is worse served than one who could
send too many requests for a while.
"""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from limits import RateLimitItem, parse
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from services.kit.errors import ServiceError

log = structlog.get_logger("gateway.limiting")

MAX_KEYS = 100_000
STORE_TIMEOUT_SECONDS = 0.1
# How long a store that failed is left alone.
PAUSE_SECONDS = 5.0
IPV6_PREFIX = 64

T = TypeVar("T")


class ProcessStorage(Storage):
    """Fixed windows in a dictionary.

    The library's own memory storage walks through every key at every hit;
    this one does so only when it holds more keys than `MAX_KEYS`.
    """

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__(None)
        self._windows: dict[str, tuple[float, int]] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time.time()
        until, count = self._windows.get(key, (0.0, 0))
        if until <= now:
            if len(self._windows) >= MAX_KEYS:
                self._forget(now)
            until, count = now + expiry, 0
        self._windows[key] = until, count + amount
        return count + amount

    async def get(self, key: str) -> int:
        until, count = self._windows.get(key, (0.0, 0))
        return count if until > time.time() else 0

    async def get_expiry(self, key: str) -> float:
        return self._windows.get(key, (time.time(), 0))[0]

    async def check(self) -> bool:
        return True

    async def reset(self) -> int:
        count = len(self._windows)
        self._windows.clear()
        return count

    async def clear(self, key: str) -> None:
        self._windows.pop(key, None)

    def _forget(self, now: float) -> None:
        self._windows = {key: window for key, window in self._windows.items() if window[0] > now}
        if len(self._windows) >= MAX_KEYS:
            self._windows.clear()


class RateLimits:
    """Counts requests against limits such as `30/minute`."""

    def __init__(self, store: str) -> None:
        self._shared = bool(store)
        self._limiter = FixedWindowRateLimiter(_storage(store))
        self._paused_until = 0.0
        self._down = False

    async def hit(self, limit: RateLimitItem, *key: str) -> None:
        """Counts one request. Raises RATE_LIMITED, with the time until the window ends."""
        if not self._shared:
            if not await self._limiter.hit(limit, *key):
                raise await self._refusal(limit, key)
            return
        if self._paused_until and time.monotonic() < self._paused_until:
            return
        if await self._ask(lambda: self._limiter.hit(limit, *key), True):
            return
        raise await self._ask(lambda: self._refusal(limit, key), _refusal(limit.get_expiry()))

    async def _refusal(self, limit: RateLimitItem, key: tuple[str, ...]) -> ServiceError:
        stats = await self._limiter.get_window_stats(limit, *key)
        return _refusal(max(1.0, stats.reset_time - time.time()))

    async def _ask(self, question: Callable[[], Awaitable[T]], otherwise: T) -> T:
        try:
            async with asyncio.timeout(STORE_TIMEOUT_SECONDS):
                answer = await question()
        except (StorageError, TimeoutError, OSError) as error:
            self._paused_until = time.monotonic() + PAUSE_SECONDS
            if not self._down:
                self._down = True
                log.error("the rate limit store does not answer; nothing is limited", error=type(error).__name__)
            return otherwise
        if self._down:
            self._down = False
            log.info("the rate limit store answers again")
        return answer


def limit_of(text: str) -> RateLimitItem:
    """`30/minute` as a limit. Raises ValueError for anything else."""
    return parse(text)


def client_address(peer: str, forwarded: list[bytes], trusted_proxies: int) -> str:
    """The address that a limit counts: an IPv4 address or the /64 of an IPv6 one.

    `forwarded` holds the X-Forwarded-For headers in order. Each trusted proxy
    appends the address it was called from, so the client's stands that many
    places from the end; everything before it is the client's own claim.
    """
    if trusted_proxies and forwarded:
        hops = [hop.strip() for hop in b",".join(forwarded).decode("latin-1").split(",")]
        peer = hops[-min(trusted_proxies, len(hops))]
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return "unknown"
    if address.version == 4:
        return peer
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((address, IPV6_PREFIX), strict=False).network_address)


def _storage(store: str) -> Storage:
    if not store:
        return ProcessStorage()
    # Valkey's client speaks to Redis too.
    storage = storage_from_string(
        f"async+{store}",
        implementation="valkey",
        wrap_exceptions=True,
        socket_connect_timeout=STORE_TIMEOUT_SECONDS,
        socket_timeout=STORE_TIMEOUT_SECONDS,
    )
    if not isinstance(storage, Storage):
        raise ValueError("the rate limit store must be a redis:// or valkey:// URL")
    return storage


def _refusal(seconds: float) -> ServiceError:
    return ServiceError("RATE_LIMITED", "too many requests; try again later", retry_after_seconds=seconds)
