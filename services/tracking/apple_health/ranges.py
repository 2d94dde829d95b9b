"""The ranges that the contract allows a column, read from it."""

from typing import Any

from buf.validate import validate_pb2
from google.protobuf import descriptor

from services.tracking.apple_health.account import Account
from vitalis.tracking.v1 import wearables_pb2 as pb


def _ranges(message: descriptor.Descriptor) -> dict[str, tuple[float, float]]:
    found = {}
    for field in message.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        kind = rules.WhichOneof("type")
        if kind in ("int32", "double"):
            limits = getattr(rules, kind)
            found[field.name] = (float(limits.gte), float(limits.lte))
    return found


DAILY = _ranges(pb.WearableDaily.DESCRIPTOR)
SLEEP = _ranges(pb.WearableSleep.DESCRIPTOR)
ACTIVITY = _ranges(pb.WearableActivity.DESCRIPTOR)


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
