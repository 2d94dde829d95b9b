"""Which of Apple's types fill which column, in which unit they are counted, and what a single record may say."""

from typing import NamedTuple

from services.tracking import units

# Apple writes per cent as a fraction of 1.
PERCENT = {"%": 100.0}


class Metric(NamedTuple):
    """One of Apple's quantity types.

    `factors` gives for every unit that fits the factor to the metric's own unit;
    `low` and `high` bound what one record may say in it.
    """

    code: int
    column: str
    factors: dict[str, float]
    low: float
    high: float


# Points: many a day, averaged or the extreme of the day taken.
HEART_RATE, HRV_SDNN, OXYGEN, RESPIRATORY_RATE = range(1, 5)
# Totals: each counts something between its start and its end.
STEPS, ACTIVE_ENERGY, BASAL_ENERGY, EXERCISE, DISTANCE, FLIGHTS = range(10, 16)
FIRST_TOTAL = STEPS
# Singles: one record is the day's value.
RESTING_HEART_RATE, VO2_MAX, WRIST_TEMPERATURE = range(20, 23)
FIRST_SINGLE = RESTING_HEART_RATE
NIGHT_POINTS = (HEART_RATE, HRV_SDNN, OXYGEN, RESPIRATORY_RATE)

_PER_MINUTE = units.factors("count/min")
_COUNT = units.factors("count")
_KCAL = units.factors("kcal")
_HK = "HKQuantityTypeIdentifier"
SLEEP_ANALYSIS = "HKCategoryTypeIdentifierSleepAnalysis"

# A record of four days at most counts towards a day: the longest that HealthKit takes of a step count.
MAX_TOTAL_SECONDS = 4 * 86400

METRICS: dict[str, Metric] = {
    f"{_HK}HeartRate": Metric(HEART_RATE, "max_hr_bpm", _PER_MINUTE, 20, 300),
    f"{_HK}HeartRateVariabilitySDNN": Metric(HRV_SDNN, "hrv_sdnn_ms", units.factors("ms"), 0, 2000),
    f"{_HK}OxygenSaturation": Metric(OXYGEN, "spo2_avg_pct", PERCENT, 0, 100),
    f"{_HK}RespiratoryRate": Metric(RESPIRATORY_RATE, "respiratory_rate_avg", _PER_MINUTE, 1, 100),
    f"{_HK}StepCount": Metric(STEPS, "steps", _COUNT, 0, 1e6),
    f"{_HK}ActiveEnergyBurned": Metric(ACTIVE_ENERGY, "active_calories_kcal", _KCAL, 0, 1e5),
    f"{_HK}BasalEnergyBurned": Metric(BASAL_ENERGY, "total_calories_kcal", _KCAL, 0, 1e5),
    f"{_HK}AppleExerciseTime": Metric(EXERCISE, "active_minutes", units.factors("min"), 0, 1e4),
    f"{_HK}DistanceWalkingRunning": Metric(DISTANCE, "distance_m", units.factors("m"), 0, 1e7),
    f"{_HK}FlightsClimbed": Metric(FLIGHTS, "floors_climbed", _COUNT, 0, 1e5),
    f"{_HK}RestingHeartRate": Metric(RESTING_HEART_RATE, "resting_hr_bpm", _PER_MINUTE, 20, 300),
    f"{_HK}VO2Max": Metric(VO2_MAX, "vo2_max_ml_kg_min", units.factors("mL/min·kg"), 5, 100),
    # Its units differ by more than a factor (see records.py).
    f"{_HK}AppleSleepingWristTemperature": Metric(WRIST_TEMPERATURE, "skin_temp_deviation_c", {}, 10, 50),
}
