"""Uploaded files, in an object store: a local directory by default, S3 and others by URL."""

import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import from_url

from services.kit.errors import ServiceError

PREFIX = "imports/"
CHUNK_BYTES = 5 * 2**20
READ_BUFFER_BYTES = 2**20


class Upload(NamedTuple):
    """What was uploaded."""

    size_bytes: int
    sha256: str


class UploadStore:
    """Where uploads wait for their import, and until their retention time is over."""

    def __init__(self, url: str, max_bytes: int) -> None:
        """`url` is `file:///directory`, `s3://bucket/prefix` or another that obstore knows."""
        options: dict[str, Any] = {"mkdir": True} if url.startswith("file:") else {}
        self._store = from_url(url, **options)
        self._max_bytes = max_bytes
        self._directory = Path(unquote(urlsplit(url).path)) if options else None

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> Upload:
        """Streams an upload; nothing of it stays if the stream breaks.

        Raises FILE_TOO_LARGE and FILE_EMPTY.
        """
        digest = hashlib.sha256()
        size = 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                if size > self._max_bytes:
                    raise ServiceError("FILE_TOO_LARGE", f"file: is larger than the limit of {self._max_bytes} bytes")
                digest.update(chunk)
                yield chunk

        stream = counted()
        first = await anext(stream, b"")
        if not first:
            raise ServiceError("FILE_EMPTY", "file: has no bytes")

        async def from_first() -> AsyncIterator[bytes]:
            yield first
            async for chunk in stream:
                yield chunk

        await obstore.put_async(self._store, key, from_first(), chunk_size=CHUNK_BYTES, max_concurrency=2)
        return Upload(size, digest.hexdigest())

    def open(self, key: str, size_bytes: int) -> io.BufferedReader:
        """The upload as a seekable binary file. Raises FileNotFoundError if it is gone."""
        try:
            obstore.head(self._store, key)
        except NotFoundError:
            raise FileNotFoundError(key) from None
        return io.BufferedReader(_ObjectFile(self._store, key, size_bytes), READ_BUFFER_BYTES)

    async def remove(self, key: str) -> None:
        """Removes an upload; one that is gone already is no error."""
        with suppress(NotFoundError, FileNotFoundError):
            await obstore.delete_async(self._store, key)

    def remove_broken(self, moment: datetime) -> None:
        """Removes what a server that was killed left of uploads before `moment`.

        Only a directory has such files, named `<key>#<number>`, which the store's own list leaves out; of other
        stores they are incomplete multipart uploads, which a rule of the bucket removes.
        """
        for path in self._directory.glob(f"{PREFIX}*/*#*") if self._directory else ():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < moment.timestamp():
                    path.unlink()

    async def keys_before(self, moment: datetime) -> AsyncIterator[str]:
        """The keys of uploads that were stored before `moment`."""
        async for page in obstore.list(self._store, prefix=PREFIX):
            for item in page:
                if item["last_modified"] < moment:
                    yield item["path"]


class _ObjectFile(io.RawIOBase):
    """A stored object as a file: each read is one ranged request."""

    def __init__(self, store: Any, key: str, size: int) -> None:
        self._store = store
        self._key = key
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self._size - self._position)
        if length <= 0:
            return 0
        data = obstore.get_range(self._store, self._key, start=self._position, length=length)
        count = len(data)
        buffer[:count] = memoryview(data)
        self._position += count
        return count
