"""The coaching profile: the SDK, and `vitalis profile`."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.accounts import APP_CODE
from tests.client.server.base import NOW, OWNER_ID, PASSWORD
from vitalis_client import Vitalis, VitalisError
from vitalis_client.cli import app
from vitalis_client.cli.assign import changed
from vitalis_client.cli.outline import outline
from vitalis_client.cli.units import Units

Run = Callable[..., Result]
PROOF = {"password": PASSWORD}
METRIC = Units("kg", "cm")
ANSWERS: dict[str, dict[str, Any]] = {
    "welcome": {"acknowledged": True},
    "goals": {"primary_goal": "strength", "goals": [{"goal_type": "primary", "target_weight_kg": 70}]},
    "health_profile": {},
    "confirmation": {"confirmed": True},
}


@pytest.fixture(autouse=True)
def made(api: Vitalis, server: Server) -> None:
    """Somebody with a locked profile, who lives in Vienna."""
    api.update_preferences(timezone="Europe/Vienna")
    list(api.onboarding.save_all(ANSWERS))
    api.coaching.lock()


@pytest.fixture
def run(server: Server, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis profile …` with the password in the environment."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    monkeypatch.setenv("VITALIS_PASSWORD", PASSWORD)
    return lambda *arguments: CliRunner().invoke(app, ["profile", *arguments])


def test_the_profile_is_shown_in_the_persons_units_and_time(run: Run, server: Server) -> None:
    shown = run()
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == "coaching profile, version 1 of 2026-11-20 13:00, locked since 2026-11-20 13:00"
    assert "Fitness level  beginner" in lines
    assert "  [0] goal type primary; target weight 154.3 lbs" in lines
    assert lines[lines.index("Meal plan") + 1] == "  Daily calories target  2000"
    assert lines[lines.index("Workout schedule") + 1].split() == ["Monday", "workout", "yes"]
    assert json.loads(run("--json").stdout)["goals"][0]["target_weight_kg"] == 70
    del server.subjects[:]
    assert run("--person", OWNER_ID, "--json").exit_code == 0
    assert server.subjects == [OWNER_ID]


def test_somebody_without_a_profile_is_told_where_it_comes_from(run: Run, server: Server) -> None:
    server.versions.clear()
    assert run().stderr == "vitalis: you have no coaching profile yet; make one with: vitalis onboard\n"
    assert run("history").stderr == "there is no version yet; make the first with: vitalis onboard\n"


def test_a_change_takes_a_reason_and_while_it_is_locked_a_proof(
    run: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = ("set", "meal_plan.daily_calories_target=2100", "goals[0].target_weight_kg=150 lb")
    assert run(*change).exit_code == 2
    done = run(*change, "--reason", "more training")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("coaching profile, version 2 of ")
    assert server.profile.meal_plan.daily_calories_target == 2100
    assert (server.profile.goals[0].goal_type, server.profile.goals[0].target_weight_kg) == ("primary", 68.04)
    assert server.versions[-1].change_reason == "more training"
    assert list(server.versions[-1].changed_fields) == ["meal_plan", "goals"]
    assert run(*change, "--reason", "again").stderr == "that is what it says already\n"
    monkeypatch.setenv("VITALIS_PASSWORD", "another")
    refused = run("set", "stress_level=low", "--reason", "x")
    assert (refused.exit_code, refused.stderr) == (1, "vitalis: proof: the password or a code is needed\n")
    assert run("set", "stress_level=low", "--reason", "x", "--code", APP_CODE).exit_code == 0
    monkeypatch.setenv("VITALIS_PASSWORD", PASSWORD)
    assert run("unlock", "--reason", "for the coach").exit_code == 0
    monkeypatch.delenv("VITALIS_PASSWORD")
    # It asks for no password any more.
    assert run("set", "stress_level=", "--reason", "x").exit_code == 0
    assert server.profile.stress_level == ""
    locked = run("lock")
    assert (locked.exit_code, server.profile.is_locked) == (0, True)


def test_a_change_that_is_refused_says_why(run: Run, server: Server) -> None:
    refused = run("set", "meal_plan.daily_calories_target=9000", "--reason", "x")
    assert (refused.exit_code, refused.stderr) == (1, "vitalis: it is wrong\n")
    assert len(server.versions) == 1


def test_the_profile_as_it_was(run: Run, server: Server) -> None:
    run("set", "fitness_level=advanced", "--reason", "a year later")
    first, second = run("at", "2026-11-20"), run("at", "2026-11-21", "--json")
    # The end of that day in Vienna, before the second version of noon UTC the day after.
    assert first.stderr == ("as it was from 2026-11-20 13:00 until 2026-11-21 13:00 (Europe/Vienna)\n")
    assert "Fitness level  beginner" in first.stdout
    assert json.loads(second.stdout)["fitness_level"] == "advanced"
    assert json.loads(run("at", "version", "1", "--json").stdout)["fitness_level"] == "beginner"
    assert run("at", "version", "3").stderr == "vitalis: there is none\n"
    never = run("at", "2020-01-01")
    assert never.stderr == "vitalis: there was no profile at 2020-01-01 23:59; see vitalis profile history\n"
    wrong = run("at", "soon")
    assert (wrong.exit_code, wrong.stderr.startswith("vitalis: soon is no moment: give for instance ")) == (2, True)


def test_the_history_says_what_changed_and_why(run: Run, server: Server) -> None:
    run("set", "fitness_level=advanced", "--reason", "a \x1b[2J year")
    listed = run("history").stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["Version", "2", "1"]
    assert "2026-11-21 13:00" in listed
    assert "a \ufffd[2J year" in listed
    assert "fitness_level" in listed
    assert len(json.loads(run("history", "--last", "1", "--json").stdout)) == 1


def test_versions_are_compared_and_gone_back_to(run: Run, server: Server) -> None:
    run("set", "secondary_goal=endurance", "goals[0].target_weight_kg=75 kg", "--reason", "x")
    compared = run("compare")
    title, secondary, goals = compared.stdout.splitlines()
    assert (title, secondary) == ("version 1 to version 2", "secondary_goal: nothing -> endurance")
    was, is_ = goals.removeprefix("goals: ").split(" -> ")
    assert ("target weight 154.3 lbs" in was, "target weight 165.3 lbs" in is_) == (True, True)
    assert json.loads(run("compare", "1", "2", "--json").stdout)["differences"][0]["to"] == "endurance"
    assert run("compare", "2", "2").stderr == "they do not differ\n"
    back = run("roll-back", "1", "--reason", "it was better")
    assert back.stderr.startswith("coaching profile, version 3 of ")
    assert (server.profile.goals[0].target_weight_kg, server.profile.secondary_goal) == (70, "")


def test_the_sdk(api: Vitalis, server: Server) -> None:
    profile = api.coaching.profile()
    changed_ = api.coaching.update({"stress_level": "low"}, "calm", proof=PROOF, etag=profile.etag)
    with pytest.raises(VitalisError) as caught:
        api.coaching.update({"stress_level": "high"}, "loud", proof=PROOF, etag=profile.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    assert api.coaching.update({}, "x", clear=["stress_level"], proof=PROOF, etag=changed_.etag).stress_level == ""
    assert [version.version for version in api.coaching.versions(page_size=2)] == [3, 2, 1]
    second = api.coaching.version(2).profile
    assert second
    assert second.stress_level == "low"
    assert api.coaching.at(NOW + timedelta(days=1)).version == 2
    assert api.coaching.at(datetime.now(UTC) + timedelta(days=36500)).version == 3
    assert api.coaching.compare(1, 3).differences == []
    assert not api.coaching.unlock("x", PROOF).is_locked
    assert api.coaching.roll_back(1, "x", PROOF).is_locked
    with pytest.raises(VitalisError) as caught:
        api.coaching.unlock("x", {"password": "wrong"})
    assert caught.value.reason == "PROOF_REFUSED"


class Entry(BaseModel):
    name: str = ""
    weight_kg: float | None = None
    seen_at: datetime | None = None


class Part(BaseModel):
    tags: list[str] = []
    count: int | None = None
    entries: list[Entry] = []


class Whole(BaseModel):
    open: bool | None = None
    part: Part | None = None
    entries: list[Entry] = []


WHOLE = Whole(open=True, part=Part(tags=["a"], count=1), entries=[Entry(name="x"), Entry(name="y")])


@pytest.mark.parametrize(
    ("assignments", "expected"),
    [
        (["open=no"], {"open": False}),
        (["open="], {"open": None}),
        (["part.count=3"], {"part": {"tags": ["a"], "count": 3, "entries": []}}),
        (["part.tags=b, c", "part.count="], {"part": {"tags": ["b", "c"], "entries": []}}),
        (["part.tags="], {"part": {"count": 1, "entries": []}}),
        (['part={"count": 2}'], {"part": {"count": 2}}),
        (["entries[1].weight_kg=70,5"], {"entries": [{"name": "x"}, {"name": "y", "weight_kg": 70.5}]}),
        (["entries[0]="], {"entries": [{"name": "y"}]}),
        (
            ["entries[0]=", "entries[0].seen_at=2026-11-21"],
            {"entries": [{"name": "y", "seen_at": "2026-11-21T00:00:00"}]},
        ),
        (['entries=[{"name": "z"}]'], {"entries": [{"name": "z"}]}),
        (["entries[1].name=a=b"], {"entries": [{"name": "x"}, {"name": "a=b"}]}),
    ],
)
def test_assignments_change_a_message(assignments: list[str], expected: dict[str, Any]) -> None:
    assert changed(WHOLE, assignments, METRIC) == expected


def test_a_part_that_was_not_there_is_made() -> None:
    assert changed(Whole(), ["part.count=3"], METRIC) == {"part": {"count": 3}}


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("open", "open: is no PATH=VALUE"),
        ("shoes=1", "shoes: there is no such field; there are open, part, entries"),
        ("opne=1", "opne: there is no such field; did you mean open?"),
        ("Part!.count=1", "Part!.count: there is no such field"),
        ("part.shoes=1", "part.shoes: there is no such field; there are tags, count, entries"),
        ("open.shoes=1", "open.shoes: has no fields"),
        ("entries.name=1", "entries.name: name an entry: [0]"),
        ("entries[2].name=1", "entries[2].name: there is no entry of that number"),
        ("open[0]=1", "open[0]: there is no entry of that number"),
        ("part.count=many", "part.count: Input should be a valid integer"),
        ("open=maybe", "open: Input should be a valid boolean"),
        ("part={", "part: Expecting property name"),
    ],
)
def test_what_is_no_assignment_is_named(assignment: str, said: str) -> None:
    with pytest.raises(VitalisError) as caught:
        changed(WHOLE, [assignment], METRIC)
    assert (caught.value.reason, caught.value.message[: len(said)]) == ("USAGE", said)


def test_an_outline_says_units_and_leaves_out_what_is_not_set() -> None:
    values = {
        "id": "1",
        "daily_water_target_ml": 2000,
        "protein_percentage": 30.5,
        "notes": "snake_case is kept; \x1b[2J",
        "kind": "fat_loss",
        "empty": [],
        "part": {"tags": ["a", "b"], "deep": {"on": False}},
        "slots": [{"start": "08:00", "days": [{"day": "monday"}]}],
    }
    assert list(outline(values, METRIC, frozenset({"id"}))) == [
        "Daily water target  2000 ml",
        "Protein             30.5 %",
        "Notes               snake_case is kept; \ufffd[2J",
        "Kind                fat loss",
        "Part",
        "  Tags  a, b",
        "  Deep",
        "    On  no",
        "Slots",
        "  [0] start 08:00; days day monday",
    ]
