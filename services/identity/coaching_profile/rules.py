"""What has to hold between the fields of a coaching profile (ONB 8); what one field allows is the proto's."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from services.identity.coaching_profile.reference import REFERENCE
from services.kit.database import now
from services.kit.errors import Violation
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

# Energy of a gram (Atwater): protein and carbohydrates 4 kcal, fat 9.
KCAL_PER_GRAM = {"protein": 4, "carbs": 4, "fats": 9}
# How far the energy of the macronutrients may be from the target, in kcal (ONB 8).
KCAL_TOLERANCE = 50
# How far the three percentages may be from 100, as each of them is rounded.
SUM_TOLERANCE = 0.1
# How far a percentage may be from the share that the grams have, in percentage points: whole grams of a small plan
# are a whole point apart.
SHARE_TOLERANCE = 2
# Binary fractions of decimal ones are not exact.
EPSILON = 1e-9
WORKOUT_DAYS = tuple(
    f"{day}_workout" for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
)
HINDRANCES = ("injury", "limitation")


def violations(profile: CoachingProfile, before: CoachingProfile | None = None) -> list[Violation]:
    """Every rule between fields that the profile breaks, by field path; of a part of one, as far as it goes.

    A target date has to lie in the future unless the goal had it `before`. An
    absent field breaks nothing here: what is required the proto says.
    """
    return [
        *_goals(profile, before or CoachingProfile()),
        *_constraints(profile),
        *_diet(profile),
        *_meal_plan(profile),
        *_meal_schedules(profile),
        *_workouts(profile),
        *_hydration(profile),
    ]


def _goals(profile: CoachingProfile, before: CoachingProfile) -> Iterator[Violation]:
    # What is on no list breaks a rule of the proto, and none here.
    primary = profile.primary_goal if profile.primary_goal in REFERENCE.excludes else ""
    if primary and profile.secondary_goal:
        yield from _beside(primary, profile.secondary_goal, "secondary_goal")
    if identical := _repeated([goal.id for goal in profile.goals if goal.id]):
        yield Violation("goals", f"holds the id {identical} twice")
    dates = {goal.id: goal.target_date for goal in before.goals}
    for index, goal in enumerate(profile.goals):
        path = f"goals[{index}]"
        if goal.target_date and dates.get(goal.id) != goal.target_date and _day(goal.target_date) <= now().date():
            yield Violation(f"{path}.target_date", "must lie in the future")
        if primary and goal.goal_type == "secondary" and _is_active(goal):
            yield from _beside(primary, goal.goal_category, f"{path}.goal_category")
    leading = [index for index, goal in enumerate(profile.goals) if goal.goal_type == "primary" and _is_active(goal)]
    if profile.goals and not leading and all(goal.goal_type for goal in profile.goals):
        yield Violation("goals", "must hold an active primary goal")
    for index in leading[1:]:
        yield Violation(f"goals[{index}].goal_type", f"there is one active primary goal, and goals[{leading[0]}] is it")
    for index in leading[:1]:
        serves = REFERENCE.serves.get(profile.goals[index].goal_category)
        if primary and serves is not None and primary not in serves:
            yield Violation(
                f"goals[{index}].goal_category", f"does not serve primary_goal; it would serve {_or(serves)}"
            )


def _beside(primary: str, secondary: str, path: str) -> Iterator[Violation]:
    if secondary == primary:
        yield Violation(path, "must be another goal than primary_goal")
    elif secondary in REFERENCE.excludes[primary]:
        hint = "; both at once is recomp" if {primary, secondary} == {"fat_loss", "muscle_gain"} else ""
        yield Violation(path, f"cannot be had besides the primary goal {primary}{hint}")


def _is_active(goal: Any) -> bool:
    return goal.status in ("", "active")


def _constraints(profile: CoachingProfile) -> Iterator[Violation]:
    if identical := _repeated([constraint.id for constraint in profile.constraints if constraint.id]):
        yield Violation("constraints", f"holds the id {identical} twice")
    for index, constraint in enumerate(profile.constraints):
        path = f"constraints[{index}]"
        if constraint.severity and constraint.constraint_type not in ("", *HINDRANCES):
            yield Violation(f"{path}.severity", "is for injuries and limitations only")
        known = REFERENCE.equipment | REFERENCE.equipment_categories
        if constraint.constraint_type == "equipment" and constraint.constraint_category not in known | {""}:
            yield Violation(f"{path}.constraint_category", "must be a code or category of the list of equipment types")
        for position, code in enumerate(constraint.available_equipment):
            if code not in REFERENCE.equipment:
                yield Violation(f"{path}.available_equipment[{position}]", "is not in the list of equipment types")
        for position, slot in enumerate(constraint.available_time_slots):
            if slot.start and slot.end and slot.end <= slot.start:
                yield Violation(f"{path}.available_time_slots[{position}].end", "must be later than start")


def _diet(profile: CoachingProfile) -> Iterator[Violation]:
    diet, path = profile.dietary_preferences, "dietary_preferences.diet_type_other"
    if diet.diet_type == "other" and not diet.diet_type_other:
        yield Violation(path, "is required for the diet type other")
    if diet.diet_type not in ("", "other") and diet.diet_type_other:
        yield Violation(path, "is for the diet type other only")
    targets = diet.macro_targets
    grams = [getattr(targets, f"{macro}_grams") for macro in KCAL_PER_GRAM]
    if targets.calories_kcal and all(grams):
        yield from _energy(grams, targets.calories_kcal, "dietary_preferences.macro_targets.calories_kcal")


def _meal_plan(profile: CoachingProfile) -> Iterator[Violation]:
    if not profile.HasField("meal_plan"):
        return
    plan = profile.meal_plan
    target = plan.daily_calories_target
    if target and plan.HasField("daily_calories_min") and plan.daily_calories_min >= target:
        yield Violation("meal_plan.daily_calories_min", "must be less than daily_calories_target")
    if target and plan.HasField("daily_calories_max") and plan.daily_calories_max <= target:
        yield Violation("meal_plan.daily_calories_max", "must be more than daily_calories_target")
    grams = [getattr(plan, f"{macro}_grams_target") for macro in KCAL_PER_GRAM]
    if target and all(grams):
        yield from _energy(grams, target, "meal_plan.daily_calories_target")
    yield from _percentages(plan, grams)


def _energy(grams: Sequence[float], target: int, path: str) -> Iterator[Violation]:
    kcal = _kcal(grams)
    if abs(sum(kcal) - target) > KCAL_TOLERANCE + EPSILON:
        yield Violation(
            path, f"must be within {KCAL_TOLERANCE} kcal of what the macronutrients have: 4, 4 and 9 a gram"
        )


def _kcal(grams: Sequence[float]) -> list[float]:
    return [amount * kcal for amount, kcal in zip(grams, KCAL_PER_GRAM.values(), strict=True)]


def _percentages(plan: Any, grams: Sequence[float]) -> Iterator[Violation]:
    names = [f"{macro}_percentage" for macro in KCAL_PER_GRAM]
    absent = [name for name in names if not plan.HasField(name)]
    if len(absent) == len(names):
        return
    for name in absent:
        yield Violation(f"meal_plan.{name}", "is required if one of the percentages is given")
    given = [getattr(plan, name) for name in names]
    if not absent and abs(sum(given) - 100) > SUM_TOLERANCE + EPSILON:
        yield Violation("meal_plan.protein_percentage", f"the three percentages must sum to 100 within {SUM_TOLERANCE}")
    if not all(grams):
        return
    kcal = _kcal(grams)
    for name, energy, percentage in zip(names, kcal, given, strict=True):
        if name not in absent and abs(percentage - energy / sum(kcal) * 100) > SHARE_TOLERANCE + EPSILON:
            rule = f"must be within {SHARE_TOLERANCE} points of the share of energy that the grams have"
            yield Violation(f"meal_plan.{name}", rule)


def _meal_schedules(profile: CoachingProfile) -> Iterator[Violation]:
    meals = profile.meal_schedules
    if twice := _repeated([meal.meal_number for meal in meals if meal.meal_number]):
        yield Violation("meal_schedules", f"holds the meal_number {twice} twice")
    for index, meal in enumerate(meals):
        if meal.scheduled_time and meal.earliest_time >= meal.scheduled_time:
            yield Violation(f"meal_schedules[{index}].earliest_time", "must be earlier than scheduled_time")
        if meal.scheduled_time and meal.latest_time and meal.latest_time <= meal.scheduled_time:
            yield Violation(f"meal_schedules[{index}].latest_time", "must be later than scheduled_time")
    active = [index for index, meal in enumerate(meals) if meal.is_active or not meal.HasField("is_active")]
    yield from _overlaps(meals, [index for index in active if meals[index].scheduled_time])
    planned = profile.meal_plan.meals_per_day
    if active and planned and len(active) != planned:
        yield Violation("meal_schedules", f"must hold {planned} active meals, as meal_plan.meals_per_day says")


def _overlaps(meals: Any, active: list[int]) -> Iterator[Violation]:
    """A meal takes its window; without an earliest or latest time, from or until when it is scheduled."""
    windows = sorted(
        (meals[i].earliest_time or meals[i].scheduled_time, meals[i].latest_time or meals[i].scheduled_time, i)
        for i in active
    )
    for index, (start, _, meal) in enumerate(windows):
        for first, end, earlier in windows[:index]:
            if start < end or start == first:
                yield Violation(f"meal_schedules[{meal}].scheduled_time", f"overlaps meal_schedules[{earlier}]")
                break


def _workouts(profile: CoachingProfile) -> Iterator[Violation]:
    if profile.HasField("workout_schedule"):
        schedule = profile.workout_schedule
        if not any(getattr(schedule, day) for day in WORKOUT_DAYS):
            yield Violation("workout_schedule", "at least one day of the week must be a workout day")


def _hydration(profile: CoachingProfile) -> Iterator[Violation]:
    start, end = profile.hydration_preferences.reminder_start_time, profile.hydration_preferences.reminder_end_time
    if start and end and end <= start:
        yield Violation("hydration_preferences.reminder_end_time", "must be later than reminder_start_time")


def _repeated(values: Sequence[Any]) -> Any:
    """The first value that stands twice; None if none does."""
    return next((one for one, other in pairwise(sorted(values)) if one == other), None)


def _day(text: str) -> date:
    return datetime.fromisoformat(text).date()


def _or(values: frozenset[str]) -> str:
    return " or ".join(sorted(values))
