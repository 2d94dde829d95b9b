"""Files in an object store: a local directory by default, S3 and others by URL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from services.kit.errors import ServiceError

log = structlog.get_logger()
CHUNK_BYTES = 5 * 2**20
READ_BYTES = 512 * 2**10


class File(NamedTuple):
    """A stored file."""

    key: str
    size_bytes: int
    stored_at: datetime


class Files:
    """The object store at a URL."""

    def __init__(self, url: str) -> None:
        """`url` is `file:///directory`, `s3://bucket/prefix` or another that obstore knows."""
        # A directory is named after the person whose files are in it, and goes with the last of them.
        options: dict[str, Any] = {"mkdir": True, "automatic_cleanup": True} if url.startswith("file:") else {}
        self.store = from_url(url, **options)
        self._directory = Path(unquote(urlsplit(url).path)) if options else None

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Streams a file in; nothing of it stays if the stream breaks. Raises UNAVAILABLE."""
        with _answering():
            await obstore.put_async(self.store, key, chunks, chunk_size=CHUNK_BYTES, max_concurrency=2)

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """A file's bytes, in pieces of half a MiB at most. Raises FileNotFoundError and UNAVAILABLE."""
        with _answering():
            try:
                found = await obstore.get_async(self.store, key)
            except NotFoundError:
                raise FileNotFoundError(key) from None
            async for chunk in found.stream(READ_BYTES):
                for start in range(0, len(chunk), READ_BYTES):
                    yield bytes(memoryview(chunk)[start : start + READ_BYTES])

    async def save(self, key: str, path: Path) -> None:
        """Copies a file to the disk. Raises FileNotFoundError."""
        with await asyncio.to_thread(path.open, "wb") as file:
            async for chunk in self.read(key):
                await asyncio.to_thread(file.write, chunk)

    async def below(self, prefix: str) -> AsyncIterator[File]:
        """The files whose keys begin with the path `prefix`, which ends with a slash."""
        async for page in obstore.list(self.store, prefix=prefix):
            for item in page:
                yield File(item["path"], item["size"], item["last_modified"])

    async def remove(self, key: str) -> None:
        """Removes a file; one that is gone already is no error."""
        with suppress(NotFoundError, FileNotFoundError):
            await obstore.delete_async(self.store, key)

    def remove_broken(self, prefix: str, before: datetime | None = None) -> None:
        """Removes what a server that was killed left of files below `prefix`, begun before `before` (or ever).

        Only a directory has such files, named `<key>#<number>`, which the store's own list leaves out; of other
        stores they are incomplete multipart uploads, which a rule of the bucket removes.
        """
        for path in self._directory.glob(f"{prefix}**/*#*") if self._directory else ():
            with suppress(FileNotFoundError):
                if before is None or path.stat().st_mtime < before.timestamp():
                    path.unlink()


@contextmanager
def _answering() -> Iterator[None]:
    """UNAVAILABLE for a store that is full, or cannot be reached; its own text names files and hosts."""
    try:
        yield
    except BaseError as error:
        log.error("object store", kind=type(error).__name__)
        raise ServiceError(
            "UNAVAILABLE", "files cannot be stored or read now; try again", retry_after_seconds=5
        ) from None
