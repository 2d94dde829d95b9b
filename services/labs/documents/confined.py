"""Reading a document in a process that has limits (see services/labs/confined.py)."""

from pathlib import Path
from typing import Any

from services.labs.confined import LimitReachedError, Limits, confined

# pdfminer and Pillow need 400 MB to begin with.
LIMITS = Limits(memory_bytes=1 << 30, processor_seconds=60)


async def parse_confined(path: Path, limits: Limits = LIMITS) -> dict[str, Any]:
    """What `parse.parse` says of the file; "unreadable" where a limit was reached. Ends the process when cancelled."""
    return await _run(limits, path)


async def draw_confined(path: Path, folder: Path, limits: Limits = LIMITS) -> dict[str, Any]:
    """What `parse.draw` says of the file, whose pages are in the folder then; as confined as `parse_confined`."""
    return await _run(limits, path, folder)


async def _run(limits: Limits, *paths: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = await confined("services.labs.documents.parse", limits, *map(str, paths))
    except LimitReachedError:
        return {"status": "unreadable", "reason": "the document asks for more time or memory than a report needs"}
    return found
