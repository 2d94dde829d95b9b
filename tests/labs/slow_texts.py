"""Reads texts that are made to be slow, as a confined process of the labs service."""

import json
import sys
from itertools import product

from services.labs.confined import confine
from services.labs.matching import Row
from services.labs.matching.index import marker_index
from services.labs.values import read_range, read_result

TAGS = ["".join(pair) for pair in product("bcdfghjklm", repeat=3)]
NAMES = (
    "a [b] in" + " " * 180 + "x\ny{0}",
    "a [b]" + " in" * 60 + "\n{0}",
    "(" * 190 + "{0}",
    " ".join(f"quux{letter}{other}{{0}}" for letter in "bcdfgh" for other in "abcd"),
    "a - " * 48 + "{0}",
    "%" * 190 + "{0}",
    "ﷺ" * 190 + "{0}",
    "\t" * 190 + "[{0}",
)
VALUES = (
    "*" * 190 + "{0}x",
    "H" * 190 + "{0}",
    "> or = " * 27 + "{0}",
    "1 " * 95 + "{0}",
    "1-" * 95 + "{0}",
    "x" + " *" * 90 + "({0}",
)

if __name__ == "__main__":
    confine(*sys.argv[1:3])
    marker_index().match_many([Row(name.format(tag)[:200]) for name in NAMES for tag in TAGS])
    for text in (value.format(tag)[:200] for value in VALUES for tag in TAGS):
        read_result(text)
        read_range(text)
    json.dump(None, sys.stdout)
