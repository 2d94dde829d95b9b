"""The versions of a coaching profile: listed, read by number and by moment, compared, gone back to."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from services.kit.paging import encode_token
from tests.harness import reason
from tests.identity.coaching.coached import REASON, Coached, a_profile, coached, sending
from tests.identity.conftest import Identity
from vitalis.identity.v1 import coaching_history_pb2 as pb
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

LIST = pb.ListProfileVersionsRequest.DESCRIPTOR.full_name


def instant(microseconds: int) -> Timestamp:
    moment = Timestamp()
    moment.FromMicroseconds(microseconds)
    return moment


async def version(ada: Coached, number: int) -> pb.ProfileVersion:
    found: pb.ProfileVersion = (await ada.ask("GetProfileVersion", version=number)).profile_version
    return found


async def at(ada: Coached, moment: Timestamp | None = None) -> pb.ProfileVersion:
    found: pb.ProfileVersion = (await ada.ask("GetProfileAt", time=moment)).profile_version
    return found


async def test_a_version_is_what_was_read_then_with_who_and_why(ada: Coached) -> None:
    first = await ada.read()
    second = await ada.change(sending(stress_level="low", meal_plan={"plan_rationale": "less of it"}))
    for number, profile in ((1, first), (2, second), (0, second)):
        assert (await version(ada, number)).profile == profile
    newest = await version(ada, 2)
    assert (newest.change_reason, newest.changed_by, newest.HasField("changed_by_id")) == (REASON, "user", False)
    assert list(newest.changed_fields) == ["stress_level", "meal_plan.plan_rationale"]
    assert not newest.HasField("valid_until")
    for summary in await ada.versions():
        whole = await version(ada, summary.version)
        whole.ClearField("profile")
        assert summary == whole
    assert await reason(version(ada, 3)) == "NOT_FOUND"
    assert await reason(version(ada, 2**31 - 1)) == "NOT_FOUND"
    assert await reason(version(ada, -1)) == "INVALID_FIELD"


async def test_the_profile_of_a_moment(ada: Coached) -> None:
    first = await ada.read()
    second = await ada.change(CoachingProfile(stress_level="low"))
    begun, changed = first.updated_at.ToMicroseconds(), second.updated_at.ToMicroseconds()
    for moment, profile in (
        (begun, first),
        (changed - 1, first),
        (changed, second),
        (changed + 10**15, second),
    ):
        assert (await at(ada, instant(moment))).profile == profile
    assert (await at(ada)).profile == second
    for too_early in (begun - 1, 0):
        assert await reason(at(ada, instant(too_early))) == "NOT_FOUND"
    assert await reason(at(ada, Timestamp(seconds=2**62))) == "INVALID_FIELD"


async def test_yesterdays_profile(ada: Coached) -> None:
    """Versions of days ago, as a person asks for them."""
    first = await ada.read()
    ada.sql("ALTER TABLE user_profile_versions DISABLE TRIGGER keep_version")
    ada.sql("UPDATE user_profile_versions SET valid_from = now() - interval '30 days'")
    ada.sql("ALTER TABLE user_profile_versions ENABLE TRIGGER keep_version")
    await ada.change(CoachingProfile(stress_level="low"))
    weeks_ago = Timestamp()
    weeks_ago.FromDatetime(datetime.now(UTC) - timedelta(weeks=3))
    assert (await at(ada, weeks_ago)).profile == first


async def test_two_versions_are_compared_field_by_field(ada: Coached) -> None:
    goals = list((await ada.read()).goals)
    goals[0].target_weight_kg = 70
    new = sending(
        stress_level="low",
        secondary_goal="endurance",
        goals=goals[:1],
        dietary_preferences={"allergies": ["peanuts", "cashews"]},
        meal_plan={"daily_calories_target": 1990},
    )
    await ada.change(new)
    answer = await ada.ask("CompareProfileVersions", from_version=1, to_version=2)
    found: dict[str, Any] = {
        difference.field: (MessageToDict(getattr(difference, "from")), MessageToDict(difference.to))
        for difference in answer.differences
    }
    removed = found.pop(f"goals[{goals[1].id}]")
    assert (removed[0]["goal_category"], removed[1]) == ("strength", None)
    assert found == {
        "secondary_goal": ("strength", "endurance"),
        "stress_level": ("high", "low"),
        f"goals[{goals[0].id}].target_weight_kg": (72.5, 70),
        "dietary_preferences.allergies": (["peanuts"], ["peanuts", "cashews"]),
        "meal_plan.daily_calories_target": (2000, 1990),
    }
    assert [difference.field for difference in answer.differences] == list((await ada.versions())[0].changed_fields)
    assert await ada.ask("CompareProfileVersions") == answer
    backwards = await ada.ask("CompareProfileVersions", from_version=2, to_version=1)
    assert [getattr(d, "from") for d in backwards.differences] == [d.to for d in answer.differences]
    assert not (await ada.ask("CompareProfileVersions", from_version=2, to_version=2)).differences
    first = await ada.ask("CompareProfileVersions", to_version=1)
    assert (first.from_version, "meal_plan" in {d.field for d in first.differences}) == (0, True)
    for absent in ({"from_version": 3}, {"to_version": 3}):
        assert await reason(ada.ask("CompareProfileVersions", **absent)) == "NOT_FOUND"


async def test_a_value_that_is_absent_on_one_side_is_absent_in_the_comparison(ada: Coached) -> None:
    await ada.change(CoachingProfile(), "secondary_goal")
    (difference,) = (await ada.ask("CompareProfileVersions")).differences
    assert (difference.HasField("from"), difference.HasField("to")) == (True, False)


async def test_going_back_makes_a_new_version_of_what_was(ada: Coached) -> None:
    first = await ada.read()
    await ada.change(a_profile(primary_goal="general_fitness", secondary_goal=None, goals=[], constraints=[]), "*")
    back = await ada.roll_back(1)
    assert (back.version, back.previous_version, back.is_locked) == (3, 2, True)
    answer = await ada.ask("CompareProfileVersions", from_version=1, to_version=3)
    assert list(answer.differences) == []
    assert [goal.id for goal in back.goals] == [goal.id for goal in first.goals]
    assert await ada.roll_back(3) == back
    assert await reason(ada.roll_back(9)) == "NOT_FOUND"
    assert await reason(ada.roll_back(1, proof=None)) == "PROOF_REFUSED"
    await ada.unlock()
    assert not (await ada.roll_back(2)).is_locked


async def test_pages_hold_each_version_once_whatever_is_added_meanwhile(ada: Coached) -> None:
    await ada.unlock()
    for number in range(6):
        await ada.change(CoachingProfile(stress_level=("low", "high")[number % 2]))
    seen, token = [], ""
    while True:
        page = await ada.ask("ListProfileVersions", page_size=3, page_token=token)
        seen += [found.version for found in page.profile_versions]
        if not (token := page.next_page_token):
            break
        await ada.change(CoachingProfile(stress_level=("medium", "high")[len(seen) % 2]))
    assert seen == list(range(8, 0, -1))
    for position in ("x", "-1", "1.5", "٣", str(2**31), "9" * 1000):
        token = encode_token([position], LIST)
        assert await reason(ada.ask("ListProfileVersions", page_token=token)) == "INVALID_PAGE_TOKEN"


async def test_another_persons_versions_are_nobodys_to_see(identity: Identity, ada: Coached) -> None:
    bert = await coached(identity.running, "bert@example.com")
    await ada.change(CoachingProfile(stress_level="low"))
    assert [found.version for found in await bert.versions()] == [1]
    assert await reason(version(bert, 2)) == "NOT_FOUND"
    assert await reason(bert.roll_back(2)) == "NOT_FOUND"
