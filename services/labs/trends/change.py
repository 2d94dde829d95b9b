"""A result against an earlier one."""

from services.labs.biomarkers.catalogue import Marker
from services.labs.trends.statistics import reference_change_value_pct
from vitalis.labs.v1 import trends_pb2 as pb


def change_of(marker: Marker | None, earlier: float, later: float) -> pb.Change | None:
    """The change between two numbers in the canonical unit; None from a number that per cent cannot be of."""
    if earlier <= 0:
        return None
    change = pb.Change(change_pct=(later - earlier) / earlier * 100)
    variation = marker.variation if marker else None
    if variation is None:
        return change
    change.cvi_pct = float(variation.cvi_pct)
    if variation.cva_pct is not None:
        change.cva_pct = float(variation.cva_pct)
    change.source = variation.source
    change.reference_change_value_pct = reference_change_value_pct(variation)
    change.exceeds = abs(change.change_pct) > change.reference_change_value_pct
    return change
