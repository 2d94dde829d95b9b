"""Laboratories' files at the command: `vitalis labs import` of results, and of reports that are confirmed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.client.server import Server
from vitalis_client import Vitalis
from vitalis_client.cli import account, app
from vitalis_client.cli.lab_files import PICTURES, is_document

Run = Callable[..., Result]


@pytest.fixture
def run(server: Server, api: Vitalis, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis labs …` as somebody who is logged in."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    return lambda *arguments, **typed: CliRunner().invoke(app, ["labs", *arguments], **typed)


@pytest.fixture
def table(tmp_path: Path) -> str:
    path = tmp_path / "results.csv"
    path.write_text("Test,Result\nGlucose,99\n")
    return str(path)


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "report.pdf"
    path.write_bytes(b"%PDF-1.7\n")
    return str(path)


def test_a_file_is_imported_with_its_account(run: Run, server: Server, table: str) -> None:
    done = run("import", table, "--time-zone", "Europe/Vienna", "--date", "2026-11-02", "--date-order", "day_first")
    assert done.exit_code == 0, done.stderr
    assert server.lab_import_params == {
        "file_name": "results.csv",
        "time_zone": "Europe/Vienna",
        "collected_date": "2026-11-02",
        "date_order": "day_first",
    }
    assert "2 read = 1 stored + 0 updated + 0 unchanged + 0 kept + 1 rejected" in done.stdout
    assert "2026-11-02 to 2026-11-02, 1 new panels" in done.stdout
    assert "line 3: has no value" in done.stdout
    assert "line 2: is kept as printed" in done.stdout
    assert "uploaded 100 % of" in done.stderr
    assert not server.documents


def test_imports_are_listed_watched_cancelled_and_taken_back(run: Run, server: Server, table: str) -> None:
    queued = run("import", table, "--no-wait")
    (id,) = server.lab_imports
    assert f"watch it: vitalis labs watch {id}" in queued.stderr
    assert json.loads(run("imports", "--json").stdout)[0]["status"] == "queued"
    assert "results.csv" in run("imports").stdout
    assert json.loads(run("watch", id, "--json").stdout)["result"]["records_stored"] == 1
    assert "rolled back" in run("roll-back", id).stdout
    assert "cancelled" in run("cancel", id).stdout
    gone = run("roll-back", "01990000-0000-7000-8000-000000000000")
    assert (gone.exit_code, gone.stderr) == (1, "vitalis: there is no such import\n")


def test_without_imports_the_list_says_how_to_make_one(run: Run) -> None:
    assert "vitalis labs import FILE" in run("imports").stderr


def test_a_report_is_shown_with_what_is_doubtful_and_not_stored_unasked(run: Run, server: Server, report: str) -> None:
    shown = run("import", report)
    assert shown.exit_code == 0, shown.stderr
    assert "report.pdf, collected 2026-11-02" in shown.stdout
    assert "98%" in shown.stdout
    assert "name unknown, not a number" in shown.stdout
    assert "2 values were read, 1 of them doubtful" in shown.stderr
    assert "nothing is stored yet" in shown.stderr
    assert json.loads(run("import", report, "--json").stdout)["parse_status"] == "needs_review"
    assert not server.markers


def test_a_report_is_confirmed_without_what_is_dropped(run: Run, server: Server, report: str) -> None:
    server.user.biological_sex, server.user.date_of_birth = "female", "1990-12-10"
    done = run("import", report, "--yes", "--drop", "2")
    assert done.exit_code == 0, done.stderr
    assert [marker.raw_name for marker in server.markers] == ["Glucose"]
    assert "Gluc0se" not in done.stdout
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
    assert len(server.document_values) == 2


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


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    gone = run("import", str(tmp_path / "gone.pdf"))
    assert (gone.exit_code, "there is no file" in gone.stderr) == (2, True)
