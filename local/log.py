"""One readable log of all processes: each line behind its process's name, in its colour."""

import os
import threading
from typing import TextIO

COLOURS = ("36", "32", "33", "35", "34", "31")
WIDTH = 15


class MergedLog:
    """Writes whole lines to a stream, coloured if it is a terminal and NO_COLOR is not set."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._coloured = stream.isatty() and "NO_COLOR" not in os.environ
        self._colours: dict[str, str] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, line: str) -> None:
        with self._lock:
            colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
            prefix = f"{name:<{WIDTH}} |"
            if self._coloured:
                prefix = f"\x1b[{colour}m{prefix}\x1b[0m"
            try:
                self._stream.write(f"{prefix} {line}\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                # The terminal is gone; the processes must still be stopped in order.
                return
