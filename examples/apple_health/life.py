"""A person's days: when they sleep, where they are, what their phone and watch see. Nothing of a file format here.

Instants are seconds since 1970, on whole minutes where something is counted.
Everything follows from the seed and the date, so that each kind of record can be
made by itself.
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

HOME = "America/Los_Angeles"
AWAY = "Europe/Berlin"
MINUTE, HOUR = 60, 3600
LIGHT, DEEP, REM, AWAKE, ASLEEP = "light", "deep", "rem", "awake", "asleep"


class Stage(NamedTuple):
    """A part of a night."""

    start: int
    end: int
    stage: str


class Day(NamedTuple):
    """One day: the night that ends on it, then its waking hours until the next night."""

    number: int
    date: date
    zone: str
    in_bed: int
    wake: int
    # When the person lies down again.
    until: int
    staged: bool
    stages: tuple[Stage, ...]
    nap: tuple[Stage, ...]

    @property
    def asleep_from(self) -> int:
        return self.stages[0].start


class Stretch(NamedTuple):
    """Minutes in which a device counted."""

    start: int
    end: int
    steps: int
    miles: float


class Exercise(NamedTuple):
    """A workout: Apple's type and ours, with a pause in it if `paused` is not 0 (seconds)."""

    kind: str
    activity_type: str
    start: int
    end: int
    paused: int
    miles: float | None
    kilocalories: float
    avg_hr: int
    max_hr: int
    climbed_cm: int | None


_EXERCISES = (
    ("Running", "running", 6.2, True),
    ("FunctionalStrengthTraining", "strength_training", None, False),
    ("Cycling", "cycling", 14.5, True),
    ("Yoga", "yoga", None, False),
    ("PaddleSports", "water_sports", None, False),
)


class Life:
    """The days of one person, `days` of them up to and with `end`."""

    def __init__(self, seed: int, days: int, end: date) -> None:
        self.seed = seed
        self.days = days
        self.first = end - timedelta(days=days - 1)
        self._away = range(int(days * 0.6), int(days * 0.6) + 8) if days >= 30 else range(0)
        self._staged_from = days // 3
        # When the person bought what tells stages apart.
        self.new_devices_at = self._night(self._staged_from)[0]
        self.day = lru_cache(maxsize=64)(self._day)

    def random(self, index: int, purpose: int) -> Random:
        """Chance, the same whenever asked for one day and purpose."""
        return Random((self.seed * 1_000_003 + self.first.toordinal() + index) * 64 + purpose)  # noqa: S311 - an invented life needs chance that repeats

    def _zone(self, index: int) -> str:
        return AWAY if index in self._away else HOME

    def _night(self, index: int) -> tuple[int, int]:
        """Lying down and getting up."""
        chance = self.random(index, 1)
        up = time(6, 20)
        local = datetime.combine(self.first + timedelta(days=index), up, ZoneInfo(self._zone(index)))
        wake = int(local.timestamp()) + chance.randrange(80) * MINUTE
        return wake - chance.randrange(420, 520) * MINUTE, wake

    def _day(self, index: int) -> Day:
        in_bed, wake = self._night(index)
        chance = self.random(index, 2)
        staged = index >= self._staged_from
        start = in_bed + chance.randrange(5, 26) * MINUTE
        stages = _stages(chance, start, wake) if staged else _unstaged(chance, start, wake)
        until = self._night(index + 1)[0]
        nap: tuple[Stage, ...] = ()
        if index % 9 == 4 and until - wake > 14 * HOUR:
            nap_start = wake + 7 * HOUR + chance.randrange(40) * MINUTE
            nap = (Stage(nap_start, nap_start + chance.randrange(20, 55) * MINUTE, LIGHT if staged else ASLEEP),)
        zone = self._zone(index)
        return Day(index, self.first + timedelta(days=index), zone, in_bed, wake, until, staged, stages, nap)

    def phone(self, index: int) -> list[Stretch]:
        """What the phone counted."""
        return self._stretches(index, 3, 16, 0.8)

    def watch(self, index: int) -> list[Stretch]:
        """What the watch counted of the same day, in minutes of its own."""
        return self._stretches(index, 4, 22, 1.0)

    def _stretches(self, index: int, purpose: int, count: int, share: float) -> list[Stretch]:
        day, chance = self.day(index), self.random(index, purpose)
        slot = (day.until - day.wake) // MINUTE // count
        found = []
        for number in range(count):
            length = min(chance.randrange(4, 13), slot)
            start = day.wake + (number * slot + chance.randrange(slot - length + 1)) * MINUTE
            steps = round(length * chance.randrange(25, 95) * share)
            found.append(Stretch(start, start + length * MINUTE, steps, round(steps * 0.000447, 6)))
        return found

    def exercise(self, index: int) -> Exercise | None:
        """The day's workout, on about half of the days."""
        day, chance = self.day(index), self.random(index, 5)
        if index % 7 not in (0, 2, 5) or day.until - day.wake < 13 * HOUR:
            return None
        kind, ours, miles_an_hour, climbs = _EXERCISES[chance.randrange(len(_EXERCISES))]
        start = day.wake + 10 * HOUR + chance.randrange(3000)
        seconds = chance.randrange(1500, 4200)
        paused = chance.randrange(30, 200) if chance.random() < 0.3 else 0
        miles = round(miles_an_hour * (seconds - paused) / HOUR, 6) if miles_an_hour else None
        avg = chance.randrange(115, 150)
        return Exercise(
            kind,
            ours,
            start,
            start + seconds,
            paused,
            miles,
            round(seconds / 60 * chance.uniform(6, 12), 3),
            avg,
            avg + chance.randrange(15, 35),
            chance.randrange(500, 20000) if climbs else None,
        )


def _stages(chance: Random, start: int, end: int) -> tuple[Stage, ...]:
    """A night of cycles from light over deep to dreaming sleep, with short wakings."""
    stages: list[Stage] = []
    at = start
    while True:
        for stage, low, high in ((LIGHT, 8, 30), (DEEP, 10, 35), (LIGHT, 5, 20), (REM, 8, 30), (AWAKE, 1, 6)):
            if stage == AWAKE and chance.random() < 0.5:
                continue
            length = chance.randrange(low, high) * MINUTE
            if end - at - length < 12 * MINUTE:
                stages.append(Stage(at, end, LIGHT))
                return tuple(stages)
            stages.append(Stage(at, at + length, stage))
            at += length


def _unstaged(chance: Random, start: int, end: int) -> tuple[Stage, ...]:
    """A night of which only sleep itself is known; between two parts the person was awake."""
    stages: list[Stage] = []
    at = start
    while end - at > 200 * MINUTE:
        until = at + chance.randrange(80, 180) * MINUTE
        stages.append(Stage(at, until, ASLEEP))
        awake = until + chance.randrange(3, 11) * MINUTE
        stages.append(Stage(until, awake, AWAKE))
        at = awake
    stages.append(Stage(at, end, ASLEEP))
    return tuple(stages)


def utc(instant: float) -> datetime:
    return datetime.fromtimestamp(instant, UTC)
