"""`python -m benchmarks [NAME …]`: runs the benchmarks, prints their figures and writes benchmarks/README.md."""

import argparse
import datetime as dt
import os
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    coaching,
    documents,
    exports,
    identity,
    imports,
    lab_imports,
    labs,
    matching,
    reads,
    routes,
    upsert,
    vault,
)
from benchmarks.figures import Figure, Report
from benchmarks.report import README, keep, line


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="routes, identity, upsert, imports, exports, vault, matching, labs, lab-imports, documents, coaching,"
        " reads; or all",
    )
    parser.add_argument("--data-dir", type=Path, help="keep the people of `reads` here for its next run")
    arguments = parser.parse_args()
    benchmarks: dict[str, Callable[[], tuple[str, list[Figure]]]] = {
        "routes": routes.measure,
        "identity": identity.measure,
        "upsert": upsert.measure,
        "imports": imports.measure,
        "exports": exports.measure,
        "vault": vault.measure,
        "matching": matching.measure,
        "labs": labs.measure,
        "lab-imports": lab_imports.measure,
        "documents": documents.measure,
        "coaching": coaching.measure,
        "reads": lambda: reads.measure(arguments.data_dir),
    }
    if unknown := set(arguments.names) - set(benchmarks):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    for name in arguments.names or benchmarks:
        started = time.monotonic()
        # A machine that has other things to do measures them too.
        load = os.getloadavg()[0]
        machine, figures = benchmarks[name]()
        machine += f", load average before {load:.1f}"
        print(f"{name} ({machine}; {time.monotonic() - started:.0f} s)")
        print(*map(line, figures), sep="\n", flush=True)
        keep(name, Report(dt.datetime.now(dt.UTC).date().isoformat(), machine, figures))
    print(f"written to {README.parent.name}/{README.name}")


if __name__ == "__main__":
    main()
