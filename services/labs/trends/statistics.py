"""A straight line through results, and how much of a change is a person's own up and down."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from services.labs.biomarkers.catalogue import Variation

DAYS_A_YEAR = 365.25
# Below it a line always fits, and says nothing about its error.
_FEWEST = 3
# Two-sided, 95 % (Harris and Yasaka, Clin Chem 29 (1983) 25).
_Z = 1.96


class Line(NamedTuple):
    """The slope of a line and its standard error, both a year, and of how many points it is."""

    per_year: float
    standard_error: float
    points: int


def least_squares(points: Sequence[tuple[float, float]]) -> Line | None:
    """The line through (day, value); None for fewer than three points, or all of one day.

    Standard error of the slope: (SSE / (n - 2) / Sxx)^0.5.
    """
    count = len(points)
    if count < _FEWEST:
        return None
    mean_x = math.fsum(x for x, _ in points) / count
    mean_y = math.fsum(y for _, y in points) / count
    around_x = math.fsum((x - mean_x) ** 2 for x, _ in points)
    if not around_x:
        return None
    slope = math.fsum((x - mean_x) * (y - mean_y) for x, y in points) / around_x
    residual = math.fsum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    error = math.sqrt(residual / (count - 2) / around_x)
    return Line(slope * DAYS_A_YEAR, error * DAYS_A_YEAR, count)


def reference_change_value_pct(variation: Variation) -> float:
    """2^0.5 * 1.96 * (CVa^2 + CVi^2)^0.5, in per cent; with CVi alone where no CVa is published."""
    return math.sqrt(2) * _Z * math.hypot(float(variation.cva_pct or 0), float(variation.cvi_pct))
