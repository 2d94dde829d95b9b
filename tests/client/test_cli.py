"""The command `vitalis`, run in this process."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.accounts import CODE
from tests.client.server.base import PASSWORD, Fault
from vitalis.tracking.v1 import imports_pb2, wearables_pb2
from vitalis_client import FileSessions, Vitalis, __version__
from vitalis_client.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run(server: Server, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis …` against the server, with nobody at a terminal."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    runner = CliRunner()

    def invoke(*arguments: str, input: str = "") -> Result:
        return runner.invoke(app, arguments, input=input)

    return invoke


@pytest.fixture
def logged_in(api: Vitalis, run: Run) -> Run:
    return run


def succeeded(server: Server, **values: object) -> imports_pb2.Import:
    row = server.add_import("succeeded", file_name="export.zip", file_size_bytes=72_400_000, records_read=1000)
    row.result.CopyFrom(
        imports_pb2.ImportResult(
            records_read=1000,
            records_used=900,
            records_ignored=97,
            records_rejected=3,
            ignored_by_type={"HKQuantityTypeIdentifierDietaryWater": 97},
            rejected_by_reason={"unknown_unit": 3},
            rejections=[imports_pb2.Rejection(reason="unknown_unit", message="unit: is unknown", byte_offset=1234)] * 3,
            rows={"wearable_daily": imports_pb2.RowCounts(stored=600, updated=2, unchanged=1)},
            first_date="2025-01-01",
            last_date="2026-11-19",
            warnings=["the DTD is broken and was passed over"],
        )
    )
    row.started_at.FromJsonString("2026-11-20T12:00:00Z")
    row.completed_at.FromJsonString("2026-11-20T12:00:06.200Z")
    return row


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout == f"vitalis {__version__}\n"
    shown = run("--help").stdout
    assert "vitalis import ~/Downloads/export.zip" in shown
    for name in (
        "sign-up",
        "verify-email",
        "log-in",
        "log-out",
        "whoami",
        "import",
        "imports",
        "watch",
        "cancel",
        "roll-back",
    ):
        assert re.search(rf"^│ {name} +\S", shown, re.MULTILINE)
        assert run(name, "--help").exit_code == 0


def test_a_command_that_is_none(run: Run) -> None:
    result = run("dayz")
    assert result.exit_code == 2
    assert "days" in result.stderr


def test_signing_up_logging_in_and_out(run: Run, server: Server) -> None:
    signed_up = run("sign-up", "ada@example.com", "--name", "Ada", "--password-stdin", input=f"{PASSWORD}\n")
    assert (signed_up.exit_code, signed_up.stdout) == (0, "")
    assert signed_up.stderr.startswith("a mail with a code is on its way to ada@example.com\n")
    assert signed_up.stderr.endswith("to go on: vitalis verify-email CODE\n")
    assert run("whoami").exit_code == 1
    wrong = run("verify-email", "vvt_another", "--password-stdin", input=f"{PASSWORD}\n")
    assert wrong.exit_code == 1
    assert wrong.stderr == (
        "vitalis: the code is mistyped, was used, or is too old; try again or ask for another: vitalis sign-up\n"
    )
    verified = run("verify-email", CODE, "--password-stdin", input=f"{PASSWORD}\n")
    assert (verified.exit_code, verified.stdout) == (0, "")
    assert verified.stderr == "signed up and logged in as ada@example.com\n"
    assert run("whoami").stdout.startswith("Ada <ada@example.com>\nid 0199")
    assert run("log-out").exit_code == 0
    assert FileSessions().load(server.url) is None
    after = run("whoami")
    assert (after.exit_code, after.stdout) == (1, "")
    assert after.stderr == f"vitalis: you are not logged in at {server.url}: vitalis log-in, or vitalis sign-up\n"


def test_a_password_from_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALIS_PASSWORD", PASSWORD)
    assert run("log-in", "ada@example.com").exit_code == 0
    monkeypatch.setenv("VITALIS_PASSWORD", "wrong")
    result = run("log-in", "ada@example.com")
    assert (result.exit_code, result.stderr) == (1, "vitalis: email or password is wrong\n")


def test_a_password_is_no_argument(run: Run) -> None:
    assert run("log-in", "ada@example.com", PASSWORD).exit_code == 2
    assert run("log-in", "ada@example.com", "--password", PASSWORD).exit_code == 2


def test_nobody_to_ask(run: Run) -> None:
    for arguments in (["log-in", "ada@example.com"], ["log-in"], ["sign-up", "ada@example.com"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("vitalis: there is no terminal to ask")


def test_asking_at_a_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitalis_client.cli.account.interactive", lambda: True)
    answers = f"ada@example.com\nAda\n{PASSWORD}\nanother one\n{PASSWORD}\n{PASSWORD}\n{CODE}\n"
    result = run("sign-up", input=answers)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.endswith("signed up and logged in as ada@example.com\n")
    assert "do not match" in result.stderr
    assert PASSWORD not in result.output


def test_a_code_that_is_mistyped_is_asked_for_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitalis_client.cli.account.interactive", lambda: True)
    result = run("sign-up", "ada@example.com", "--name", "Ada", input=f"{PASSWORD}\n{PASSWORD}\nvvt_another\n {CODE}\n")
    assert result.exit_code == 0, result.stderr
    assert "vitalis: the code is mistyped" in result.stderr
    assert result.stderr.endswith("signed up and logged in as ada@example.com\n")


def test_a_sign_up_that_is_left_at_the_code_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitalis_client.cli.account.interactive", lambda: True)
    ended = run("sign-up", "ada@example.com", "--name", "Ada", input=f"{PASSWORD}\n{PASSWORD}\n")
    assert ended.exit_code == 1
    assert "to go on later: vitalis verify-email CODE\n" in ended.stderr


def test_what_the_server_refuses_is_one_line(run: Run) -> None:
    result = run("sign-up", "a@example.com", "--name", "Ada", "--password-stdin", input="short\n")
    assert (result.exit_code, result.stderr) == (1, "vitalis: password: must be at least 12 characters\n")


def test_a_server_that_is_not_there(run: Run, waits: list[float]) -> None:
    result = run("log-in", "a@example.com", "--password-stdin", "--url", "http://127.0.0.1:9", input="x\n")
    assert result.exit_code == 1
    assert result.stderr == "vitalis: cannot reach http://127.0.0.1:9: is it running? (make up)\n"


def test_a_url_that_is_none(run: Run) -> None:
    assert run("days", "--url", "localhost").exit_code == 2


def test_a_password_over_an_open_line_is_warned_of(run: Run, waits: list[float]) -> None:
    url = "http://vitalis.invalid"
    result = run("log-in", "a@example.com", "--password-stdin", "--url", url, input="x\n")
    assert "warning: http://vitalis.invalid is not encrypted" in result.stderr


def test_a_failure_of_the_server_names_the_request(logged_in: Run, server: Server) -> None:
    body = b'{"error": {"code": 500, "status": "INTERNAL", "message": "something went wrong", "details": []}}'
    server.fail("get_user", Fault(500, {"x-request-id": "request-0003"}, body=body))
    assert logged_in("whoami").stderr == "vitalis: something went wrong (request request-0003)\n"


def test_days_as_a_table(logged_in: Run) -> None:
    lines = logged_in("days", "--last", "3").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["Date", "Steps"],
        ["2026-10-31", "31"],
        ["2026-10-30", "30"],
        ["2026-10-29", "29"],
    ]


def test_days_without_bounds_are_the_last_thirty(logged_in: Run) -> None:
    assert len(logged_in("days").stdout.splitlines()) == 31
    assert len(logged_in("days", "--from", "2026-10-01").stdout.splitlines()) == 32
    between = logged_in("days", "--from", "2026-10-01", "--to", "2026-10-04", "--last", "2").stdout
    assert [line[:10] for line in between.splitlines()[1:]] == ["2026-10-04", "2026-10-03"]


def test_a_narrow_terminal_gets_fewer_columns(logged_in: Run, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    full = wearables_pb2.Day(date="2026-11-19", steps=12345, distance_m=8765, resting_hr_bpm=52, hrv_sdnn_ms=61.25)
    server.days = [full]
    monkeypatch.setenv("COLUMNS", "26")
    result = logged_in("days")
    assert [line.split() for line in result.stdout.splitlines()][1:] == [["2026-11-19", "12,345", "8.8"]]
    assert result.stderr == "a wider terminal or --json also shows: Rest HR, SDNN ms\n"
    monkeypatch.setenv("COLUMNS", "80")
    assert logged_in("days").stdout.splitlines()[1].split() == ["2026-11-19", "12,345", "8.8", "52", "61.2"]


def test_dates_that_are_none(logged_in: Run) -> None:
    assert logged_in("days", "--from", "yesterday").exit_code == 2
    assert logged_in("days", "--last", "0").exit_code == 2


def test_nights_and_workouts(logged_in: Run, server: Server) -> None:
    night = wearables_pb2.WearableSleep(
        id="n1", sleep_date="2026-11-19", total_sleep_minutes=462, utc_offset_minutes=-420
    )
    night.sleep_start.FromJsonString("2026-11-19T06:10:00Z")
    workout = wearables_pb2.WearableActivity(
        id="w1", activity_date="2026-11-18", activity_type="strength_training", activity_name="[b]Legs\x1b[2J"
    )
    workout.duration_seconds, workout.utc_offset_minutes = 3720, -420
    workout.start_time.FromJsonString("2026-11-19T02:05:00Z")
    dated(night, workout)
    server.nights, server.workouts = [night], [workout]
    assert logged_in("nights").stdout.splitlines()[1].split() == ["2026-11-19", "7:42", "23:10"]
    shown = logged_in("workouts").stdout
    assert shown.splitlines()[1].split() == ["2026-11-18", "19:05", "strength", "training", "1:02", "[b]Legs\ufffd[2J"]


def test_a_time_without_its_offset_is_in_utc(logged_in: Run, server: Server) -> None:
    night = wearables_pb2.WearableSleep(id="n1", sleep_date="2026-11-19")
    night.sleep_start.FromJsonString("2026-11-19T06:10:00Z")
    dated(night)
    server.nights = [night]
    assert logged_in("nights").stdout.splitlines()[1].split() == ["2026-11-19", "06:10Z"]


def dated(*rows: wearables_pb2.WearableSleep | wearables_pb2.WearableActivity) -> None:
    for row in rows:
        row.created_at.FromJsonString("2026-11-20T12:00:00Z")
        row.updated_at.FromJsonString("2026-11-20T12:00:00Z")


def test_nothing_to_show(logged_in: Run) -> None:
    result = logged_in("nights")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "there is no night to show; bring some in with: vitalis import FILE\n"


def test_json_is_an_array_with_one_object_a_line(logged_in: Run) -> None:
    shown = logged_in("days", "--json", "--last", "2").stdout
    assert json.loads(shown) == [
        {"date": "2026-10-31", "steps": 31, "sources": {}},
        {"date": "2026-10-30", "steps": 30, "sources": {}},
    ]
    assert len(shown.splitlines()) == 4
    for command in ("nights", "workouts", "imports"):
        assert json.loads(logged_in(command, "--json").stdout) == []
    assert json.loads(logged_in("whoami", "--json").stdout)["email"] == "ada@example.com"


def test_an_import_ends_with_its_account(logged_in: Run, server: Server, tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    export.write_bytes(b"x" * 1000)
    done = imports_pb2.Import()
    done.CopyFrom(succeeded(server))
    done.ClearField("id")
    server.steps = [imports_pb2.Import(status="running", progress_pct=42.5), done]
    result = logged_in("import", str(export))
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines() == [
        "uploaded 100 % of 1.0 kB",
        "running, 40 % read",
        "succeeded, 40 % read",
    ]
    assert "succeeded in 6.2 s" in result.stdout
    assert "1,000 read = 900 used + 97 ignored + 3 rejected" in result.stdout
    assert "2025-01-01 to 2026-11-19" in result.stdout
    assert re.search(r"wearable_daily +600 +2 +1 +0 *\n", result.stdout)
    assert "97  HKQuantityTypeIdentifierDietaryWater" in result.stdout
    assert "at byte 1,234: unit: is unknown" in result.stdout
    assert "warning: the DTD is broken" in result.stdout


def test_an_import_that_nobody_waits_for(logged_in: Run, server: Server, tmp_path: Path) -> None:
    export = tmp_path / "export.zip"
    export.write_bytes(b"x")
    result = logged_in("import", str(export), "--no-wait")
    (row,) = server.imports.values()
    assert result.stdout == f"import {row.id} is queued\n"
    assert f"watch it: vitalis watch {row.id}\n" in result.stderr
    assert json.loads(logged_in("import", str(export), "--no-wait", "--json").stdout)["status"] == "queued"


def test_an_import_that_fails(logged_in: Run, server: Server) -> None:
    row = server.add_import("failed", file_name="export.xml", error_message="the file is no Apple Health export")
    result = logged_in("watch", row.id)
    assert result.exit_code == 1
    assert result.stderr.endswith("vitalis: the import failed: the file is no Apple Health export\n")


@pytest.mark.parametrize(
    ("name", "message"), [("gone.zip", "there is no file"), (".", "is a directory"), ("empty.zip", "is empty")]
)
def test_files_that_are_none(logged_in: Run, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty.zip").touch()
    result = logged_in("import", str(tmp_path / name))
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_imports_are_listed_cancelled_and_rolled_back(logged_in: Run, server: Server) -> None:
    assert logged_in("imports").stderr == "nothing is imported yet: vitalis import FILE\n"
    done, running = succeeded(server), server.add_import("running", file_name="[red]b.zip")
    listed = logged_in("imports").stdout.splitlines()
    assert listed[1].split()[:5] == [running.id, "2026-11-20", "12:00", "running", "[red]b.zip"]
    assert listed[2].split()[-3:] == ["72.4", "MB", "1,000"]
    assert "cancelled" in logged_in("cancel", running.id).stdout
    assert "rolled back" in logged_in("roll-back", done.id).stdout
    again = logged_in("cancel", running.id)
    assert (again.exit_code, again.stderr) == (1, "vitalis: the import has ended\n")
    assert json.loads(logged_in("watch", done.id, "--json").stdout)["result"]["records_used"] == 900


def test_hints_name_a_server_that_is_not_the_usual_one(run: Run, server: Server, config: Path) -> None:
    with Vitalis(server.url, sessions=FileSessions()) as api:
        api.log_in("ada@example.com", PASSWORD)
    result = run("nights", "--url", server.url + "/")
    assert result.stderr.endswith("vitalis import FILE\n")
    result = CliRunner(env={"VITALIS_URL": None}).invoke(app, ["nights", "--url", server.url])
    assert result.stderr.endswith(f"vitalis import FILE --url {server.url}\n")


def test_a_configuration_directory_that_cannot_be_written(run: Run, config: Path) -> None:
    config.write_text("a file where the directory should be")
    result = run("log-in", "a@example.com", "--password-stdin", input=f"{PASSWORD}\n")
    assert result.exit_code == 1
    assert str(config) in result.stderr
    assert len(result.stderr.splitlines()) == 1
