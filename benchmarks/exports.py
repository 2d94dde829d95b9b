"""An export of everything about a person, after one year and after five: the memory must not grow with the years."""

import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from benchmarks.figures import Figure
from benchmarks.imports import LAST_DAY, SEED, ask, import_file
from benchmarks.people import sign_in
from benchmarks.stack import describe, peak_memory_mb, port_of, running
from examples.apple_health import write_export
from local.runner import Stack

COLLECTOR, HOLDER = "identity-worker", "tracking"
YEARS = (1, 5)
POLL_SECONDS = 0.05
# Of what five years take more than one year does: what allocators make of the same work twice.
TARGET_GROWTH_MB = 20


class Run(NamedTuple):
    """One export: its seconds, its size in MB of 10**6 bytes, and the most memory of both processes."""

    seconds: float
    size_mb: float
    collector_mb: float
    holder_mb: float


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    with running() as stack, tempfile.TemporaryDirectory(prefix="vitalis-bench-") as scratch:
        runs = {years: _run(stack, Path(scratch) / "export.xml", years) for years in YEARS}
        figures = []
        for years, run in runs.items():
            what = f"{years} {'year' if years == 1 else 'years'} and the uploaded file, {run.size_mb:,.0f} MB"
            figures += [
                Figure(f"{what}: from request to ready", "s", [run.seconds], "less"),
                Figure(f"{what}: peak memory of identity's worker", "MB", [run.collector_mb], "less"),
                Figure(f"{what}: peak memory of tracking", "MB", [run.holder_mb], "less"),
            ]
        one, five = runs.values()
        for name, growth in (
            ("identity's worker", five.collector_mb - one.collector_mb),
            ("tracking", five.holder_mb - one.holder_mb),
        ):
            what = f"what five years take more than one in {name}"
            figures.append(Figure(what, "MB", [growth], "less", TARGET_GROWTH_MB))
        return describe(stack), figures


def _run(stack: Stack, file: Path, years: int) -> Run:
    (token,) = sign_in(stack.databases["identity"].migrator, stack.keys, [uuid.uuid4()])
    with file.open("wb") as out:
        write_export(out, 365 * years, SEED, LAST_DAY, xml=True, broken_dtd=False)
    import_file(stack, token, file)
    # Their peaks shall be this export's.
    stack.restart(COLLECTOR)
    stack.restart(HOLDER)
    started = time.perf_counter()
    export = ask(port_of(stack), token, "/exports", "{}")
    while export["status"] in ("queued", "processing"):
        time.sleep(POLL_SECONDS)
        export = ask(port_of(stack), token, f"/exports/{export['id']}")
    seconds = time.perf_counter() - started
    if export["status"] != "ready":
        raise RuntimeError(f"the export has {export['status']}")
    memory = [peak_memory_mb(stack.children[name].pid) for name in (COLLECTOR, HOLDER)]
    return Run(seconds, export["file_size_bytes"] / 1e6, *memory)
