"""Files of laboratory results from the start of their upload to a person's panels: many small ones, and fewer large."""

import datetime as dt
import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.figures import Figure
from benchmarks.imports import Upload, ask, import_file
from benchmarks.labs import measured
from benchmarks.people import sign_in
from benchmarks.stack import describe, peak_memory_mb, port_of, running
from local.runner import Stack

WORKER = "labs-worker"
RESULTS = 20_000
# A portal that makes a report of each result, and one with a report for each visit.
SIZES = (1, 50)
FIRST = dt.datetime(2006, 1, 1, 8, tzinfo=dt.UTC)
APART = dt.timedelta(hours=7)
RUNS = 3
# The most that a file may hold is 100,000 records: in 50 seconds then, within the minute that reading it may take.
TARGET_PER_SECOND = 2000
# What the worker for tracking's imports may hold, and the dictionary with the index of its names.
TARGET_MEMORY_MB = 300


class Run(NamedTuple):
    """One import: its seconds, and the most memory that its worker held, MB of 10**6 bytes."""

    seconds: float
    memory_mb: float


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    with running() as stack, tempfile.TemporaryDirectory(prefix="vitalis-bench-") as scratch:
        figures = []
        for size in SIZES:
            file = Path(scratch) / "results.json"
            file.write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": list(_entries(size))}))
            runs = [_import(stack, file, RESULTS // size) for _ in range(RUNS)]
            what = f"{file.stat().st_size / 1e6:.0f} MB of FHIR, {RESULTS:,} results in {RESULTS // size:,} panels"
            speed = [RESULTS / run.seconds for run in runs]
            memory = [run.memory_mb for run in runs]
            figures += [
                Figure(what, "records/s", speed, target=TARGET_PER_SECOND),
                Figure(f"{what}: the worker's peak memory", "MB", memory, "less", TARGET_MEMORY_MB),
            ]
        return describe(stack), figures


def _entries(size: int) -> Iterator[dict[str, Any]]:
    markers = measured()
    for number in range(RESULTS // size):
        when = (FIRST + APART * number).isoformat()
        ids = [f"{number}-{at}" for at in range(size)]
        report = {
            "resourceType": "DiagnosticReport",
            "id": str(number),
            "status": "final",
            "code": {"text": "Check-up"},
            "effectiveDateTime": when,
            "performer": [{"display": "Quest Diagnostics"}],
            "result": [{"reference": f"Observation/{known_by}"} for known_by in ids],
        }
        yield {"resource": report}
        for at, known_by in enumerate(ids):
            marker = markers[(number + at) % len(markers)]
            unit = marker.canonical_unit
            loinc = [{"system": "http://loinc.org", "code": marker.loinc.code}] if marker.loinc else []
            yield {
                "resource": {
                    "resourceType": "Observation",
                    "id": known_by,
                    "status": "final",
                    "code": {"coding": loinc, "text": marker.display_name},
                    "valueQuantity": {"value": 60 + (number + at) % 60, "unit": unit},
                    "referenceRange": [{"text": "70-99"}],
                }
            }


def _import(stack: Stack, file: Path, panels: int) -> Run:
    """Imports the file for a new person, by a worker that has done nothing yet."""
    stack.restart(WORKER)
    # What the last run wrote must not be paid for by this one.
    os.sync()
    (token,) = sign_in(stack.databases["identity"].migrator, stack.keys, [uuid.uuid4()])
    started = time.perf_counter()
    result = import_file(stack, token, file, Upload("/lab-imports", "application/fhir+json", WORKER))["result"]
    if not ask(port_of(stack), token, "/blood-panels?page_size=1")["blood_panels"]:
        raise RuntimeError("the import has succeeded and there are no panels")
    seconds = time.perf_counter() - started
    if (result["records_stored"], result["panels_stored"]) != (RESULTS, panels):
        raise RuntimeError(f"{result} is not {RESULTS} results in {panels} panels")
    return Run(seconds, peak_memory_mb(stack.children[WORKER].pid))
