"""The end of an onboarding: everything that was answered becomes what it was asked for, all of it or nothing."""

from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity.coaching_profile import changes, store
from services.identity.health_profile.profile import write_health_profile
from services.identity.onboarding.answers import compose, only, to_text
from services.identity.onboarding.definitions import CONFIRMATION, Flows
from services.identity.onboarding.outcome import COACHING_PROFILE, HEALTH_PROFILE, LIFESTYLE_BASELINE
from services.identity.onboarding.store import SUBJECT, Onboarding, lock, note_steps, seal
from services.identity.onboarding.tables import onboarding_hand_overs, onboarding_states
from services.identity.users import users
from services.kit.database import changed_at
from services.kit.errors import ServiceError
from services.kit.jobs import Jobs, Task
from vitalis.identity.v1.coaching_profile_pb2 import CoachingProfile

REASON = "the onboarding was confirmed"


@dataclass(frozen=True)
class Confirmation:
    """Makes profiles of onboardings. `hand_over` is the job that tells tracking (hand_over.py)."""

    flows: Flows
    jobs: Jobs
    hand_over: Task

    async def confirm(self, connection: AsyncConnection, user_id: str) -> CoachingProfile:
        """The coaching profile of the transaction's subject, who has none yet, made of their answers and locked.

        Raises NOT_FOUND for nobody, ONBOARDING_INCOMPLETE with everything that is
        missing, and EMAIL_UNVERIFIED.
        """
        onboarding = await lock(connection, user_id, self.flows)
        if onboarding.completed_at:
            # Another device has confirmed while this one waited.
            return (await store.lock(connection)).profile
        if onboarding.id is None or onboarding.missing:
            raise incomplete(onboarding)
        flow, answers = onboarding.flow, onboarding.answers
        profile = await changes.create(connection, compose(flow, answers, COACHING_PROFILE), REASON)
        body = compose(flow, answers, HEALTH_PROFILE)
        if body.ListFields():
            await write_health_profile(connection, user_id, body, [])
        await self._complete(connection, onboarding, onboarding.id)
        return profile

    async def _complete(self, connection: AsyncConnection, onboarding: Onboarding, row_id: UUID) -> None:
        # As in store.py: the onboarding may have begun after this transaction.
        now = sa.func.greatest(sa.func.now(), onboarding_states.c.started_at)
        complete = (
            sa.update(onboarding_states)
            .where(SUBJECT)
            .values(
                # What was answered is in the profiles now.
                step_data=None,
                flow_version=onboarding.flow.version,
                completed_at=now,
                last_activity_at=now,
                updated_at=changed_at(onboarding_states),
            )
            .returning(onboarding_states.c.completed_at)
        )
        completed_at = (await connection.execute(complete, {"subject": onboarding.user_id})).scalar_one()
        rest = only(onboarding.flow, onboarding.answers, LIFESTYLE_BASELINE)
        waiting = {
            "id": row_id,
            "user_id": UUID(onboarding.user_id),
            "answers": await seal(connection, onboarding_hand_overs.c.answers, row_id, to_text(rest)),
            "flow_version": onboarding.flow.version,
            "completed_at": completed_at,
        }
        await connection.execute(sa.insert(onboarding_hand_overs).values(waiting))
        person = sa.update(users).where(users.c.id == onboarding.user_id)
        await connection.execute(person.values(onboarding_completed_at=sa.func.now(), updated_at=changed_at(users)))
        last = onboarding.flow.by_name[CONFIRMATION]
        await note_steps(connection, onboarding.user_id, row_id, onboarding.flow, [(last, True)])
        whose = {"user_id": onboarding.user_id, "onboarding_id": str(row_id)}
        await self.jobs.defer(connection, self.hand_over, lock=f"onboarding:{row_id}", **whose)


def incomplete(onboarding: Onboarding) -> ServiceError:
    """The error that names everything that is missing, by its path from the answers."""
    missing = [each for number in sorted(onboarding.missing) for each in onboarding.missing[number]]
    first = onboarding.flow.steps[min(onboarding.missing)]
    return ServiceError(
        "ONBOARDING_INCOMPLETE",
        f"the onboarding is not complete: {first.name} is next",
        violations=missing,
        metadata={"expected_step": str(first.number), "expected_step_name": first.name},
    )
