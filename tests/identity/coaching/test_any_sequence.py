"""Whatever is done to a coaching profile, in any order, its versions tell all of it."""

import asyncio
import itertools
from collections.abc import Coroutine
from typing import Any, ClassVar

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from services.identity.coaching_profile.changes import archive
from services.kit.caller import calling
from services.kit.database import uuid7
from tests.identity.coaching.coached import Coached, a_profile, coached, sending
from tests.identity.conftest import Identity
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

LEVELS = st.sampled_from(["low", "medium", "high"])
CHANGES = st.one_of(
    st.builds(lambda level: sending(stress_level=level), LEVELS),
    st.builds(lambda level: sending(energy_level=level), LEVELS),
    st.builds(lambda target: sending(meal_plan={"daily_calories_target": target}), st.integers(1960, 2040)),
    st.builds(
        lambda names: sending(dietary_preferences={"dislikes": names}), st.lists(st.sampled_from("abc"), unique=True)
    ),
    st.builds(
        lambda codes: sending(
            constraints=[{"constraint_type": "equipment", "available_equipment": [code]} for code in codes]
        ),
        st.lists(st.sampled_from(["barbell", "bench"]), min_size=1, max_size=2),
    ),
    st.builds(
        lambda tone: sending(hydration_preferences={"reminder_tone": tone}), st.sampled_from(["gentle", "minimal"])
    ),
)


class AnySequence(RuleBasedStateMachine):
    """One person's profile against what was read after each change."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    identity: ClassVar[Identity]

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    @initialize()
    def begin(self) -> None:
        self.ada: Coached = self.run(coached(self.identity.running, f"{uuid7()}@example.com"))
        # By version, the profile as it was read then; the archived ones by when they ended.
        self.read: dict[int, CoachingProfile] = {}
        self.ended: set[int] = set()
        self.look()

    def look(self) -> None:
        profile = self.run(self.ada.read())
        assert self.read.setdefault(profile.version, profile) == profile
        self.current = profile

    @rule(change=CHANGES)
    def edit(self, change: CoachingProfile) -> None:
        assert self.run(self.ada.change(change)).version in (self.current.version, self.current.version + 1)
        self.look()

    @rule()
    def lock(self) -> None:
        self.run(self.ada.lock())
        self.look()

    @rule()
    def unlock(self) -> None:
        self.run(self.ada.unlock())
        self.look()

    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(sorted(self.read)))
        self.run(self.ada.roll_back(target))
        self.look()
        differences = self.run(
            self.ada.ask("CompareProfileVersions", from_version=target, to_version=self.current.version)
        ).differences
        assert {difference.field for difference in differences} <= {"is_locked"}

    @rule()
    def archive_and_begin_again(self) -> None:
        async def work() -> None:
            with calling(self.ada.caller):
                async with self.ada.running.pool.transaction() as connection:
                    await archive(connection, self.ada.id)
            await self.ada.make(a_profile())

        self.ended.add(self.current.version)
        self.run(work())
        self.look()

    @invariant()
    def versions_tell_it(self) -> None:
        versions = list(reversed(self.run(self.ada.versions())))
        assert [version.version for version in versions] == list(range(1, len(versions) + 1)) == sorted(self.read)
        assert [version.version for version in versions if not version.HasField("valid_until")] == [len(versions)]
        for earlier, later in itertools.pairwise(versions):
            start, until, following = (
                moment.ToMicroseconds() for moment in (earlier.valid_from, earlier.valid_until, later.valid_from)
            )
            assert start < until <= following
            assert until == following or earlier.version in self.ended
        for version in versions:
            assert version.valid_from == self.read[version.version].updated_at

    @invariant()
    def every_version_is_what_was_read(self) -> None:
        newest = max(self.read)
        for number in {1, newest, max(1, newest - 1)}:
            profile = self.read[number]
            assert self.run(self.ada.ask("GetProfileVersion", version=number)).profile_version.profile == profile
            found = self.run(self.ada.ask("GetProfileAt", time=profile.updated_at)).profile_version
            assert (found.version, found.profile) == (number, profile)
            if number > 1 and number - 1 not in self.ended:
                before = Timestamp()
                before.FromMicroseconds(profile.updated_at.ToMicroseconds() - 1)
                assert self.run(self.ada.ask("GetProfileAt", time=before)).profile_version.version == number - 1


async def test_any_sequence_of_changes_is_told_by_its_versions(identity: Identity) -> None:
    class OfThisTest(AnySequence):
        loop = asyncio.get_running_loop()

    OfThisTest.identity = identity
    few = settings(max_examples=6, stateful_step_count=10, deadline=None)
    await asyncio.to_thread(run_state_machine_as_test, OfThisTest, settings=few)
