"""How a scanned page lies: by how much it is skewed, and whether it lies on its side.

Print is dark and light in turn from line to line, so of all directions the
sums of dots along the lines differ most from each other.
"""

import math
from itertools import pairwise
from typing import NamedTuple

from PIL import Image

Box = tuple[float, float, float, float]
# Degrees; a page in a scanner's feed is hardly skewed more.
MOST_SKEWED = 6.0
STEPS = (1.0, 0.25)
# By so much lines must stand out more from left to right before a page is taken to lie on its side.
ON_ITS_SIDE = 2.0
# Dots of the longer side at which lines of print can still be told apart.
SMALL_SIDE = 900


class Turned(NamedTuple):
    """How a picture was turned, in degrees anticlockwise, and its size before and after, in any unit."""

    degrees: float
    before: tuple[float, float]
    after: tuple[float, float]

    def back(self, box: Box) -> Box:
        """Where a box of the turned picture is in the picture as it was."""
        cos, sin = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        (width, height), (width_after, height_after) = self.before, self.after
        corners = []
        for x, y in ((box[0], box[1]), (box[2], box[3])):
            right, down = x - width_after / 2, y - height_after / 2
            corners.append((width / 2 + right * cos - down * sin, height / 2 + right * sin + down * cos))
        (x0, y0), (x1, y1) = corners
        return min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)


def ways_up(picture: Image.Image) -> tuple[float, ...]:
    """By how many degrees a grey picture may have to be turned anticlockwise to be level, the likeliest first.

    A table stands out from left to right as much as from top to bottom, so only
    reading tells which way is right.
    """
    small = picture.copy()
    small.thumbnail((SMALL_SIDE, SMALL_SIDE))
    (skew, upright), (skew_sideways, sideways) = _best(small), _best(small.rotate(90, expand=True))
    ways = (skew, skew + 180, skew_sideways + 90, skew_sideways + 270)
    return ways if upright * ON_ITS_SIDE > sideways else (*ways[2:], *ways[:2])


def turned(picture: Image.Image, degrees: float) -> Image.Image:
    return picture.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=255) if degrees else picture


def _best(picture: Image.Image) -> tuple[float, float]:
    """The skew at which the lines stand out most, and how much they do."""
    best = (0.0, _contrast(picture))
    reach = MOST_SKEWED
    for step in STEPS:
        middle = best[0]
        for number in range(-round(reach / step), round(reach / step) + 1):
            degrees = middle + number * step
            if number and (contrast := _contrast(picture.rotate(degrees, fillcolor=255))) > best[1]:
                best = (degrees, contrast)
        reach = step
    return best


def _contrast(picture: Image.Image) -> float:
    """How much the brightness changes from each row of dots to the next."""
    rows = picture.resize((1, picture.height), Image.Resampling.BOX).tobytes()
    return sum((above - below) ** 2 for above, below in pairwise(rows)) / len(rows)
