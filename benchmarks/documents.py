"""A long laboratory report read from its PDF: how long it takes, and what the process that reads it holds."""

import asyncio
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from benchmarks.figures import Figure, machine
from examples.lab_report import RESULTS, write_report
from services.labs.documents.confined import LIMITS, parse_confined

PAGES = 40
# As many as the example prints on a page.
ON_A_PAGE = 40
RUNS = 5
# From a small process: what a child holds counts from before it is another program than its parent, which is large.
_MEASURED = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True);"
    " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    with tempfile.TemporaryDirectory(prefix="vitalis-bench-") as folder:
        path = Path(folder, "report.pdf")
        write_report(path, date(2026, 11, 2), (RESULTS * (PAGES * ON_A_PAGE // len(RESULTS) + 1))[: PAGES * ON_A_PAGE])
        seconds, megabytes, found = [], [], {}
        for _ in range(RUNS):
            started = time.perf_counter()
            found = asyncio.run(parse_confined(path))
            seconds.append(time.perf_counter() - started)
            megabytes.append(_resident(path))
    read = f"a PDF of {found['pages']} pages with {len(found['readings'])} results"
    return machine(), [
        Figure(f"{read}, read in a process of its own", "s", seconds, "less", target=5),
        Figure("the most memory that process holds", "MB", megabytes, "less", target=300),
    ]


def _resident(path: Path) -> float:
    """The most memory that a process holds while it reads the file, in MB."""
    limits = (str(LIMITS.memory_bytes), str(LIMITS.processor_seconds))
    command = [sys.executable, "-m", "services.labs.documents.parse", *limits, str(path)]
    found = subprocess.run([sys.executable, "-c", _MEASURED, *command], capture_output=True, check=True, text=True)
    return int(found.stdout) * 1024 / 1e6
