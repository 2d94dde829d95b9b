"""What somebody else can do with a coaching profile: delegates, administrators, and everybody else."""

import pytest

from services.kit.caller import Caller
from tests.harness import reason, service
from tests.identity.coaching.coached import Coached, coached
from tests.identity.conftest import Identity
from tests.identity.factors import BY_PASSWORD
from tests.people import insert_person
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

CALM = CoachingProfile(stress_level="low")


@pytest.fixture
def carla(identity: Identity, ada: Coached) -> Coached:
    """Ada's coach."""
    return ada.delegate(insert_person(identity.database, "carla@example.com", role="coach"))


async def test_a_delegate_changes_a_profile_only_while_its_owner_has_unlocked_it(ada: Coached, carla: Coached) -> None:
    # Not with the owner's password either, which is not theirs to know or to try.
    for proof in (None, BY_PASSWORD):
        assert await reason(carla.change(CALM, proof=proof)) == "PROFILE_LOCKED"
    assert (await ada.read()).version == 1
    await ada.unlock()
    changed = await carla.change(CALM, proof=None)
    assert (changed.last_modified_by, changed.is_locked, changed.stress_level) == ("delegate", False, "low")
    version = (await ada.versions())[0]
    assert (version.changed_by, version.changed_by_id) == ("delegate", carla.caller.actor)
    await ada.lock()
    assert await reason(carla.change(CoachingProfile(stress_level="high"))) == "PROFILE_LOCKED"


async def test_what_is_the_owners_alone_no_delegate_does(carla: Coached) -> None:
    everything = carla.delegate(
        carla.caller.actor, "coaching_history.read", "coaching_history.write", "coaching_lock.write"
    )
    for delegate in (carla, everything):
        for call in (
            delegate.lock(),
            delegate.unlock(),
            delegate.roll_back(1),
            delegate.versions(),
            delegate.ask("GetProfileVersion"),
            delegate.ask("GetProfileAt"),
            delegate.ask("CompareProfileVersions"),
        ):
            assert await reason(call) == "SCOPE_MISSING"


async def test_a_delegate_who_may_read_does_not_write(ada: Coached, carla: Coached) -> None:
    await ada.unlock()
    reader = carla.delegate(carla.caller.actor, "coaching_profile.read")
    assert await reader.read() == await ada.read()
    assert await reason(reader.change(CALM)) == "SCOPE_MISSING"


async def test_an_administrator_reads_a_profile_and_its_owner_learns_of_it(identity: Identity, ada: Coached) -> None:
    admin = ada.admin(insert_person(identity.database, "admin@example.com", role="admin"))
    assert await admin.read() == await ada.read()
    seen = "SELECT actor_role, new_values ->> 'rpc' FROM audit_log WHERE user_id = %s AND action = 'READ'"
    rpc = "vitalis.identity.v1.CoachingProfileService/GetCoachingProfile"
    assert ada.sql(seen, ada.id) == [("admin", rpc)]
    for call in (admin.change(CALM), admin.lock(), admin.unlock(), admin.versions(), admin.ask("GetCoachingContext")):
        assert await reason(call) == "SCOPE_MISSING"


async def test_a_service_changes_a_profile_only_while_it_is_unlocked(ada: Coached) -> None:
    job = Coached(ada.running, service(ada.id))
    assert await reason(job.change(CALM, proof=None)) == "PROOF_REFUSED"
    await ada.unlock()
    assert (await job.change(CALM, proof=None)).last_modified_by == "system"


async def test_nobody_reaches_another_persons_profile(identity: Identity, ada: Coached) -> None:
    bert = await coached(identity.running, "bert@example.com")
    before = await ada.read()
    for call in (
        bert.ask("GetCoachingProfile", user_id=ada.id),
        bert.change(CALM, user_id=ada.id),
        bert.lock(user_id=ada.id),
        bert.unlock(user_id=ada.id),
        bert.roll_back(1, user_id=ada.id),
        bert.ask("ListProfileVersions", user_id=ada.id),
        bert.ask("GetProfileVersion", user_id=ada.id, version=1),
        bert.ask("GetProfileAt", user_id=ada.id),
        bert.ask("CompareProfileVersions", user_id=ada.id),
        bert.ask("GetCoachingContext", user_id=ada.id),
    ):
        assert await reason(call) == "SUBJECT_MISMATCH"
    pretender = Coached(ada.running, Caller(bert.id, ada.id, "user", frozenset({"*"}), "request-1"))
    assert await reason(pretender.read()) == "SCOPE_MISSING"
    assert await ada.read() == before


async def test_a_coach_who_is_erased_is_named_no_more_and_the_version_stays(ada: Coached, carla: Coached) -> None:
    await ada.unlock()
    await carla.change(CALM, proof=None)
    before = await ada.versions()
    ada.sql("DELETE FROM users WHERE id = %s", carla.caller.actor)
    after = await ada.versions()
    assert (after[0].changed_by, after[0].HasField("changed_by_id")) == ("delegate", False)
    assert (after[1:], after[0].change_reason) == (before[1:], before[0].change_reason)
