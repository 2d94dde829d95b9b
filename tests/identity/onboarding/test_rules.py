"""What has to hold between answers: within a step, with the steps before it, and with what is changed later."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message

from tests.harness import failure
from tests.identity.onboarding.people import ANSWERS, Onboarder
from vitalis.identity.v1 import coaching_parts_pb2 as parts
from vitalis.identity.v1 import onboarding_pb2 as pb

Change = Callable[[Any], object]


def changed(name: str, change: Change) -> Message:
    section: Message = type(ANSWERS[name])()
    section.CopyFrom(ANSWERS[name])
    change(section)
    return section


def add(section: pb.PhysicalConstraintsAnswers, **given: Any) -> None:
    section.constraints.add(**given)


@pytest.mark.parametrize(
    ("name", "change", "fields"),
    [
        ("goals", lambda s: setattr(s, "secondary_goal", "fat_loss"), ["secondary_goal"]),
        ("goals", lambda s: setattr(s, "secondary_goal", "muscle_gain"), ["secondary_goal"]),
        ("goals", lambda s: setattr(s.goals[0], "goal_category", "fat_loss"), ["goals[0].goal_category"]),
        ("goals", lambda s: setattr(s.goals[0], "target_date", "2020-01-01"), ["goals[0].target_date"]),
        ("goals", lambda s: setattr(s.goals[0], "goal_type", "secondary"), ["goals[0].goal_category", "goals"]),
        ("goals", lambda s: s.goals.append(s.goals[0]), ["goals[1].goal_type"]),
        (
            "physical_constraints",
            lambda s: add(s, constraint_type="equipment", severity="mild", available_equipment=["broomstick"]),
            ["constraints[1].severity", "constraints[1].available_equipment[0]"],
        ),
        (
            "physical_constraints",
            lambda s: add(
                s,
                constraint_type="time_constraint",
                available_time_slots=[{"day": "monday", "start": "20:00", "end": "18:00"}],
            ),
            ["constraints[1].available_time_slots[0].end"],
        ),
        ("dietary_preferences", lambda s: setattr(s, "diet_type", "other"), ["diet_type_other"]),
        ("dietary_preferences", lambda s: setattr(s, "diet_type_other", "raw"), ["diet_type_other"]),
        ("meal_plan", lambda s: setattr(s, "fats_grams_target", 80), ["daily_calories_target"]),
        ("meal_plan", lambda s: setattr(s, "daily_calories_min", 2500), ["daily_calories_min"]),
        ("meal_plan", lambda s: setattr(s, "daily_calories_max", 2500), ["daily_calories_max"]),
        (
            "meal_schedule",
            lambda s: setattr(s.meal_schedules[1], "earliest_time", "13:30"),
            ["meal_schedules[1].earliest_time"],
        ),
        (
            "meal_schedule",
            lambda s: setattr(s.meal_schedules[1], "latest_time", "12:30"),
            ["meal_schedules[1].latest_time"],
        ),
        (
            "meal_schedule",
            lambda s: setattr(s.meal_schedules[1], "earliest_time", "08:30"),
            ["meal_schedules[1].scheduled_time"],
        ),
        ("meal_schedule", lambda s: setattr(s.meal_schedules[2], "meal_number", 1), ["meal_schedules"]),
        # With the plan before it.
        ("meal_schedule", lambda s: s.meal_schedules.pop(), ["meal_schedules"]),
        ("meal_schedule", lambda s: setattr(s.meal_schedules[0], "is_active", False), ["meal_schedules"]),
        # What could not be stored in the end is refused at once.
        ("dietary_preferences", lambda s: s.dislikes.append("oli\0ves"), ["dislikes[1]"]),
        ("physical_constraints", lambda s: add(s, constraint_type="injury", severity=""), ["constraints[1].severity"]),
        ("workout_schedule", lambda s: s.Clear(), [""]),
        ("hydration", lambda s: setattr(s, "reminder_end_time", "07:00"), None),
    ],
)
async def test_what_contradicts_itself_or_an_earlier_answer_is_refused(
    ada: Onboarder, name: str, change: Change, fields: list[str] | None
) -> None:
    before = await ada.save_until(name)
    section = changed(name, change)
    if fields is None:
        section.reminder_start_time = "08:00"  # type: ignore[attr-defined]
        fields = ["reminder_end_time"]
    error = await failure(ada.save(name, section))
    assert error.reason.name == "INVALID_FIELD"
    paths = [f"answers.{name}.{field}".rstrip(".") for field in fields]
    assert [violation.field for violation in error.violations] == paths
    assert await ada.state() == before


async def test_rules_of_the_contract_and_between_answers_are_told_at_once(ada: Onboarder) -> None:
    await ada.save_until("meal_plan")
    plan = parts.MealPlan()
    plan.CopyFrom(ANSWERS["meal_plan"])
    plan.meals_per_day, plan.daily_calories_min, plan.fats_grams_target = 9, 2500, 80
    plan.protein_percentage = 101
    plan.ClearField("daily_calories_max")
    error = await failure(ada.save("meal_plan", plan))
    assert [violation.field for violation in error.violations] == [
        "answers.meal_plan.daily_calories_max",
        "answers.meal_plan.meals_per_day",
        "answers.meal_plan.protein_percentage",
        # Between fields that hold by themselves.
        "answers.meal_plan.daily_calories_min",
        "answers.meal_plan.daily_calories_target",
    ]
    assert len({violation.description for violation in error.violations[3:]}) == 2
    await ada.save("meal_plan")
    meals = changed("meal_schedule", lambda s: setattr(s.meal_schedules[0], "notification_offset_minutes", 1))
    meals.meal_schedules.pop()  # type: ignore[attr-defined]
    error = await failure(ada.save("meal_schedule", meals))
    assert [violation.field for violation in error.violations] == [
        "answers.meal_schedule.meal_schedules[0].notification_offset_minutes",
        # With the plan of the step before.
        "answers.meal_schedule.meal_schedules",
    ]


async def test_a_step_out_of_sequence_that_breaks_the_contract_is_told_that(ada: Onboarder) -> None:
    error = await failure(ada.save("meal_plan", parts.MealPlan(meals_per_day=9)))
    assert (error.reason.name, error.violations[-1].field) == ("INVALID_FIELD", "answers.meal_plan.meals_per_day")


async def test_what_only_rounding_breaks_is_told_with_the_step(ada: Onboarder) -> None:
    await ada.save_until("goals")
    light = changed("goals", lambda s: setattr(s.goals[0], "target_weight_kg", 499.996))
    error = await failure(ada.save("goals", light))
    assert [violation.field for violation in error.violations] == ["answers.goals.goals[0].target_weight_kg"]
    saved = await ada.save("goals", changed("goals", lambda s: setattr(s.goals[0], "target_weight_kg", 72.504)))
    assert saved.state.answers.goals.goals[0].target_weight_kg == 72.5
    for name in ("physical_constraints", "dietary_preferences"):
        await ada.save(name)
    little = changed("meal_plan", lambda s: setattr(s, "carbs_grams_target", 0.004))
    named = [violation.field for violation in (await failure(ada.save("meal_plan", little))).violations]
    assert named[0] == "answers.meal_plan.carbs_grams_target"


async def test_of_very_much_that_is_wrong_the_first_part_is_told(ada: Onboarder) -> None:
    await ada.save_until("physical_constraints")
    section = pb.PhysicalConstraintsAnswers()
    for _ in range(50):
        add(section, constraint_type="equipment", available_equipment=[f"broomstick_{n:039d}" for n in range(100)])
    error = await failure(ada.save("physical_constraints", section))
    assert error.reason.name == "INVALID_FIELD"
    fields = [violation.field for violation in error.violations]
    assert fields == [
        f"answers.physical_constraints.constraints[0].available_equipment[{n}]" for n in range(len(fields))
    ]
    assert 20 < len(fields) <= 50


async def test_a_later_step_that_a_changed_one_contradicts_is_answered_anew(ada: Onboarder) -> None:
    await ada.save_until("hydration")
    four = changed("meal_plan", lambda plan: setattr(plan, "meals_per_day", 4))
    saved = await ada.save("meal_plan", four)
    assert saved.next_step.name == "meal_schedule"
    missing = {step.name: [each.field for each in step.fields] for step in saved.state.missing}
    assert missing["meal_schedule"] == ["meal_schedule.meal_schedules"]
    assert "workout_schedule" not in missing
    # What was answered is there, for whoever has to correct it.
    assert saved.state.answers.meal_schedule == ANSWERS["meal_schedule"]
    assert (await failure(ada.save("hydration"))).metadata["expected_step_name"] == "meal_schedule"
    fourth = parts.MealSchedule(meal_number=4, scheduled_time="22:00")
    saved = await ada.save("meal_schedule", changed("meal_schedule", lambda s: s.meal_schedules.append(fourth)))
    assert saved.next_step.name == "hydration"
