"""Reports on paper at the command: read, reviewed, corrected and confirmed with `vitalis labs import` and `review`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.terminal import at_a_terminal
from vitalis_client import Vitalis, VitalisError
from vitalis_client.cli import account, app
from vitalis_client.cli.lab_changes import Change, typed_change
from vitalis_client.cli.lab_reports import PICTURES, is_document

Run = Callable[..., Result]


@pytest.fixture
def run(server: Server, api: Vitalis, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis labs …` as somebody who is logged in."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    return lambda *arguments, **typed: CliRunner().invoke(app, ["labs", *arguments], **typed)


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-1.7\n")
    return str(path)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits at standard input."""
    monkeypatch.setattr(account, "interactive", lambda: True)


def test_a_report_is_shown_with_what_is_doubtful_and_not_stored_unasked(run: Run, server: Server, report: str) -> None:
    shown = run("import", report)
    assert shown.exit_code == 0, shown.stderr
    assert "report.pdf, collected 2026-11-02" in shown.stdout
    assert "98%" in shown.stdout
    assert "  2 ? Gluc0se 1l0: no marker of that name is known; the result is no number\n" in shown.stdout
    assert "2 values, 1 of them doubtful" in shown.stderr
    assert "nothing is stored yet" in shown.stderr
    under_review = json.loads(run("import", report, "--json").stdout)
    assert under_review["parse_status"] == "needs_review"
    assert [value["raw_name"] for value in under_review["document_values"]] == ["Glucose", "Gluc0se"]
    assert not server.markers


def test_a_report_is_confirmed_without_what_is_dropped(run: Run, server: Server, report: str) -> None:
    server.user.biological_sex, server.user.date_of_birth = "female", "1990-12-10"
    done = run("import", report, "--yes", "--drop", "2")
    assert done.exit_code == 0, done.stderr
    assert [marker.raw_name for marker in server.markers] == ["Glucose"]
    assert "left out: 2 Gluc0se\n" in done.stdout
    (document,) = server.documents.values()
    assert (document.report_header.sex, document.report_header.age_years) == ("female", 35)
    assert f"stored as panel {document.linked_record_id}" in done.stderr
    again = run("import", report)
    assert "stored as panel" in again.stderr
    assert len(server.markers) == 1


@pytest.mark.parametrize(("typed", "stored"), [("y\n", 2), ("n\n", 0)])
def test_at_a_terminal_the_person_is_asked(
    run: Run, server: Server, report: str, monkeypatch: pytest.MonkeyPatch, typed: str, stored: int
) -> None:
    monkeypatch.setattr(account, "interactive", lambda: True)
    done = run("import", report, input=typed)
    assert (done.exit_code, len(server.markers)) == (0, stored), done.stderr


def test_a_report_without_a_day_needs_one(run: Run, server: Server, report: str) -> None:
    server.report_date = ""
    refused = run("import", report, "--yes")
    assert (refused.exit_code, "give the day with --date" in refused.stderr) == (2, True)
    done = run("import", report, "--yes", "--date", "2026-10-01")
    assert done.exit_code == 0, done.stderr
    assert {marker.collected_date for marker in server.markers} == {"2026-10-01"}


def test_a_day_that_is_given_is_believed_before_the_report(run: Run, server: Server, report: str) -> None:
    assert run("import", report, "--yes", "--date", "2026-10-01").exit_code == 0
    assert {marker.collected_date for marker in server.markers} == {"2026-10-01"}


def test_a_report_of_a_panel_that_is_there_says_how_to_add_to_it(run: Run, server: Server, report: str) -> None:
    assert run("add", "Glucose=99", "--date", "2026-11-02").exit_code == 0
    refused = run("import", report, "--yes")
    assert (refused.exit_code, "--again lets it take these results" in refused.stderr) == (1, True)
    assert run("import", report, "--yes", "--again").exit_code == 0
    assert len(server.markers) == 3


def test_a_number_that_no_value_has_drops_nothing(run: Run, server: Server, report: str) -> None:
    refused = run("import", report, "--yes", "--drop", "1", "--drop", "3")
    assert (refused.exit_code, "there is no value 3" in refused.stderr) == (2, True)
    assert not [value for value in server.document_values if value.HasField("deleted_at")]


def test_a_report_that_cannot_be_read_says_why(run: Run, tmp_path: Path) -> None:
    blank = tmp_path / "blank.pdf"
    blank.write_bytes(b"%PDF-1.7 blank")
    failed = run("import", str(blank))
    assert (failed.exit_code, "vitalis: no text was found: enter the values by hand" in failed.stderr) == (1, True)


def test_what_is_a_document_its_content_says(tmp_path: Path) -> None:
    path = tmp_path / "file.pdf"
    for head in (b"%PDF-1.4", b"From: scanner\r\n\r\n%PDF-1.4", *PICTURES):
        path.write_bytes(head)
        assert is_document(path)
    for head in (b"MSH|^~\\&|", b'{"resourceType": "Bundle"}', b" " * 1024 + b"%PDF-1.4", b""):
        path.write_bytes(head)
        assert not is_document(path)


def stored(server: Server) -> list[tuple[str, str, str]]:
    return [(marker.raw_name, marker.value, marker.unit) for marker in server.markers]


def test_a_script_corrects_adds_and_leaves_out(run: Run, server: Server, report: str) -> None:
    changes = ("--set", "1=5.6 mmol/L [3.9-5.5]", "--set", "2.name=HDL", "--set", "2=55", "--add", "Iron=80 ug/dL")
    done = run("import", report, *changes, "--yes")
    assert done.exit_code == 0, done.stderr
    assert stored(server) == [("Glucose", "5.6", "mmol/L"), ("HDL", "55", ""), ("Iron", "80", "ug/dL")]


def test_what_is_left_out_can_be_brought_back(run: Run, server: Server, report: str) -> None:
    assert "left out: 1 Glucose" in run("import", report, "--drop", "1").stdout
    id = next(iter(server.documents))
    assert "left out" not in run("review", "--restore", "1").stdout
    assert run("review", id, "--drop", "2", "--yes").exit_code == 0
    assert stored(server) == [("Glucose", "110", "")]


@pytest.mark.parametrize(
    "wrong", ["5", "1", "x=5", "1=", "1.name=", "1.result=", "1.colour=red", "9=5", "9.unit=g", "1.marker=rust"]
)
def test_a_wrong_correction_changes_nothing(run: Run, server: Server, report: str, wrong: str) -> None:
    run("import", report)
    before = [value.SerializeToString() for value in server.document_values]
    refused = run("review", "--set", wrong, "--yes")
    assert refused.exit_code == 2, refused.stdout
    assert before == [value.SerializeToString() for value in server.document_values]
    assert not server.markers


def test_a_report_that_was_left_is_found_and_gone_on_with(run: Run, server: Server, report: str) -> None:
    assert "no report waits for your review" in run("review").stderr
    assert "vitalis labs import REPORT" in run("reports").stderr
    left = run("import", report)
    id = next(iter(server.documents))
    assert f"vitalis labs review {id} --yes" in left.stderr
    assert "a report waits for your review: vitalis labs review" in run().stderr
    listed = run("reports")
    assert id in listed.stdout
    assert "waits for your review" in listed.stdout
    assert "vitalis labs review ID" in listed.stderr
    assert json.loads(run("reports", "--json").stdout)[0]["id"] == id
    assert json.loads(run("reports", "--status", "confirmed", "--json").stdout) == []
    reviewed = json.loads(run("review", "--json").stdout)
    assert [value["raw_name"] for value in reviewed["document_values"]] == ["Glucose", "Gluc0se"]
    assert run("review", "--yes").exit_code == 0
    assert "waits" not in run().stderr
    assert server.panels[0].id in run("reports").stdout
    again = run("review", id, "--set", "1=5")
    assert again.exit_code == 2
    assert f"vitalis labs add --to {server.panels[0].id} --again NAME=RESULT" in again.stderr


def test_a_report_is_left_to_be_read(run: Run, server: Server, report: str) -> None:
    queued = run("import", report, "--no-wait")
    id = next(iter(server.documents))
    assert f"report {id} waits to be read; review it: vitalis labs review {id}" in queued.stderr
    assert json.loads(run("import", report, "--no-wait", "--json").stdout)["parse_status"] == "pending"
    # What is being read is waited for.
    assert "waits for your review" in run("review").stderr


def test_a_report_that_cannot_be_read_takes_its_values_by_hand(run: Run, server: Server, tmp_path: Path) -> None:
    blank = tmp_path / "blank.pdf"
    blank.write_bytes(b"%PDF-1.7 blank")
    failed = run("import", str(blank))
    id = next(iter(server.documents))
    assert failed.exit_code == 1
    assert f"vitalis labs review {id} --add 'Glucose=99 mg/dL [70-99]' --date DATE --yes" in failed.stderr
    assert f"vitalis labs reports remove {id}" in failed.stderr
    assert run("review", "--lab", "Quest", "--add", "Glucose=99 mg/dL", "--date", "2026-10-01", "--yes").exit_code == 0
    assert stored(server) == [("Glucose", "99", "mg/dL")]
    assert server.panels[0].lab_name == "Quest"


def test_a_report_without_values_is_not_stored(run: Run, server: Server, tmp_path: Path, asked: None) -> None:
    blank = tmp_path / "blank.pdf"
    blank.write_bytes(b"%PDF-1.7 blank")
    left = run("import", str(blank), input="y\nq\n")
    assert left.exit_code == 0
    assert "it could not be read: no text was found" in left.stderr
    assert "there is no value in it; add what it says" in left.stderr
    assert not server.panels


def test_after_a_change_what_has_changed_is_shown(run: Run, report: str, asked: None) -> None:
    shown = run("import", report, input="2.name=Glucose\n\nq\n").stdout
    tables = shown.split("report.pdf, collected 2026-11-02\n")[1:]
    assert ["  1 " in table for table in tables] == [True, False, True]
    assert ["  2 " in table for table in tables] == [True, True, True]


def test_at_a_terminal_the_values_are_corrected_one_by_one(run: Run, server: Server, report: str, asked: None) -> None:
    typed = [
        "?",
        "2.name=Glucose",
        "y",  # stands there twice
        "-2",
        "+2",
        "2 = HDL",  # a result, and no name
        "2.marker=Blood Sugar",
        "2.name=HDL",
        "2.result=55",
        "2.marker=",
        "2.unit=mmol/L",
        "2.unit=",
        "1=99 mg/dL [70-99]",
        "Iron = 80 ug/dL",
        "+25-OH Vitamin D=30 ng/mL",
        "9=5",
        "lab=Quest",
        "fasting=perhaps",
        "fasting=yes",
        "date=yesterday",
        "date=2026-10-01",
        "nonsense",
        "",
        "y",
    ]
    done = run("import", report, input="\n".join(typed) + "\n")
    assert done.exit_code == 0, done.stderr
    assert "corrects value 3" in done.stderr
    assert "value 2: repeats value 1: drop one" in done.stderr
    assert "there is no value 9" in done.stderr
    assert "fasting is yes or no" in done.stderr
    assert "yesterday is no day such as 2026-11-02" in done.stderr
    assert "nonsense: is no NAME=RESULT" in done.stderr
    assert stored(server) == [
        ("Glucose", "99", "mg/dL"),
        ("HDL", "55", ""),
        ("Iron", "80", "ug/dL"),
        ("25-OH Vitamin D", "30", "ng/mL"),
    ]
    (panel,) = server.panels
    assert (panel.lab_name, panel.fasting, panel.collected_date) == ("Quest", True, "2026-10-01")


def test_what_changed_meanwhile_is_shown_before_it_is_confirmed(
    run: Run, server: Server, api: Vitalis, report: str, asked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("import", report, input="q\n")
    id = next(iter(server.documents))
    answers = iter(["y", "y"])

    def line(what: str) -> str:
        if not server.document_values[0].HasField("deleted_at"):
            # Another device leaves a value out while this one asks.
            api.labs.drop_document_value(server.document_values[0].id)
        return next(answers)

    monkeypatch.setattr(account, "line", line)
    done = run("review", id)
    assert done.exit_code == 0, done.stderr
    assert "it has changed meanwhile" in done.stderr
    assert [name for name, _, _ in stored(server)] == ["Gluc0se"]


def test_a_panel_that_is_there_takes_the_results_if_the_person_says_so(
    run: Run, server: Server, report: str, asked: None
) -> None:
    run("add", "HDL=55", "--date", "2026-11-02")
    assert run("import", report, input="y\nn\nq\n").exit_code == 0
    assert len(server.markers) == 1
    assert run("review", input="y\ny\n").exit_code == 0
    assert len(server.markers) == 3


def test_a_day_that_is_missing_is_asked_for(run: Run, server: Server, report: str, asked: None) -> None:
    server.report_date = ""
    done = run("import", report, input="y\ntomorrow\ny\n2026-10-01\n")
    assert done.exit_code == 0, done.stderr
    assert "the report does not say when it was collected" in done.stdout
    assert server.panels[0].collected_date == "2026-10-01"


def test_the_end_of_the_input_leaves_it_for_later(run: Run, server: Server, report: str, asked: None) -> None:
    left = run("import", report, input="")
    assert left.exit_code == 0
    assert f"go on with: vitalis labs review {next(iter(server.documents))}" in left.stderr
    assert not server.markers


def test_ctrl_c_at_the_question_says_how_to_go_on(run: Run, server: Server, report: str) -> None:
    shown = at_a_terminal(["labs", "import", report], b"how to change them): ", None, exit_code=130)
    assert b"go on with: vitalis labs review" in shown
    assert not server.markers


def test_a_report_is_removed_when_that_is_meant(
    run: Run, server: Server, report: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("import", report)
    id = next(iter(server.documents))
    assert (run("reports", "remove", id).exit_code, len(server.documents)) == (2, 1)
    monkeypatch.setattr(account, "interactive", lambda: True)
    assert (run("reports", "remove", id, input="n\n").exit_code, len(server.documents)) == (1, 1)
    assert run("reports", "remove", id, "--yes").stderr == "removed\n"
    assert not server.documents
    gone = run("review", id)
    assert (gone.exit_code, gone.stderr) == (1, "vitalis: there is no such document\n")


def balanced(typed: str) -> bool:
    return bool(typed.strip()) and typed.count("[") == typed.count("]")


@given(number=st.integers(1, 9999), result=st.text(min_size=1).filter(balanced))
def test_of_whatever_is_typed_behind_a_number_nothing_is_lost(number: int, result: str) -> None:
    change = typed_change(f"{number}={result}")
    assert change.number == number
    assert plain("".join(change.fields.values())) == plain(result)


def plain(text: str) -> str:
    return "".join(character for character in text if not character.isspace() and character not in "[]")


@given(st.text())
def test_whatever_is_typed_is_a_change_or_said_to_be_none(typed: str) -> None:
    reason = ""
    try:
        assert isinstance(typed_change(typed), Change)
    except VitalisError as error:
        reason = error.reason
    assert reason in ("", "USAGE")
