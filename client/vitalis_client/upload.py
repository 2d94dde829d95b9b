"""A file on its way to the server, read bit by bit."""

from collections.abc import Callable, Iterator
from pathlib import Path

from vitalis_client.errors import VitalisError

CHUNK_BYTES = 256 * 2**10

Progress = Callable[[int, int], None]


def open_file(path: Path) -> int:
    """The size of a file that can be uploaded, in bytes. Raises VitalisError naming what is wrong with it."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
    except FileNotFoundError:
        raise _unusable(f"there is no file {path}") from None
    except IsADirectoryError:
        raise _unusable(f"{path} is a directory; name the file in it") from None
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror}") from None
    if size == 0:
        raise _unusable(f"{path} is empty")
    return size


def chunks(path: Path, size: int, on_progress: Progress | None) -> Iterator[bytes]:
    """The file's bytes; calls `on_progress(sent, size)` after each chunk. Raises VitalisError if the size changes."""
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sent += len(chunk)
            if sent > size:
                break
            yield chunk
            if on_progress:
                on_progress(sent, size)
    if sent != size:
        raise VitalisError(0, "FILE_CHANGED", f"{path} changed while it was uploaded; nothing was imported")


def _unusable(message: str) -> VitalisError:
    return VitalisError(0, "FILE_UNUSABLE", message)
