"""Uploads: streamed into the object store, read back as files, and swept when nothing belongs to them.

An upload's key is `<prefix><person>/<id of what it is for>`; the prefix ends
with a slash.
"""

import asyncio
import hashlib
import io
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, NamedTuple

import obstore
import sqlalchemy as sa
from obstore.exceptions import NotFoundError

from services.kit.caller import calling, service_caller
from services.kit.database import Database, now
from services.kit.errors import ServiceError
from services.kit.files import Files

BROKE_OFF = "the upload broke off"
# An upload for which nothing came to be (its client or server died) is swept after this.
ORPHANED_AFTER = timedelta(days=1)
# Anything else among the uploads is not ours to judge.
OWN_KEY = re.compile(r"[0-9a-f-]{36}/[0-9a-f-]{36}")
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


async def chunks(first: Any, requests: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    """The bytes of an upload's messages, whose field `file` is an HttpBody.

    Raises CANCELLED unless the stream ends with its mark, a message without data: where a client breaks off, gRPC ends
    the stream just as for one that is complete.
    """
    if first.file.data:
        yield first.file.data
    complete = False
    async for request in requests:
        complete = not request.file.data
        if not complete:
            yield request.file.data
    if not complete:
        raise ServiceError("CANCELLED", BROKE_OFF)


async def sweep_orphans(service: str, database: Database, files: Files, prefix: str, table: sa.Table) -> None:
    """Removes the uploads below `prefix` that no row of `table` belongs to, and what broken ones left."""
    await asyncio.to_thread(files.remove_broken, prefix, now() - ORPHANED_AFTER)
    async for file in files.below(prefix):
        own = OWN_KEY.fullmatch(file.key.removeprefix(prefix))
        if own and file.stored_at < now() - ORPHANED_AFTER:
            user_id, _, row_id = own[0].partition("/")
            mine = sa.select(table.c.id).where(
                sa.cast(table.c.user_id, sa.Text) == user_id, sa.cast(table.c.id, sa.Text) == row_id
            )
            with calling(service_caller(service, user_id)):
                async with database.transaction() as connection:
                    is_needed = (await connection.execute(mine)).first() is not None
            if not is_needed:
                await files.remove(file.key)
