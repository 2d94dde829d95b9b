"""What is fetched from a provider: small JSON, soon, from where it was expected, or nothing."""

import asyncio
import json
from functools import cached_property
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, NamedTuple

import httpx
import structlog

from services.kit.errors import ServiceError

log = structlog.get_logger()

MAX_BYTES = 256 * 2**10
CONNECT_SECONDS = 3.0
# For the whole answer: a provider that sends a byte a second would outlive httpx's own timeouts.
TOTAL_SECONDS = 8.0
MAX_CONNECTIONS = 50
RETRY_AFTER_SECONDS = 5.0
TOO_MANY_REQUESTS = 429
SERVER_ERROR = 500
OK = 200


class Answer(NamedTuple):
    """A provider's answer: its status, and the JSON object that it sent."""

    status: int
    content: dict[str, Any]


class Web:
    """Asks providers. Follows no redirects: an endpoint is where the provider said that it is."""

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        # When it is needed: a worker asks nobody, and counts its memory.
        return httpx.AsyncClient(
            timeout=httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
            # Logging in is rare: an open connection would be found dead as often as of use.
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=0),
            follow_redirects=False,
            # One person's log-in leaves nothing behind for the next one's.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            # Not compressed, so that what is counted is what is kept.
            headers={"accept": "application/json", "accept-encoding": "identity", "user-agent": "vitalis"},
        )

    async def ask(self, method: str, url: str, **options: Any) -> Answer:
        """One request. Raises UNAVAILABLE for whatever is not a JSON object within the limits of size and time."""
        try:
            async with asyncio.timeout(TOTAL_SECONDS), self._client.stream(method, url, **options) as response:
                body = await _read(response)
            content = json.loads(body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
            # The error's text may quote the request, and with it a code or a secret.
            raise unavailable(httpx.URL(url).host, type(error).__name__) from None
        if response.status_code == TOO_MANY_REQUESTS or response.status_code >= SERVER_ERROR:
            raise unavailable(httpx.URL(url).host, f"status {response.status_code}")
        if not isinstance(content, dict):
            raise unavailable(httpx.URL(url).host, "no JSON object")
        return Answer(response.status_code, content)


async def _read(response: httpx.Response) -> bytes:
    if "content-encoding" in response.headers:
        raise ValueError("compressed though not asked for")
    body = b""
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError("too large")
    return body


def unavailable(host: str, why: str) -> ServiceError:
    """The error of a provider that gives no usable answer; the log says why."""
    log.warning("identity provider", host=host, why=why)
    return ServiceError(
        "UNAVAILABLE",
        "the identity provider cannot be reached; try again",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
