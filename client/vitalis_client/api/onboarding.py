"""The way from signing up to a coaching profile, as Python: `Vitalis.onboarding`."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import (
    GoBackInOnboardingResponse,
    OnboardingFlow,
    OnboardingState,
    SaveOnboardingStepResponse,
)

# What the server takes; whoever was away for a day has not read for so long.
MOST_SECONDS_SHOWN = 86400


class Onboarding(Area):
    """What is asked, what was answered, and what is missing.

    It ends with `Vitalis.coaching.lock()`. Methods raise VitalisError, as those of Vitalis do.
    """

    def state(self) -> OnboardingState:
        """How far one has come; the beginning of the default flow for somebody who has not begun."""
        return self._http.get(routes.GET_ONBOARDING_STATE)

    def flow(self, version: str) -> OnboardingFlow:
        """What a version of the flow asks, step by step. NOT_FOUND."""
        return self._http.get(routes.GET_ONBOARDING_FLOW, version=version)

    def flows(self) -> list[OnboardingFlow]:
        """The versions that there are, without their steps."""
        return self._http.get(routes.GET_ONBOARDING_FLOWS).flows

    def save(
        self, step: int, answers: Mapping[str, Any], *, etag: str = "", device_type: str = "", seconds_shown: int = 0
    ) -> SaveOnboardingStepResponse:
        """Saves a step: `save(1, {"fitness_experience": {"fitness_level": "beginner"}})`.

        With the state's `etag` only if no other device has saved since: ETAG_MISMATCH. `seconds_shown` is how long
        the step was on the screen.
        STEP_OUT_OF_SEQUENCE, ONBOARDING_COMPLETED.
        """
        body: dict[str, Any] = {"step": step, "answers": dict(answers), "request_id": str(uuid.uuid4())}
        if etag:
            body["etag"] = etag
        if device_type:
            body["device_type"] = device_type
        if seconds_shown:
            body["seconds_shown"] = min(seconds_shown, MOST_SECONDS_SHOWN)
        return self._http.call(routes.SAVE_ONBOARDING_STEP, {}, repeat=True, json=body)

    def go_back(self, step: int, *, etag: str = "") -> GoBackInOnboardingResponse:
        """Goes to a step that was saved before; nothing that was answered is lost. STEP_OUT_OF_SEQUENCE."""
        return self._http.post(routes.GO_BACK_IN_ONBOARDING, {"step": step, **({"etag": etag} if etag else {})})

    def save_all(self, answers: Mapping[str, Any], *, device_type: str = "") -> Iterator[SaveOnboardingStepResponse]:
        """Saves every step that `answers` has, by the steps' names, in the order of the flow."""
        state = self.state()
        for step in self.flow(state.flow_version).steps:
            if step.name in answers:
                yield self.save(step.step, {step.name: answers[step.name]}, device_type=device_type)
