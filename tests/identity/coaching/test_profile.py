"""A coaching profile is read, changed for a reason, locked and unlocked."""

from google.protobuf.json_format import MessageToDict

from tests.harness import reason
from tests.identity.coaching.coached import REASON, Coached, a_profile
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
