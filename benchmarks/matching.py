"""Names on reports matched to markers, and values converted between a marker's units, in one process."""

import time
from collections.abc import Callable
from decimal import Decimal

import pint
from rapidfuzz import fuzz, process

from benchmarks.figures import Figure, Peer, machine
from services.labs.biomarkers.catalogue import Catalogue, catalogue
from services.labs.matching import MarkerIndex, Row, names
from services.labs.units import units_of

ROWS = 20_000
PEER_ROWS = 200
CONVERSIONS = 50_000
PEER_CONVERSIONS = 2_000
RUNS = 5


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    dictionary = catalogue()
    rows = _rows(dictionary)
    index = MarkerIndex(dictionary)
    found = sum(match.slug is not None for match in index.match_many(rows))
    written = [name for marker in dictionary.markers.values() for name in marker.names()]
    return machine(), [
        Figure(
            f"rows of a report matched, no two alike, {found * 100 // len(rows)} % of them to a marker",
            "rows/s",
            [_rate(len(rows), lambda: _match(index, rows)) for _ in range(RUNS)],
            target=20_000,
            peer=Peer(
                "rapidfuzz alone, the likeliest of all names whatever the unit",
                [
                    _rate(PEER_ROWS, lambda: _likeliest(rows[:: len(rows) // PEER_ROWS][:PEER_ROWS], written))
                    for _ in range(RUNS)
                ],
            ),
        ),
        Figure(
            "the index of all names built",
            "ms",
            [1000 / _rate(1, lambda: MarkerIndex(dictionary)) for _ in range(RUNS)],
            "less",
        ),
        Figure(
            "values converted between mg/dL and mmol/L",
            "values/s",
            [_rate(CONVERSIONS, _convert) for _ in range(RUNS)],
            peer=Peer("pint", [_rate(PEER_CONVERSIONS, _pint()) for _ in range(RUNS)]),
        ),
    ]


def _rate(count: int, work: Callable[[], object]) -> float:
    """How often a second of the processor's time; nothing here waits for anything."""
    started = time.process_time()
    work()
    return count / (time.process_time() - started)


def _rows(dictionary: Catalogue) -> list[Row]:
    """Rows as laboratories write them: names in every way that they differ, some misspelt, some of nothing known."""
    ways: tuple[Callable[[str], str], ...] = (
        str,
        str.upper,
        lambda name: f"{name}, Serum",
        lambda name: f"{name} (calculated)",
        lambda name: ", ".join(reversed(name.split(", "))),
        lambda name: name.replace("e", "a", 1),
        lambda name: f"{name} Antagonist",
        lambda name: f"Serum {name} level",
    )
    different = {
        Row(way(name), marker.canonical_unit)
        for marker in dictionary.markers.values()
        for name in marker.names()
        for way in ways
    }
    return sorted(different)[:: max(1, len(different) // ROWS)][:ROWS]


def _match(index: MarkerIndex, rows: list[Row]) -> None:
    # What earlier rows have left behind is not what is measured.
    names.name_of.cache_clear()
    index.match_many(rows)


def _likeliest(rows: list[Row], written: list[str]) -> None:
    for row in rows:
        process.extractOne(row.name, written, scorer=fuzz.WRatio)


def _convert() -> None:
    glucose, value = units_of("glucose"), Decimal("5.5")
    for _ in range(CONVERSIONS):
        glucose.convert(value, "mmol/L", "mg/dL")


def _pint() -> Callable[[], None]:
    registry: pint.UnitRegistry[float] = pint.UnitRegistry()
    value, target = 5.5 * registry("g/L"), registry("mg/dL").units

    def convert() -> None:
        for _ in range(PEER_CONVERSIONS):
            value.to(target)

    return convert
