"""What became of every record of a file."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

MAX_REJECTIONS = 100
MAX_WARNINGS = 100
# A file of its own making may name as many types as it has records.
MAX_TYPES = 500
MAX_TYPE_LENGTH = 100
OTHER_TYPES = "(other types)"


class RefusedFile(Exception):
    """The file is not what it claims to be; the message tells a person what is wrong and what to do."""


class Rejected(Exception):
    """A record that cannot be used: `reason` is one of a small set, the message names attribute and rule only."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Rejection(NamedTuple):
    """A record that was not used; `byte_offset` is where it begins in the unpacked XML."""

    reason: str
    message: str
    record_type: str
    byte_offset: int


@dataclass(slots=True)
class Account:
    """The fields of `ImportResult` but `rows`; complete once all rows have been taken."""

    records_used: int = 0
    records_ignored: int = 0
    records_rejected: int = 0
    ignored_by_type: Counter[str] = field(default_factory=Counter)
    rejected_by_reason: Counter[str] = field(default_factory=Counter)
    rejections: list[Rejection] = field(default_factory=list)
    first_date: str = ""
    last_date: str = ""
    warnings: list[str] = field(default_factory=list)
    _more_warnings: int = 0

    @property
    def records_read(self) -> int:
        """Every record is used, ignored or rejected."""
        return self.records_used + self.records_ignored + self.records_rejected

    def ignore(self, record_type: str) -> None:
        self.records_ignored += 1
        known = self.ignored_by_type
        if record_type not in known:
            record_type = printable(record_type)
            if record_type not in known and len(known) >= MAX_TYPES:
                record_type = OTHER_TYPES
        known[record_type] += 1

    def reject(self, rejected: Rejected, record_type: str, byte_offset: int) -> None:
        self.records_rejected += 1
        self.rejected_by_reason[rejected.reason] += 1
        if len(self.rejections) < MAX_REJECTIONS:
            self.rejections.append(Rejection(rejected.reason, rejected.message, printable(record_type), byte_offset))

    def warn(self, warning: str) -> None:
        """Adds a warning once; beyond the limit they are only counted."""
        if warning in self.warnings:
            return
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(warning)
            return
        self._more_warnings += 1
        self.warnings[-1] = f"and {self._more_warnings + 1} more of this kind"

    def cover(self, date: str) -> None:
        """Takes the date of a row into the period that the file has rows for."""
        if not self.first_date or date < self.first_date:
            self.first_date = date
        self.last_date = max(self.last_date, date)


def printable(text: str) -> str:
    """A name from a file, fit for an answer."""
    return "".join(c if c.isprintable() else " " for c in text[:MAX_TYPE_LENGTH])
