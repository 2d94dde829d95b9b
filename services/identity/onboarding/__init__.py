"""Onboarding: the steps from signing up to a coaching profile.

`definitions.py` and `fields.py` read the flows, `answers.py` holds answers
against them, `store.py` keeps them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc

from services.identity.base import IDEMPOTENCY_KEYS
from services.identity.onboarding.answers import SECTIONS, assess, with_section
from services.identity.onboarding.definitions import Flows, Step
from services.identity.onboarding.store import FIND, Onboarding, lock, read, refuse_completed, write
from services.kit.caller import current
from services.kit.database import Database
from services.kit.errors import ServiceError, Violation, all_wrong, invalid, not_found
from services.kit.idempotency import once
from services.kit.interceptor import also_wrong
from services.kit.vault import vault_of
from vitalis.identity.v1 import onboarding_pb2 as pb
from vitalis.identity.v1 import onboarding_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class OnboardingServicer(onboarding_pb2_grpc.OnboardingServiceServicer):
    def __init__(self, database: Database, flows: Flows) -> None:
        self._database = database
        self._flows = flows

    async def _wrong(self, request: pb.SaveOnboardingStepRequest) -> list[Violation]:
        """All that is wrong with a step. Raises NOT_FOUND, STEP_OUT_OF_SEQUENCE, ONBOARDING_COMPLETED."""
        user_id = current().subject
        rows = await self._database.fetch(FIND, {"user_id": user_id})
        if not rows:
            raise not_found("person")
        onboarding = read(rows[0], user_id, self._flows, self._database.vault)
        refuse_completed(onboarding)
        _, _, wrong = _answered(onboarding, _reached(onboarding, request.step), request.answers)
        return wrong

    @also_wrong(_wrong)
    async def SaveOnboardingStep(
        self, request: pb.SaveOnboardingStepRequest, context: Context
    ) -> pb.SaveOnboardingStepResponse:
        """The state, and the step to answer next.

        Raises NOT_FOUND, ETAG_MISMATCH, STEP_OUT_OF_SEQUENCE, ONBOARDING_COMPLETED, and INVALID_FIELD with all that
        is wrong with the step.
        """
        user_id = current().subject
        async with self._database.transaction() as connection:

            async def work() -> pb.SaveOnboardingStepResponse:
                onboarding = await lock(connection, user_id, self._flows, request.etag)
                refuse_completed(onboarding)
                step = _reached(onboarding, request.step)
                answers, missing, wrong = _answered(onboarding, step, request.answers)
                if wrong:
                    raise all_wrong("INVALID_FIELD", wrong)
                after = await write(
                    connection,
                    onboarding,
                    answers,
                    missing,
                    saved=step,
                    device_type=request.device_type,
                    seconds_shown=request.seconds_shown,
                )
                following = after.next_step
                return pb.SaveOnboardingStepResponse(
                    state=after.message(), next_step=following.definition if following else None
                )

            # The answer that is kept for a repeat tells what was answered, so it is as secret.
            key = await vault_of(connection).key(connection) if request.request_id else None
            return await once(connection, IDEMPOTENCY_KEYS, request, pb.SaveOnboardingStepResponse, work, key)

    async def GetOnboardingState(
        self, request: pb.GetOnboardingStateRequest, context: Context
    ) -> pb.GetOnboardingStateResponse:
        """How far the person has come. Raises NOT_FOUND once they are deleted."""
        rows = await self._database.fetch(FIND, {"user_id": request.user_id})
        if not rows:
            raise not_found("person")
        onboarding = read(rows[0], request.user_id, self._flows, self._database.vault)
        return pb.GetOnboardingStateResponse(state=onboarding.message())

    async def GoBackInOnboarding(
        self, request: pb.GoBackInOnboardingRequest, context: Context
    ) -> pb.GoBackInOnboardingResponse:
        """The state, at the step. Raises NOT_FOUND, ETAG_MISMATCH, STEP_OUT_OF_SEQUENCE, ONBOARDING_COMPLETED."""
        async with self._database.transaction() as connection:
            onboarding = await lock(connection, request.user_id, self._flows, request.etag)
            refuse_completed(onboarding)
            step = _reached(onboarding, request.step)
            if onboarding.id and step is not onboarding.current_step:
                onboarding = await write(
                    connection, onboarding, onboarding.answers, onboarding.missing, chosen_step=step.number
                )
            return pb.GoBackInOnboardingResponse(state=onboarding.message(), next_step=step.definition)

    async def GetOnboardingFlow(
        self, request: pb.GetOnboardingFlowRequest, context: Context
    ) -> pb.GetOnboardingFlowResponse:
        """A flow with its steps. Raises NOT_FOUND."""
        flow = self._flows.get(request.version)
        if flow is None:
            raise not_found("onboarding flow")
        return pb.GetOnboardingFlowResponse(flow=flow.message(is_default=flow is self._flows.default))

    async def GetOnboardingFlows(
        self, request: pb.GetOnboardingFlowsRequest, context: Context
    ) -> pb.GetOnboardingFlowsResponse:
        """Every flow, the newest first, without its steps."""
        return pb.GetOnboardingFlowsResponse(
            flows=[
                pb.OnboardingFlow(version=flow.version, is_default=flow is self._flows.default)
                for flow in self._flows.newest_first
            ]
        )


def _reached(onboarding: Onboarding, number: int) -> Step:
    """The step of that number. Raises STEP_OUT_OF_SEQUENCE if an earlier one is to be done first."""
    steps, following = onboarding.flow.steps, onboarding.next_step
    if number >= len(steps):
        raise invalid("step", f"must be at most {len(steps) - 1}")
    if following and number > following.number:
        raise ServiceError(
            "STEP_OUT_OF_SEQUENCE",
            f"step: {following.name} is to be answered first",
            metadata={"expected_step": str(following.number), "expected_step_name": following.name},
        )
    return steps[number]


def _answered(
    onboarding: Onboarding, step: Step, given: pb.OnboardingAnswers
) -> tuple[pb.OnboardingAnswers, Mapping[int, Sequence[Violation]], list[Violation]]:
    """All answers with those to the step, what is missing then, and everything that is wrong with the step."""
    wrong = [
        Violation(f"answers.{name}", f"is not of step {step.number}, {step.name}")
        for name in SECTIONS
        if name != step.name and given.HasField(name)  # type: ignore[arg-type]
    ]
    answers = with_section(onboarding.answers, step.name, given)
    missing = assess(onboarding.flow, answers)
    if not given.HasField(step.name) and not step.definition.optional:  # type: ignore[arg-type]
        wrong.append(Violation(f"answers.{step.name}", "is required"))
    else:
        wrong += [Violation(f"answers.{each.field}", each.description) for each in missing.get(step.number, ())]
    return answers, missing, wrong
