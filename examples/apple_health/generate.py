"""Making the export, kind by kind as Health groups it, and its truth alongside."""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from statistics import median
from zoneinfo import ZoneInfo

from examples.apple_health.life import (
    ASLEEP,
    AWAKE,
    DEEP,
    HOME,
    HOUR,
    LIGHT,
    MINUTE,
    REM,
    Day,
    Life,
    Stage,
    Stretch,
    utc,
)
from examples.apple_health.markup import PHONE, WATCH, RecordType, metadata
from examples.apple_health.truth import DayTruth, NightTruth, Truth

METRES_A_MILE = 1609.344
_HOME = ZoneInfo(HOME)
_STAGE_VALUES = {LIGHT: "AsleepCore", DEEP: "AsleepDeep", REM: "AsleepREM", AWAKE: "Awake", ASLEEP: "Asleep"}
_SLEEP = "HKCategoryTypeIdentifierSleepAnalysis"
_SLEEP_VALUE = "HKCategoryValueSleepAnalysis"


@lru_cache(maxsize=512)
def _midnights(hour: int) -> tuple[datetime, int]:
    local = datetime.combine(utc(hour * HOUR).astimezone(_HOME).date(), time(), _HOME)
    return local, int((local + timedelta(days=1)).timestamp())


def home_date(instant: float) -> datetime:
    """The local midnight that began an instant's day at home, where all dates are written."""
    return _midnights(int(instant // HOUR))[0]


class Generator:
    """Writes everything but workouts and what is rare (see `extras`)."""

    def __init__(self, life: Life, truth: Truth, write: Callable[[str], None]) -> None:
        self.life = life
        self.truth = truth
        self.write = write

    def day_truth(self, instant: float) -> DayTruth:
        return self.truth.days[home_date(instant).date()]

    def days(self) -> list[int]:
        return list(range(self.life.days))

    def record_type(self, kind: str, source: str, unit: str) -> Callable[..., None]:
        """Writes records that count as used."""
        write = RecordType(self.write, kind, source, unit, device_from=self.life.new_devices_at)

        def used(*arguments: object) -> None:
            write(*arguments)  # type: ignore[arg-type]
            self.truth.records_used += 1

        return used

    def write_all(self) -> None:
        self._heart_rate()
        self._oxygen()
        self._respiratory_rate()
        self._counted("StepCount", "count", lambda s: str(s.steps))
        self._counted("DistanceWalkingRunning", "mi", lambda s: str(s.miles))
        self._count_truth()
        self._energy()
        self._flights()
        self._exercise_minutes()
        self._resting_heart_rate()
        self._wrist_temperature()
        self._sleep()
        self._variability()

    def _night_truth(self, day: Day, instant: int) -> NightTruth | None:
        """The night that an instant lies in."""
        inside = day.asleep_from <= instant <= day.stages[-1].end
        return self.truth.nights[day.date] if inside else None

    def _heart_rate(self) -> None:
        write = self.record_type("HeartRate", WATCH, "count/min")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 10)
            self._begin_night(day)
            sleeping = (day.wake - day.in_bed) // 40
            waking = (day.until - day.wake) // 74
            moments = [(day.in_bed + n * sleeping + chance.randrange(sleeping), 47, 62) for n in range(40)]
            moments += [(day.wake + n * waking + chance.randrange(waking), 58, 118) for n in range(74)]
            for moment, low, high in moments:
                rate = chance.randrange(low, high)
                context = chance.randrange(9)
                children = metadata(HKMetadataKeyHeartRateMotionContext=str(context)) if context < 3 else ""
                write(moment, moment, str(rate), children)
                self.day_truth(moment).heart_rate_bpm.values.append(rate)
                night = self._night_truth(day, moment)
                if night is not None:
                    night.heart_rate_bpm.values.append(rate)

    def _begin_night(self, day: Day) -> None:
        joined = [Stage(day.in_bed, day.asleep_from, "in_bed")]
        for stage in day.stages:
            if stage.stage == joined[-1].stage:
                joined[-1] = joined[-1]._replace(end=stage.end)
            else:
                joined.append(stage)

        def minutes(*wanted: str) -> int:
            return sum(s.end - s.start for s in day.stages if s.stage in wanted) // MINUTE

        self.truth.nights[day.date] = NightTruth(
            sleep_start=utc(day.in_bed),
            sleep_end=utc(day.wake),
            total_sleep_minutes=minutes(LIGHT, DEEP, REM, ASLEEP),
            awake_minutes=minutes(AWAKE),
            interruptions=sum(s.stage == AWAKE for s in joined),
            sleep_latency_minutes=(day.asleep_from - day.in_bed) // MINUTE,
            time_in_bed_minutes=(day.wake - day.in_bed) // MINUTE,
            light_minutes=minutes(LIGHT) if day.staged else None,
            deep_minutes=minutes(DEEP) if day.staged else None,
            rem_minutes=minutes(REM) if day.staged else None,
            hypnogram=[(utc(s.start), s.stage) for s in joined],
            naps=len(day.nap),
        )

    def _oxygen(self) -> None:
        write = self.record_type("OxygenSaturation", WATCH, "%")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 11)
            for number in range(7):
                moment = day.in_bed + number * 3 * HOUR + chance.randrange(2 * HOUR)
                if moment >= day.until:
                    break
                fraction = round(chance.uniform(0.93, 1.0), 2)
                write(moment, moment, f"{fraction:g}")
                self.day_truth(moment).spo2_pct.values.append(fraction * 100)
                night = self._night_truth(day, moment)
                if night is not None:
                    night.spo2_pct.values.append(fraction * 100)

    def _respiratory_rate(self) -> None:
        write = self.record_type("RespiratoryRate", WATCH, "count/min")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 12)
            gap = (day.wake - day.in_bed) // 15
            for number in range(15):
                moment = day.in_bed + number * gap + chance.randrange(gap)
                rate = chance.randrange(22, 38) / 2
                write(moment, moment, f"{rate:g}")
                self.day_truth(moment).respiratory_rate.values.append(rate)
                night = self._night_truth(day, moment)
                if night is not None:
                    night.respiratory_rate.values.append(rate)

    def _counted(self, kind: str, unit: str, value: Callable[[Stretch], str]) -> None:
        """What phone and watch both count; now and then a record is there twice."""
        for source, stretches in ((PHONE, self.life.phone), (WATCH, self.life.watch)):
            write = self.record_type(kind, source, unit)
            for index in self.days():
                for number, stretch in enumerate(stretches(index)):
                    for _ in range(2 if index % 40 == 7 and number == 3 else 1):
                        write(stretch.start, stretch.end, value(stretch))

    def _count_truth(self) -> None:
        """Minute by minute: what the watch counted, or else the phone."""
        for index in self.days():
            seen: set[int] = set()
            for stretches in (self.life.watch(index), self.life.phone(index)):
                counted: set[int] = set()
                for stretch in stretches:
                    minutes = range(stretch.start, stretch.end, MINUTE)
                    counted.update(minutes)
                    for minute in minutes:
                        if minute not in seen:
                            day = self.day_truth(minute)
                            day.steps = (day.steps or 0) + stretch.steps / len(minutes)
                            metres = stretch.miles * METRES_A_MILE / len(minutes)
                            day.distance_m = (day.distance_m or 0) + metres
                seen |= counted

    def _energy(self) -> None:
        active = self.record_type("ActiveEnergyBurned", WATCH, "Cal")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 13)
            slot = (day.until - day.wake) // 30
            for number in range(30):
                start = day.wake + number * slot
                burned = round(chance.uniform(2, 40), 3)
                active(start, start + slot, str(burned))
                self._spread(start, start + slot, burned, "active_calories_kcal")
        basal = self.record_type("BasalEnergyBurned", WATCH, "Cal")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 14)
            slot = (day.until - day.in_bed) // 24
            for number in range(24):
                start = day.in_bed + number * slot
                burned = round(chance.uniform(64, 82), 3)
                basal(start, start + slot, str(burned))
                self._spread(start, start + slot, burned, "basal_calories_kcal")

    def _spread(self, start: int, end: int, value: float, name: str) -> None:
        """Adds a value to the days that its time lies on, in proportion."""
        midnight = _midnights(start // HOUR)[1]
        parts = [start, midnight, end] if start < midnight < end else [start, end]
        for low, high in pairwise(parts):
            day = self.day_truth(low)
            setattr(day, name, (getattr(day, name) or 0) + value * (high - low) / (end - start))

    def _flights(self) -> None:
        write = self.record_type("FlightsClimbed", PHONE, "count")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 15)
            for number in range(3):
                moment = day.wake + (2 + 3 * number) * HOUR + chance.randrange(HOUR)
                flights = chance.randrange(1, 4)
                write(moment, moment, str(flights))
                truth = self.day_truth(moment)
                truth.floors_climbed = (truth.floors_climbed or 0) + flights

    def _exercise_minutes(self) -> None:
        write = self.record_type("AppleExerciseTime", WATCH, "min")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 16)
            for number in range(chance.randrange(6, 19)):
                start = day.wake + 5 * HOUR + 2 * number * MINUTE
                write(start, start + MINUTE, "1")
                truth = self.day_truth(start)
                truth.active_minutes = (truth.active_minutes or 0) + 1

    def _resting_heart_rate(self) -> None:
        write = self.record_type("RestingHeartRate", WATCH, "count/min")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 17)
            start = int(datetime.combine(day.date, time(12), ZoneInfo(day.zone)).timestamp())
            rate = chance.randrange(52, 63)
            write(start, start + 6 * HOUR, str(rate))
            self.day_truth(start).resting_hr_bpm = rate

    def _wrist_temperature(self) -> None:
        write = self.record_type("AppleSleepingWristTemperature", WATCH, "degF")
        measured: dict[int, float] = {}
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 18)
            if not day.staged or chance.random() < 0.1:
                continue
            fahrenheit = round(chance.uniform(94.5, 97.5), 3)
            write(day.asleep_from, day.wake, str(fahrenheit), metadata(HKTimeZone=day.zone))
            truth = self.truth.days[day.date]
            truth.wrist_temperature_c = measured[index] = (fahrenheit - 32) / 1.8
            before = [measured[night] for night in range(index - 28, index) if night in measured]
            if len(before) >= 7:
                truth.skin_temp_deviation_c = measured[index] - median(before)

    def _sleep(self) -> None:
        in_bed = self.record_type(_SLEEP, PHONE, "")
        app = self.record_type(_SLEEP, "Träumer", "")
        watch = self.record_type(_SLEEP, WATCH, "")
        for index in self.days():
            day = self.life.day(index)
            in_bed(day.in_bed, day.wake, f"{_SLEEP_VALUE}InBed")
            zone = metadata(HKTimeZone=day.zone)
            if not day.staged:
                for stage in (*day.stages, *day.nap):
                    if stage.stage == ASLEEP:
                        app(stage.start, stage.end, f"{_SLEEP_VALUE}Asleep", zone)
            elif index % 3 == 0:
                # An app that heard the same night; the watch knows better.
                app(day.asleep_from, day.wake, f"{_SLEEP_VALUE}AsleepUnspecified", zone)
        for index in self.days():
            day = self.life.day(index)
            if day.staged:
                for stage in (*day.stages, *day.nap):
                    value = f"{_SLEEP_VALUE}{_STAGE_VALUES[stage.stage]}"
                    watch(stage.start, stage.end, value, metadata(HKTimeZone=day.zone))

    def _variability(self) -> None:
        write = self.record_type("HeartRateVariabilitySDNN", WATCH, "ms")
        for index in self.days():
            day, chance = self.life.day(index), self.life.random(index, 19)
            for number in range(4):
                start = day.in_bed + 2 * HOUR + number * 4 * HOUR + chance.randrange(HOUR)
                sdnn = round(chance.uniform(22, 95), 4)
                clock = utc(start)
                beats = "".join(
                    f'   <InstantaneousBeatsPerMinute bpm="{chance.randrange(50, 70)}" '
                    f'time="{clock.hour % 12 or 12}:{clock:%M}:{second:02}.{chance.randrange(100):02} AM"/>\n'
                    for second in range(0, 56, 7)
                )
                lists = f"  <HeartRateVariabilityMetadataList>\n{beats}  </HeartRateVariabilityMetadataList>\n"
                write(start, start + 60, str(sdnn), lists)
                self.day_truth(start).hrv_sdnn_ms.values.append(sdnn)
                night = self._night_truth(day, start)
                if night is not None:
                    night.hrv_sdnn_ms.values.append(sdnn)
