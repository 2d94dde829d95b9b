"""The ranges that the contract allows a column, read from it."""

from typing import Any

from services.kit.contract import ranges_of
from services.tracking.apple_health.account import Account
from vitalis.tracking.v1 import wearables_pb2 as pb

DAILY = ranges_of(pb.WearableDaily.DESCRIPTOR)
SLEEP = ranges_of(pb.WearableSleep.DESCRIPTOR)
ACTIVITY = ranges_of(pb.WearableActivity.DESCRIPTOR)


def within(row: dict[str, Any], ranges: dict[str, tuple[float, float]], date: str, account: Account) -> dict[str, Any]:
    """The row without empty values and without those outside their range, which become warnings."""
    kept = {}
    for name, value in row.items():
        if value is None:
            continue
        limits = ranges.get(name)
        if limits is not None and not limits[0] <= value <= limits[1]:
            account.warn(f"{name} of {date} lies outside {limits[0]:g} to {limits[1]:g} and was left out")
            continue
        kept[name] = value
    return kept
