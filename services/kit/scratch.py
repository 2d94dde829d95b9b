"""Directories for what a job reads and makes meanwhile. They go with the job; what a killed worker leaves is swept."""

import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PREFIX = "vitalis-scratch-"
# No job takes so long.
LEFT_BEHIND_SECONDS = 86_400


def scratch_directory(parent: Path | None) -> tempfile.TemporaryDirectory[str]:
    """A directory below `parent`, or the system's own, to be used in a `with`."""
    return tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent)


def sweep_scratch(parent: Path | None) -> None:
    """Removes what a worker that was killed has left: people's files, which would outlive their accounts."""
    before = time.time() - LEFT_BEHIND_SECONDS
    for path in Path(parent or tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # It may go this moment.
        with suppress(FileNotFoundError):
            found = path.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and found.st_mtime < before:
                shutil.rmtree(path)
