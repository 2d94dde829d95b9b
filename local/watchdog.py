"""Ends the runner's children if the runner is killed: `python -m local.watchdog`, fed through a pipe.

Each line is `+pid` or `-pid`. The pipe closes when the runner is gone, however
it went; whatever is then still listed is told to stop, last started first, and
killed if it does not. A folder given as argument is removed at the end.
"""

import os
import shutil
import signal
import sys
import time
from contextlib import suppress

GRACE_SECONDS = 15.0


def alive(pid: int) -> bool:
    """Whether the process group still has a member."""
    with suppress(ProcessLookupError):
        os.killpg(pid, 0)
        return True
    return False


def end(groups: list[int]) -> None:
    """Stops process groups (SIGINT is PostgreSQL's fast shutdown, and Python's), then kills what is left."""
    for pid in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGINT)
    deadline = time.monotonic() + GRACE_SECONDS
    while any(map(alive, groups)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in filter(alive, groups):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    running: list[int] = []
    for line in sys.stdin:
        sign, pid = line[0], int(line[1:])
        if sign == "+":
            running.append(pid)
        elif pid in running:
            running.remove(pid)
    end(running[::-1])
    for directory in sys.argv[1:]:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
