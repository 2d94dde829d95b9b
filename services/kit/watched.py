"""Files of keys and certificates, which are replaced while the process runs."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger()
LOOK_SECONDS = 2.0

Content = TypeVar("Content")


class Watched(Generic[Content]):
    """What `read` makes of files, made again when one of them has changed.

    Until they can be read again, what they held before stays: of two files that
    belong together one may be replaced first.
    """

    def __init__(self, read: Callable[[], Content], *files: Path) -> None:
        """Reads at once, and raises what `read` raises."""
        self._read = read
        self._files = files
        # The version first: what is written in between is seen as a change.
        self._version = self._versions()
        self._content = read()
        self._looked = time.monotonic()

    def get(self) -> Content:
        """The content, at most two seconds old."""
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self.look()
        return self._content

    def look(self) -> bool:
        """Looks at the files now; whether they held something new."""
        self._looked = time.monotonic()
        try:
            version = self._versions()
            if version == self._version:
                return False
            self._content = self._read()
        except Exception as error:
            # Whatever stands in them, who works goes on with what was good so far.
            log.warning("files cannot be read again", files=self._names(), kind=type(error).__name__)
            return False
        self._version = version
        log.info("files were read again", files=self._names())
        return True

    def _names(self) -> list[str]:
        return [file.name for file in self._files]

    def _versions(self) -> list[tuple[int, int, int]]:
        """What differs when a file has been replaced, written to or removed."""
        versions = []
        for file in self._files:
            try:
                status = file.stat()
                versions.append((status.st_mtime_ns, status.st_ino, status.st_size))
            except FileNotFoundError:
                versions.append((0, 0, 0))
        return versions


def replace_file(file: Path, content: bytes, mode: int) -> None:
    """Replaces a file in one step: who reads it meanwhile reads the old or the new one, whole."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(file)
