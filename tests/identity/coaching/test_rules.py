"""Each rule of ONB 8 is broken once at the API; what the tables refuse is in test_tables.py."""

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.identity.coaching_profile import rules
from services.identity.coaching_profile.changes import violations
from services.identity.coaching_profile.settle import settle
from services.kit.database import now, uuid7
from tests.harness import failure
from tests.identity.coaching.coached import Coached, a_profile, sending
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

PLAN = {
    "meals_per_day": 3,
    "daily_calories_target": 2000,
    "daily_calories_min": 1800,
    "daily_calories_max": 2200,
    "protein_grams_target": 150,
    "carbs_grams_target": 200,
    "fats_grams_target": 66.67,
}
GOAL = {"goal_type": "primary", "goal_category": "fat_loss"}
MEALS = [{"meal_number": number, "scheduled_time": f"{6 * number:02}:00"} for number in (1, 2, 3)]
YESTERDAY = (now() - timedelta(days=1)).date().isoformat()


def meal(number: int, **changed: Any) -> list[dict[str, Any]]:
    """Three meals, one of them changed."""
    return [{**one, **changed} if one["meal_number"] == number else one for one in MEALS]


# What is sent, and the fields that are named, all at once.
BROKEN: list[tuple[dict[str, Any], list[str]]] = [
    # One field.
    ({"fitness_level": "expert"}, ["fitness_level"]),
    ({"primary_goal": "strength"}, ["primary_goal"]),
    ({"secondary_goal": "fame"}, ["secondary_goal"]),
    ({"energy_level": "none"}, ["energy_level"]),
    ({"stress_level": "extreme"}, ["stress_level"]),
    ({"sleep_quality": "bad"}, ["sleep_quality"]),
    ({"goals": [{**GOAL, "goal_type": "third"}]}, ["goals[0].goal_type"]),
    ({"goals": [{**GOAL, "goal_category": "fame"}]}, ["goals[0].goal_category"]),
    ({"goals": [{**GOAL, "status": "lost"}]}, ["goals[0].status"]),
    ({"goals": [{**GOAL, "target_weight_kg": 500}]}, ["goals[0].target_weight_kg"]),
    ({"goals": [{**GOAL, "target_body_fat_percentage": 2.9}]}, ["goals[0].target_body_fat_percentage"]),
    ({"goals": [{**GOAL, "target_body_fat_percentage": 50.5}]}, ["goals[0].target_body_fat_percentage"]),
    ({"goals": [{**GOAL, "priority": 0}]}, ["goals[0].priority"]),
    ({"constraints": [{"constraint_type": "mood"}]}, ["constraints[0].constraint_type"]),
    (
        {"constraints": [{"constraint_type": "location_preference", "workout_location": "moon"}]},
        ["constraints[0].workout_location"],
    ),
    (
        {"constraints": [{"constraint_type": "time_constraint", "max_workout_duration_minutes": 14}]},
        ["constraints[0].max_workout_duration_minutes"],
    ),
    ({"constraints": [{"constraint_type": "injury", "severity": "awful"}]}, ["constraints[0].severity"]),
    ({"goals": [{"goal_type": "primary"}]}, ["goals[0].goal_category"]),
    # An empty text is no value of a closed set, and not the same as an absent one.
    (
        {"constraints": [{"constraint_type": "injury", "severity": "", "workout_location": ""}]},
        ["constraints[0].severity", "constraints[0].workout_location"],
    ),
    (
        {"dietary_preferences": {"cooking_skill_level": "", "meal_prep_willingness": ""}},
        ["dietary_preferences.cooking_skill_level", "dietary_preferences.meal_prep_willingness"],
    ),
    ({"workout_schedule": {"rest_day_preference": ""}}, ["workout_schedule.rest_day_preference"]),
    ({"dietary_preferences": {"diet_type": "air"}}, ["dietary_preferences.diet_type"]),
    ({"dietary_preferences": {"cooking_skill_level": "chef"}}, ["dietary_preferences.cooking_skill_level"]),
    ({"dietary_preferences": {"meal_prep_willingness": "all"}}, ["dietary_preferences.meal_prep_willingness"]),
    ({"dietary_preferences": {"allergies": ["milk", " "]}}, ["dietary_preferences.allergies[1]"]),
    ({"meal_plan": {"meals_per_day": 1}}, ["meal_plan.meals_per_day"]),
    ({"meal_plan": {"daily_calories_target": 999}}, ["meal_plan.daily_calories_target"]),
    ({"meal_plan": {"protein_grams_target": 0}}, ["meal_plan.protein_grams_target"]),
    ({"meal_schedules": meal(1, meal_number=11)}, ["meal_schedules[0].meal_number"]),
    ({"meal_schedules": meal(1, notification_offset_minutes=1)}, ["meal_schedules[0].notification_offset_minutes"]),
    ({"meal_schedules": meal(1, scheduled_time="24:00")}, ["meal_schedules[0].scheduled_time"]),
    (
        {"workout_schedule": {"preferred_workout_duration_minutes": 181}},
        ["workout_schedule.preferred_workout_duration_minutes"],
    ),
    ({"workout_schedule": {"rest_day_preference": "never"}}, ["workout_schedule.rest_day_preference"]),
    ({"hydration_preferences": {"daily_water_target_ml": 499}}, ["hydration_preferences.daily_water_target_ml"]),
    (
        {"hydration_preferences": {"reminder_frequency_minutes": 14}},
        ["hydration_preferences.reminder_frequency_minutes"],
    ),
    ({"hydration_preferences": {"reminder_tone": "shrill"}}, ["hydration_preferences.reminder_tone"]),
    # Between fields.
    ({"meal_schedules": meal(1, earliest_time="06:00")}, ["meal_schedules[0].earliest_time"]),
    ({"meal_schedules": meal(1, latest_time="06:00")}, ["meal_schedules[0].latest_time"]),
    ({"meal_schedules": meal(1, latest_time="12:01")}, ["meal_schedules[1].scheduled_time"]),
    ({"meal_schedules": meal(2, scheduled_time="18:00")}, ["meal_schedules[2].scheduled_time"]),
    ({"meal_schedules": meal(2, is_active=False)}, ["meal_schedules"]),
    ({"meal_schedules": [*MEALS[:2], {**MEALS[2], "meal_number": 2}]}, ["meal_schedules"]),
    ({"meal_plan": {"daily_calories_target": 2051}}, ["meal_plan.daily_calories_target"]),
    ({"meal_plan": {"daily_calories_min": 2000}}, ["meal_plan.daily_calories_min"]),
    ({"meal_plan": {"daily_calories_max": 2000}}, ["meal_plan.daily_calories_max"]),
    ({"meal_plan": {"protein_percentage": 30.11}}, ["meal_plan.protein_percentage"]),
    (
        {"meal_plan": {"protein_percentage": 33, "carbs_percentage": 37}},
        ["meal_plan.protein_percentage", "meal_plan.carbs_percentage"],
    ),
    ({"secondary_goal": "muscle_gain"}, ["secondary_goal"]),
    ({"secondary_goal": "fat_loss"}, ["secondary_goal"]),
    ({"goals": [GOAL, {"goal_type": "secondary", "goal_category": "maintenance"}]}, ["goals[1].goal_category"]),
    ({"goals": [GOAL, {**GOAL, "goal_category": "endurance"}]}, ["goals[1].goal_type"]),
    ({"goals": [{**GOAL, "goal_category": "muscle_gain"}]}, ["goals[0].goal_category"]),
    ({"goals": [{**GOAL, "status": "completed"}]}, ["goals"]),
    ({"goals": [{**GOAL, "target_date": YESTERDAY}]}, ["goals[0].target_date"]),
    (
        {"constraints": [{"constraint_type": "equipment", "available_equipment": ["dumbbells", "spaceship"]}]},
        ["constraints[0].available_equipment[1]"],
    ),
    (
        {"constraints": [{"constraint_type": "equipment", "constraint_category": "spaceship"}]},
        ["constraints[0].constraint_category"],
    ),
    ({"constraints": [{"constraint_type": "equipment", "severity": "mild"}]}, ["constraints[0].severity"]),
    (
        {
            "constraints": [
                {
                    "constraint_type": "time_constraint",
                    "available_time_slots": [{"day": "monday", "start": "20:00", "end": "20:00"}],
                }
            ]
        },
        ["constraints[0].available_time_slots[0].end"],
    ),
    ({"dietary_preferences": {"diet_type": "other"}}, ["dietary_preferences.diet_type_other"]),
    ({"dietary_preferences": {"diet_type_other": "raw food"}}, ["dietary_preferences.diet_type_other"]),
    (
        {"dietary_preferences": {"macro_targets": {"carbs_grams": 100, "fats_grams": 100}}},
        ["dietary_preferences.macro_targets.calories_kcal"],
    ),
    ({"workout_schedule": {"monday_workout": False, "thursday_workout": False}}, ["workout_schedule"]),
    ({"hydration_preferences": {"reminder_end_time": "08:00"}}, ["hydration_preferences.reminder_end_time"]),
    # All of it at once.
    (
        {
            "secondary_goal": "muscle_gain",
            "meal_plan": {"daily_calories_min": 2000},
            "workout_schedule": {"monday_workout": False, "thursday_workout": False},
            "constraints": [{"constraint_type": "injury"}, {"constraint_type": "equipment", "severity": "mild"}],
        },
        ["secondary_goal", "constraints[1].severity", "meal_plan.daily_calories_min", "workout_schedule"],
    ),
]


async def test_every_rule_is_held_and_every_violation_is_named(ada: Coached) -> None:
    await ada.unlock()
    before = await ada.read()
    for sent, fields in BROKEN:
        error = await failure(ada.change(sending(**sent)))
        named = [violation.field for violation in error.violations]
        assert (error.reason.name, named) == ("INVALID_FIELD", [f"profile.{field}" for field in fields]), sent
    assert await ada.read() == before


async def test_rules_of_the_contract_and_between_fields_are_told_at_once(ada: Coached) -> None:
    sent = sending(
        stress_level="extreme",
        secondary_goal="muscle_gain",
        # Of what is stored: 2000 kcal a day.
        meal_plan={"meals_per_day": 9, "daily_calories_min": 2000},
        constraints=[{"constraint_type": "mood", "severity": "mild"}],
        goals=[{"id": str(uuid7()), "goal_type": "primary", "goal_category": "fat_loss", "target_date": "2026-02-30"}],
    )
    # While it is locked too, and before any proof is looked at.
    error = await failure(ada.change(sent, modification_reason="", proof=None))
    assert (error.reason.name, [violation.field for violation in error.violations]) == (
        "INVALID_FIELD",
        [
            "modification_reason",
            "profile.stress_level",
            "profile.goals[0].target_date",
            "profile.constraints[0].constraint_type",
            "profile.meal_plan.meals_per_day",
            "profile.goals[0].id",
            "profile.secondary_goal",
            "profile.meal_plan.daily_calories_min",
        ],
    )


async def test_who_may_not_change_it_learns_nothing_of_it_by_breaking_rules(ada: Coached) -> None:
    carla = ada.delegate(str(uuid7()), "coaching_profile.write")
    sent = sending(stress_level="extreme", meal_plan={"daily_calories_min": 2000})
    error = await failure(carla.change(sent))
    assert [violation.field for violation in error.violations] == ["profile.stress_level"]
    await ada.unlock()
    error = await failure(carla.change(sent))
    assert len(error.violations) == 2


async def test_of_very_much_that_is_wrong_a_part_is_told(ada: Coached) -> None:
    await ada.unlock()
    strange = [f"broomstick_{number:039d}" for number in range(100)]
    error = await failure(
        ada.change(sending(constraints=[{"constraint_type": "equipment", "available_equipment": strange}] * 100))
    )
    assert (error.reason.name, error.violations[0].field) == (
        "INVALID_FIELD",
        "profile.constraints[0].available_equipment[0]",
    )
    for paths in (["x" * 100_000], [f"no_{number}" for number in range(10_000)]):
        error = await failure(ada.change(CoachingProfile(), *paths))
        assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "update_mask")


def test_a_profile_of_older_lists_breaks_todays_rules() -> None:
    old = a_profile(primary_goal="bulk", secondary_goal="juggling")
    old.goals[0].goal_category = "aerobics"
    old.constraints[1].available_equipment[:] = ["zeppelin"]
    assert {violation.field for violation in violations(old)} == {
        "primary_goal",
        "secondary_goal",
        "goals[0].goal_category",
        "constraints[1].available_equipment[0]",
    }


async def test_what_is_required_cannot_be_cleared(ada: Coached) -> None:
    await ada.unlock()
    paths = ("fitness_level", "meal_plan.daily_calories_min", "workout_schedule", "dietary_preferences.diet_type")
    error = await failure(ada.change(CoachingProfile(), *paths))
    assert {violation.field for violation in error.violations} == {f"profile.{path}" for path in paths}


async def test_a_goal_keeps_the_date_that_it_had_when_it_has_passed(ada: Coached) -> None:
    tomorrow = (now() + timedelta(days=2)).date().isoformat()
    goals = list((await ada.read()).goals)
    goals[0].target_date = tomorrow
    (changed, _) = (await ada.change(sending(goals=goals))).goals
    ada.sql("UPDATE fitness_goals SET target_date = '2020-01-01' WHERE id = %s", changed.id)
    after = await ada.change(sending(stress_level="low"))
    assert after.goals[0].target_date == "2020-01-01"
    goals = list(after.goals)
    goals[0].target_date = "2020-01-02"
    assert (await failure(ada.change(sending(goals=goals)))).violations[0].field == "profile.goals[0].target_date"


TIMES = st.integers(0, 23 * 4).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")


@given(st.lists(st.tuples(TIMES, st.none() | TIMES, st.none() | TIMES, st.booleans()), max_size=6))
def test_meals_overlap_if_some_minute_belongs_to_two_of_them(
    meals: list[tuple[str, str | None, str | None, bool]],
) -> None:
    profile = sending(
        meal_schedules=[
            {
                "meal_number": number,
                "scheduled_time": time,
                "earliest_time": earliest if earliest and earliest < time else None,
                "latest_time": latest if latest and latest > time else None,
                "is_active": is_active,
            }
            for number, (time, earliest, latest, is_active) in enumerate(meals, 1)
        ]
    )
    named = {violation.field for violation in rules.violations(profile)}
    windows = [
        (meal.earliest_time or meal.scheduled_time, meal.latest_time or meal.scheduled_time)
        for meal in profile.meal_schedules
        if meal.is_active
    ]
    expected = any(
        one[0] == other[0] or max(one[0], other[0]) < min(one[1], other[1]) or one[0] < other[0] == other[1] < one[1]
        for index, one in enumerate(windows)
        for position, other in enumerate(windows)
        if index != position
    )
    assert any(field.endswith("scheduled_time") for field in named) == expected


GRAMS = st.integers(1, 40_000).map(lambda hundredths: hundredths / 100)


@given(GRAMS, GRAMS, GRAMS, st.integers(-51, 51))
def test_the_energy_of_macros_is_the_target_within_fifty(protein: float, carbs: float, fats: float, off: int) -> None:
    kcal = 4 * protein + 4 * carbs + 9 * fats
    target = round(kcal) + off
    plan = {
        **PLAN,
        "daily_calories_target": target,
        "protein_grams_target": protein,
        "carbs_grams_target": carbs,
        "fats_grams_target": fats,
    }
    named = {violation.field for violation in rules.violations(sending(meal_plan=plan))}
    if target > 0:
        assert ("meal_plan.daily_calories_target" in named) == (round(abs(kcal - target), 6) > 50)


def test_a_whole_profile_breaks_nothing_and_a_part_of_one_neither() -> None:
    whole = a_profile()
    settle(whole, CoachingProfile(), now())
    assert rules.violations(whole) == []
    assert rules.violations(CoachingProfile()) == []
    for field in whole.DESCRIPTOR.fields:
        part = CoachingProfile()
        if field.name in ("goals", "constraints", "meal_schedules"):
            getattr(part, field.name).extend(getattr(whole, field.name))
        elif field.message_type and whole.HasField(field.name):  # type: ignore[arg-type]
            getattr(part, field.name).CopyFrom(getattr(whole, field.name))
        assert rules.violations(part) == [], field.name
