"""Onboarding, for the benchmark `coaching`: people who have left theirs, and what one who goes through it calls."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import grpc
import psycopg

from services.identity.onboarding.definitions import load
from services.identity.onboarding.store import FIND, LOCK_PERSON
from services.kit.database import Statement
from vitalis.identity.v1 import coaching_parts_pb2 as parts
from vitalis.identity.v1 import onboarding_pb2 as pb
from vitalis.identity.v1 import onboarding_pb2_grpc

SAVE, STATE = "save an onboarding step", "onboarding state"
TARGETS = {SAVE: 30.0, STATE: 5.0}
# How often each person's state is read.
READS = 10
STATEMENTS = {
    STATE: (FIND.sql, FIND.constants),
    SAVE: (Statement(LOCK_PERSON).sql, {}),
}
ANSWERS: dict[str, Any] = {
    "welcome": pb.WelcomeAnswers(acknowledged=True),
    "fitness_experience": pb.FitnessExperienceAnswers(fitness_level="beginner"),
    "goals": pb.GoalsAnswers(
        primary_goal="fat_loss",
        goals=[
            parts.FitnessGoal(goal_type="primary", goal_category="fat_loss", target_weight_kg=75),
            parts.FitnessGoal(goal_type="secondary", goal_category="flexibility", user_explanation="a stiff back"),
        ],
    ),
    "physical_constraints": pb.PhysicalConstraintsAnswers(
        constraints=[
            parts.PhysicalConstraint(constraint_type="injury", constraint_category="back", severity="mild"),
            parts.PhysicalConstraint(constraint_type="equipment", available_equipment=["dumbbells", "bench"]),
        ]
    ),
    "dietary_preferences": parts.DietaryPreferences(
        diet_type="vegetarian",
        allergies=["peanuts"],
        dislikes=["olives"],
        additional_notes="as little cooking as can be",
    ),
    "meal_plan": parts.MealPlan(
        meals_per_day=3,
        daily_calories_target=2000,
        daily_calories_min=1800,
        daily_calories_max=2200,
        protein_grams_target=150,
        carbs_grams_target=200,
        fats_grams_target=67,
    ),
    "meal_schedule": pb.MealScheduleAnswers(
        meal_schedules=[
            parts.MealSchedule(meal_number=number, scheduled_time=at, earliest_time=early, latest_time=late)
            for number, early, at, late in (
                (1, "07:00", "08:00", "09:00"),
                (2, "12:00", "13:00", "14:00"),
                (3, "18:00", "19:00", "20:00"),
            )
        ]
    ),
    "workout_schedule": parts.WorkoutSchedule(tuesday_workout=True, saturday_workout=True),
    "hydration": parts.HydrationPreferences(daily_water_target_ml=2200),
    "lifestyle_baseline": pb.LifestyleBaselineAnswers(
        energy_level="low", stress_level="high", sleep_quality="poor", sleep_quality_notes="a baby"
    ),
    "health_profile": pb.HealthProfileAnswers(height_cm=171, weight_kg=82.5, activity_level="light"),
    "confirmation": pb.ConfirmationAnswers(confirmed=True),
}
STEPS = [step.name for step in load().default.steps]


def fill(migrator_url: str, people: int, measured: Sequence[str]) -> None:
    """Onboardings that were left at one step or another, for everybody but those who are measured.

    Their answers are no ciphertext, only as long as one: nobody reads them.
    """
    with psycopg.connect(migrator_url, autocommit=True) as database:
        begun = database.execute(
            "INSERT INTO onboarding_states"
            " (id, user_id, current_step, completed_steps, step_data, started_at, last_activity_at, device_type)"
            " SELECT uuidv7(), id, mod(n, 12), ARRAY(SELECT generate_series(0, mod(n, 12) - 1)),"
            "   decode(repeat('5a', 300 + 100 * (mod(n, 12))), 'hex'), now() - mod(n, 60) * interval '1 day',"
            "   now() - mod(n, 60) * interval '12 hours', 'phone'"
            " FROM (SELECT id, (row_number() OVER (ORDER BY id))::integer AS n FROM users WHERE id <> ALL (%s::uuid[]))"
            " AS people",
            [list(measured)],
        ).rowcount
        if begun != people - len(measured):
            raise RuntimeError(f"{begun} onboardings were begun instead of {people - len(measured)}")
        database.execute(
            "INSERT INTO onboarding_step_events"
            " (user_id, onboarding_id, flow_version, step, step_name, started_at, completed_at)"
            " SELECT user_id, id, '1.0', step, (%s::text[])[step + 1], started_at + step * interval '1 minute',"
            "   CASE WHEN step < current_step THEN started_at + (step + 1) * interval '1 minute' END"
            " FROM onboarding_states CROSS JOIN LATERAL generate_series(0, current_step) AS step",
            [STEPS],
        )
        database.execute("VACUUM (ANALYZE) onboarding_states, onboarding_step_events")


def calls(
    channel: grpc.aio.Channel, metadata: Callable[[str], Any]
) -> dict[str, Callable[[str], Iterable[Callable[[], Awaitable[Any]]]]]:
    """What is measured, with the calls that it is for a person."""
    stub: Any = onboarding_pb2_grpc.OnboardingServiceStub(channel)

    def save(user_id: str) -> Iterator[Callable[[], Awaitable[Any]]]:
        for number, name in enumerate(STEPS):
            answers = pb.OnboardingAnswers()
            getattr(answers, name).CopyFrom(ANSWERS[name])
            request = pb.SaveOnboardingStepRequest(step=number, answers=answers)
            yield partial(stub.SaveOnboardingStep, request, metadata=metadata(user_id))

    def state(user_id: str) -> Iterator[Callable[[], Awaitable[Any]]]:
        request = pb.GetOnboardingStateRequest(user_id=user_id)
        for _ in range(READS):
            yield partial(stub.GetOnboardingState, request, metadata=metadata(user_id))

    return {SAVE: save, STATE: state}
