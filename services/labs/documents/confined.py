"""Reading a document where it can do no harm: in a process that has limits, and is ended when they are reached."""

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple


class Limits(NamedTuple):
    """What a document may cost. Memory is address space, of which pdfminer and Pillow need 400 MB to begin with."""

    memory_bytes: int = 1 << 30
    processor_seconds: int = 60

    @property
    def seconds(self) -> float:
        """How long it may take in all, on a machine that has other things to do."""
        return self.processor_seconds * 3.0


LIMITS = Limits()


async def parse_confined(path: Path, limits: Limits = LIMITS) -> dict[str, Any]:
    """What `parse.parse` says of the file; "unreadable" where a limit was reached. Ends the process when cancelled."""
    return await _run(limits, path)


async def draw_confined(path: Path, folder: Path, limits: Limits = LIMITS) -> dict[str, Any]:
    """What `parse.draw` says of the file, whose pages are in the folder then; as confined as `parse_confined`."""
    return await _run(limits, path, folder)


async def _run(limits: Limits, path: Path, *drawn_into: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.labs.documents.parse"),
        *(str(path), str(limits.memory_bytes), str(limits.processor_seconds), *map(str, drawn_into)),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), limits.seconds)
    except TimeoutError:
        said = b""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        return {"status": "unreadable", "reason": "the document asks for more time or memory than a report needs"}
    found: dict[str, Any] = json.loads(said)
    return found
