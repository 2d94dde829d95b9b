"""All of Vitalis as `make up` runs it, on free ports, in a directory that goes away."""

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.figures import machine, postgres_version
from local.runner import Stack

# People are counted by these limits, benchmarks are not meant to meet them.
UNLIMITED = {"GATEWAY_RATE": "100000000/minute", "GATEWAY_PUBLIC_RATE": "100000000/minute"}


@contextmanager
def running(settings: Mapping[str, str] | None = None, directory: Path | None = None) -> Iterator[Stack]:
    """A running stack; a `directory` that is given is kept, with what is in it."""
    with tempfile.TemporaryDirectory(prefix="vitalis-bench-") as scratch:
        with Stack(directory or Path(scratch), port=0, settings={**UNLIMITED, **(settings or {})}) as stack:
            yield stack


def port_of(stack: Stack) -> int:
    return int(stack.url.rpartition(":")[2])


def describe(stack: Stack) -> str:
    """The machine and the versions that its figures belong to."""
    return machine(postgres_version(stack.databases["tracking"].app))


def peak_memory_mb(pid: int) -> float:
    """The most memory a process has held, MB of 10**6 bytes; what it holds now where the system keeps no peak (macOS).

    0 for a process that has ended.
    """
    if not sys.platform.startswith("linux"):
        with suppress(psutil.NoSuchProcess):
            return float(psutil.Process(pid).memory_info().rss) / 1e6
        return 0.0
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0
