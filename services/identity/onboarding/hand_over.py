"""Hands somebody's first lifestyle baseline over to tracking: by a job, once, however often it is tried."""

from collections.abc import Mapping
from typing import Any

import grpc
import sqlalchemy as sa

from services.identity.onboarding.answers import compose, from_text
from services.identity.onboarding.definitions import Flows
from services.identity.onboarding.outcome import LIFESTYLE_BASELINE
from services.identity.onboarding.store import opened
from services.identity.onboarding.tables import onboarding_hand_overs as hand_overs
from services.identity.users import timestamp, users
from services.kit.database import Database
from services.kit.errors import from_rpc_error
from services.kit.jobs import Jobs, Task
from services.kit.vault import wrapped_key
from vitalis.tracking.v1 import wellbeing_pb2, wellbeing_pb2_grpc

TRACKING = "tracking"
# The wait doubles from seconds to more than a day.
ATTEMPTS = 18
THIS_ONE = (
    hand_overs.c.user_id == sa.bindparam("subject", type_=sa.Uuid(as_uuid=False)),
    hand_overs.c.id == sa.bindparam("onboarding_id", type_=sa.Uuid(as_uuid=False)),
)
FIND = sa.select(
    hand_overs.c.id, hand_overs.c.answers, hand_overs.c.flow_version, hand_overs.c.completed_at, wrapped_key()
).where(
    *THIS_ONE,
    # Of somebody who is being erased tracking has nothing any more.
    sa.exists().where(users.c.id == hand_overs.c.user_id, users.c.deleted_at.is_(None)),
)
FORGET = sa.delete(hand_overs).where(*THIS_ONE)


class HandOver:
    """The job, which is the only one that speaks to tracking."""

    def __init__(self, database: Database, flows: Flows, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._database = database
        self._flows = flows
        self._channels = channels

    def declare(self, jobs: Jobs) -> Task:
        return jobs.job("hand_over_lifestyle_baseline", attempts=ATTEMPTS)(self.run)

    async def run(self, user_id: str, onboarding_id: str) -> None:
        """Has tracking store the baseline, under the onboarding's id; then forgets it here. Raises ServiceError."""
        mine = {"subject": user_id, "onboarding_id": onboarding_id}
        async with self._database.transaction() as connection:
            row = (await connection.execute(FIND, mine)).one_or_none()
        if row is None:
            return
        baseline = self._baseline(row, user_id)
        if TRACKING not in self._channels:
            raise RuntimeError("a lifestyle baseline waits for tracking, which the setting services does not name")
        stub = wellbeing_pb2_grpc.WellbeingServiceStub(self._channels[TRACKING])
        request = wellbeing_pb2.RecordLifestyleBaselineRequest(
            user_id=user_id, baseline_id=onboarding_id, lifestyle_baseline=baseline
        )
        try:
            await stub.RecordLifestyleBaseline(request)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        async with self._database.transaction() as connection:
            await connection.execute(FORGET, mine)

    def _baseline(self, row: Any, user_id: str) -> wellbeing_pb2.LifestyleBaseline:
        flow = self._flows.get(row.flow_version) or self._flows.default
        stored = opened(hand_overs.c.answers, row.answers, row.id, user_id, row.wrapped_key, self._database.vault)
        answers = from_text(stored)
        baseline: wellbeing_pb2.LifestyleBaseline = compose(flow, answers, LIFESTYLE_BASELINE)
        baseline.recorded_at.CopyFrom(timestamp(row.completed_at))
        return baseline
