"""Reading what comes from outside where it can do no harm: in a process that has limits, and is ended at them."""

import asyncio
import ctypes
import json
import os
import resource
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from typing import Any, NamedTuple

# What a Python and a Tesseract need to start. The worker's secrets are not among it.
_INHERITED = ("PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "LD_LIBRARY_PATH", "LANG", "TMPDIR", "TESSDATA_PREFIX")
_READ_BYTES = 2**18
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


class Limits(NamedTuple):
    """What reading a file may cost. Memory is address space; the answer is held in the worker's own."""

    memory_bytes: int
    processor_seconds: int
    answer_bytes: int = 128 << 20

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
        start_new_session=True,
    )
    assert process.stdout
    try:
        async with asyncio.timeout(limits.seconds):
            said = await _read(process.stdout, limits.answer_bytes)
            await process.wait()
    except TimeoutError:
        raise LimitReachedError from None
    finally:
        # With what it has started itself, such as a Tesseract that outlives it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.communicate()
    if process.returncode:
        raise LimitReachedError
    return json.loads(said)


async def _read(answer: asyncio.StreamReader, most: int) -> bytes:
    """All of it. Raises LimitReachedError for one that has no end."""
    said = bytearray()
    while piece := await answer.read(_READ_BYTES):
        said += piece
        if len(said) > most:
            raise LimitReachedError
    return bytes(said)


def confine(memory_bytes: str, seconds: str) -> None:
    """Takes the limits upon this process and those that it starts, as they are given on the command line.

    Memory and processor time are limits of each of them.
    """
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    die_with_parent()


def die_with_parent() -> None:
    """Has this process end when the one that started it ends, however that does: where Linux is."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
