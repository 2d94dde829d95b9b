"""Somebody who goes through the onboarding, and answers that are fine."""

from dataclasses import dataclass
from typing import Any

from services.identity.onboarding.definitions import load
from services.kit.caller import Caller
from tests.harness import person
from tests.identity.conftest import Identity
from vitalis.identity.v1 import coaching_parts_pb2 as parts
from vitalis.identity.v1 import (
    coaching_profile_pb2,
    coaching_profile_pb2_grpc,
    consents_pb2,
    consents_pb2_grpc,
    onboarding_pb2_grpc,
)
from vitalis.identity.v1 import onboarding_pb2 as pb
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

FLOWS = load()
# The jobs that wait for tracking; the worker's own come and go by the clock.
HAND_OVERS = "procrastinate_jobs WHERE task_name = 'hand_over_lifestyle_baseline'"
ORDER = tuple(step.name for step in FLOWS.default.steps)
ANSWERS: dict[str, Any] = {
    "welcome": pb.WelcomeAnswers(acknowledged=True),
    "fitness_experience": pb.FitnessExperienceAnswers(fitness_level="intermediate"),
    "goals": pb.GoalsAnswers(
        primary_goal="muscle_gain",
        secondary_goal="strength",
        goals=[
            parts.FitnessGoal(
                goal_type="primary",
                goal_category="muscle_gain",
                target_muscle_gain_kg=4,
                target_date="2099-06-30",
                user_explanation="to carry the children",
            )
        ],
    ),
    "physical_constraints": pb.PhysicalConstraintsAnswers(
        constraints=[
            parts.PhysicalConstraint(
                constraint_type="injury", constraint_category="knee", severity="mild", description="an old tear"
            )
        ]
    ),
    "dietary_preferences": parts.DietaryPreferences(
        diet_type="vegetarian", allergies=["peanuts"], dislikes=["olives"], additional_notes="no breakfast"
    ),
    "meal_plan": parts.MealPlan(
        meals_per_day=3,
        daily_calories_target=2500,
        daily_calories_min=2200,
        daily_calories_max=2800,
        protein_grams_target=160,
        carbs_grams_target=300,
        fats_grams_target=73,
    ),
    "meal_schedule": pb.MealScheduleAnswers(
        meal_schedules=[
            parts.MealSchedule(meal_number=1, scheduled_time="08:00", earliest_time="07:00", latest_time="09:00"),
            parts.MealSchedule(meal_number=2, scheduled_time="13:00", earliest_time="12:00", latest_time="14:00"),
            parts.MealSchedule(meal_number=3, scheduled_time="19:00", earliest_time="18:00", latest_time="20:30"),
        ]
    ),
    "workout_schedule": parts.WorkoutSchedule(monday_workout=True, thursday_workout=True),
    "hydration": parts.HydrationPreferences(daily_water_target_ml=2500),
    "lifestyle_baseline": pb.LifestyleBaselineAnswers(
        energy_level="medium",
        stress_level="high",
        sleep_quality="fair",
        sleep_hours_last_night=6.5,
        sleep_quality_notes="the neighbours",
    ),
    "health_profile": pb.HealthProfileAnswers(height_cm=178.5, weight_kg=72.4, activity_level="moderate"),
    "confirmation": pb.ConfirmationAnswers(confirmed=True),
}


@dataclass(frozen=True)
class Onboarder:
    """Somebody, and the service that they are onboarded by."""

    identity: Identity
    caller: Caller

    @property
    def stub(self) -> "onboarding_pb2_grpc.OnboardingServiceAsyncStub":
        return onboarding_pb2_grpc.OnboardingServiceStub(self.identity.running.channel)

    @property
    def user_id(self) -> str:
        return self.caller.subject

    async def save(self, name: str, section: Any = None, **given: Any) -> pb.SaveOnboardingStepResponse:
        """Saves a step of the default flow, with answers that are fine unless others are given."""
        answers = pb.OnboardingAnswers()
        getattr(answers, name).CopyFrom(section if section is not None else ANSWERS[name])
        return await self.send(**{"step": ORDER.index(name), "answers": answers, **given})

    async def send(self, **given: Any) -> pb.SaveOnboardingStepResponse:
        request = pb.SaveOnboardingStepRequest(**given)
        return await self.stub.SaveOnboardingStep(request, metadata=self.identity.metadata(self.caller))

    async def save_until(self, name: str) -> pb.OnboardingState:
        """Saves every step before that of the name; the state then."""
        for before in ORDER[: ORDER.index(name)]:
            await self.save(before)
        return await self.state()

    async def state(self) -> pb.OnboardingState:
        request = pb.GetOnboardingStateRequest(user_id=self.user_id)
        return (await self.stub.GetOnboardingState(request, metadata=self.identity.metadata(self.caller))).state

    async def go_back(self, step: int, etag: str = "") -> pb.GoBackInOnboardingResponse:
        request = pb.GoBackInOnboardingRequest(user_id=self.user_id, step=step, etag=etag)
        return await self.stub.GoBackInOnboarding(request, metadata=self.identity.metadata(self.caller))

    async def confirm(self) -> CoachingProfile:
        """Locks the profile, which ends the onboarding."""
        stub = coaching_profile_pb2_grpc.CoachingProfileServiceStub(self.identity.running.channel)
        request = coaching_profile_pb2.LockCoachingProfileRequest(user_id=self.user_id)
        answer = await stub.LockCoachingProfile(request, metadata=self.identity.metadata(self.caller))
        return answer.coaching_profile

    async def agree_to_a_reset(self) -> None:
        stub = consents_pb2_grpc.ConsentsServiceStub(self.identity.running.channel)
        request = consents_pb2.GiveConsentRequest(user_id=self.user_id, purpose="onboarding_reset", version="1")
        await stub.GiveConsent(request, metadata=self.identity.metadata(self.caller))

    async def finish(self) -> CoachingProfile:
        """Goes through all of it."""
        await self.save_until("confirmation")
        await self.save("confirmation")
        return await self.confirm()


async def somebody(identity: Identity, email: str = "ada@example.com") -> Onboarder:
    """A person with a verified address who has not begun."""
    return Onboarder(identity, person(await identity.make_person(email)))
