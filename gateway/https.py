"""The certificate of the public server, and its renewal without a restart."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog
import uvicorn

from services.kit.tls import load_pair, version_of

log = structlog.get_logger("gateway")
LOOK_SECONDS = 10.0


class Certificate:
    """A certificate and its key, in the server's TLS context; new connections get what the files hold now."""

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        self._files = (certificate_file, key_file)
        self._seen = version_of(*self._files)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.set_alpn_protocols(["http/1.1"])
        self._context.load_cert_chain(*self._files)

    def context(self, config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """For uvicorn's `ssl_context_factory`."""
        return self._context

    def look(self) -> None:
        """Takes over files that have changed, if they fit one another."""
        try:
            now = version_of(*self._files)
            if now == self._seen:
                return
            load_pair(*self._files)
            self._context.load_cert_chain(*self._files)
        except (OSError, ValueError) as error:
            # One file of the two may be the new one already; the next look may find both.
            log.warning("the certificate cannot be read again", kind=type(error).__name__)
            return
        self._seen = now
        log.info("the certificate was renewed", file=self._files[0].name)

    async def _keep_fresh(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.look()

    @contextlib.asynccontextmanager
    async def kept_fresh(self, seconds: float = LOOK_SECONDS) -> AsyncIterator[None]:
        """Looks at the files now and then until the block ends."""
        looking = asyncio.create_task(self._keep_fresh(seconds))
        try:
            yield
        finally:
            looking.cancel()
