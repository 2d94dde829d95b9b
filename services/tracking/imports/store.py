"""Uploaded files, in the service's object store."""

import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import obstore
from obstore.exceptions import NotFoundError

from services.kit.errors import ServiceError
from services.kit.files import Files

PREFIX = "imports/"
READ_BUFFER_BYTES = 2**20


class Upload(NamedTuple):
    """What was uploaded."""

    size_bytes: int
    sha256: str


class UploadStore:
    """Where uploads wait for their import, and until their retention time is over."""

    def __init__(self, files: Files, max_bytes: int) -> None:
        self.files = files
        self._max_bytes = max_bytes

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

        await self.files.put(key, from_first())
        return Upload(size, digest.hexdigest())

    def open(self, key: str, size_bytes: int) -> io.BufferedReader:
        """The upload as a seekable binary file. Raises FileNotFoundError if it is gone."""
        try:
            obstore.head(self.files.store, key)
        except NotFoundError:
            raise FileNotFoundError(key) from None
        return io.BufferedReader(_ObjectFile(self.files.store, key, size_bytes), READ_BUFFER_BYTES)


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
