"""Lab panels: the SDK, and `vitalis labs`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.base import OWNER_ID
from vitalis_client import Vitalis, VitalisError
from vitalis_client.cli import account, app
from vitalis_client.cli.labs import read

Run = Callable[..., Result]


@pytest.fixture
def run(server: Server, api: Vitalis, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis labs …` as somebody who is logged in."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    return lambda *arguments, **typed: CliRunner().invoke(app, ["labs", *arguments], **typed)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("99", {"value": "99"}),
        (" 99 mg/dL ", {"value": "99", "unit": "mg/dL"}),
        ("99mg/dL[70-99]", {"value": "99", "unit": "mg/dL", "ref_range_text": "70-99"}),
        ("5,5 mmol/l [3,9 - 5,6]", {"value": "5,5", "unit": "mmol/l", "ref_range_text": "3,9 - 5,6"}),
        ("<0.1 x10E3/uL [<= 0.2]", {"value": "<0.1", "unit": "x10E3/uL", "ref_range_text": "<= 0.2"}),
        (">= 60 mL/min/1.73m2", {"value": ">= 60", "unit": "mL/min/1.73m2"}),
        ("-1.2 []", {"value": "-1.2"}),
        ("Negative", {"value": "Negative"}),
        ("not seen [none]", {"value": "not seen [none]"}),
    ],
)
def test_a_result_is_read_as_it_is_printed(typed: str, expected: dict[str, str]) -> None:
    assert read(typed) == expected


def balanced(typed: str) -> bool:
    return bool(typed.strip()) and typed.count("[") == typed.count("]")


@given(st.text(min_size=1).filter(balanced))
def test_whatever_is_typed_nothing_of_it_is_lost(typed: str) -> None:
    kept = "".join(read(typed).values())
    left = [character for character in typed if not character.isspace() and character not in "[]"]
    assert [character for character in kept if not character.isspace() and character not in "[]"] == left


def test_a_panel_is_added_with_whose_it_is(run: Run, server: Server) -> None:
    server.user.biological_sex, server.user.date_of_birth = "female", "1990-12-10"
    done = run("add", "Glucose=110 mg/dL [70-99]", "Mood=fine", "--date", "2026-11-01", "--lab", "Quest", "--fasting")
    assert done.exit_code == 0, done.stderr
    (panel,) = server.panels
    assert (panel.collected_date, panel.lab_name, panel.fasting) == ("2026-11-01", "Quest", True)
    # She is 36 in December.
    assert (panel.sex, panel.age_years) == ("female", 35)
    assert (server.markers[0].value, server.markers[0].unit, server.markers[0].ref_range_text) == (
        "110",
        "mg/dL",
        "70-99",
    )
    assert "▲" in done.stdout
    assert "not known" in done.stdout
    kept = "Mood is kept as printed and in no trend: no marker of that name is known"
    assert done.stderr == f"stored as panel {panel.id}\n{kept}\n"
    repeated = run("add", "Glucose=110", "--date", "2026-11-01")
    assert repeated.exit_code == 1
    assert "--again lets it take these results" in repeated.stderr
    assert json.loads(run("add", "Glucose=90", "--date", "2026-11-01", "--again", "--json").stdout)["markers"]
    assert [json.loads(line)["id"] for line in (run("--json").stdout.splitlines()[1].rstrip(","),)] == [
        server.panels[0].id
    ]
    assert "Quest" in run().stdout
    assert run("show").stdout.count("Glucose") == 1
    assert "fine" in run("show", panel.id).stdout
    assert "Glucose" in run("flags").stdout
    assert len(json.loads(run("flags", "--json").stdout)) == 1


def test_a_panel_has_its_head_and_its_markers_in_the_order_of_the_dictionary(run: Run) -> None:
    typed = ("Moon dust=3", "Albumin=4.4 g/dL", "Mood=fine", "Glucose=99", "Sodium=140")
    run("add", *typed, "--lab", "Quest", "--name", "CMP", "--date", "2026-11-01", "--not-fasting")
    head, _, *rows = run("show").stdout.splitlines()
    assert head == "Quest, CMP, collected 2026-11-01, not fasting"
    in_order = ["Sodium", "Glucose", "Albumin", "Moon dust", "Mood"]
    assert [row.split("  ")[0] for row in rows] == in_order
    assert [row["raw_name"] for row in json.loads(run("show", "--json").stdout)] == in_order
    unknown = run("show", "01990000-0000-7000-8000-000000000000")
    assert (unknown.exit_code, unknown.stderr) == (1, "vitalis: there is no such panel\n")


def test_a_panel_takes_more_results_and_corrections(run: Run, server: Server) -> None:
    run("add", "Glucose=990", "--date", "2026-11-01")
    (panel,) = server.panels
    refused = run("add", "HDL=55", "Glucose=99", "--to", panel.id)
    assert refused.exit_code == 1
    assert "already there, or typed twice: Glucose; with --again the last result counts" in refused.stderr
    done = run("add", "HDL=55", "Glucose=99", "--to", panel.id, "--again")
    assert done.exit_code == 0
    assert f"stored as panel {panel.id}\n" in done.stderr
    assert sorted((marker.raw_name, marker.value) for marker in server.markers) == [("Glucose", "99"), ("HDL", "55")]
    for head in (("--lab", "Quest"), ("--date", "2026-11-01"), ("--not-fasting",)):
        assert run("add", "HDL=55", "--to", panel.id, *head).exit_code == 2
    assert len(server.panels) == 1


def test_a_result_of_no_known_marker_says_whether_the_unit_is_why(run: Run, server: Server) -> None:
    done = run("add", "Blood Sugar=5 furlongs", "--date", "2026-11-01")
    assert "Blood Sugar is kept as printed and in no trend: glucose is measured in mg/dL, mIU/L\n" in done.stderr


def test_one_result_is_taken_out(run: Run, server: Server) -> None:
    run("add", "Glucose=99", "HDL=55", "--date", "2026-11-01")
    (panel,) = server.panels
    assert run("remove", panel.id, "hdl").stderr == "HDL 55 is taken out\n"
    assert [marker.raw_name for marker in server.markers] == ["Glucose"]
    assert run("remove", panel.id, "hdl").exit_code == 2


def test_of_a_long_trend_the_newest_results_are_told(run: Run, server: Server) -> None:
    for day in range(1, 29):
        for month in (1, 2):
            server.trend.points.add(collected_date=f"2026-{month:02}-{day:02}", printed_value="90", value=90)
    lines = run("trend", "glucose").stdout.splitlines()
    assert "26 earlier results are drawn; --from, --to and --json tell them" in lines
    assert sum(line.startswith("2026-") for line in lines) == 30


def test_a_panel_is_taken_out_and_brought_back(run: Run, server: Server) -> None:
    run("add", "Glucose=99", "--date", "2026-11-01")
    (panel,) = server.panels
    assert run("remove", panel.id).stderr == f"taken out; bring it back with: vitalis labs restore {panel.id}\n"
    assert "there is no panel yet" in run().stderr
    assert "Glucose" in run("restore", panel.id).stdout
    assert panel.id in run().stdout


def test_markers_are_asked_for_at_a_terminal(run: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account, "interactive", lambda: True)
    done = run("add", input="Glucose\n99 mg/dL\nHDL\n55\n\n")
    assert done.exit_code == 0, done.stderr
    assert [(marker.raw_name, marker.value) for marker in server.markers] == [("Glucose", "99"), ("HDL", "55")]
    nothing = run("add", input="\n")
    assert (nothing.exit_code, len(server.panels)) == (2, 1)


@pytest.mark.parametrize("result", ["Glucose", "=99", "Glucose=", "Glucose= "])
def test_what_is_no_result_is_named(run: Run, server: Server, result: str) -> None:
    refused = run("add", result)
    assert refused.exit_code == 2
    assert "is no NAME=RESULT" in refused.stderr
    assert "5.6 mmol/L [3.9-5.5: a range stands in brackets" in run("add", "Glucose=5.6 mmol/L [3.9-5.5").stderr
    assert server.panels == []


def test_without_anything_it_says_how_to_begin(run: Run) -> None:
    for arguments in ((), ("show",)):
        assert "vitalis labs add 'Glucose=99 mg/dL [70-99]'" in run(*arguments).stderr
    assert run("flags").stderr == "nothing is out of range\n"
    assert run("trend", "glucose").stderr == "there is no result of Glucose yet\n"
    assert run("add").exit_code == 2


def points(server: Server) -> None:
    def add(day: str, printed: str, unit: str, **values: Any) -> None:
        server.trend.points.add(collected_date=day, printed_value=printed, printed_unit=unit, **values)

    add("2024-01-05", "5.0", "mmol/L", value=90.1, lab_name="Synlab", in_range=True)
    add("2025-03-01", "<40", "mg/dL", value=40, comparator="<", lab_name="Quest")
    add("2026-10-01", "130", "mg/dL", value=130, in_range=False)
    add("2026-11-01", "see note", "", value_text="see \x1b[2J note")
    server.trend.reference_intervals.add(kind="normal", low=70, high=99, source="ADA")
    server.trend.slope.per_year, server.trend.slope.results = 14.62, 3
    server.trend.change.change_pct, server.trend.change.reference_change_value_pct = 44.3, 15.2
    server.trend.change.exceeds = True


def test_a_trend_is_drawn_and_told(run: Run, server: Server) -> None:
    points(server)
    shown = run("trend", "Blood Sugar")
    assert shown.exit_code == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == "Glucose, mg/dL"
    assert [sum(line.count(mark) for line in lines) for mark in "●▲○"] == [1, 1, 1]
    assert [line for line in lines if "┄" in line]
    assert lines[-6:] == [
        "2024-01-05      90.1  5.0 mmol/L, Synlab",
        "2025-03-01       <40  <40 mg/dL, Quest",
        "2026-10-01       130  130 mg/dL, out of range",
        "2026-11-01  see \ufffd[2J note  see note",
        "slope +14.6 mg/dL a year, of 3 results",
        "last change +44.3 %, more than the 15.2 % that come by themselves",
    ]
    assert json.loads(run("trend", "glucose", "--json").stdout)["slope"]["results"] == 3
    # No name of the dictionary's, yet written like one.
    assert run("trend", "sugar_level").stdout == shown.stdout


def test_a_qualitative_trend_and_several_ranges_draw_what_there_is(run: Run, server: Server) -> None:
    server.trend.points.add(collected_date="2026-11-01", printed_value="Negative", value_text="Negative")
    assert run("trend", "glucose").stdout.splitlines()[1:] == ["2026-11-01  Negative  Negative"]
    server.trend.points.add(collected_date="2026-11-02", printed_value="90", value=90)
    for sex in ("female", "male"):
        server.trend.reference_intervals.add(kind="normal", low=70, high=99, sex=sex)
    assert "┄" not in run("trend", "glucose").stdout


def test_a_marker_that_is_not_known_is_said(run: Run) -> None:
    assert run("trend", "rust").stderr == "vitalis: there is no such biomarker\n"
    assert run("trend", "glucos").stderr == "vitalis: there is no such biomarker; perhaps glucose\n"
    several = run("trend", "Sugar")
    assert several.stderr == "vitalis: Sugar may be several markers, or none: glucose or lactose\n"
    assert (several.exit_code, run("trend", "Rust").stderr) == (2, "vitalis: Rust may be several markers, or none\n")


def test_of_somebody_who_shares(run: Run, server: Server) -> None:
    del server.subjects[:]
    for arguments in ((), ("show", "x"), ("flags",), ("trend", "glucose")):
        assert run(*arguments, "--person", OWNER_ID, "--json").exit_code == 0
    # The dictionary is nobody's.
    assert [subject for subject in server.subjects if subject] == [OWNER_ID] * 4
    assert run("show", "--person", OWNER_ID).exit_code == 0


def test_the_sdk(api: Vitalis) -> None:
    glucose = {"raw_name": "Glucose", "value": "99"}
    stored = api.labs.add_panel({"collected_date": "2026-11-01"}, [glucose])
    assert stored.markers[0].biomarker == "glucose"
    with pytest.raises(VitalisError) as caught:
        api.labs.add_panel({"collected_date": "2026-11-01"}, [glucose])
    assert caught.value.reason == "PANEL_REPEATED"
    api.labs.add_panel({"collected_date": "2026-11-02"}, [{**glucose, "value": "120"}])
    assert [panel.collected_date for panel in api.labs.panels("2026-11-02")] == ["2026-11-02"]
    assert len(list(api.labs.markers(biomarker="glucose"))) == 2
    assert [marker.value for marker in api.labs.out_of_range()] == ["120"]
    assert api.labs.trend("glucose", unit="mmol/L").slope is None
    assert [match.slug for match in api.labs.match(["Blood Sugar", "Rust"])] == ["glucose", ""]
