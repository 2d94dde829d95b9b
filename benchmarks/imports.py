"""An Apple Health export from the start of its upload to a person's days, beside healthkit-to-sqlite."""

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.client import bearer
from benchmarks.figures import Figure, Peer
from benchmarks.people import sign_in
from benchmarks.stack import describe, peak_memory_mb, port_of, running
from examples.apple_health import write_export
from local.runner import Stack

WORKER = "tracking-worker"
DAYS = 600
LARGER = 10
SEED = 1
LAST_DAY = dt.date(2026, 6, 30)
RUNS = 3
POLL_SECONDS = 0.05
TARGET_PER_SECOND = 30_000
TARGET_MEMORY_MB = 150
PEER = "healthkit-to-sqlite"


class Run(NamedTuple):
    """One import: its records, its seconds, and the most memory that its process held, MB of 10**6 bytes."""

    records: int
    seconds: float
    memory_mb: float

    @property
    def per_second(self) -> float:
        return self.records / self.seconds


class Upload(NamedTuple):
    """Where files of a kind go, and the worker that imports them."""

    collection: str
    content_type: str
    worker: str
    query: str = ""


APPLE_HEALTH = Upload("/imports", "application/xml", WORKER, "?source=apple_health")


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures, of a file and of one ten times as large."""
    with running() as stack, tempfile.TemporaryDirectory(prefix="vitalis-bench-") as scratch:
        file = Path(scratch) / "export.xml"
        records = _write(file, DAYS)
        ours, theirs = [], []
        for _ in range(RUNS):
            ours.append(_import(stack, file, records))
            theirs.append(_peer(file, Path(scratch), records))
        figures = _figures(file, ours, theirs)
        records = _write(file, DAYS * LARGER)
        return describe(stack), [*figures, *_figures(file, [_import(stack, file, records)], [])]


def _write(file: Path, days: int) -> int:
    """Writes an export; how many records are in it."""
    with file.open("wb") as out:
        # The DTD that iOS 16 writes is broken, and the peer reads well-formed XML only.
        return write_export(out, days, SEED, LAST_DAY, xml=True, broken_dtd=False).records_read


def _figures(file: Path, ours: list[Run], theirs: list[Run]) -> list[Figure]:
    size = f"{file.stat().st_size / 1e6:,.0f} MB"
    speed = Peer(PEER, [run.per_second for run in theirs]) if theirs else None
    memory = Peer(PEER, [run.memory_mb for run in theirs]) if theirs else None
    what = f"{size}, {ours[0].records:,} records"
    return [
        Figure(what, "records/s", [run.per_second for run in ours], target=TARGET_PER_SECOND, peer=speed),
        Figure(
            f"{size}, the worker's peak memory", "MB", [run.memory_mb for run in ours], "less", TARGET_MEMORY_MB, memory
        ),
    ]


def _import(stack: Stack, file: Path, records: int) -> Run:
    """Imports the file for a new person, by a worker that has done nothing yet."""
    stack.restart(WORKER)
    # What the last run wrote must not be paid for by this one.
    os.sync()
    (token,) = sign_in(stack.databases["identity"].migrator, stack.keys, [uuid.uuid4()])
    started = time.perf_counter()
    imported = import_file(stack, token, file)
    if not ask(port_of(stack), token, "/wearable-daily?page_size=1")["wearable_daily"]:
        raise RuntimeError("the import has succeeded and there are no days")
    seconds = time.perf_counter() - started
    if imported["result"]["records_read"] != records:
        raise RuntimeError(f"{imported['result']['records_read']} of {records} records were read")
    return Run(records, seconds, peak_memory_mb(stack.children[WORKER].pid))


def import_file(stack: Stack, token: str, file: Path, upload: Upload = APPLE_HEALTH) -> Any:
    """Uploads a file and waits until it is imported; the import."""
    imported = _upload(port_of(stack), token, file, upload)
    while imported["status"] in ("queued", "running"):
        time.sleep(POLL_SECONDS)
        imported = ask(port_of(stack), token, f"{upload.collection}/{imported['id']}")
    if imported["status"] != "succeeded":
        log = "\n".join(stack.children[upload.worker].tail)
        raise RuntimeError(f"the import has {imported['status']}; the worker's last lines:\n{log}")
    return imported


def _upload(port: int, token: str, file: Path, upload: Upload) -> Any:
    connection = HTTPConnection("127.0.0.1", port, blocksize=2**18)
    size = str(file.stat().st_size)
    headers = {**bearer(token), "Content-Type": upload.content_type, "Content-Length": size}
    with file.open("rb") as content:
        connection.request("POST", f"/api/v1/users/me{upload.collection}{upload.query}", content, headers)
        return _answer(connection)


def ask(port: int, token: str, path: str, body: str | None = None) -> Any:
    """What is answered about oneself to a GET, or to a POST of a body of JSON."""
    connection = HTTPConnection("127.0.0.1", port)
    headers = bearer(token) | ({} if body is None else {"Content-Type": "application/json"})
    connection.request("GET" if body is None else "POST", f"/api/v1/users/me{path}", body, headers)
    return _answer(connection)


def _answer(connection: HTTPConnection) -> Any:
    response = connection.getresponse()
    content = response.read()
    connection.close()
    if response.status != 200:
        raise RuntimeError(f"answered {response.status}: {content[:300]!r}")
    return json.loads(content)


def _peer(file: Path, scratch: Path, records: int) -> Run:
    """healthkit-to-sqlite on the same file, as a process of its own."""
    program = Path(sys.executable).with_name("healthkit-to-sqlite")
    database = scratch / "peer.db"
    database.unlink(missing_ok=True)
    memory = 0.0
    started = time.perf_counter()
    process = subprocess.Popen([program, "--silent", "--xml", file, database])
    while process.poll() is None:
        memory = max(memory, peak_memory_mb(process.pid))
        time.sleep(POLL_SECONDS)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{PEER} ended with exit code {process.returncode}")
    return Run(records, seconds, memory)
