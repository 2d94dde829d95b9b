"""Who recorded what: watch, phone or another source, and whose word counts first."""

import re
from collections.abc import Sequence
from typing import NamedTuple

# As the phone orders them: the watch before the phone before everything else.
DEFAULT_PRIORITY = ("watch", "phone", "other")
MAX_SOURCES = 5000
# Beyond, all are of one place: every place is a pass over what overlaps.
MAX_PLACES = 100
# What the file calls them is remembered only if it is no longer than this.
MAX_REMEMBERED = 1000
MAX_NAME_LENGTH = 80
MAX_DEVICE_LENGTH = 200
# Each export writes where the object lay in the phone's memory.
_POINTER = re.compile(r"0x[0-9a-fA-F]+")
_DEVICE_NAME = re.compile(r"\b(?:name|model|hardware):\s*(Apple ?Watch|Watch|iPhone|iPad)", re.IGNORECASE)


class Source(NamedTuple):
    """One source: its name, what kind of device it is and the device as the file describes it."""

    name: str
    kind: str
    device: str


class Sources:
    """The sources of a file, numbered as they appear.

    Sources of the same name and kind share their place in the order, so that a
    watch stays the same source when its software is updated.
    """

    def __init__(self, priority: Sequence[str] = DEFAULT_PRIORITY) -> None:
        if sorted(priority) != sorted(DEFAULT_PRIORITY):
            raise ValueError(f"priority must hold each of {', '.join(DEFAULT_PRIORITY)} once")
        self._priority = {kind: place for place, kind in enumerate(priority)}
        self._numbers: dict[tuple[str | None, str | None], int] = {}
        self._known: dict[Source, int] = {}
        self.all: list[Source] = []

    def number(self, name: str | None, device: str | None) -> int:
        """The number of the source with these attributes."""
        number = self._numbers.get((name, device))
        if number is None:
            number = self._add(name, device)
            if len(self._numbers) >= MAX_SOURCES:
                self._numbers.clear()
            if len(name or "") + len(device or "") <= MAX_REMEMBERED:
                self._numbers[name, device] = number
        return number

    def _add(self, name: str | None, device: str | None) -> int:
        source = Source((name or "")[:MAX_NAME_LENGTH], _kind(name or "", device or ""), clean_device(device or ""))
        if source not in self._known and len(self.all) >= MAX_SOURCES:
            source = Source("", "other", "")
        number = self._known.setdefault(source, len(self.all))
        if number == len(self.all):
            self.all.append(source)
        return number

    def place(self, number: int) -> tuple[int, bool, str]:
        """Sorts sources by priority: the kind, a device's own name before an app's, the name."""
        source = self.all[number]
        named = {"watch": "watch", "phone": "phone"}.get(source.kind, "")
        return self._priority[source.kind], named not in source.name.lower(), source.name

    def ranks(self) -> list[int]:
        """For every number its rank; the lowest counts first."""
        places = sorted({self.place(number) for number in range(len(self.all))})
        rank = {place: min(index, MAX_PLACES - 1) for index, place in enumerate(places)}
        return [rank[self.place(number)] for number in range(len(self.all))]


def clean_device(text: str) -> str:
    """`name:Apple Watch, …` out of `<<HKDevice: 0x282a45810>, name:Apple Watch, …>`: what every export says alike."""
    return _POINTER.sub("", text).replace("<<HKDevice: >, ", "").removesuffix(">")[:MAX_DEVICE_LENGTH]


def _kind(name: str, device: str) -> str:
    match = _DEVICE_NAME.search(device)
    said = (match.group(1) if match else name).lower()
    if "watch" in said:
        return "watch"
    return "phone" if "iphone" in said else "other"
