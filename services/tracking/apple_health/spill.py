"""Sorting more samples than memory should hold: a file for each month, sorted when it is read back."""

import heapq
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from services.tracking.apple_health.dates import DAY

BUCKET_SECONDS = 30 * DAY
BUFFERED_BYTES = 3 * 2**20
RUN_RECORDS = 50_000


class Spill:
    """Packed records of one format, whose first field is a start as a big-endian uint32: so they sort as bytes.

    `scratch` is a directory that goes when the import is done.
    """

    def __init__(self, scratch: Path, name: str, packing: struct.Struct) -> None:
        self._scratch = scratch
        self._name = name
        self._size = packing.size
        self._buffers: dict[int, bytearray] = {}
        self._buffered = 0
        self._buckets: set[int] = set()

    def add(self, start: int, packed: bytes) -> None:
        bucket = start // BUCKET_SECONDS
        try:
            self._buffers[bucket] += packed
        except KeyError:
            self._buffers[bucket] = bytearray(packed)
        self._buffered += 1
        if self._buffered * self._size >= BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is buffered; to be called before reading."""
        for bucket, buffer in self._buffers.items():
            with self._path(bucket).open("ab") as file:
                file.write(buffer)
        self._buckets.update(self._buffers)
        self._buffers.clear()
        self._buffered = 0

    def sorted_buckets(self) -> Iterator[tuple[int, Iterator[bytes]]]:
        """The records in order, bucket by bucket: from which instant on the next bucket's begin, and its records."""
        for bucket in sorted(self._buckets):
            yield (bucket + 1) * BUCKET_SECONDS, self._sorted(self._path(bucket))

    def _path(self, bucket: int) -> Path:
        return self._scratch / f"{self._name}-{bucket}"

    def _sorted(self, path: Path) -> Iterator[bytes]:
        if path.stat().st_size <= RUN_RECORDS * self._size:
            return iter(self._run(path, 0))
        return self._merged(path)

    def _run(self, path: Path, index: int) -> list[bytes]:
        size = self._size
        with path.open("rb") as file:
            file.seek(index * RUN_RECORDS * size)
            data = file.read(RUN_RECORDS * size)
        run = [data[at : at + size] for at in range(0, len(data), size)]
        run.sort()
        return run

    def _merged(self, path: Path) -> Iterator[bytes]:
        """A bucket too large to sort at once: sorted runs, merged."""
        length = RUN_RECORDS * self._size
        size = path.stat().st_size
        run_path = path.with_name(f"{path.name}-runs")
        with run_path.open("w+b", buffering=0) as file:
            for index in range(-(-size // length)):
                file.write(b"".join(self._run(path, index)))
            starts = range(0, size, length)
            # All runs' blocks together are about as large as one run.
            block = max(RUN_RECORDS // len(starts), 100) * self._size
            yield from heapq.merge(*(self._blocks(file, start, min(start + length, size), block) for start in starts))
        run_path.unlink()

    def _blocks(self, file: IO[bytes], start: int, end: int, block: int) -> Iterator[bytes]:
        size = self._size
        while start < end:
            file.seek(start)
            data = file.read(min(block, end - start))
            start += len(data)
            for at in range(0, len(data), size):
                yield data[at : at + size]
