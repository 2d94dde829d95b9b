"""Onboarding: the SDK, and `vitalis onboard`."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from google.protobuf import json_format
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.base import Fault
from tests.client.terminal import at_a_terminal
from vitalis_client import Vitalis, VitalisError
from vitalis_client.cli import account, app, onboarding

Run = Callable[..., Result]
GOALS = {"primary_goal": "strength", "goals": [{"goal_type": "primary", "target_weight_kg": 70}]}
ANSWERS = {
    "welcome": {"acknowledged": True},
    "goals": GOALS,
    "health_profile": {},
    "confirmation": {"confirmed": True},
}
# What somebody types who answers everything: the goal in pounds.
ALL = ["y", "2", "y", "primary", "154", "", "5'10\"", "y"]


@pytest.fixture(autouse=True)
def logged_in(api: Vitalis, server: Server) -> None:
    assert server.settings.weight_unit == "lbs"


@pytest.fixture
def run(server: Server, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis onboard …`, with somebody at a terminal if `typed` is given."""
    monkeypatch.setenv("VITALIS_URL", server.url)

    def onboard(*arguments: str, typed: list[str] | None = None) -> Result:
        monkeypatch.setattr(account, "interactive", lambda: typed is not None)
        lines = "".join(f"{line}\n" for line in typed or [])
        return CliRunner().invoke(app, ["onboard", *arguments], input=lines)

    return onboard


def test_from_the_welcome_to_a_locked_profile(run: Run, server: Server) -> None:
    done = run(typed=ALL)
    assert done.exit_code == 0, done.stderr
    assert server.profile.is_locked
    (goal,) = server.profile.goals
    assert (server.profile.primary_goal, goal.goal_type, goal.target_weight_kg) == ("strength", "primary", 69.85)
    assert server.step_devices == ["terminal"] * 4
    assert "1 of 4  Step welcome\nAbout welcome.\n" in done.stderr
    # What is confirmed is shown before it is, in the person's units.
    assert "Step goals\n  Primary goal  strength\n  Goals\n" in done.stderr
    assert "    [0] goal type primary; target weight 154 lbs\n" in done.stderr
    assert "  Height  5 ft 10 in\n" in done.stderr
    assert done.stderr.endswith("your coaching profile is made, and locked; read it with: vitalis profile\n")
    again = run(typed=[])
    assert again.exit_code == 2
    assert "your onboarding is complete; change what you answered with: vitalis profile set" in again.stderr


def test_it_says_how_long_a_step_was_on_the_screen(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    # A clock that goes on by half a minute whenever somebody looks at it.
    monkeypatch.setattr(onboarding, "time", SimpleNamespace(monotonic=count(1000, 30).__next__))
    assert run(typed=ALL).exit_code == 0
    assert server.seconds_shown == [30] * 4


def test_who_was_away_for_days_has_not_read_for_so_long(api: Vitalis, server: Server) -> None:
    api.onboarding.save(0, {"welcome": {"acknowledged": True}}, seconds_shown=10**9)
    assert server.seconds_shown == [86400]


def test_why_somebody_begins_anew_is_shown(run: Run, server: Server) -> None:
    server.state.reset_reason = "the plan was another person's"
    done = run(typed=["y", "q"])
    assert "An administrator had you begin anew: the plan was another person's\n" in done.stderr


@pytest.mark.parametrize(("answered", "leaving"), [*((count, "q") for count in range(1, len(ALL))), (4, None)])
def test_it_is_left_at_any_question_and_resumed_at_its_step(
    run: Run, server: Server, answered: int, leaving: str | None
) -> None:
    # Without a line more the input ends, as with Ctrl-D.
    left = run(typed=ALL[:answered] + ([leaving] if leaving else []))
    assert left.exit_code == 0
    assert left.stderr.endswith("; go on here or on another machine with: vitalis onboard\n")
    steps = [0, *([1] * 5), 2, 3][answered]
    assert list(server.state.completed_steps) == list(range(steps))
    resumed = run(typed=ALL[[0, 1, 6, 7][steps] :])
    assert resumed.exit_code == 0, resumed.stderr
    assert f"Welcome back: {25 * steps} % done, missing: " in resumed.stderr
    assert server.profile.goals[0].target_weight_kg == 69.85


def test_ctrl_c_leaves_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALIS_URL", server.url)
    shown = at_a_terminal(["onboard"], b"acknowledged?: ", None, exit_code=130)
    assert b"go on here or on another machine with: vitalis onboard" in shown
    assert b"Traceback" not in shown


def test_only_what_the_server_refuses_is_asked_again(run: Run, server: Server) -> None:
    typed = ["y", "2", "y", "primary", "60", "", "154", "", "y"]
    done = run(typed=typed)
    assert done.exit_code == 0, done.stderr
    assert "  goals[0].target_weight_kg: is too light\n" in done.stderr
    assert "target_weight_kg? [60 lbs]:" in done.stderr
    assert done.stderr.count("primary_goal?") == 1
    assert server.profile.goals[0].target_weight_kg == 69.85


def test_a_step_is_asked_again_where_no_question_is_to_blame(run: Run, server: Server) -> None:
    done = run(typed=[*ALL[:-1], "n", "y"])
    assert done.exit_code == 0
    assert "  confirmation: has to be confirmed\n" in done.stderr
    assert done.stderr.count("confirmed?") == 2


def test_what_is_not_right_is_gone_back_to_from_the_confirmation(run: Run, server: Server) -> None:
    done = run(typed=[*ALL[:-1], "n", "back", "6 ft", "y"])
    assert done.exit_code == 0, done.stderr
    assert "back for the step before" in done.stderr
    assert "  Height  6 ft 0 in\n" in done.stderr


def test_a_refused_answer_leads_back_to_the_whole_step(run: Run, server: Server) -> None:
    done = run(typed=["y", "2", "y", "primary", "60", "", "back", "1", "1", "", "154", "", "", "y"])
    assert done.exit_code == 0, done.stderr
    assert "or back to be asked the whole step again" in done.stderr
    assert server.profile.primary_goal == "fat_loss"


def test_back_leads_to_the_step_before_with_its_answers(run: Run, server: Server) -> None:
    # From the body back to the goals, which become another one; what is typed in between is kept.
    typed = ["back", "y", "2", "", "back", "1", "", "6 ft", "back", "", "", "", "y"]
    done = run(typed=typed)
    assert done.exit_code == 0, done.stderr
    assert "this is the first step\n" in done.stderr
    assert "primary_goal? [strength]:" in done.stderr
    assert "height_cm? [6 ft 0 in]:" in done.stderr
    assert server.profile.primary_goal == "fat_loss"


def test_another_device_saves_meanwhile(run: Run, server: Server, api: Vitalis) -> None:
    api.onboarding.save(0, {"welcome": {"acknowledged": True}})
    server.fail("save_step", Fault(409, {"content-type": "application/json"}, body=MISMATCH))
    done = run(typed=["1", "", "", "", "", "y"])
    assert "another device has saved meanwhile; this is how it stands now\n" in done.stderr
    # What was typed is still there.
    assert "primary_goal? [fat loss]:" in done.stderr
    assert done.exit_code == 0, done.stderr
    assert server.profile.primary_goal == "fat_loss"


def test_another_device_saves_before_somebody_goes_back(run: Run, server: Server, api: Vitalis) -> None:
    api.onboarding.save(0, {"welcome": {"acknowledged": True}})
    server.fail("go_back", Fault(409, {"content-type": "application/json"}, body=MISMATCH))
    done = run(typed=["back", "2", "", "", "y"])
    assert "another device has saved meanwhile; this is how it stands now\n" in done.stderr
    assert (done.exit_code, server.profile.primary_goal) == (0, "strength")


def test_a_number_that_json_does_not_know_is_not_sent(run: Run, server: Server, tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    for number in ("NaN", "-Infinity", "1e400"):
        answers.write_text(f'{{"welcome": {{"acknowledged": true}}, "goals": {{"goals": [{{"priority": {number}}}]}}}}')
        done = run("--answers", str(answers))
        assert (done.exit_code, done.stderr) == (2, "vitalis: a number to be sent is none: NaN, or infinite\n")
    assert list(server.state.completed_steps) == [0]


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has something happen while a question is on the screen."""

    def arrange(question: str, happen: Callable[[], None], ask: Callable[[str], str] = account.line) -> None:
        def line(prompt: str) -> str:
            if prompt.startswith(question) and happening:
                happening.pop()()
            return ask(prompt)

        happening = [happen]
        monkeypatch.setattr(account, "line", line)

    return arrange


def test_another_flow_is_begun_meanwhile(
    run: Run, server: Server, api: Vitalis, meanwhile: Callable[..., None]
) -> None:
    api.onboarding.save(0, {"welcome": {"acknowledged": True}})
    meanwhile("primary_goal?", lambda: server.begin_anew("2.0"))
    done = run(typed=["1", "", "1", "", "", "y"])
    assert "another device has saved meanwhile; this is how it stands now\n\n1 of 3  Step goals\n" in done.stderr
    assert (done.exit_code, server.profile.primary_goal) == (0, "fat_loss"), done.stderr


def test_another_device_finishes_meanwhile(
    run: Run, server: Server, api: Vitalis, meanwhile: Callable[..., None]
) -> None:
    for _ in api.onboarding.save_all({name: ANSWERS[name] for name in ("welcome", "goals", "health_profile")}):
        pass
    meanwhile("confirmed?", server.complete)
    done = run(typed=["y"])
    assert done.exit_code == 2
    assert "your onboarding is complete; change what you answered with: vitalis profile set" in done.stderr


MISMATCH = json.dumps(
    {
        "error": {
            "code": 409,
            "status": "ABORTED",
            "message": "it has changed",
            "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ETAG_MISMATCH"}],
        }
    }
).encode()


def test_a_lock_that_did_not_come_through_is_made_up_for(run: Run, server: Server) -> None:
    server.fail("lock_profile", Fault(500, {"content-type": "application/json"}, body=b"{}"))
    assert run(typed=ALL).exit_code == 1
    assert server.versions == []
    done = run(typed=[])
    assert (done.exit_code, server.profile.is_locked) == (0, True)


def test_what_is_missing_when_it_is_locked_is_asked_for(run: Run, server: Server) -> None:
    # As after a change of the flow: the server finds more missing than the steps showed.
    server.fail("lock_profile", Fault(400, {"content-type": "application/json"}, body=INCOMPLETE))
    done = run(typed=[*ALL, "y"])
    assert "  goals: is missing\n" in done.stderr
    assert (done.exit_code, server.profile.is_locked) == (0, True)


INCOMPLETE = json.dumps(
    {
        "error": {
            "code": 400,
            "status": "FAILED_PRECONDITION",
            "message": "goals: is missing",
            "details": [
                {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ONBOARDING_INCOMPLETE"},
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "field_violations": [{"field": "goals", "description": "is missing"}],
                },
            ],
        }
    }
).encode()


def test_answers_out_of_a_file(run: Run, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_text(json.dumps({name: ANSWERS[name] for name in ("goals", "welcome")}))
    part = run("--answers", str(file))
    assert part.stderr == "saved; 50 % done, missing: health profile, confirmation\n"
    file.write_text(json.dumps(ANSWERS))
    done = run("--answers", str(file), "--json")
    assert done.exit_code == 0, done.stderr
    profile = json.loads(done.stdout)
    assert (profile["is_locked"], profile["goals"][0]["target_weight_kg"]) == (True, 70)


def test_wrong_answers_out_of_a_file_are_all_named(run: Run, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    light = {**ANSWERS, "goals": {**GOALS, "goals": [{"goal_type": "primary", "target_weight_kg": 30}]}}
    file.write_text(json.dumps(light))
    refused = run("--answers", str(file))
    assert refused.exit_code == 1
    assert refused.stderr == "vitalis: answers.goals.goals[0].target_weight_kg: is too light\n"
    assert server.versions == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "is no object of answers by the steps' names"),
        ('{"shoes": {}}', "there is no step shoes; there are confirmation, goals, health_profile, welcome"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_none_is_named(run: Run, tmp_path: Path, text: str | None, said: str) -> None:
    file = tmp_path / "answers.json"
    if text is not None:
        file.write_text(text)
    result = run("--answers", str(file))
    assert (result.exit_code, result.stderr) == (2, f"vitalis: {file}: {said}\n")


def test_without_a_terminal_it_wants_a_file(run: Run) -> None:
    result = run()
    assert (result.exit_code, result.stderr) == (2, "vitalis: there is no terminal to ask at: give --answers FILE\n")


def test_the_sdk(api: Vitalis, server: Server) -> None:
    state = api.onboarding.state()
    assert (state.current_step_name, state.completed_at) == ("welcome", None)
    assert [flow.version for flow in api.onboarding.flows()] == ["1.0"]
    flow = api.onboarding.flow(state.flow_version)
    assert flow.steps[1].fields[1].fields[0].allowed_values == ["primary", "secondary"]
    saved = api.onboarding.save(0, {"welcome": {"acknowledged": True}}, etag=state.etag)
    assert saved.next_step
    assert saved.next_step.name == "goals"
    with pytest.raises(VitalisError) as caught:
        api.onboarding.save(0, {"welcome": {"acknowledged": True}}, etag=state.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    with pytest.raises(VitalisError) as caught:
        api.onboarding.save(3, {"confirmation": {"confirmed": True}})
    assert caught.value.reason == "STEP_OUT_OF_SEQUENCE"
    assert api.onboarding.go_back(0, etag=saved.state.etag).next_step.name == "welcome"
    *_, last = api.onboarding.save_all(ANSWERS)
    assert last.next_step is None
    assert json_format.MessageToDict(server.state.answers.goals, preserving_proto_field_name=True) == GOALS
