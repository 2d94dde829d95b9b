"""A measured figure: its runs, its target, and the peer's runs of the same hour."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import psycopg

Better = Literal["more", "less"]


@dataclass(frozen=True)
class Peer:
    """What does the same without Vitalis, and the values of its runs."""

    name: str
    runs: list[float]

    @property
    def value(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)


@dataclass(frozen=True)
class Figure:
    """One line of the results. `target` is a limit that `better` says the side of."""

    what: str
    unit: str
    runs: list[float]
    better: Better = "more"
    target: float | None = None
    peer: Peer | None = None

    @property
    def value(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "more" else self.value <= self.target

    @property
    def ratio(self) -> float | None:
        """How many times as good as the peer: above 1 is better than it."""
        if self.peer is None:
            return None
        return self.value / self.peer.value if self.better == "more" else self.peer.value / self.value


@dataclass(frozen=True)
class Report:
    """What one benchmark found, where and when."""

    date: str
    machine: str
    figures: list[Figure] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Report":
        figures = [
            Figure(**{**figure, "peer": Peer(**figure["peer"]) if figure["peer"] else None})
            for figure in content["figures"]
        ]
        return cls(content["date"], content["machine"], figures)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of the values do not exceed."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def machine(postgres: str = "") -> str:
    """What the figures depend on: cores, Python and, if it was used, PostgreSQL."""
    where = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), Python {platform.python_version()}"
    return f"{where}, PostgreSQL {postgres}" if postgres else where


def postgres_version(url: str) -> str:
    with psycopg.connect(url) as connection:
        number = connection.info.server_version
    return f"{number // 10000}.{number % 10000}"
