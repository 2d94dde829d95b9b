"""Two scans, value by value."""

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from services.kit.contract import ranges_of
from vitalis.labs.v1 import body_composition_pb2 as pb

_OF_SCAN = tuple(ranges_of(pb.DexaScan.DESCRIPTOR))
_OF_REGION = tuple(ranges_of(pb.DexaRegion.DESCRIPTOR))
_OF_BONE = tuple(ranges_of(pb.DexaBoneDensity.DESCRIPTOR))
_SCORES = ("t_score", "z_score")


def compare(earlier: Any, later: Any) -> pb.CompareDexaScansResponse:
    """Everything that both scans have, from the earlier to the later."""
    before, after = dict(_values(earlier)), dict(_values(later))
    return pb.CompareDexaScansResponse(
        earlier_id=earlier.id,
        earlier_date=earlier.scan_date,
        later_date=later.scan_date,
        days=(date.fromisoformat(later.scan_date) - date.fromisoformat(earlier.scan_date)).days,
        changes=[_change(path, value, after[path]) for path, value in before.items() if path in after],
        cautions=_cautions(earlier, later),
    )


def _values(scan: Any) -> Iterator[tuple[str, float]]:
    yield from _fields(scan, _OF_SCAN, "")
    for region in scan.regions:
        yield from _fields(region, _OF_REGION, f"regions.{region.region}.")
    for bone in scan.bone_densities:
        yield from _fields(bone, _OF_BONE, f"bone_densities.{bone.region}.")
    for figure in scan.figures:
        yield from _fields(figure, ("value",), f"figures.{figure.name}.")


def _fields(message: Any, names: tuple[str, ...], prefix: str) -> Iterator[tuple[str, float]]:
    for name in names:
        if message.HasField(name):
            yield (prefix + name).removesuffix(".value"), getattr(message, name)


def _change(path: str, before: float, after: float) -> pb.DexaChange:
    # As decimals: 20.3 - 20.1 is 0.2.
    one, other = Decimal(str(before)), Decimal(str(after))
    change = other - one
    percent = None
    if one and not path.endswith(_SCORES):
        percent = round(float(change / abs(one) * 100), 2)
    return pb.DexaChange(path=path, earlier_value=before, later_value=after, change=float(change), change_pct=percent)


def _cautions(one: Any, other: Any) -> list[str]:
    providers = [scan.provider.strip().casefold() for scan in (one, other)]
    if not all(providers):
        return ["unknown_provider"]
    return [] if providers[0] == providers[1] else ["different_provider"]
