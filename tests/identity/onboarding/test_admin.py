"""What administrators see of onboardings, and a reset: with consent, of everything or of nothing."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from google.protobuf import timestamp_pb2

from services.kit.database import uuid7
from tests.databases import ServiceDatabase
from tests.harness import drain, failure, reason
from tests.identity.coaching.coached import Coached
from tests.identity.conftest import Identity
from tests.identity.factors import PASSWORD_HASH
from tests.identity.onboarding.admins import Admin, consent
from tests.identity.onboarding.people import FLOWS, HAND_OVERS, ORDER, Onboarder, somebody
from tests.isolation.resources import everything_about
from vitalis.identity.v1 import consents_pb2, consents_pb2_grpc
from vitalis.identity.v1.coaching_parts_pb2 import DietaryPreferences
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

DAY = timedelta(days=1)


def run(database: ServiceDatabase, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.migrator_url) as owner:
        cursor = owner.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


async def withdraw(ada: Onboarder) -> None:
    stub = consents_pb2_grpc.ConsentsServiceStub(ada.identity.running.channel)
    request = consents_pb2.WithdrawConsentRequest(user_id=ada.user_id, purpose="onboarding_reset")
    await stub.WithdrawConsent(request, metadata=ada.identity.metadata(ada.caller))


async def test_a_reset_archives_the_profile_and_begins_anew(identity: Identity, admin: Admin, ada: Onboarder) -> None:
    await ada.finish()
    await consent(ada)
    (first,) = run(identity.database, "SELECT id FROM onboarding_states")
    onboarding = await admin.reset(ada.user_id, flow_version="1.1")
    assert (onboarding.user_id, onboarding.email, onboarding.flow_version) == (ada.user_id, "ada@example.com", "1.1")
    state = await ada.state()
    assert (state.flow_version, state.current_step, list(state.completed_steps)) == ("1.1", 0, [])
    assert not state.answers.ListFields()
    assert not state.HasField("completed_at")
    assert run(identity.database, "SELECT count(*) FROM user_profiles") == [(0,)]
    assert not (await identity.get_user(ada.user_id, ada.caller)).HasField("onboarding_completed_at")
    events = run(identity.database, "SELECT old_values, new_values FROM audit_log WHERE action = 'ONBOARDING_RESET'")
    assert events == [(None, {"flow_version": "1.1"})]
    # What was to be handed over to tracking still is.
    await drain(identity.running)
    assert run(identity.database, f"SELECT count(*) FROM {HAND_OVERS}") == [(1,)]
    # The next profile counts on from the archived one.
    flow = FLOWS.get("1.1")
    assert flow
    for step in flow.steps:
        await ada.save(step.name, step=step.number)
    profile = await ada.confirm()
    assert (profile.version, profile.previous_version) == (2, 1)
    versions = "SELECT version, valid_until IS NULL FROM user_profile_versions ORDER BY version"
    assert run(identity.database, versions) == [(1, False), (2, True)]
    assert run(identity.database, "SELECT id FROM onboarding_states") != [first]


async def test_why_it_was_reset_is_told_to_the_person_and_stands_nowhere_in_clear(
    identity: Identity, admin: Admin, ada: Onboarder
) -> None:
    await ada.finish()
    await consent(ada)
    await admin.reset(ada.user_id, reason="she told us of her pregnancy")
    state = await ada.state()
    assert state.reset_reason == "she told us of her pregnancy"
    assert (await ada.save("welcome")).state.reset_reason == state.reset_reason
    stored = "\n".join(everything_about(identity.database, ada.user_id))
    assert "onboarding_states" in stored
    assert "pregnancy" not in stored
    # The next reason takes its place.
    await consent(ada)
    await admin.reset(ada.user_id, reason="again")
    assert (await ada.state()).reset_reason == "again"


async def test_a_half_finished_onboarding_is_reset_too(admin: Admin, ada: Onboarder) -> None:
    await ada.save_until("meal_plan")
    await consent(ada)
    assert (await admin.reset(ada.user_id)).flow_version == "1.0"
    assert (await ada.state()).current_step == 0
    assert (await ada.save("welcome")).next_step.name == "fitness_experience"


async def test_a_reset_takes_a_consent_that_holds_and_uses_it_up(admin: Admin, ada: Onboarder) -> None:
    await ada.save("welcome")
    assert await reason(admin.reset(ada.user_id)) == "CONSENT_REQUIRED"
    await consent(ada, "marketing")
    assert await reason(admin.reset(ada.user_id)) == "CONSENT_REQUIRED"
    await consent(ada)
    await withdraw(ada)
    assert await reason(admin.reset(ada.user_id)) == "CONSENT_REQUIRED"
    assert (await ada.state()).current_step == 1
    await consent(ada)
    await admin.reset(ada.user_id)
    await ada.save("welcome")
    assert await reason(admin.reset(ada.user_id)) == "CONSENT_REQUIRED"
    assert (await ada.state()).current_step == 1
    await consent(ada)
    await admin.reset(ada.user_id)
    # Somebody else's consent is theirs.
    bob = await somebody(ada.identity, "bob@example.com")
    await bob.save("welcome")
    await consent(ada)
    assert await reason(admin.reset(bob.user_id)) == "CONSENT_REQUIRED"


async def test_a_reset_that_fails_in_the_middle_leaves_everything_as_it_was(
    identity: Identity, admin: Admin, ada: Onboarder
) -> None:
    profile = await ada.finish()
    before = await ada.state()
    await consent(ada)
    # The profile is archived before the state is written anew, and that is refused.
    run(
        identity.database,
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER fail BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION fail()",
    )
    assert await reason(admin.reset(ada.user_id)) == "INTERNAL"
    assert await ada.state() == before
    assert await ada.confirm() == profile
    versions = run(identity.database, "SELECT version, valid_until FROM user_profile_versions")
    assert versions == [(1, None)]
    assert run(identity.database, "SELECT count(*) FROM audit_log WHERE action LIKE '%RESET%'") == [(0,)]
    run(identity.database, "DROP TRIGGER fail ON users")
    # The consent was not used up.
    await admin.reset(ada.user_id)
    assert run(identity.database, "SELECT count(*) FROM user_profiles") == [(0,)]


@pytest.mark.parametrize(
    "changed",
    [CoachingProfile(stress_level="low"), CoachingProfile(dietary_preferences=DietaryPreferences(allergies=["kiwi"]))],
    ids=str,
)
async def test_a_reset_waits_for_a_change_of_the_profile_that_is_under_way(
    identity: Identity, admin: Admin, ada: Onboarder, changed: CoachingProfile
) -> None:
    await ada.finish()
    run(identity.database, "UPDATE users SET password_hash = %s", PASSWORD_HASH)
    await consent(ada)
    with psycopg.connect(identity.database.migrator_url) as owner:
        # Both are under way before either has the profile.
        owner.execute("SELECT 1 FROM user_profiles FOR UPDATE")
        changing = asyncio.create_task(Coached(identity.running, ada.caller).change(changed))
        await identity.database.has_waiting(1)
        resetting = asyncio.create_task(admin.reset(ada.user_id))
        await identity.database.has_waiting(2)
        owner.commit()
    assert (await changing).version == 2
    await resetting
    versions = run(identity.database, "SELECT version, valid_until IS NULL FROM user_profile_versions ORDER BY version")
    assert versions == [(1, False), (2, False)]


async def test_whom_there_is_nothing_to_reset_of(identity: Identity, admin: Admin, ada: Onboarder) -> None:
    await consent(ada)
    assert await reason(admin.reset(ada.user_id)) == "NOT_FOUND"
    assert await reason(admin.reset(str(uuid7()))) == "NOT_FOUND"
    await ada.save("welcome")
    error = await failure(admin.reset(ada.user_id, flow_version="7.7"))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "flow_version")
    assert await reason(admin.reset(ada.user_id, reason="")) == "INVALID_FIELD"
    assert (await ada.state()).current_step == 1


async def test_who_is_no_administrator_any_more_sees_and_resets_nothing(
    identity: Identity, admin: Admin, ada: Onboarder
) -> None:
    await ada.save("welcome")
    await consent(ada)
    run(identity.database, "UPDATE users SET role = 'user' WHERE role = 'admin'")
    for call in (admin.incomplete(), admin.reset(ada.user_id), admin.funnel()):
        assert await reason(call) == "SCOPE_MISSING"
    # The functions themselves answer nobody else.
    with psycopg.connect(identity.database.app_url) as app:
        app.execute("SELECT set_config('app.role', 'admin', true), set_config('app.actor_id', %s, true)", [admin.id])
        lists = "SELECT list_incomplete_onboardings('', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 10)"
        steps = "SELECT onboarding_step_figures('', '-infinity', 'infinity')"
        days = "SELECT onboarding_day_figures('', '-infinity', 'infinity')"
        strangers = "SELECT list_people_not_begun(NULL, 10)"
        for query in (lists, steps, days, strangers):
            assert app.execute(query).fetchall() == []
    assert (await ada.state()).current_step == 1


def moment(value: datetime) -> timestamp_pb2.Timestamp:
    made = timestamp_pb2.Timestamp()
    made.FromDatetime(value)
    return made


async def test_incomplete_onboardings_by_pages_and_filters(identity: Identity, admin: Admin) -> None:
    assert not (await admin.incomplete()).onboardings
    people = [await somebody(identity, f"person-{number}@example.com") for number in range(7)]
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for number, one in enumerate(people):
        await one.save_until(ORDER[1 + number % 3])
        # Two of them were last active at one moment.
        active = noon + DAY * (number // 2)
        run(
            identity.database,
            "UPDATE onboarding_states SET started_at = %s, last_activity_at = %s WHERE user_id = %s",
            noon,
            active,
            one.user_id,
        )
    run(identity.database, "UPDATE onboarding_states SET flow_version = '1.1' WHERE user_id = %s", people[0].user_id)
    complete, gone = people[5], people[6]
    run(identity.database, "UPDATE onboarding_states SET completed_at = now() WHERE user_id = %s", complete.user_id)
    run(
        identity.database,
        "UPDATE users SET deleted_at = now(), account_status = 'deleted' WHERE id = %s",
        gone.user_id,
    )
    left = sorted(people[:5], key=lambda one: (people.index(one) // 2, one.user_id), reverse=True)
    expected = [one.user_id for one in left]
    listed = (await admin.incomplete()).onboardings
    assert [each.user_id for each in listed] == expected
    first = next(each for each in listed if each.user_id == people[1].user_id)
    assert (first.email, first.current_step, list(first.completed_steps)) == ("person-1@example.com", 2, [0, 1])

    pages, token = [], ""
    while True:
        page = await admin.incomplete(page_size=2, page_token=token)
        pages.append([each.user_id for each in page.onboardings])
        token = page.next_page_token
        if not token:
            break
    assert pages == [expected[:2], expected[2:4], expected[4:]]

    async def ids(**asked: Any) -> set[str]:
        return {each.user_id for each in (await admin.incomplete(**asked)).onboardings}

    numbered = {number: one.user_id for number, one in enumerate(people)}
    assert await ids(flow_version="1.1") == {numbered[0]}
    assert await ids(flow_version="3.3") == set()
    assert await ids(current_step=1) == {numbered[0], numbered[3]}
    assert await ids(current_step=0) == set()
    assert await ids(active_from=moment(noon + DAY)) == {numbered[2], numbered[3], numbered[4]}
    assert await ids(active_until=moment(noon + DAY)) == {numbered[0], numbered[1]}
    assert await ids(started_from=moment(noon)) == set(expected)
    assert await ids(started_until=moment(noon)) == set()
    wrong = timestamp_pb2.Timestamp(seconds=2**40)
    assert await reason(admin.incomplete(started_from=wrong)) == "INVALID_FIELD"
    token = (await admin.incomplete(page_size=1)).next_page_token
    assert await reason(admin.incomplete(page_size=1, page_token=token, current_step=1)) == "INVALID_PAGE_TOKEN"


async def test_who_has_signed_up_and_not_begun(identity: Identity, admin: Admin) -> None:
    people = [await somebody(identity, f"person-{number}@example.com") for number in range(5)]
    await people[0].save("welcome")
    run(
        identity.database,
        "UPDATE users SET deleted_at = now(), account_status = 'deleted' WHERE id = %s",
        people[1].user_id,
    )
    # The administrator has not begun either.
    expected = sorted([admin.id, *(one.user_id for one in people[2:])], reverse=True)
    listed = (await admin.incomplete(not_begun=True)).onboardings
    assert [each.user_id for each in listed] == expected
    (last,) = (each for each in listed if each.user_id == people[4].user_id)
    assert (last.email, last.flow_version, last.HasField("started_at")) == ("person-4@example.com", "", False)
    assert last.HasField("signed_up_at")
    pages, token = [], ""
    while True:
        page = await admin.incomplete(not_begun=True, page_size=2, page_token=token)
        pages.append([each.user_id for each in page.onboardings])
        token = page.next_page_token
        if not token:
            break
    assert pages == [expected[:2], expected[2:]]
    token = (await admin.incomplete(not_begun=True, page_size=1)).next_page_token
    assert await reason(admin.incomplete(page_size=1, page_token=token)) == "INVALID_PAGE_TOKEN"
    await people[4].finish()
    await people[3].save("welcome")
    assert [each.user_id for each in (await admin.incomplete(not_begun=True)).onboardings] == [
        user_id for user_id in expected if user_id in (admin.id, people[2].user_id)
    ]
    error = await failure(admin.incomplete(not_begun=True, current_step=0, active_from=moment(datetime.now(UTC))))
    assert [violation.field for violation in error.violations] == ["current_step", "active_from"]


Clone = Callable[[str], ServiceDatabase]


def test_a_purpose_that_is_new_goes_with_its_migration(clone_database: Clone) -> None:
    database = clone_database("identity")
    insert = "INSERT INTO consents (id, user_id, purpose, version, given) VALUES (gen_random_uuid(), gen_random_uuid(),"
    run(database, f"{insert} 'onboarding_reset', '1', true)")
    with pytest.raises(psycopg.errors.CheckViolation):
        run(database, f"{insert} 'onboarding', '1', true)")
