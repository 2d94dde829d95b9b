"""Saving steps: in sequence, again, on two devices; going back; what is missing."""

import asyncio
from typing import Any

import grpc
import psycopg
import pytest

from services.kit.caller import Caller
from services.kit.database import uuid7
from tests.harness import failure, person, reason
from tests.identity.conftest import Identity
from tests.identity.onboarding.people import ANSWERS, ORDER, Onboarder, somebody
from vitalis.identity.v1 import coaching_parts_pb2 as parts
from vitalis.identity.v1 import onboarding_pb2 as pb


def rows(identity: Identity, table: str) -> list[dict[str, Any]]:
    with psycopg.connect(identity.database.migrator_url, row_factory=psycopg.rows.dict_row) as owner:
        return owner.execute(f"SELECT * FROM {table}".encode()).fetchall()


async def test_it_begins_empty_and_nothing_is_written_for_that(identity: Identity, ada: Onboarder) -> None:
    state = await ada.state()
    assert (state.flow_version, state.current_step, state.current_step_name) == ("1.0", 0, "welcome")
    assert (list(state.completed_steps), state.progress_pct) == ([], 0)
    assert [step.name for step in state.missing] == list(ORDER)
    assert state.missing[0].fields[0].field == "welcome.acknowledged"
    assert [each.field for each in state.missing[3].fields] == ["physical_constraints"]
    assert state.answers == pb.OnboardingAnswers()
    assert not state.HasField("started_at")
    assert state.etag
    assert rows(identity, "onboarding_states") == []


@pytest.mark.parametrize("name", ORDER)
async def test_left_at_any_step_it_is_resumed_there(ada: Onboarder, name: str) -> None:
    state = await ada.save_until(name)
    number = ORDER.index(name)
    assert (state.current_step, state.current_step_name) == (number, name)
    assert list(state.completed_steps) == list(range(number))
    assert [step.step for step in state.missing] == list(range(number, len(ORDER)))
    assert state.progress_pct == round(100 * number / len(ORDER), 1)
    answered = {field.name: value for field, value in state.answers.ListFields()}
    assert answered == {before: ANSWERS[before] for before in ORDER[:number]}
    # On another device, which has nothing but the state.
    other = Onboarder(ada.identity, Caller(**{**vars_of(ada.caller), "session_id": "another"}))
    saved = await other.save(name, etag=state.etag, device_type="phone")
    assert saved.state == await ada.state()
    assert saved.state.device_type == "phone"
    if name == "confirmation":
        assert not saved.HasField("next_step")
        assert (list(saved.state.missing), saved.state.progress_pct) == ([], 100)
    else:
        assert (saved.next_step.step, saved.next_step.name) == (number + 1, ORDER[number + 1])
        assert saved.next_step.fields


def vars_of(caller: Caller) -> dict[str, Any]:
    return {name: getattr(caller, name) for name in caller.__dataclass_fields__}


async def test_what_is_kept_of_the_device(identity: Identity, ada: Onboarder) -> None:
    caller = Caller(ada.user_id, ada.user_id, "user", frozenset({"*"}), "r", "session-1", "", "192.0.2.1", "a/1" * 400)
    await Onboarder(identity, caller).save("welcome", device_type="tablet")
    (row,) = rows(identity, "onboarding_states")
    assert (row["session_id"], row["device_type"], row["user_agent"]) == ("session-1", "tablet", ("a/1" * 400)[:1000])
    # Who does not say what they use has not changed it.
    state = (await Onboarder(identity, caller).save("fitness_experience")).state
    assert state.device_type == "tablet"
    assert await reason(ada.save("goals", device_type="fridge")) == "INVALID_FIELD"


async def test_steps_are_saved_in_their_sequence(ada: Onboarder) -> None:
    error = await failure(ada.save("fitness_experience"))
    assert error.reason.name == "STEP_OUT_OF_SEQUENCE"
    assert error.metadata == {"expected_step": "0", "expected_step_name": "welcome"}
    await ada.save_until("meal_plan")
    for name in ORDER[ORDER.index("meal_plan") + 1 :]:
        error = await failure(ada.save(name))
        assert (error.reason.name, error.metadata["expected_step"]) == ("STEP_OUT_OF_SEQUENCE", "5")
    for name in ORDER[: ORDER.index("meal_plan") + 1]:
        await ada.save(name)


async def test_a_step_is_saved_again_and_the_rest_stays(ada: Onboarder) -> None:
    before = await ada.save_until("hydration")
    changed = pb.FitnessExperienceAnswers(fitness_level="advanced")
    saved = await ada.save("fitness_experience", changed)
    assert saved.state.answers.fitness_experience == changed
    assert list(saved.state.completed_steps) == list(before.completed_steps)
    assert saved.next_step.name == "hydration"
    assert saved.state.answers.meal_plan == ANSWERS["meal_plan"]


async def test_what_is_changed_has_to_be_confirmed_again(ada: Onboarder) -> None:
    await ada.save_until("confirmation")
    assert not (await ada.save("confirmation")).HasField("next_step")
    saved = await ada.save("hydration", parts.HydrationPreferences(daily_water_target_ml=1500))
    assert saved.next_step.name == "confirmation"
    assert [step.name for step in saved.state.missing] == ["confirmation"]


async def test_going_back_loses_nothing(ada: Onboarder) -> None:
    assert (await ada.go_back(0)).next_step.name == "welcome"
    assert await reason(ada.go_back(1)) == "STEP_OUT_OF_SEQUENCE"
    before = await ada.save_until("hydration")
    back = await ada.go_back(2, before.etag)
    assert (back.state.current_step, back.next_step.name) == (2, "goals")
    assert (list(back.state.completed_steps), back.state.answers) == (list(before.completed_steps), before.answers)
    assert await ada.state() == back.state
    error = await failure(ada.go_back(9))
    assert (error.reason.name, error.metadata["expected_step"]) == ("STEP_OUT_OF_SEQUENCE", "8")
    assert (await failure(ada.go_back(3, before.etag))).metadata == {"etag": back.state.etag}
    assert (await ada.go_back(8)).state.current_step == 8
    await ada.go_back(2)
    # After the step that was gone back to, the next one that is not done.
    assert (await ada.save("goals")).next_step.name == "hydration"


async def test_two_devices_at_once_without_etags_lose_nothing(ada: Onboarder) -> None:
    await ada.save_until("meal_plan")
    sections = [pb.FitnessExperienceAnswers(fitness_level=level) for level in ("beginner", "advanced")]
    await asyncio.gather(
        *(ada.save("fitness_experience", section) for section in sections),
        ada.save("dietary_preferences", parts.DietaryPreferences(diet_type="vegan")),
        ada.save("meal_plan"),
        ada.save("welcome"),
    )
    state = await ada.state()
    assert state.answers.dietary_preferences.diet_type == "vegan"
    assert state.answers.fitness_experience in sections
    assert list(state.completed_steps) == list(range(6))


async def test_two_devices_at_once_with_one_etag_one_of_them_wins(ada: Onboarder) -> None:
    etag = (await ada.save_until("goals")).etag
    sections = [pb.GoalsAnswers(primary_goal=goal) for goal in ("fat_loss", "general_fitness")]
    outcomes = await asyncio.gather(
        *(ada.save("goals", section, etag=etag) for section in sections), return_exceptions=True
    )
    (won,) = [outcome for outcome in outcomes if isinstance(outcome, pb.SaveOnboardingStepResponse)]
    (lost,) = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert lost.code() is grpc.StatusCode.ABORTED
    assert await ada.state() == won.state
    error = await failure(ada.save("goals", etag=etag))
    assert (error.reason.name, error.metadata) == ("ETAG_MISMATCH", {"etag": won.state.etag})


async def test_the_first_step_on_two_devices_at_once(identity: Identity, ada: Onboarder) -> None:
    etag = (await ada.state()).etag
    outcomes = await asyncio.gather(*(ada.save("welcome", etag=etag) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(outcome, pb.SaveOnboardingStepResponse) for outcome in outcomes) == 1
    assert len(rows(identity, "onboarding_states")) == 1


async def test_a_device_that_waited_for_one_that_began_later(identity: Identity, ada: Onboarder) -> None:
    await ada.save("welcome")
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute("SELECT 1 FROM users WHERE id = %s FOR UPDATE", [ada.user_id])
        saving = asyncio.create_task(ada.save("fitness_experience"))
        await identity.database.has_waiting()
        # What the other device has begun meanwhile, after this one's transaction.
        for statement in (
            "UPDATE onboarding_states SET started_at = clock_timestamp(), last_activity_at = clock_timestamp()",
            "UPDATE onboarding_step_events SET started_at = clock_timestamp() WHERE completed_at IS NULL",
        ):
            owner.execute(statement.encode())
        owner.commit()
    state = (await saving).state
    assert state.current_step_name == "goals"
    assert state.last_activity_at == state.started_at


async def test_a_repeat_answers_as_the_first_time_and_does_nothing(identity: Identity, ada: Onboarder) -> None:
    first = await ada.save("welcome", request_id="once")
    assert await ada.save("welcome", request_id="once") == first
    assert await reason(ada.save("fitness_experience", request_id="once")) == "REQUEST_ID_REUSED"
    await ada.save_until("lifestyle_baseline")
    await ada.save("lifestyle_baseline", request_id="twice")
    # What is kept for a repeat tells what was answered.
    assert all(b"neighbours" not in row["response"] for row in rows(identity, "idempotency_keys"))


@pytest.mark.parametrize(
    ("name", "section", "fields"),
    [
        ("welcome", pb.WelcomeAnswers(), ["answers.welcome.acknowledged"]),
        ("fitness_experience", pb.FitnessExperienceAnswers(), ["answers.fitness_experience.fitness_level"]),
        (
            "fitness_experience",
            pb.FitnessExperienceAnswers(fitness_level="godlike"),
            ["answers.fitness_experience.fitness_level"],
        ),
        (
            "goals",
            pb.GoalsAnswers(secondary_goal="fame", goals=[parts.FitnessGoal(target_date="2026-02-30")]),
            [
                "answers.goals.primary_goal",
                "answers.goals.goals[0].goal_type",
                "answers.goals.goals[0].goal_category",
                "answers.goals.secondary_goal",
                "answers.goals.goals[0].target_date",
            ],
        ),
        ("meal_schedule", pb.MealScheduleAnswers(), ["answers.meal_schedule.meal_schedules"]),
        ("lifestyle_baseline", pb.LifestyleBaselineAnswers(sleep_hours_last_night=25), None),
        ("health_profile", pb.HealthProfileAnswers(height_cm=30), ["answers.health_profile.height_cm"]),
        ("health_profile", pb.HealthProfileAnswers(weight_kg=501), ["answers.health_profile.weight_kg"]),
        ("health_profile", pb.HealthProfileAnswers(activity_level="lazy"), ["answers.health_profile.activity_level"]),
        ("confirmation", pb.ConfirmationAnswers(confirmed=False), ["answers.confirmation.confirmed"]),
    ],
)
async def test_everything_that_is_wrong_with_a_step_is_told_at_once(
    ada: Onboarder, name: str, section: Any, fields: list[str] | None
) -> None:
    before = await ada.save_until(name)
    error = await failure(ada.save(name, section))
    assert error.reason.name == "INVALID_FIELD"
    if fields is None:
        stem = "answers.lifestyle_baseline."
        fields = [stem + each for each in ("energy_level", "stress_level", "sleep_quality", "sleep_hours_last_night")]
    assert [violation.field for violation in error.violations] == fields
    assert await ada.state() == before


async def test_answers_belong_to_the_step_that_is_saved(ada: Onboarder) -> None:
    await ada.save_until("fitness_experience")
    answers = pb.OnboardingAnswers(hydration=ANSWERS["hydration"], welcome=ANSWERS["welcome"])
    error = await failure(ada.send(step=1, answers=answers))
    assert [(each.field, each.description) for each in error.violations] == [
        ("answers.welcome", "is not of step 1, fitness_experience"),
        ("answers.hydration", "is not of step 1, fitness_experience"),
        ("answers.fitness_experience", "is required"),
    ]
    assert (await failure(ada.send(step=1))).violations[0].field == "answers.fitness_experience"
    assert await reason(ada.send(step=12, answers=answers)) == "INVALID_FIELD"
    assert await reason(ada.send(step=-1, answers=answers)) == "INVALID_FIELD"


@pytest.mark.parametrize("name", ["physical_constraints", "hydration", "health_profile"])
async def test_what_is_optional_is_saved_without_an_answer(ada: Onboarder, name: str) -> None:
    await ada.save_until(name)
    saved = await ada.send(step=ORDER.index(name))
    assert saved.next_step.name == ORDER[ORDER.index(name) + 1]
    assert name in {field.name for field, _ in saved.state.answers.ListFields()}


async def test_what_only_we_set_is_not_taken_from_an_answer(ada: Onboarder) -> None:
    await ada.save_until("meal_plan")
    plan = parts.MealPlan()
    plan.CopyFrom(ANSWERS["meal_plan"])
    plan.is_locked = True
    plan.locked_at.FromSeconds(1)
    assert (await ada.save("meal_plan", plan)).state.answers.meal_plan == ANSWERS["meal_plan"]


async def test_answers_are_stored_encrypted_and_the_trail_does_not_tell_them(
    identity: Identity, ada: Onboarder
) -> None:
    await ada.save_until("health_profile")
    (row,) = rows(identity, "onboarding_states")
    assert isinstance(row["step_data"], bytes)
    assert b"neighbours" not in row["step_data"]
    trail = [row for row in rows(identity, "audit_log") if row["table_name"] == "onboarding_states"]
    assert [row["action"] for row in trail] == ["INSERT"] + ["UPDATE"] * 9
    assert {row["new_values"].get("step_data") for row in trail} == {None, "[changed]"}


async def test_nobody_elses(identity: Identity, ada: Onboarder) -> None:
    await ada.save("welcome")
    bob = await somebody(identity, "bob@example.com")
    request = pb.GetOnboardingStateRequest(user_id=ada.user_id)
    assert await reason(bob.stub.GetOnboardingState(request, metadata=identity.metadata(bob.caller))) == (
        "SUBJECT_MISMATCH"
    )
    coach = Onboarder(
        identity, Caller(bob.user_id, ada.user_id, "coach", frozenset({"onboarding.write"}), "r", grant_id=bob.user_id)
    )
    assert await reason(coach.save("fitness_experience")) == "SCOPE_MISSING"
    assert (await bob.state()).current_step == 0


async def test_somebody_who_is_not_there(identity: Identity) -> None:
    nobody = Onboarder(identity, person(uuid7()))
    assert await reason(nobody.state()) == "NOT_FOUND"
    assert await reason(nobody.save("welcome")) == "NOT_FOUND"
    assert await reason(nobody.go_back(0)) == "NOT_FOUND"
