"""The health profile and allergies: the SDK, `vitalis health` and `vitalis allergies`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.base import OWNER_ID
from vitalis_client import Vitalis
from vitalis_client.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run(server: Server, api: Vitalis, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis …` as somebody who is logged in, and measures in pounds and inches."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, arguments)


def test_the_health_profile_says_what_is_missing(run: Run) -> None:
    shown = run("health")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert shown.stderr.splitlines() == [
        "your date of birth is missing: vitalis me --set date_of_birth=1990-12-10",
        "your height is missing: vitalis health set height_cm=178",
    ]


def test_measures_are_typed_and_shown_in_the_persons_units(run: Run, server: Server) -> None:
    done = run("health", "set", "height_cm=5'10\"", "weight_kg=70.5 kg", "activity_level=moderate")
    assert done.exit_code == 0, done.stderr
    assert (server.body.height_cm, server.body.weight_kg) == (177.8, 70.5)
    assert done.stdout.splitlines() == [
        "Height          5 ft 10 in",
        "Weight          155.4 lbs",
        "Activity level  moderate",
        "BMR             1600 kcal",
        "BMR source      Mifflin-St Jeor (1990)",
    ]
    assert json.loads(run("health", "--json").stdout)["weight_kg"] == 70.5
    assert run("health", "set", "activity_level=").exit_code == 0
    assert not server.body.HasField("activity_level")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("height", "height: is no PATH=VALUE"),
        ("shoes=44", "shoes: there is no such field; there are height_cm, "),
        ("weight_kg=heavy", "weight_kg: is a number, in lbs unless a unit follows it"),
    ],
)
def test_what_cannot_be_set_is_said(run: Run, server: Server, change: str, said: str) -> None:
    refused = run("health", "set", change)
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"vitalis: {said}")
    assert not server.requests["update_health"]


def test_allergies_are_matched_or_kept_as_written(run: Run, server: Server) -> None:
    assert "vitalis allergies add NAME --severity SEVERE" in run("allergies").stderr
    assert run("allergies", "add", "peanuts", "--severity", "severe", "--diagnosed", "2019-04-02").stderr == (
        "peanuts: matched to Peanuts\n"
    )
    assert run("allergies", "add", "peenuts", "--severity", "MILD", "--reaction", "itching").stderr == (
        "peenuts: matched to Peanuts (92% sure)\n"
    )
    unknown = run("allergies", "add", "moon\x1b[2Jdust", "--severity", "LIFE_THREATENING")
    assert unknown.stderr == ("moon\ufffd[2Jdust: kept as you wrote it; it matches no allergen that Vitalis knows\n")
    # As those that come from a list of words in the diet.
    server.allergies[1].ClearField("severity")
    listed = run("allergies").stdout
    for shown in ("severe", "not stated: treated as severe", "life threatening", "Peanuts (92% sure)", "not matched"):
        assert shown in listed
    assert "\x1b" not in listed
    assert run("allergies", "set", server.allergies[1].id, "--severity", "severe", "--notes", "x").stderr == (
        "peenuts: severe\n"
    )
    assert (server.allergies[1].severity, server.allergies[1].notes) == ("SEVERE", "x")
    assert json.loads(run("allergies", "set", server.allergies[1].id, "--notes", "y", "--json").stdout)["notes"] == "y"
    assert run("allergies", "add", "peanuts", "--severity", "mild").stderr == (
        "vitalis: that is among your allergies already; change it with: vitalis allergies set ID\n"
    )
    assert run("allergies", "remove", server.allergies[0].id).stderr == "taken out\n"
    assert [row["name"] for row in json.loads(run("allergies", "--json").stdout)] == ["peenuts", "moon\x1b[2Jdust"]
    assert run("allergies", "add", "dust", "--severity", "awful").exit_code == 2


def test_of_somebody_who_shares(run: Run, server: Server) -> None:
    del server.subjects[:]
    for command in ("health", "allergies"):
        assert run(command, "--person", OWNER_ID, "--json").exit_code == 0
    assert server.subjects == [OWNER_ID] * 2


def test_the_sdk(api: Vitalis) -> None:
    assert api.health.update_profile(height_cm=170, weight_kg=60).bmr_kcal == 1600
    assert api.health.update_profile(clear=["height_cm"]).height_cm is None
    assert api.health.profile().weight_kg == 60
    added = api.health.add_allergy("dust", "MILD", notes="at home")
    assert api.health.update_allergy(added.id, severity="SEVERE", clear=["notes"]).notes is None
    api.health.delete_allergy(added.id)
    assert list(api.health.allergies()) == []
    assert api.health.undelete_allergy(added.id).severity == "SEVERE"
    (peanuts, stones) = api.health.match_allergens(["may contain peanuts", "stones"])
    assert ([match.name for match in peanuts.matches], stones.matched) == (["Peanuts"], False)
