"""Small exports made by hand, and reading them."""

import io
import tempfile
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from xml.sax.saxutils import quoteattr

from services.tracking.apple_health import Account, read_export

STEPS = "HKQuantityTypeIdentifierStepCount"
HEART_RATE = "HKQuantityTypeIdentifierHeartRate"
SLEEP = "HKCategoryTypeIdentifierSleepAnalysis"
WATCH, PHONE = "Zoë’s Apple Watch", "Zoë’s iPhone"
EXPORTED = "2026-11-19 07:00:00 -0700"


class Read(NamedTuple):
    """What a reader made of an export."""

    days: dict[str, dict[str, Any]]
    nights: dict[str, dict[str, Any]]
    workouts: list[dict[str, Any]]
    account: Account
    as_of: datetime

    def rows(self) -> tuple[object, ...]:
        return self.days, self.nights, sorted(self.workouts, key=lambda row: row["source_activity_id"])


def attributes(values: dict[str, str | None]) -> str:
    return "".join(f" {name}={quoteattr(value)}" for name, value in values.items() if value is not None)


def record(
    kind: str,
    value: str | None,
    unit: str | None,
    start: str,
    end: str | None = None,
    *,
    source: str = WATCH,
    device: str | None = None,
    zone: str | None = None,
) -> str:
    """A Record; `kind` is a whole type or what follows HKQuantityTypeIdentifier."""
    inner = f'<MetadataEntry key="HKTimeZone" value="{zone}"/>' if zone else ""
    text = attributes(
        {
            "type": kind if kind.startswith("HK") else f"HKQuantityTypeIdentifier{kind}",
            "sourceName": source,
            "device": device,
            "unit": unit,
            "creationDate": end or start,
            "startDate": start,
            "endDate": end or start,
            "value": value,
        }
    )
    return f" <Record{text}>{inner}</Record>\n"


def slept(stage: str, start: str, end: str, source: str = WATCH, zone: str | None = None) -> str:
    return record(SLEEP, f"HKCategoryValueSleepAnalysis{stage}", None, start, end, source=source, zone=zone)


def export(*elements: str, exported: str | None = EXPORTED, doctype: str = "") -> bytes:
    when = f' <ExportDate value="{exported}"/>\n' if exported else ""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{doctype}<HealthData locale="en_US">\n{when}'
    return f"{text}{''.join(elements)}</HealthData>\n".encode()


def read(content: bytes | BinaryIO, **options: Any) -> Read:
    """Reads an export to its end; checks that every record is accounted for and no row is there twice."""
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    with tempfile.TemporaryDirectory() as scratch:
        found = read_export(file, Path(scratch), lambda progress: None, **options)
        days, nights, workouts = list(found.daily), list(found.sleep), list(found.activities)
    for rows, key in ((days, "date"), (nights, "sleep_date")):
        dates = [row[key] for row in rows]
        assert dates == sorted(set(dates))
    assert len({row["source_activity_id"] for row in workouts}) == len(workouts)
    account = found.account
    assert account.records_read == account.records_used + account.records_ignored + account.records_rejected
    assert account.ignored_by_type.total() == account.records_ignored
    assert account.rejected_by_reason.total() == account.records_rejected
    return Read(
        {_text(row["date"]): row for row in days},
        {_text(row["sleep_date"]): row for row in nights},
        workouts,
        account,
        found.as_of,
    )


def _text(day: date) -> str:
    return day.isoformat()
