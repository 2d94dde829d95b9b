"""Telling somebody who watches whenever something has come further."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

INTERVAL_SECONDS = 0.3


async def changes(read: Callable[[], Awaitable[Any]], has_ended: Callable[[Any], bool]) -> AsyncIterator[Any]:
    """What `read` answers, at once and whenever that has changed, until it has ended."""
    before = None
    while before is None or not has_ended(before):
        after = await read()
        if after != before:
            yield after
            before = after
        else:
            await asyncio.sleep(INTERVAL_SECONDS)
