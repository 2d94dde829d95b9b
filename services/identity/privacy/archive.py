"""The file of an export: one zip, written as the services' data come in.

    README.txt                        how to read it
    manifest.json                     what is in it: tables, columns, numbers of rows, files; what is left out, and why
    tracking/wearable_daily.json      an array with one object a row, exact
    tracking/wearable_daily.csv       the same as RFC 4180, for spreadsheets
    tracking/files/imports/0198…      files that the person uploaded, byte for byte

Rows wait on disk until their table is complete, because a zip is written entry
after entry and each table becomes two. What is in memory does not grow with
the person's data.
"""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, NamedTuple

from vitalis.common.v1 import person_data_pb2 as pb

README = """\
This is everything that Vitalis holds about you.

manifest.json lists what is here, and what is left out and why. Each table is
there twice:

  .json  an array with one object a row, exactly as it is stored.
  .csv   the same for spreadsheets: comma-separated, quoted as RFC 4180 says, in
         UTF-8, with a header. Lists and objects in it are written as JSON. Text
         that a spreadsheet would run as a formula (it begins with = + - @, a tab
         or a line break) has an apostrophe put before it; the .json has it
         without.

Units are in the names of the columns (_kg, _ms, _pct). Instants are in UTC as
ISO 8601 has them, dates are YYYY-MM-DD. The files that you uploaded are below
files/, byte for byte as you sent them.
"""
# OWASP, CSV Injection: what makes a spreadsheet take a cell for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
HASHED_BYTES = 2**20


class Contents(NamedTuple):
    """What an archive holds."""

    rows: int
    files: int
    size_bytes: int
    sha256: str


class Archive:
    """A zip at `path`; `scratch` is a folder for its tables until they are complete. Its methods block."""

    def __init__(self, path: Path, scratch: Path, user_id: str) -> None:
        self._path = path
        self._scratch = scratch
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
        self._manifest: dict[str, Any] = {
            "format": 1,
            "user_id": user_id,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "services": {},
        }
        self._rows = 0
        self._files = 0
        self._table: _Table | None = None
        self._file: IO[bytes] | None = None

    def add(self, service: str, part: pb.ExportPersonDataResponse) -> None:
        """The next piece of what a service sends."""
        match part.WhichOneof("part"):
            case "table":
                self._begin_table(service, part.table)
            case "rows" if self._table:
                self._table.add(part.rows.rows)
            case "file":
                self.end_part()
                name = f"{service}/files/{part.file.path}"
                self._of(service)["files"].append({"name": name, "size_bytes": int(part.file.size_bytes)})
                # Stored as it is: what people upload is packed already.
                self._file = self._zip.open(_entry(name, zipfile.ZIP_STORED), "w", force_zip64=True)
                self._files += 1
            case "data" if self._file:
                self._file.write(part.data)
            case _:
                raise ValueError(f"{service} sent something out of its place")

    def _of(self, service: str) -> dict[str, Any]:
        entry: dict[str, Any] = self._manifest["services"].setdefault(
            service, {"tables": {}, "left_out": {}, "files": []}
        )
        return entry

    def _begin_table(self, service: str, table: pb.ExportedTable) -> None:
        self.end_part()
        if table.left_out:
            self._of(service)["left_out"][table.name] = table.left_out
            return
        self._of(service)["tables"][table.name] = {"rows": 0, "columns": list(table.columns)}
        self._table = _Table(service, table.name, list(table.columns), self._scratch / "rows")

    def end_part(self) -> None:
        """Ends the table or the file that began last; a service has sent everything."""
        if self._file:
            self._file.close()
            self._file = None
        if self._table:
            table, self._table = self._table, None
            self._of(table.service)["tables"][table.name]["rows"] = table.count
            self._rows += table.count
            table.write(self._zip)

    def close(self) -> Contents:
        """Completes the zip."""
        self.end_part()
        self._zip.writestr("manifest.json", json.dumps(self._manifest, indent=2))
        self._zip.writestr("README.txt", README)
        self._zip.close()
        digest = hashlib.sha256()
        with self._path.open("rb") as file:
            while block := file.read(HASHED_BYTES):
                digest.update(block)
        return Contents(self._rows, self._files, self._path.stat().st_size, digest.hexdigest())


class _Table:
    """A table whose rows are coming in: one line of JSON each, on disk."""

    def __init__(self, service: str, name: str, columns: list[str], spool: Path) -> None:
        self.service = service
        self.name = name
        self.count = 0
        self._columns = columns
        self._spool = spool
        self._out = spool.open("w", encoding="utf-8")

    def add(self, rows: Iterable[str]) -> None:
        for row in rows:
            # JSON has no line break outside of its strings that matters, and none inside of them.
            self._out.write(row.replace("\n", " ") + "\n")
            self.count += 1

    def write(self, target: zipfile.ZipFile) -> None:
        """The two entries."""
        self._out.close()
        stem = f"{self.service}/{self.name}"
        with target.open(_entry(f"{stem}.json"), "w", force_zip64=True) as entry, self._spool.open("rb") as rows:
            for number, row in enumerate(rows):
                entry.write((b",\n" if number else b"[\n") + row.rstrip(b"\n"))
            entry.write(b"\n]\n" if self.count else b"[]\n")
        with target.open(_entry(f"{stem}.csv"), "w", force_zip64=True) as entry:
            text = io.TextIOWrapper(entry, encoding="utf-8", newline="")
            writer = csv.writer(text)
            writer.writerow(self._columns)
            with self._spool.open("rb") as rows:
                for row in rows:
                    values = json.loads(row)
                    writer.writerow([cell(values.get(column)) for column in self._columns])
            text.detach()
        self._spool.unlink()


def cell(value: Any) -> str:
    """A value as a spreadsheet may have it: text that it would take for a formula gets an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return json.dumps(value, ensure_ascii=False)


def _entry(name: str, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """An entry of this moment, in UTC; zipfile's own would be of 1980."""
    entry = zipfile.ZipInfo(name, datetime.now(UTC).timetuple()[:6])
    entry.compress_type = method
    return entry
