"""Onboarding: three steps and a confirmation."""

from typing import Any

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import NOW, USER, USER_ID, Base, Place, refuse, reply
from vitalis.identity.v1 import onboarding_pb2

LIGHT = "answers.goals.goals[0].target_weight_kg"


def asked(name: str, type_: str, **values: Any) -> onboarding_pb2.OnboardingField:
    return onboarding_pb2.OnboardingField(name=name, path=name, type=type_, question=f"{name}?", **values)


def the_flow() -> onboarding_pb2.OnboardingFlow:
    goal = asked(
        "goals",
        "group",
        repeated=True,
        fields=[
            asked("goal_type", "choice", required=True, allowed_values=["primary", "secondary"]),
            asked("target_weight_kg", "number", minimum=20, maximum=500),
        ],
    )
    steps = {
        "welcome": [asked("acknowledged", "boolean", required=True)],
        "goals": [asked("primary_goal", "choice", required=True, allowed_values=["fat_loss", "strength"]), goal],
        "health_profile": [asked("height_cm", "number", minimum=50, maximum=300)],
        "confirmation": [asked("confirmed", "boolean", required=True)],
    }
    flow = onboarding_pb2.OnboardingFlow(version="1.0", is_default=True)
    for number, (name, fields) in enumerate(steps.items()):
        flow.steps.add(step=number, name=name, title=f"Step {name}", text=f"About {name}.", fields=fields)
    return flow


class Onboarding(Base):
    """One person's way through the flow; a goal below 40 kg is refused, and so is no confirmation."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = the_flow()
        self.state = onboarding_pb2.OnboardingState(user_id=USER_ID, flow_version="1.0", etag="1")
        self.state.answers.SetInParent()
        self.step_devices: list[str] = []
        self.seconds_shown: list[int] = []
        self._arrive()

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", "/api/v1/onboarding/step", self.save_step),
            ("GET", "/api/v1/onboarding/flows/{version}", self.get_flow),
            ("GET", "/api/v1/onboarding/flows", self.list_flows),
            ("GET", USER + "/onboarding/state", self.get_state),
            ("POST", USER + "/onboarding:goBack", self.go_back),
        ]

    def _arrive(self, at: int | None = None) -> None:
        """Goes to a step, or to the first that is not done, as another device would."""
        state = self.state
        left = [step for step in self.flow.steps if step.step not in state.completed_steps]
        there = self.flow.steps[at] if at is not None else left[0] if left else self.flow.steps[-1]
        state.current_step, state.current_step_name = there.step, there.name
        del state.missing[:]
        for step in left:
            state.missing.add(step=step.step, name=step.name)
        state.progress_pct = 100 * len(state.completed_steps) / len(self.flow.steps)
        state.etag = str(int(state.etag) + 1)

    async def get_state(self, request: Request) -> Response:
        return reply(self.state)

    async def get_flow(self, request: Request) -> Response:
        if request.path_params["version"] != self.flow.version:
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such flow")
        return reply(self.flow)

    async def list_flows(self, request: Request) -> Response:
        flow = onboarding_pb2.OnboardingFlow(version=self.flow.version, is_default=True)
        return reply(onboarding_pb2.GetOnboardingFlowsResponse(flows=[flow]))

    async def save_step(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), onboarding_pb2.SaveOnboardingStepRequest())
        self.step_devices.append(body.device_type)
        self.seconds_shown.append(body.seconds_shown)
        if body.etag and body.etag != self.state.etag:
            return refuse(409, "ABORTED", "ETAG_MISMATCH", "it has changed meanwhile")
        if body.step not in (*self.state.completed_steps, self.state.current_step):
            return refuse(400, "FAILED_PRECONDITION", "STEP_OUT_OF_SEQUENCE", "another step comes first")
        broken = {}
        if any(0 < goal.target_weight_kg < 40 for goal in body.answers.goals.goals):
            broken[LIGHT] = "is too light"
        if body.answers.HasField("confirmation") and not body.answers.confirmation.confirmed:
            broken["answers.confirmation"] = "has to be confirmed"
        if broken:
            text = "; ".join(f"{name}: {rule}" for name, rule in broken.items())
            return refuse(400, "INVALID_ARGUMENT", "INVALID_FIELD", text, broken)
        name = self.flow.steps[body.step].name
        self.state.answers.ClearField(name)  # type: ignore[arg-type]
        self.state.answers.MergeFrom(body.answers)
        if body.step not in self.state.completed_steps:
            self.state.completed_steps.append(body.step)
        self._arrive()
        answer = onboarding_pb2.SaveOnboardingStepResponse(state=self.state)
        if self.state.missing:
            answer.next_step.CopyFrom(self.flow.steps[self.state.current_step])
        return reply(answer)

    async def go_back(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), onboarding_pb2.GoBackInOnboardingRequest())
        assert body.etag == self.state.etag
        self._arrive(body.step)
        answer = onboarding_pb2.GoBackInOnboardingResponse(state=self.state)
        answer.next_step.CopyFrom(self.flow.steps[body.step])
        return reply(answer)

    def begin_anew(self, version: str) -> None:
        """Begins the onboarding again in another flow, without the welcome, as an administrator's reset does."""
        self.flow.version = self.state.flow_version = version
        del self.flow.steps[0]
        for number, step in enumerate(self.flow.steps):
            step.step = number
        self.state.completed_steps.clear()
        self.state.answers.Clear()
        self._arrive()

    def complete(self) -> None:
        """Ends the onboarding, as locking the profile does."""
        self.state.etag = str(int(self.state.etag) + 1)
        self.state.completed_at.FromDatetime(NOW)
        self.state.answers.Clear()
