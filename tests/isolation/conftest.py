"""Every service, started when a test first asks for it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tests.harness import Running
from tests.services import CloneDatabase, start_on_demand

Start = Callable[[str], Awaitable[Running]]


@pytest.fixture
async def start(tmp_path: Path, clone_database: CloneDatabase) -> AsyncIterator[Start]:
    """`await start("tracking")` is that service."""
    async with start_on_demand(tmp_path, clone_database) as start:
        yield start
