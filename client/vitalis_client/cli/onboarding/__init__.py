"""The command that takes a person from nothing to a locked coaching profile."""

import json as json_module
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vitalis_client.api import DEFAULT_URL, Vitalis
from vitalis_client.cli import account
from vitalis_client.cli.health import PANEL
from vitalis_client.cli.onboarding.interview import Answers, Back, Interview, Leave
from vitalis_client.cli.outline import outline
from vitalis_client.cli.terminal import (
    INTERRUPTED,
    Json,
    Url,
    clean,
    connect,
    hint,
    interrupted,
    print_json,
    say,
    stderr,
    usage,
)
from vitalis_client.cli.units import Units, preferred
from vitalis_client.contract.models import CoachingProfile, OnboardingFlow, OnboardingState, OnboardingStep
from vitalis_client.errors import Violation, VitalisError

DEVICE = "terminal"
# Fields of answers that say nothing to a person.
HIDDEN = frozenset({"id", "created_at", "updated_at", "is_locked", "acknowledged", "confirmed"})
CONFIRMATION = "confirmation"
# What is said to a device whose view of the onboarding is not that of now.
OVERTAKEN = frozenset({"ETAG_MISMATCH", "STEP_OUT_OF_SEQUENCE"})
HOW = "Enter keeps what is in brackets, - clears it, ? explains, back goes back, q leaves; your steps are kept."

# What can be done about an answer that the server refuses; of a step's only question, what that leaves.
CORRECT = "  Type another answer, - to clear it, or back to be asked the whole step again."
CORRECT_ONLY = "  Type another answer, back for the step before, or q to leave it for later."


def add_to(app: typer.Typer) -> None:
    app.command("onboard", rich_help_panel=PANEL)(onboard)


def onboard(
    answers: Annotated[
        Path | None,
        typer.Option(help="Answers as JSON, by the steps' names, in place of questions.", show_default=False),
    ] = None,
    url: Url = DEFAULT_URL,
    json: Json = False,
) -> None:
    """Answer the questions that your coaching profile is made of; stop and go on whenever and wherever you like."""
    with connect(url) as api:
        if answers is not None:
            profile = from_file(api, answers)
        elif account.interactive():
            profile = Walk(api, url).go()
        else:
            raise usage("there is no terminal to ask at: give --answers FILE")
        if profile is not None:
            say(f"your coaching profile is made, and locked; read it with: {hint('profile', url)}")
            if json:
                print_json(profile)


def from_file(api: Vitalis, path: Path) -> CoachingProfile | None:
    """Saves the steps that a file answers; locks the profile if it confirms."""
    try:
        given = json_module.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise usage(f"{path}: {error.strerror if isinstance(error, OSError) else 'is no JSON'}") from None
    if not isinstance(given, dict):
        raise usage(f"{path}: is no object of answers by the steps' names")
    state = api.onboarding.state()
    names = {step.name for step in api.onboarding.flow(state.flow_version).steps}
    if strange := sorted(set(given) - names):
        raise usage(f"{path}: there is no step {clean(strange[0])}; there are {', '.join(sorted(names))}")
    for saved in api.onboarding.save_all(given, device_type=DEVICE):
        state = saved.state
    if CONFIRMATION in given:
        return api.coaching.lock()
    say(f"saved; {progress(state)}")
    return None


def progress(state: OnboardingState) -> str:
    """How far somebody has come, and what is missing."""
    missing = ", ".join(clean(step.name).replace("_", " ") for step in state.missing)
    return f"{state.progress_pct:.0f} % done" + (f", missing: {missing}" if missing else "")


class Walk:
    """One person's way through the steps at a terminal."""

    def __init__(self, api: Vitalis, url: str) -> None:
        self._api = api
        self._url = url
        self._units: Units = preferred(api.preferences())
        self._interview = Interview(self._units, account.line, say)
        self._state = api.onboarding.state()
        self._flow: OnboardingFlow = api.onboarding.flow(self._state.flow_version)
        # What was typed for a step and is not saved yet.
        self._typed: dict[str, Answers] = {}
        self._shown_at = time.monotonic()

    def go(self) -> CoachingProfile | None:
        """Asks until the profile is locked, or the person leaves: None then."""
        self._refuse_complete()
        say(HOW)
        if self._state.reset_reason:
            say(f"An administrator had you begin anew: {clean(self._state.reset_reason)}")
        if self._state.completed_steps:
            say(f"Welcome back: {progress(self._state)}.")
        try:
            profile = None if self._state.missing else self._lock()
            while profile is None:
                profile = self._step()
        except (Leave, KeyboardInterrupt, typer.Abort) as stopped:
            say(f"\n{progress(self._state)}; go on here or on another machine with: {hint('onboard', self._url)}")
            raise typer.Exit(INTERRUPTED if interrupted(stopped) else 0) from None
        return profile

    def _refuse_complete(self) -> None:
        if self._state.completed_at:
            raise usage(f"your onboarding is complete; change what you answered with: {hint('profile set', self._url)}")

    def _step(self) -> CoachingProfile | None:
        """Asks for the step that the person is at, saves it, and locks the profile after the last one."""
        step = self._flow.steps[self._state.current_step]
        answers = self._typed.get(step.name) or self._saved(step.name)
        self._shown_at = time.monotonic()
        say("")
        stderr().print(f"{step.step + 1} of {len(self._flow.steps)}  {clean(step.title)}", style="bold", markup=False)
        say(clean(step.text))
        if step.name == CONFIRMATION:
            self._show_answers()
        try:
            self._interview.all(step.fields, answers)
            return self._save(step, answers)
        except Back:
            self._typed[step.name] = answers
            self._go_back(step)
            return None

    def _saved(self, name: str) -> Answers:
        """What was answered to a step before."""
        section = getattr(self._state.answers, name, None)
        return section.model_dump(mode="json", exclude_none=True) if section else {}

    def _save(self, step: OnboardingStep, answers: Answers) -> CoachingProfile | None:
        while True:
            try:
                saved = self._api.onboarding.save(
                    step.step,
                    {step.name: answers},
                    etag=self._state.etag,
                    device_type=DEVICE,
                    seconds_shown=int(time.monotonic() - self._shown_at),
                )
                break
            except VitalisError as error:
                self._typed[step.name] = answers
                if error.reason in OVERTAKEN:
                    self._catch_up()
                    return None
                if not error.violations:
                    raise
                self._ask_again(step, answers, error.violations)
        self._typed.pop(step.name, None)
        self._state = saved.state
        return self._lock() if saved.next_step is None else None

    def _ask_again(self, step: OnboardingStep, answers: Answers, violations: Sequence[Violation]) -> None:
        """Shows what is wrong and asks for just that; for the whole step where no question is to blame."""
        inner = [Violation(within(broken.field, step.name), broken.description) for broken in violations]
        for broken in inner:
            say(f"  {clean(broken.field or step.name)}: {clean(broken.description)}")
        say(CORRECT if len(step.fields) > 1 else CORRECT_ONLY)
        try:
            if self._interview.again(step.fields, answers, inner):
                return
        except Back:
            if len(step.fields) == 1:
                raise
        self._interview.all(step.fields, answers)

    def _lock(self) -> CoachingProfile | None:
        """Ends the onboarding; what the server still misses is shown, and asked for next."""
        try:
            return self._api.coaching.lock()
        except VitalisError as error:
            if error.reason != "ONBOARDING_INCOMPLETE":
                raise
            for broken in error.violations:
                say(f"  {clean(broken.field)}: {clean(broken.description)}")
            self._state = self._api.onboarding.state()
            return None

    def _go_back(self, step: OnboardingStep) -> None:
        if step.step == 0:
            say("this is the first step")
            return
        try:
            self._state = self._api.onboarding.go_back(step.step - 1, etag=self._state.etag).state
        except VitalisError as error:
            if error.reason not in OVERTAKEN:
                raise
            self._catch_up()

    def _catch_up(self) -> None:
        self._state = self._api.onboarding.state()
        self._refuse_complete()
        say("another device has saved meanwhile; this is how it stands now")
        if self._state.flow_version != self._flow.version:
            # It was begun anew, in a flow whose steps are others.
            self._flow = self._api.onboarding.flow(self._state.flow_version)

    def _show_answers(self) -> None:
        for step in self._flow.steps:
            if lines := list(outline(self._saved(step.name), self._units, HIDDEN, depth=1)):
                say(clean(step.title))
                for line in lines:
                    say(line)


def within(path: str, step: str) -> str:
    """A path of the request, `answers.goals.goals[0].target_date`, as one within the step's answers."""
    for prefix in ("answers", step):
        path = "" if path == prefix else path.removeprefix(f"{prefix}.")
    return path
