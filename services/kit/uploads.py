"""Uploads: streamed into the object store, read back as files, and swept when nothing belongs to them.

An upload's key is `<prefix><person>/<id of what it is for>`; the prefix ends
with a slash.
"""

import asyncio
import hashlib
import io
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import obstore
import sqlalchemy as sa
from google.api import httpbody_pb2
from obstore.exceptions import NotFoundError

from services.kit.caller import calling, service_caller
from services.kit.database import Database, now
from services.kit.errors import ServiceError
from services.kit.files import Files

BROKE_OFF = "the upload broke off"
# An upload for which nothing came to be (its client or server died) is swept after this.
ORPHANED_AFTER = timedelta(days=1)
# Anything else among the uploads is not ours to judge.
ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
OWN_KEY = re.compile(f"({ID})/({ID})")
SWEPT_AT_ONCE = 500
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

    @asynccontextmanager
    async def unless_refused(self, key: str) -> AsyncIterator[None]:
        """Removes the upload if the block, which stores what it is for, raises a ServiceError.

        After anything else, such as a caller that leaves, it may be stored all the same: the sweep finds out.
        """
        try:
            yield
        except ServiceError:
            await self.files.remove(key)
            raise

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


async def begun(requests: AsyncIterator[Any]) -> Any:
    """The first of an upload's messages. Raises CANCELLED for one that broke off before it."""
    first = await anext(requests, None)
    if first is None:
        raise ServiceError("CANCELLED", BROKE_OFF)
    return first


def as_one(first: Any, upload: Upload) -> Any:
    """An upload as one request, by which a repeat of it is known: what it says, and what its file holds."""
    whole = type(first)()
    whole.CopyFrom(first)
    whole.file.CopyFrom(httpbody_pb2.HttpBody(data=upload.sha256.encode()))
    return whole


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
    before = now() - ORPHANED_AFTER
    await asyncio.to_thread(files.remove_broken, prefix, before)
    async for user_id, keys in _by_person(files, prefix, before):
        mine = sa.select(table.c.id).where(table.c.user_id == user_id, table.c.id.in_(keys))
        with calling(service_caller(service, str(user_id))):
            async with database.transaction() as connection:
                needed = set((await connection.execute(mine)).scalars())
        for row_id in keys.keys() - needed:
            await files.remove(keys[row_id])


async def _by_person(files: Files, prefix: str, before: datetime) -> AsyncIterator[tuple[UUID, dict[UUID, str]]]:
    """The uploads that were stored before then: whose, and by the row that each is of, their keys; some at a time.

    A store lists a person's files one after the other.
    """
    person, keys = UUID(int=0), dict[UUID, str]()
    async for file in files.below(prefix):
        own = OWN_KEY.fullmatch(file.key.removeprefix(prefix))
        if own is None or file.stored_at >= before:
            continue
        user_id, row_id = UUID(own[1]), UUID(own[2])
        if keys and (user_id != person or len(keys) == SWEPT_AT_ONCE):
            yield person, keys
            keys = {}
        person, keys[row_id] = user_id, file.key
    if keys:
        yield person, keys
