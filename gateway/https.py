"""The certificate of the public server, and its renewal without a restart."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvicorn

from services.kit.tls import load_pair
from services.kit.watched import Watched

LOOK_SECONDS = 10.0


class Certificate:
    """A certificate and its key, in the server's TLS context; new connections get what the files hold now."""

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.set_alpn_protocols(["http/1.1"])

        def take_over() -> None:
            # First, because the context would keep the half of what does not fit.
            load_pair(certificate_file, key_file)
            self._context.load_cert_chain(certificate_file, key_file)

        self.files = Watched(take_over, certificate_file, key_file)

    def context(self, config: uvicorn.Config, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        """For uvicorn's `ssl_context_factory`."""
        return self._context

    @contextlib.asynccontextmanager
    async def kept_fresh(self, seconds: float = LOOK_SECONDS) -> AsyncIterator[None]:
        """Looks at the files now and then until the block ends."""
        looking = asyncio.create_task(self._keep_fresh(seconds))
        try:
            yield
        finally:
            looking.cancel()

    async def _keep_fresh(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.files.look()
