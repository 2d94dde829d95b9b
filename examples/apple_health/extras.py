"""Workouts, activity summaries, what has no place in Vitalis, and what is broken."""

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from examples.apple_health.generate import METRES_A_MILE, Generator
from examples.apple_health.life import HOUR, Day, Exercise, utc
from examples.apple_health.markup import PHONE, WATCH, RecordType, device, metadata, stamp
from examples.apple_health.truth import WorkoutTruth

_HK = "HKQuantityTypeIdentifier"
_DISTANCES = {
    "Running": f"{_HK}DistanceWalkingRunning",
    "Cycling": f"{_HK}DistanceCycling",
}


def write_ignored(generator: Generator) -> None:
    """Records of types that no row has a place for."""
    kinds = (
        ("EnvironmentalAudioExposure", WATCH, "dBASPL", 8),
        ("WalkingSpeed", PHONE, "mi/hr", 6),
    )
    for kind, source, unit, count in kinds:
        write = RecordType(generator.write, kind, source, unit)
        for index in generator.days():
            day, chance = generator.life.day(index), generator.life.random(index, 30 + count)
            for number in range(count):
                start = day.wake + number * HOUR + chance.randrange(1800)
                write(start, start + 600, f"{chance.uniform(2, 70):.5f}")
        generator.truth.ignored_by_type[write.type] += count * generator.life.days
    body = RecordType(generator.write, "BodyMass", "Wåge", "lb", "3.2")
    height = RecordType(generator.write, "Height", "Health", "ft", "16.1")
    for index in generator.days():
        day, chance = generator.life.day(index), generator.life.random(index, 40)
        if index % 3 == 0:
            body(day.wake, day.wake, f"{chance.uniform(150, 160):.4f}", metadata(HKWasUserEntered="0"))
            generator.truth.ignored_by_type[body.type] += 1
        if index == 0:
            height(day.wake, day.wake, "5.74147")
            generator.truth.ignored_by_type[height.type] += 1


def write_correlations(generator: Generator) -> None:
    """Blood pressure: its two Records stand in the Correlation and at the top level."""
    ignored = generator.truth.ignored_by_type
    for index in generator.days()[::30]:
        day, chance = generator.life.day(index), generator.life.random(index, 41)
        at = day.wake + HOUR
        children: list[str] = []
        for kind, low in (("BloodPressureSystolic", 105), ("BloodPressureDiastolic", 62)):
            value = str(low + chance.randrange(20))
            write = RecordType(generator.write, kind, "Cuff ♥", "mmHg", "2.0")
            write(at, at, value)
            RecordType(children.append, kind, "Cuff ♥", "mmHg", "2.0")(at, at, value)
            ignored[write.type] += 1
        moment = stamp(at)
        generator.write(
            ' <Correlation type="HKCorrelationTypeIdentifierBloodPressure" sourceName="Cuff ♥" sourceVersion="2.0" '
            f'creationDate="{moment}" startDate="{moment}" endDate="{moment}">\n'
            f"{metadata(HKWasUserEntered='0')}{''.join(f' {child}' for child in children)} </Correlation>\n"
        )
        ignored["HKCorrelationTypeIdentifierBloodPressure"] += 1


def write_workouts(generator: Generator) -> None:
    """Workouts: the older ones with totals as attributes, the later ones with statistics. And VO2 max of runs."""
    vo2: list[tuple[int, float]] = []
    for index in generator.days():
        exercise, day = generator.life.exercise(index), generator.life.day(index)
        if exercise is None:
            continue
        if exercise.kind == "Running":
            uptake = round(generator.life.random(index, 42).uniform(38, 46), 2)
            vo2.append((exercise.start, uptake))
            generator.day_truth(exercise.start).vo2_max_ml_kg_min = uptake
        generator.write(_workout(exercise, day))
        generator.truth.records_used += 1
        active = exercise.end - exercise.start - exercise.paused
        generator.truth.workouts.append(
            WorkoutTruth(
                activity_date=datetime.fromtimestamp(exercise.start, ZoneInfo(day.zone)).date(),
                activity_type=exercise.activity_type,
                start_time=utc(exercise.start),
                end_time=utc(exercise.end),
                duration_seconds=active,
                distance_m=exercise.miles * METRES_A_MILE if exercise.miles is not None else None,
                calories_kcal=exercise.kilocalories,
                avg_hr_bpm=exercise.avg_hr if day.staged else None,
                max_hr_bpm=exercise.max_hr if day.staged else None,
                elevation_gain_m=exercise.climbed_cm / 100 if exercise.climbed_cm is not None else None,
            )
        )
    write = generator.record_type("VO2Max", WATCH, "mL/min·kg")
    for start, uptake in vo2:
        write(start, start, str(uptake), metadata(HKVO2MaxTestType="2"))


def _workout(exercise: Exercise, day: Day) -> str:
    start, end = stamp(exercise.start), stamp(exercise.end)
    minutes = (exercise.end - exercise.start - exercise.paused) / 60
    totals = ""
    statistics: list[str] = []

    def statistic(kind: str, values: str, unit: str) -> None:
        statistics.append(
            f'  <WorkoutStatistics type="{kind}" startDate="{start}" endDate="{end}" {values} unit="{unit}"/>\n'
        )

    if day.staged:
        statistic(f"{_HK}ActiveEnergyBurned", f'sum="{exercise.kilocalories}"', "Cal")
        rates = f'average="{exercise.avg_hr}" minimum="{exercise.avg_hr - 30}" maximum="{exercise.max_hr}"'
        statistic(f"{_HK}HeartRate", rates, "count/min")
        if exercise.miles is not None:
            statistic(_DISTANCES[exercise.kind], f'sum="{exercise.miles}"', "mi")
    else:
        miles = exercise.miles if exercise.miles is not None else 0
        distance = f' totalDistance="{miles}" totalDistanceUnit="mi"' if exercise.miles is not None else ""
        totals = f'{distance} totalEnergyBurned="{exercise.kilocalories}" totalEnergyBurnedUnit="Cal"'
    entries = {
        "HKIndoorWorkout": "0" if exercise.miles else "1",
        "HKTimeZone": day.zone,
        "HKAverageMETs": "7.2 kcal/hr·kg",
    }
    if exercise.climbed_cm is not None:
        entries["HKElevationAscended"] = f"{exercise.climbed_cm} cm"
    events = ""
    if exercise.paused:
        middle = (exercise.start + exercise.end) // 2
        events = "".join(
            f'  <WorkoutEvent type="HKWorkoutEventType{kind}" date="{stamp(at)}"/>\n'
            for kind, at in (("Pause", middle), ("Resume", middle + exercise.paused))
        )
    route = ""
    if exercise.climbed_cm is not None:
        route = (
            f'  <WorkoutRoute sourceName="{WATCH}" sourceVersion="10.1" creationDate="{end}" startDate="{start}" '
            f'endDate="{end}">\n   <FileReference path="{route_path(day)}"/>\n  </WorkoutRoute>\n'
        )
    return (
        f' <Workout workoutActivityType="HKWorkoutActivityType{exercise.kind}" duration="{minutes}" durationUnit="min"'
        f'{totals} sourceName="{WATCH}" sourceVersion="10.1" device="{device(WATCH, "10.1", 0x2828A0000)}" '
        f'creationDate="{end}" startDate="{start}" endDate="{end}">\n'
        f"{metadata(**entries)}{events}{''.join(statistics)}{route} </Workout>\n"
    )


def route_path(day: Day) -> str:
    return f"/workout-routes/route_{day.date}_5.30pm.gpx"


def write_summaries(generator: Generator) -> None:
    """What the phone shows for a day: close to the sum of the records, and a day now and then is missing."""
    generator.write(_summary(date(1969, 12, 30), "0", "0"))
    generator.truth.ignored_by_type["ActivitySummary"] += 1
    for index in generator.days():
        day = generator.life.first + timedelta(days=index)
        truth = generator.truth.days[day]
        if index % 10 == 6 or truth.active_calories_kcal is None or truth.active_minutes is None:
            continue
        shown = round(truth.active_calories_kcal + 3.7, 3)
        minutes = int(truth.active_minutes) + 2
        generator.write(_summary(day, str(shown), str(minutes)))
        generator.truth.records_used += 1
        truth.active_calories_kcal, truth.active_minutes = shown, minutes


def _summary(day: date, energy: str, minutes: str) -> str:
    return (
        f' <ActivitySummary dateComponents="{day}" activeEnergyBurned="{energy}" activeEnergyBurnedGoal="540" '
        f'activeEnergyBurnedUnit="Cal" appleMoveTime="0" appleMoveTimeGoal="0" appleExerciseTime="{minutes}" '
        'appleExerciseTimeGoal="30" appleStandHours="12" appleStandHoursGoal="12"/>\n'
    )


def write_clinical(generator: Generator) -> None:
    for index in generator.days()[::100]:
        received = stamp(generator.life.day(index).wake)
        identifier = f"{index:08X}-0000-4000-8000-000000000000"
        generator.write(
            f' <ClinicalRecord type="Observation" identifier="{identifier}" sourceName="Clínica" '
            f'sourceURL="https://fhir.example.org/Observation/{index}" fhirVersion="4.0.1" receivedDate="{received}" '
            f'resourceFilePath="/clinical-records/Observation-{identifier}.json"/>\n'
        )
        generator.truth.ignored_by_type["ClinicalRecord"] += 1


def write_bad(generator: Generator) -> None:
    """Records that cannot be used, each for a reason of its own."""
    at = generator.life.day(0).wake
    moment, before = stamp(at), stamp(at - HOUR)
    head = f' <Record type="{_HK}StepCount" sourceName="Ⓑad" unit='
    bad = (
        f'"furlong" startDate="{before}" endDate="{moment}" value="10"/>\n',
        f'"count" startDate="{before}" endDate="{moment}" value="NaN"/>\n',
        f'"count" startDate="{moment}" endDate="{before}" value="10"/>\n',
        f'"count" startDate="yesterday" endDate="{moment}" value="10"/>\n',
        f'"count" startDate="{before}" endDate="{moment}" value="-4"/>\n',
        f'"count" startDate="{before}" endDate="{moment}"/>\n',
        f'"count" startDate="{before}" endDate="{moment}" value="1&undefined;0"/>\n',
        f'"count" startDate="{before}" endDate=\x0b{moment}" value="10/>\n',
    )
    for rest in bad:
        generator.write(head + rest)
        generator.truth.records_rejected += 1
