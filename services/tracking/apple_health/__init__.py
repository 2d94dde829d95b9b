"""Reading Apple Health exports: days, nights and workouts out of export.zip or export.xml.

Two steps, both in flat memory: everything is read and what counts is spilled to
a scratch directory; then the rows are made from it in order of time. Decisions
are in docs/decisions/0020-apple-health-import.md.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from services.tracking.apple_health.account import Account, RefusedFile, Rejection
from services.tracking.apple_health.container import DEFAULT_LIMITS, Limits, open_xml
from services.tracking.apple_health.dates import to_datetime
from services.tracking.apple_health.days import daily_rows
from services.tracking.apple_health.elements import read_elements
from services.tracking.apple_health.nights import sleep_rows
from services.tracking.apple_health.records import Records
from services.tracking.apple_health.sources import DEFAULT_PRIORITY, Sources

__all__ = ["Account", "Export", "Limits", "Progress", "RefusedFile", "Rejection", "read_export"]

Rows = Iterator[dict[str, Any]]


class Progress(NamedTuple):
    """How far the XML has been read; for a zip `bytes_total` is what its directory claims."""

    bytes_read: int
    bytes_total: int
    records_read: int


@dataclass(frozen=True)
class Export:
    """What an export holds, as rows of the tracking tables, each made when it is asked for.

    `account` is complete once the three iterators are exhausted. They read from
    the scratch directory, which has to last as long.
    """

    as_of: datetime
    daily: Rows
    sleep: Rows
    activities: Rows
    account: Account


def read_export(
    file: BinaryIO,
    scratch: Path,
    on_progress: Callable[[Progress], None],
    *,
    limits: Limits = DEFAULT_LIMITS,
    priority: Sequence[str] = DEFAULT_PRIORITY,
) -> Export:
    """Reads an export from a seekable file, zip or XML by its content.

    `scratch` is an empty directory. `on_progress` is called about every 4 MiB of
    XML and may raise to stop. `priority` says whose counts go first where devices
    counted the same minutes. Raises RefusedFile for a file that is not what it
    claims to be.
    """
    account = Account()
    records = Records(scratch, account, Sources(priority))
    try:
        with open_xml(file, limits) as xml:

            def report(bytes_read: int) -> None:
                on_progress(Progress(bytes_read, max(xml.total, bytes_read), account.records_read))

            read_elements(xml, records, report)
    finally:
        records.close()
    # A phone whose clock runs ahead would hold off every later export until its date has come.
    as_of = min(to_datetime(records.as_of), datetime.now(UTC))
    return Export(
        as_of=as_of,
        daily=daily_rows(records, as_of),
        sleep=sleep_rows(records, as_of),
        activities=records.workouts.rows(as_of),
        account=account,
    )
