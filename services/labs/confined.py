"""Reading what comes from outside where it can do no harm: in a process that has limits, and is ended at them."""

import asyncio
import json
import os
import resource
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from typing import Any, NamedTuple

# What a Python and a Tesseract need to start. The worker's secrets are not among it.
_INHERITED = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH", "LANG", "TMPDIR", "TESSDATA_PREFIX")


class Limits(NamedTuple):
    """What reading a file may cost. Memory is address space."""

    memory_bytes: int
    processor_seconds: int

    @property
    def seconds(self) -> float:
        """How long it may take in all, on a machine that has other things to do."""
        return self.processor_seconds * 3.0


class LimitReachedError(Exception):
    """The process asked for more than its limits."""


async def confined(module: str, limits: Limits, *arguments: str) -> Any:
    """The JSON that `python -m module MEMORY_BYTES SECONDS arguments…` prints. Ends the process when cancelled.

    Raises LimitReachedError. The module takes its limits upon itself with `confine`.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, str(limits.memory_bytes), str(limits.processor_seconds), *arguments),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        env={name: os.environ[name] for name in _INHERITED if name in os.environ},
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), limits.seconds)
    except TimeoutError:
        raise LimitReachedError from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise LimitReachedError
    return json.loads(said)


def confine(memory_bytes: str, seconds: str) -> None:
    """Takes the limits upon this process, as they are given on the command line."""
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
