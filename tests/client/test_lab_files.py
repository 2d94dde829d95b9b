"""Laboratories' files of results at the command: `vitalis labs import`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.client.server import Server
from vitalis_client import Vitalis
from vitalis_client.cli import app

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
    assert "2026-11-02 to 2026-11-02, 1 new panel\n" in done.stdout
    assert "line 3: has no value" in done.stdout
    assert "line 2: is kept as printed" in done.stdout
    assert "uploaded 100 % of" in done.stderr
    assert "see the panels: vitalis labs" in done.stderr
    assert not server.documents


def test_what_a_laboratory_has_withdrawn_is_in_the_account(run: Run, server: Server, table: str) -> None:
    server.lab_import_withdraws = 1
    assert (
        "3 read = 1 stored + 0 updated + 0 unchanged + 0 kept + 1 withdrawn + 1 rejected" in run("import", table).stdout
    )


def test_results_without_a_day_are_helped(run: Run, server: Server, table: str) -> None:
    server.lab_import_rejects = "no_date"
    assert "vitalis labs import FILE --date DATE" in run("import", table).stderr
    assert "DATE" not in run("import", table, "--json").stderr


def test_imports_are_listed_watched_cancelled_and_taken_back(run: Run, server: Server, table: str) -> None:
    queued = run("import", table, "--no-wait")
    (id,) = server.lab_imports
    assert f"watch it: vitalis labs watch {id}" in queued.stderr
    assert json.loads(run("imports", "--json").stdout)[0]["status"] == "queued"
    assert "results.csv" in run("imports").stdout
    assert json.loads(run("watch", id, "--json").stdout)["result"]["records_stored"] == 1
    taken_back = run("roll-back", id)
    assert "rolled back" in taken_back.stdout
    assert "what it had stored is taken back; what was changed since stays" in taken_back.stdout
    assert "records:" not in taken_back.stdout
    assert "cancelled" in run("cancel", id).stdout
    gone = run("roll-back", "01990000-0000-7000-8000-000000000000")
    assert (gone.exit_code, gone.stderr) == (1, "vitalis: there is no such import\n")


def test_without_imports_the_list_says_how_to_make_one(run: Run) -> None:
    assert "vitalis labs import FILE" in run("imports").stderr


@pytest.mark.parametrize(
    "option", [("--drop", "1"), ("--set", "1=5"), ("--add", "HDL=5"), ("--yes",), ("--again",), ("--lab", "Quest")]
)
def test_what_is_for_reports_alone_is_refused_of_results(
    run: Run, server: Server, table: str, option: tuple[str, ...]
) -> None:
    refused = run("import", table, *option)
    assert (refused.exit_code, "results.csv is no report" in refused.stderr) == (2, True)
    assert not server.lab_imports


def test_a_file_that_is_not_there(run: Run, tmp_path: Path) -> None:
    gone = run("import", str(tmp_path / "gone.pdf"))
    assert (gone.exit_code, "there is no file" in gone.stderr) == (2, True)
