"""What is kept of records until everything has been read: small, and without the words of the file."""

import struct
from typing import Any, NamedTuple

from services.tracking.apple_health.dates import offset_text, to_text
from services.tracking.apple_health.sources import Sources

# start, metric, source, offset in minutes, duration in seconds, value
SAMPLE = struct.Struct(">IBHhId")
# start, end, stage, source, offset at the end in minutes, whether the record names its time zone
SEGMENT = struct.Struct(">IIBHhB")

IN_BED, AWAKE, ASLEEP, LIGHT, DEEP, REM = range(6)
STAGES = ("in_bed", "awake", "asleep", "light", "deep", "rem")


class Single(NamedTuple):
    """The record that is a day's value: converted, and as it came."""

    start: int
    source: int
    offset: int
    value: float
    text: str
    unit: str


class Summary(NamedTuple):
    """What the phone itself shows for a day, as it came; `kcal` and `minutes` are zero if it says nothing."""

    kcal: float
    minutes: float
    energy_text: str
    energy_unit: str
    minutes_text: str


def raw_single(single: Single, sources: Sources) -> dict[str, Any]:
    """A value as it came, with where and when it came from."""
    source = sources.all[single.source]
    raw = {
        "value": single.text,
        "unit": single.unit,
        "start": to_text(single.start),
        "offset": offset_text(single.offset),
        "source": source.name,
        "device": source.device,
    }
    return {name: value for name, value in raw.items() if value}
