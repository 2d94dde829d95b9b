"""The end of an onboarding: all of it is written, or nothing; tracking gets its part however often that takes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from services.identity.onboarding.definitions import load
from services.kit.caller import Caller
from tests.databases import ServiceDatabase
from tests.harness import Running, drain, failure, make_trust, person, reason
from tests.identity.conftest import Identity
from tests.identity.onboarding.people import ANSWERS, HAND_OVERS, ORDER, Onboarder, somebody
from tests.services import serving
from vitalis.identity.v1 import (
    allergies_pb2,
    allergies_pb2_grpc,
    coaching_parts_pb2,
    health_profile_pb2,
    health_profile_pb2_grpc,
    onboarding_admin_pb2,
    onboarding_admin_pb2_grpc,
)
from vitalis.identity.v1 import onboarding_pb2 as pb
from vitalis.tracking.v1 import wellbeing_pb2, wellbeing_pb2_grpc


def query(database: ServiceDatabase, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.migrator_url) as owner:
        return owner.execute(statement.encode(), parameters or None).fetchall()


async def test_a_confirmed_onboarding_becomes_a_locked_profile_and_all_of_its_parts(
    identity: Identity, ada: Onboarder
) -> None:
    await ada.save_until("confirmation")
    await ada.save("confirmation")
    profile = await ada.confirm()
    assert (profile.version, profile.is_locked, profile.fitness_level) == (1, True, "intermediate")
    assert (profile.primary_goal, profile.secondary_goal) == ("muscle_gain", "strength")
    assert (profile.energy_level, profile.stress_level, profile.sleep_quality) == ("medium", "high", "fair")
    assert profile.goals[0].user_explanation == "to carry the children"
    assert profile.constraints[0].constraint_category == "knee"
    assert profile.dietary_preferences == ANSWERS["dietary_preferences"]
    assert profile.meal_plan.daily_calories_target == 2500
    assert [meal.scheduled_time for meal in profile.meal_schedules] == ["08:00", "13:00", "19:00"]
    assert profile.workout_schedule.thursday_workout
    # What was not asked for has its default.
    assert (profile.hydration_preferences.daily_water_target_ml, profile.hydration_preferences.reminder_tone) == (
        2500,
        "gentle",
    )

    metadata = identity.metadata(ada.caller)
    bodies = health_profile_pb2_grpc.HealthProfileServiceStub(identity.running.channel)
    request = health_profile_pb2.GetHealthProfileRequest(user_id=ada.user_id)
    body = (await bodies.GetHealthProfile(request, metadata=metadata)).health_profile
    assert (body.height_cm, body.weight_kg, body.activity_level) == (178.5, 72.4, "moderate")
    stub = allergies_pb2_grpc.AllergiesServiceStub(identity.running.channel)
    listed = await stub.ListAllergies(allergies_pb2.ListAllergiesRequest(user_id=ada.user_id), metadata=metadata)
    assert [(allergy.name, allergy.source, allergy.matched) for allergy in listed.allergies] == [
        ("peanuts", "dietary_preferences", True)
    ]
    assert (await identity.get_user(ada.user_id, ada.caller)).HasField("onboarding_completed_at")

    state = await ada.state()
    assert (list(state.completed_steps), list(state.missing), state.progress_pct) == (list(range(12)), [], 100)
    assert (state.answers, state.current_step_name) == (pb.OnboardingAnswers(), "confirmation")
    assert state.HasField("completed_at")
    assert await reason(ada.save("hydration")) == "ONBOARDING_COMPLETED"
    assert await reason(ada.go_back(0)) == "ONBOARDING_COMPLETED"
    # It stays complete when the flow is gone.
    assert query(identity.database, "UPDATE onboarding_states SET flow_version = '0.9' RETURNING 1") == [(1,)]
    assert list((await ada.state()).completed_steps) == list(range(12))


async def test_the_shortest_answers_make_a_profile_too(ada: Onboarder) -> None:
    short = {
        "goals": pb.GoalsAnswers(primary_goal="general_fitness"),
        "dietary_preferences": coaching_parts_pb2.DietaryPreferences(diet_type="none"),
        "lifestyle_baseline": pb.LifestyleBaselineAnswers(energy_level="low", stress_level="low", sleep_quality="good"),
    }
    for number, name in enumerate(ORDER):
        if name in ("physical_constraints", "hydration", "health_profile"):
            await ada.send(step=number)
        else:
            await ada.save(name, short.get(name))
    profile = await ada.confirm()
    assert profile.goals[0].goal_category == "general_fitness"
    assert profile.hydration_preferences.daily_water_target_ml == 2000
    assert not profile.constraints


@pytest.mark.parametrize("name", ORDER)
async def test_nothing_is_made_of_an_onboarding_that_lacks_something(
    identity: Identity, ada: Onboarder, name: str
) -> None:
    before = await ada.save_until(name)
    error = await failure(ada.confirm())
    assert error.reason.name == "ONBOARDING_INCOMPLETE"
    assert error.metadata == {"expected_step": str(ORDER.index(name)), "expected_step_name": name}
    named = [each.field for step in before.missing for each in step.fields]
    assert [violation.field for violation in error.violations] == named
    assert {field.partition(".")[0] for field in named} == set(ORDER[ORDER.index(name) :])
    assert await ada.state() == before
    assert query(identity.database, "SELECT count(*) FROM user_profiles") == [(0,)]


async def test_two_devices_confirm_at_once(identity: Identity, ada: Onboarder) -> None:
    await ada.save_until("confirmation")
    await ada.save("confirmation")
    profiles = await asyncio.gather(*(ada.confirm() for _ in range(4)))
    assert all(profile == profiles[0] for profile in profiles)
    assert query(identity.database, "SELECT version FROM user_profile_versions") == [(1,)]
    assert query(identity.database, f"SELECT count(*) FROM {HAND_OVERS}") == [(1,)]


async def test_a_confirmation_that_fails_in_the_middle_leaves_everything_as_it_was(
    identity: Identity, ada: Onboarder
) -> None:
    await ada.save_until("confirmation")
    await ada.save("confirmation")
    before = await ada.state()
    # What is written last is refused.
    fails = (
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER fail BEFORE INSERT ON procrastinate_jobs FOR EACH ROW EXECUTE FUNCTION fail(); SELECT 1"
    )
    run(identity.database, fails)
    assert await reason(ada.confirm()) == "INTERNAL"
    assert await ada.state() == before
    for table in ("user_profiles", "user_profile_versions", "meal_plans", "health_profiles", "allergies"):
        assert query(identity.database, f"SELECT count(*) FROM {table}") == [(0,)]
    assert not (await identity.get_user(ada.user_id, ada.caller)).HasField("onboarding_completed_at")
    run(identity.database, "DROP TRIGGER fail ON procrastinate_jobs")
    assert (await ada.confirm()).version == 1


def run(database: ServiceDatabase, statements: str) -> None:
    with psycopg.connect(database.migrator_url) as owner:
        owner.execute(statements.encode())


async def test_who_has_not_proved_their_address_writes_nothing_about_their_health(identity: Identity) -> None:
    ada = await somebody(identity)
    await ada.save_until("confirmation")
    await ada.save("confirmation")
    run(identity.database, "UPDATE users SET email_verified_at = NULL")
    assert await reason(ada.confirm()) == "EMAIL_UNVERIFIED"
    assert query(identity.database, "SELECT count(*) FROM user_profiles") == [(0,)]
    run(identity.database, "UPDATE users SET email_verified_at = now()")
    assert (await ada.confirm()).is_locked


async def test_somebody_else_confirms_nothing(identity: Identity, ada: Onboarder) -> None:
    await ada.save_until("confirmation")
    await ada.save("confirmation")
    bob = await somebody(identity, "bob@example.com")
    assert await reason(bob.confirm()) == "ONBOARDING_INCOMPLETE"
    scopes = frozenset({"coaching_profile.read", "coaching_profile.write", "coaching_lock.write"})
    coach = Caller(bob.user_id, ada.user_id, "coach", scopes, "r", grant_id=bob.user_id)
    assert await reason(Onboarder(identity, coach).confirm()) == "SCOPE_MISSING"
    assert query(identity.database, "SELECT count(*) FROM user_profiles") == [(0,)]


Clone = Callable[[str], ServiceDatabase]


class Two:
    """Identity, and tracking that can be away."""

    def __init__(self, directory: Path, clone_database: Clone) -> None:
        self.directory, self.trust = directory, make_trust(directory)
        self.databases = {name: clone_database(name) for name in ("identity", "tracking")}
        self.stack = AsyncExitStack()
        self.listen = "127.0.0.1:0"
        self.tracking: Running

    async def start_tracking(self) -> None:
        database = self.databases["tracking"]
        service = serving("tracking", self.directory, database, self.trust, listen=self.listen)
        self.tracking = await self.stack.enter_async_context(service)
        self.listen = self.tracking.target

    async def baselines(self, caller: Caller) -> list[wellbeing_pb2.LifestyleBaseline]:
        stub = wellbeing_pb2_grpc.WellbeingServiceStub(self.tracking.channel)
        request = wellbeing_pb2.ListLifestyleBaselinesRequest(user_id=caller.subject)
        listed = await stub.ListLifestyleBaselines(request, metadata=self.tracking.metadata(caller))
        return list(listed.lifestyle_baselines)


@pytest.fixture
async def two(tmp_path: Path, clone_database: Clone) -> AsyncIterator[tuple[Two, Identity]]:
    both = Two(tmp_path, clone_database)
    await both.start_tracking()
    try:
        services = {"tracking": both.listen}
        database = both.databases["identity"]
        async with serving("identity", tmp_path, database, both.trust, services=services) as running:
            yield both, Identity(running)
    finally:
        await both.stack.aclose()


def due(database: ServiceDatabase) -> None:
    """The next try of every job is due."""
    run(database, "UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'")


async def test_tracking_gets_the_first_baseline_once_however_often_it_is_handed_over(
    two: tuple[Two, Identity],
) -> None:
    both, identity = two
    ada = await somebody(identity)
    await ada.finish()
    completed_at = (await ada.state()).completed_at
    (job,) = query(identity.database, f"SELECT args FROM {HAND_OVERS}")
    # The queue names whose it is, and nothing of what was answered.
    assert set(job[0]) == {"user_id", "onboarding_id"}
    await drain(identity.running)
    (baseline,) = await both.baselines(ada.caller)
    assert (baseline.id, baseline.recorded_at, baseline.data_source) == (
        job[0]["onboarding_id"],
        completed_at,
        "user_input",
    )
    assert (baseline.energy_level, baseline.stress_level, baseline.sleep_quality) == ("medium", "high", "fair")
    assert (baseline.sleep_hours_last_night, baseline.sleep_quality_notes) == (6.5, "the neighbours")
    assert query(identity.database, "SELECT count(*) FROM onboarding_hand_overs") == [(0,)]
    # Nothing is left to hand over.
    task = identity.running.parts.jobs.app.tasks["hand_over_lifestyle_baseline"]  # type: ignore[union-attr]
    await task.func(**job[0])
    assert len(await both.baselines(ada.caller)) == 1


async def test_tracking_that_is_away_gets_it_when_it_is_back(two: tuple[Two, Identity]) -> None:
    both, identity = two
    ada = await somebody(identity)
    await both.stack.aclose()
    await ada.finish()
    for _ in range(2):
        await drain(identity.running)
        assert query(identity.database, f"SELECT status::text FROM {HAND_OVERS}") == [("todo",)]
        due(identity.database)
    await both.start_tracking()
    async with asyncio.timeout(30):
        for channel in identity.running.parts.channels:
            # A connection that was lost is tried again after a while, and the job not for ever.
            await channel.channel_ready()
        while query(identity.database, f"SELECT 1 FROM {HAND_OVERS}"):
            due(identity.database)
            await drain(identity.running)
    assert len(await both.baselines(ada.caller)) == 1


async def test_what_was_handed_over_but_not_noted_is_not_doubled(two: tuple[Two, Identity]) -> None:
    both, identity = two
    ada = await somebody(identity)
    await ada.finish()
    columns = "id, user_id, answers, flow_version, completed_at"
    (before,) = query(identity.database, f"SELECT {columns} FROM onboarding_hand_overs")
    ((arguments,),) = query(identity.database, f"SELECT args FROM {HAND_OVERS}")
    await drain(identity.running)
    # As if identity had died between tracking's answer and forgetting it.
    insert = f"INSERT INTO onboarding_hand_overs ({columns}) VALUES (%s, %s, %s, %s, %s) RETURNING 1"
    query(identity.database, insert, *before)
    task = identity.running.parts.jobs.app.tasks["hand_over_lifestyle_baseline"]  # type: ignore[union-attr]
    await task.func(**arguments)
    assert len(await both.baselines(ada.caller)) == 1
    assert query(identity.database, "SELECT count(*) FROM onboarding_hand_overs") == [(0,)]


async def test_a_reset_leaves_what_tracking_has_not_got_yet(two: tuple[Two, Identity]) -> None:
    both, identity = two
    ada = await somebody(identity)
    await ada.finish()
    completed_at = (await ada.state()).completed_at
    await ada.agree_to_a_reset()
    admin = await identity.make_person("root@example.com", role="admin")
    stub = onboarding_admin_pb2_grpc.OnboardingAdminServiceStub(identity.running.channel)
    reset = onboarding_admin_pb2.ResetOnboardingRequest(user_id=ada.user_id, reason="they asked us to")
    await stub.ResetOnboarding(reset, metadata=identity.metadata(replace(person(admin, "admin"), subject=ada.user_id)))
    # The next one is under way, and finished, before tracking has the first.
    await ada.finish()
    await drain(identity.running)
    first, second = sorted(await both.baselines(ada.caller), key=lambda baseline: baseline.recorded_at.ToNanoseconds())
    assert first.recorded_at == completed_at
    assert (first.sleep_quality_notes, second.sleep_quality_notes) == ("the neighbours", "the neighbours")
    assert first.id != second.id
    assert query(identity.database, "SELECT count(*) FROM onboarding_hand_overs") == [(0,)]


async def test_nothing_is_handed_over_of_somebody_who_is_being_erased(two: tuple[Two, Identity]) -> None:
    both, identity = two
    ada = await somebody(identity)
    await ada.finish()
    # As the first pass of an erasure does; between tracking's part of the second one and its end it is still so.
    closed = "UPDATE users SET deleted_at = now(), account_status = 'deleted' WHERE id = %s RETURNING 1"
    query(identity.database, closed, ada.user_id)
    await drain(identity.running)
    assert query(identity.database, f"SELECT status::text FROM {HAND_OVERS}") == []
    assert await both.baselines(ada.caller) == []


async def test_a_service_that_is_not_told_of_tracking_keeps_it(identity: Identity, ada: Onboarder) -> None:
    await ada.finish()
    await drain(identity.running)
    assert query(identity.database, f"SELECT status::text FROM {HAND_OVERS}") == [("todo",)]
    assert query(identity.database, "SELECT count(*) FROM onboarding_hand_overs") == [(1,)]
    assert query(identity.database, "SELECT step_data FROM onboarding_states") == [(None,)]


def test_every_flow_asks_what_tracking_is_told() -> None:
    for flow in load().newest_first:
        assert {write.message for step in flow.steps for write in step.writes} == {
            "coaching_profile",
            "health_profile",
            "lifestyle_baseline",
        }
