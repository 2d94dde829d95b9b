"""A coaching profile is read, changed for a reason, locked and unlocked."""

import asyncio

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from sqlalchemy.exc import IntegrityError

from services.identity.coaching_profile.changes import archive
from services.kit.caller import calling
from services.kit.errors import from_rpc_error
from tests.harness import failure, reason
from tests.identity.coaching.coached import REASON, Coached, a_profile, coached, sending, somebody
from tests.identity.conftest import Identity
from tests.identity.factors import Owner
from vitalis.identity.v1 import coaching_parts_pb2 as parts_pb
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile
from vitalis.identity.v1.second_factors_pb2 import Proof

WRONG = Proof(password="not the password")


async def test_a_profile_is_read_as_it_was_made_with_the_defaults(ada: Coached) -> None:
    profile = await ada.read()
    made = MessageToDict(a_profile(), preserving_proto_field_name=True)
    read = MessageToDict(profile, preserving_proto_field_name=True)

    def within(wanted: object, found: object, path: str = "") -> None:
        if isinstance(wanted, dict):
            assert isinstance(found, dict), path
            for name, value in wanted.items():
                within(value, found.get(name), f"{path}.{name}")
        elif isinstance(wanted, list):
            assert isinstance(found, list), path
            assert len(wanted) == len(found), path
            for index, value in enumerate(wanted):
                within(value, found[index], f"{path}[{index}]")
        else:
            assert wanted == found, path

    within(made, read)
    assert (profile.user_id, profile.version, profile.last_modified_by) == (ada.id, 1, "user")
    assert profile.modification_reason == "onboarding"
    assert not profile.HasField("previous_version")
    assert profile.is_locked
    assert profile.meal_plan.is_locked
    assert profile.workout_schedule.is_locked
    assert profile.locked_at == profile.created_at == profile.updated_at == profile.meal_plan.locked_at
    assert [(goal.status, goal.pace_preference, goal.priority) for goal in profile.goals] == [
        ("active", "moderate", 1),
        ("active", "moderate", 2),
    ]
    assert all(constraint.is_active for constraint in profile.constraints)
    assert [meal.notification_offset_minutes for meal in profile.meal_schedules] == [-15, -15, -30]
    assert profile.workout_schedule.reminder_offset_minutes == -30
    assert (profile.hydration_preferences.reminder_start_time, profile.hydration_preferences.reminder_end_time) == (
        "08:00",
        "22:00",
    )


async def test_a_change_takes_a_proof_while_the_profile_is_locked_and_it_stays_locked(ada: Coached) -> None:
    before = await ada.read()
    sent = CoachingProfile(stress_level="low")
    for proof in (None, WRONG):
        assert await reason(ada.change(sent, proof=proof)) == "PROOF_REFUSED"
    assert await ada.read() == before
    after = await ada.change(sent)
    assert after == await ada.read()
    assert (after.version, after.previous_version, after.stress_level) == (2, 1, "low")
    assert (after.is_locked, after.modification_reason, after.etag != before.etag) == (True, REASON, True)
    first, second = reversed(await ada.versions())
    assert (list(second.changed_fields), second.change_reason) == (["stress_level"], REASON)
    assert first.valid_until == second.valid_from == after.updated_at


async def test_lists_are_replaced_items_keep_their_ids_and_what_is_new_gets_one(ada: Coached) -> None:
    before = await ada.read()
    leading, other = before.goals
    other.status = "completed"
    sent = CoachingProfile(
        goals=[other, leading, parts_pb.FitnessGoal(goal_type="secondary", goal_category="endurance")]
    )
    after = await ada.change(sent)
    ids = {goal.goal_category: goal.id for goal in after.goals}
    assert (ids["fat_loss"], ids["strength"]) == (leading.id, other.id)
    assert ids["endurance"] not in ("", leading.id, other.id)
    done = next(goal for goal in after.goals if goal.id == other.id)
    assert done.completed_at == done.updated_at == after.updated_at
    assert (done.created_at, next(g for g in after.goals if g.id == leading.id)) == (other.created_at, leading)
    (version, *_) = await ada.versions()
    assert sorted(version.changed_fields) == sorted([f"goals[{other.id}].status", f"goals[{ids['endurance']}]"])


async def test_what_a_mask_names_and_is_not_sent_is_cleared(ada: Coached) -> None:
    paths = ("secondary_goal", "constraints", "meal_plan.plan_rationale", "hydration_preferences")
    after = await ada.change(CoachingProfile(), *paths)
    assert not after.HasField("secondary_goal")
    assert not after.constraints
    assert not after.meal_plan.HasField("plan_rationale")
    assert (after.hydration_preferences.daily_water_target_ml, after.hydration_preferences.reminder_tone) == (
        2000,
        "gentle",
    )
    assert after.meal_plan.last_recalculated_at == (await ada.read()).created_at


async def test_one_field_of_a_part_changes_alone(ada: Coached) -> None:
    sent = sending(meal_plan={"daily_calories_target": 1990}, workout_schedule={"monday_workout": False})
    after = await ada.change(sent)
    assert after.meal_plan.daily_calories_target == 1990
    assert after.meal_plan.protein_grams_target == 150
    assert (after.workout_schedule.monday_workout, after.workout_schedule.thursday_workout) == (False, True)
    assert after.meal_plan.last_recalculated_at == after.updated_at


async def test_everything_can_be_replaced_at_once(ada: Coached) -> None:
    wanted = a_profile(primary_goal="general_fitness", secondary_goal=None, goals=[], constraints=[])
    after = await ada.change(wanted, "*")
    assert [goal.goal_category for goal in after.goals] == ["general_fitness"]
    assert not after.HasField("secondary_goal")
    assert not after.constraints
    assert after.id == (await ada.read()).id


@pytest.mark.parametrize(
    "path", ["version", "etag", "is_locked", "meal_plan.is_locked", "goals.status", "nothing", "fitness_level.x", "id"]
)
async def test_a_mask_names_fields_that_can_be_set(ada: Coached, path: str) -> None:
    error = await failure(ada.change(a_profile(), path))
    assert (error.reason.name, [violation.field for violation in error.violations]) == (
        "INVALID_FIELD",
        ["update_mask"],
    )


async def test_a_change_that_changes_nothing_makes_no_version(ada: Coached) -> None:
    before = await ada.read()
    assert await ada.change(before) == before
    assert await ada.change(CoachingProfile(stress_level="high")) == before
    assert await ada.lock() == before
    assert len(await ada.versions()) == 1


async def test_items_that_are_not_the_profiles_own_are_refused(identity: Identity, ada: Coached) -> None:
    bert = await coached(identity.running, "bert@example.com")
    stolen = (await bert.read()).goals[0]
    before = await ada.read()
    for goals in ([*before.goals, stolen], [before.goals[0], before.goals[0]]):
        error = await failure(ada.change(CoachingProfile(goals=goals)))
        assert error.reason.name == "INVALID_FIELD"
    assert (await bert.read(), await ada.read()) == (await bert.read(), before)


async def test_locking_and_unlocking_are_versions_and_only_unlocking_takes_a_proof(ada: Coached) -> None:
    assert await reason(ada.unlock(proof=WRONG)) == "PROOF_REFUSED"
    unlocked = await ada.unlock()
    assert (unlocked.is_locked, unlocked.meal_plan.is_locked, unlocked.version) == (False, False, 2)
    assert not unlocked.HasField("locked_at")
    assert await ada.unlock() == unlocked
    changed = await ada.change(CoachingProfile(stress_level="low"), proof=None)
    assert (changed.is_locked, changed.version) == (False, 3)
    locked = await ada.lock()
    assert (locked.is_locked, locked.version, locked.locked_at) == (True, 4, locked.updated_at)
    assert [list(version.changed_fields) for version in await ada.versions()][:3] == [
        ["is_locked"],
        ["stress_level"],
        ["is_locked"],
    ]


async def test_an_etag_that_is_old_is_answered_with_the_present_one(ada: Coached) -> None:
    old = (await ada.read()).etag
    current = (await ada.change(CoachingProfile(stress_level="low"), etag=old)).etag
    attempts = [
        ada.change(CoachingProfile(stress_level="medium"), etag=old),
        ada.change(CoachingProfile(stress_level="medium", etag=old)),
        ada.lock(etag=old),
        ada.unlock(etag=old),
        ada.roll_back(1, etag=old),
    ]
    for attempt in attempts:
        error = await failure(attempt)
        assert (error.reason.name, error.metadata["etag"]) == ("ETAG_MISMATCH", current)
    assert (await ada.read()).version == 2


async def test_of_changes_at_once_with_one_etag_one_wins_and_the_others_learn_its_etag(ada: Coached) -> None:
    unlocked = await ada.unlock()
    levels = ("low", "medium", "low", "medium", "low")
    outcomes = await asyncio.gather(
        *(ada.change(CoachingProfile(stress_level=level, etag=unlocked.etag)) for level in levels),
        return_exceptions=True,
    )
    (won,) = [outcome for outcome in outcomes if isinstance(outcome, CoachingProfile)]
    lost = [from_rpc_error(error) for error in outcomes if isinstance(error, grpc.aio.AioRpcError)]
    assert [(error.reason.name, error.metadata["etag"]) for error in lost] == [("ETAG_MISMATCH", won.etag)] * 4
    assert {error.reason.code for error in lost} == {grpc.StatusCode.ABORTED}
    assert await ada.read() == won


async def test_changes_at_once_without_an_etag_are_all_made_one_after_the_other(ada: Coached) -> None:
    await ada.unlock()
    sent = [
        CoachingProfile(stress_level="low"),
        CoachingProfile(energy_level="high"),
        CoachingProfile(sleep_quality="good"),
        sending(meal_plan={"daily_calories_min": 1700}),
    ]
    await asyncio.gather(*(ada.change(profile) for profile in sent))
    after = await ada.read()
    assert (after.stress_level, after.energy_level, after.sleep_quality) == ("low", "high", "good")
    assert (after.meal_plan.daily_calories_min, after.version) == (1700, 6)
    versions = await ada.versions()
    assert [version.valid_until for version in versions[1:]] == [version.valid_from for version in versions[:-1]]


async def test_somebody_without_a_profile_has_none_to_change(identity: Identity) -> None:
    nobody = somebody(identity.running)
    for call in (
        nobody.read(),
        nobody.change(CoachingProfile(stress_level="low")),
        nobody.unlock(),
        nobody.roll_back(1),
        nobody.ask("GetProfileVersion", version=1),
        nobody.ask("GetProfileAt"),
        nobody.ask("CompareProfileVersions"),
        nobody.ask("GetCoachingContext"),
    ):
        assert await reason(call) == "NOT_FOUND"
    assert await nobody.versions() == []


async def test_a_reason_has_to_be_given(ada: Coached) -> None:
    error = await failure(ada.change(CoachingProfile(stress_level="low"), modification_reason=""))
    assert [violation.field for violation in error.violations] == ["modification_reason"]
    assert await reason(ada.unlock(reason="")) == "INVALID_FIELD"
    assert await reason(ada.roll_back(1, reason="")) == "INVALID_FIELD"


async def test_a_person_has_one_profile(ada: Coached) -> None:
    with pytest.raises(IntegrityError):
        await ada.make(a_profile())
    assert (await ada.read()).version == 1


async def test_guessing_is_slowed_down(identity: Identity, ada: Coached) -> None:
    factors = Owner(identity, ada.id, "ada@example.com")
    await factors.enable_totp()
    for _ in range(5):
        assert await reason(ada.unlock(proof=Proof(totp_code=factors.wrong_code()))) == "PROOF_REFUSED"
    slowed = Proof(totp_code=factors.code())
    for attempt in (
        ada.change(CoachingProfile(stress_level="low"), proof=slowed),
        ada.unlock(proof=slowed),
        ada.roll_back(1, proof=slowed),
    ):
        assert await reason(attempt) == "TOO_MANY_ATTEMPTS"
    assert (await ada.read()).version == 1


async def test_allergies_that_are_stated_become_allergies_of_the_health_profile(ada: Coached) -> None:
    names = "SELECT name FROM allergies WHERE user_id = %s ORDER BY name"
    assert ada.sql(names, ada.id) == [("peanuts",)]
    await ada.change(sending(dietary_preferences={"allergies": ["cashews"]}))
    assert ada.sql(names, ada.id) == [("cashews",), ("peanuts",)]


async def test_allergies_are_kept_for_who_has_proved_their_address(ada: Coached) -> None:
    first = await ada.change(sending(dietary_preferences={"allergies": ["cashews"]}))
    ada.sql("UPDATE users SET email_verified_at = NULL WHERE id = %s", ada.id)
    sent = sending(dietary_preferences={"allergies": ["walnuts"]})
    assert await reason(ada.change(sent)) == "EMAIL_UNVERIFIED"
    assert await reason(ada.roll_back(1)) == "EMAIL_UNVERIFIED"
    assert await ada.read() == first


async def test_an_archived_profile_leaves_its_versions_and_the_next_one_counts_on(ada: Coached) -> None:
    await ada.change(CoachingProfile(stress_level="low"))
    before = await ada.versions()
    with calling(ada.caller):
        async with ada.running.pool.transaction() as connection:
            await archive(connection, ada.id)
            await archive(connection, ada.id)
    assert await reason(ada.read()) == "NOT_FOUND"
    assert await reason(ada.ask("GetProfileAt")) == "NOT_FOUND"
    ended, first = await ada.versions()
    assert (ended.valid_until.ToMicroseconds() > ended.valid_from.ToMicroseconds(), first) == (True, before[1])
    for table in ("fitness_goals", "physical_constraints", "meal_schedules", "meal_plans", "dietary_preferences"):
        assert ada.sql(f"SELECT count(*) FROM {table} WHERE user_id = %s", ada.id) == [(0,)]
    again = await ada.make(a_profile())
    assert (again.version, again.previous_version) == (3, 2)
    assert [version.version for version in await ada.versions()] == [3, 2, 1]
    details = "SELECT new_values FROM audit_log WHERE user_id = %s AND action = 'PROFILE_ARCHIVED'"
    assert ada.sql(details, ada.id) == [({"version": 2},)]
