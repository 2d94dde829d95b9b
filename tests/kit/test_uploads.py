"""What stays of an upload when the call that brought it ends."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.kit.errors import ServiceError
from services.kit.files import Files
from services.kit.uploads import UploadStore

KEY = "uploads/somebody/something"


async def content() -> AsyncIterator[bytes]:
    yield b"what was uploaded"


@pytest.mark.parametrize(
    ("ended", "stays"),
    [
        (ServiceError("INVALID_FIELD", "it says nothing"), False),
        # Whether what it is for is stored by then, nobody here can tell.
        (asyncio.CancelledError(), True),
        (ConnectionError(), True),
    ],
)
async def test_only_what_is_refused_is_removed_at_once(tmp_path: Path, ended: BaseException, stays: bool) -> None:
    store = UploadStore(Files(f"file://{tmp_path}/objects"), 1000)
    await store.put(KEY, content())
    with pytest.raises(type(ended)):
        async with store.unless_refused(KEY):
            raise ended
    assert [file.key async for file in store.files.below("uploads/")] == ([KEY] if stays else [])
