"""The command and the SDK against all of Vitalis, as `make up` runs it."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from examples.apple_health import Truth, write_export
from examples.lab_report import RESULTS, write_report
from local.mailbox import wait_for_code
from local.runner import Stack
from tests.client.server.base import PASSWORD
from vitalis_client import FileSessions, Vitalis, VitalisError
from vitalis_client.cli import account, app

ANSWERS = Path(__file__).resolve().parents[2] / "examples" / "onboarding.json"
DAYS, END = 40, date(2026, 11, 18)
WHO = (
    "import sys; from vitalis_client import *; sys.stdin.readline();"
    "print(Vitalis(sys.argv[1], sessions=FileSessions()).me().email)"
)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # PostgreSQL's own account has to be able to reach the directory, which it cannot below pytest's.
    with tempfile.TemporaryDirectory(prefix="vitalis-client-") as directory, Stack(Path(directory), port=0) as running:
        yield running


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    path = tmp_path_factory.mktemp("export") / "export.zip"
    with path.open("wb") as file:
        return path, write_export(file, days=DAYS, seed=7, end=END)


def test_from_an_export_to_days_with_the_command(stack: Stack, export: tuple[Path, Truth], config: Path) -> None:
    runner = CliRunner(env={"VITALIS_URL": stack.url, "VITALIS_PASSWORD": PASSWORD})
    path, truth = export

    def run(*arguments: str) -> str:
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    run("sign-up", "cli@example.com", "--name", "Ada")
    run("verify-email", wait_for_code(stack.mailbox, "cli@example.com"))
    first = json.loads(run("import", str(path), "--json"))
    assert first["status"] == "succeeded"
    assert (first["result"]["records_read"], first["result"]["records_used"]) == (
        truth.records_read,
        truth.records_used,
    )
    days = json.loads(run("days", "--json", "--from", "2026-01-01"))
    steps = {day["date"]: day["steps"] for day in days if "steps" in day}
    expected = {str(day): round(known.steps) for day, known in truth.days.items() if known.steps is not None}
    assert steps == expected
    assert len(json.loads(run("nights", "--json", "--last", "1000"))) == len(truth.nights)
    assert len(json.loads(run("workouts", "--json", "--last", "1000"))) == len(truth.workouts)
    assert f"\n{END} " in run("days")
    assert "Z" not in run("nights").splitlines()[1]
    again = json.loads(run("import", str(path), "--json"))["result"]["rows"]
    assert {(rows["stored"], rows["updated"]) for rows in again.values()} == {(0, 0)}
    assert "rolled back" in run("roll-back", first["id"])
    assert len(json.loads(run("imports", "--json"))) == 2


def test_a_file_that_is_no_export_is_refused_with_a_reason(stack: Stack, config: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "export.xml"
    wrong.write_bytes(b"%PDF-1.7\n" + b"0" * 1000)
    runner = CliRunner(env={"VITALIS_URL": stack.url, "VITALIS_PASSWORD": PASSWORD})
    assert runner.invoke(app, ["sign-up", "pdf@example.com", "--name", "Ada"]).exit_code == 0
    code = wait_for_code(stack.mailbox, "pdf@example.com")
    assert runner.invoke(app, ["verify-email", code]).exit_code == 0
    result = runner.invoke(app, ["import", str(wrong)])
    assert result.exit_code == 1
    assert "vitalis: the import failed: " in result.stderr
    assert "something went wrong" not in result.stderr


def test_processes_that_renew_at_once_keep_their_session(
    stack: Stack, config: Path, python: Callable[..., subprocess.Popen[str]]
) -> None:
    store = FileSessions()
    with Vitalis(stack.url, sessions=store) as api:
        api.register("many@example.com", PASSWORD, "Ada")
        api.verify_email(wait_for_code(stack.mailbox, "many@example.com"), PASSWORD)
        session = store.load(stack.url)
        assert session
        store.save(stack.url, session.model_copy(update={"access_token_expires_at": 0.0}))
        running = [python("-c", WHO, stack.url) for _ in range(3)]
        assert [process.communicate("go\n", timeout=60)[0] for process in running] == ["many@example.com\n"] * 3
        api.log_out()
        with pytest.raises(VitalisError, match="not logged in"):
            api.me()


def test_passwords_and_sessions_of_somebody_logged_in_twice(stack: Stack) -> None:
    email, new, newest = "twice@example.com", "quite another long passphrase", "a third one that nobody guesses"
    with Vitalis(stack.url) as phone, Vitalis(stack.url) as laptop:
        phone.register(email, PASSWORD, "Ada")
        phone.request_email_verification(email)
        phone.verify_email(wait_for_code(stack.mailbox, email), PASSWORD)
        laptop.log_in(email, PASSWORD)
        listed = list(laptop.sessions())
        assert [session.current for session in listed] == [True, False]
        assert {session.address for session in listed} == {"127.0.0.1"}
        assert all((session.user_agent or "").startswith("vitalis-client/") for session in listed)
        laptop.revoke_session(listed[1].id)
        assert [session.current for session in laptop.sessions()] == [True]
        phone.log_in(email, PASSWORD)
        assert laptop.revoke_other_sessions() == 1
        phone.log_in(email, PASSWORD)
        laptop.change_password(PASSWORD, new)
        assert len(list(laptop.sessions())) == 1
        with pytest.raises(VitalisError, match="email or password is wrong"):
            phone.log_in(email, PASSWORD)
        before = wait_for_code(stack.mailbox, email)
        phone.request_password_reset(email)
        phone.reset_password(wait_for_another(stack, email, before), newest)
        assert phone.log_in(email, newest).email == email


def wait_for_another(stack: Stack, email: str, before: str) -> str:
    """The code that comes after another one."""
    deadline = time.monotonic() + 60
    while (code := wait_for_code(stack.mailbox, email)) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return code


def test_from_nothing_to_a_locked_profile_a_change_and_the_profile_before(
    stack: Stack, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = CliRunner(env={"VITALIS_URL": stack.url, "VITALIS_PASSWORD": PASSWORD})

    def run(*arguments: str, typed: str = "") -> Result:
        result = runner.invoke(app, arguments, input=typed)
        assert result.exit_code == 0, result.stderr
        return result

    run("sign-up", "coached@example.com", "--name", "Ada")
    run("verify-email", wait_for_code(stack.mailbox, "coached@example.com"))
    run("preferences", "--set", "weight_unit=kg", "--set", "height_unit=cm", "--set", "timezone=Europe/Vienna")
    answers = json.loads(ANSWERS.read_text())
    file = tmp_path / "answers.json"
    first, last = list(answers)[:6], ["health_profile", "confirmation"]
    file.write_text(json.dumps({name: answers[name] for name in first}))
    assert run("onboard", "--answers", str(file)).stderr.startswith("saved; 50 % done, missing: meal schedule, ")
    # On another machine somebody answers the rest, but for the body and the confirmation, which they type.
    monkeypatch.setenv("VITALIS_CONFIG_DIR", str(tmp_path / "elsewhere"))
    run("log-in", "coached@example.com")
    file.write_text(json.dumps({name: answers[name] for name in answers if name not in (*first, *last)}))
    run("onboard", "--answers", str(file))
    monkeypatch.setattr(account, "interactive", lambda: True)
    done = run("onboard", typed="1,70 m\n71\nlight\ny\n").stderr
    assert "target weight 66 kg" in done
    assert done.endswith("your coaching profile is made, and locked; read it with: vitalis profile\n")

    made = json.loads(run("profile", "--json").stdout)
    assert (made["version"], made["is_locked"], made["stress_level"]) == (1, True, "high")
    assert [allergy["matched_allergen"] for allergy in json.loads(run("allergies", "--json").stdout)] == ["Peanuts"]
    assert json.loads(run("health", "--json").stdout)["height_cm"] == 170
    before = datetime.now(UTC)
    change = ("profile", "set", "stress_level=low", "meal_plan.daily_calories_max=2300", "goals[0].priority=2")
    run(*change, "--reason", "back from holiday")
    now = json.loads(run("profile", "--json").stdout)
    assert (now["version"], now["is_locked"], now["stress_level"]) == (2, True, "low")
    assert (now["meal_plan"]["daily_calories_max"], now["goals"][0]["priority"]) == (2300, 2)
    assert json.loads(run("profile", "at", before.isoformat(), "--json").stdout) == made
    history = json.loads(run("profile", "history", "--json").stdout)
    assert [(version["version"], version["change_reason"]) for version in history[:1]] == [(2, "back from holiday")]
    assert "stress_level: high -> low\n" in run("profile", "compare").stdout
    refused = runner.invoke(app, ["profile", "at", "yesterday"])
    assert (refused.exit_code, refused.stdout) == (1, "")
    run("profile", "roll-back", "1", "--reason", "it was better")
    back = json.loads(run("profile", "--json").stdout)
    assert (back["stress_level"], back["meal_plan"]["daily_calories_max"], back["goals"][0]["priority"]) == (
        "high",
        2200,
        1,
    )
    wrong = runner.invoke(
        app, ["profile", "set", "meal_plan.daily_calories_min=9000", "secondary_goal=fat_loss", "--reason", "x"]
    )
    assert wrong.exit_code == 1
    for field in ("meal_plan.daily_calories_min", "secondary_goal"):
        assert field in wrong.stderr


def test_lab_results_of_three_laboratories_meet_in_a_trend(stack: Stack, config: Path) -> None:
    runner = CliRunner(env={"VITALIS_URL": stack.url, "VITALIS_PASSWORD": PASSWORD})

    def run(*arguments: str) -> Result:
        result = runner.invoke(app, arguments)
        assert result.exit_code == 0, result.stderr
        return result

    run("sign-up", "labs@example.com", "--name", "Ada")
    run("verify-email", wait_for_code(stack.mailbox, "labs@example.com"))
    run("me", "--set", "biological_sex=female", "--set", "date_of_birth=1990-12-10")
    run("labs", "add", "Glukose=5,1 mmol/l [3,9-5,5]", "HbA1c=42 mmol/mol", "--date", "2024-05-06", "--lab", "Ring")
    run("labs", "add", "GLUCOSE=96 mg/dL [65-99]", "HEMOGLOBIN A1c=5.5 %", "--date", "2025-06-12", "--lab", "Quest")
    added = run("labs", "add", "Glucose=104 mg/dL [70-99]", "Moon dust=3 g", "--date", "2026-06-20", "--fasting")
    assert "▲" in added.stdout
    assert "not known" in added.stdout
    glucose = json.loads(run("labs", "trend", "glucose", "--json").stdout)
    assert [round(point["value"], 2) for point in glucose["points"]] == [91.88, 96, 104]
    assert round(json.loads(run("labs", "trend", "Hemoglobin A1c", "--json").stdout)["points"][0]["value"], 1) == 6.0
    drawn = run("labs", "trend", "glucose", "--unit", "mmol/L").stdout
    assert drawn.startswith("Glucose, mmol/L\n")
    assert "5.1 mmol/l, Ring" in drawn.replace("5,1", "5.1")
    assert [row["raw_name"] for row in json.loads(run("labs", "flags", "--json").stdout)] == ["Glucose"]
    (newest, _, oldest) = json.loads(run("labs", "--json").stdout)
    assert (newest["fasting"], newest["sex"], newest["age_years"]) == (True, "female", 35)
    assert "Glukose" in run("labs", "show", oldest["id"]).stdout
    repeated = runner.invoke(app, ["labs", "add", "Glucose=104 mg/dL", "--date", "2026-06-20"])
    assert repeated.exit_code == 1
    refused = runner.invoke(app, ["labs", "trend", "glucose", "--unit", "furlongs"])
    assert (refused.exit_code, "mg/dL" in refused.stderr) == (1, True)


def test_a_printed_report_and_a_file_become_panels(stack: Stack, config: Path, tmp_path: Path) -> None:
    runner = CliRunner(env={"VITALIS_URL": stack.url, "VITALIS_PASSWORD": PASSWORD})

    def run(*arguments: str) -> Result:
        result = runner.invoke(app, ["labs", *arguments])
        assert result.exit_code == 0, result.stderr
        return result

    assert runner.invoke(app, ["sign-up", "report@example.com", "--name", "Ada"]).exit_code == 0
    code = wait_for_code(stack.mailbox, "report@example.com")
    assert runner.invoke(app, ["verify-email", code]).exit_code == 0
    me = ("me", "--set", "biological_sex=female", "--set", "date_of_birth=1990-12-10")
    assert runner.invoke(app, me).exit_code == 0

    table, report = tmp_path / "results.csv", tmp_path / "report.pdf"
    table.write_text("Test,Result,Unit,Date\nGlucose,96,mg/dL,2025-06-12\nMoon dust,dusty,,\n")
    imported = json.loads(run("import", str(table), "--json").stdout)
    assert (imported["status"], imported["format"]) == ("succeeded", "csv")
    assert (imported["result"]["records_stored"], imported["result"]["records_rejected"]) == (1, 1)

    write_report(report, date(2026, 11, 2))
    shown = run("import", str(report))
    assert "nothing is stored yet" in shown.stderr
    assert "report.pdf, Harbour Laboratory, collected 2026-11-02" in shown.stdout
    assert json.loads(run("--json").stdout)[0]["collected_date"] == "2025-06-12"
    confirmed = json.loads(run("import", str(report), "--yes", "--drop", "2", "--json").stdout)
    markers = json.loads(run("show", confirmed["linked_record_id"], "--json").stdout)
    printed = [(row.name, row.value, row.unit) for row in RESULTS if row.name != "Hemoglobin A1c"]
    assert sorted((row["raw_name"], row["value"], row["unit"]) for row in markers) == sorted(printed)
    panel = json.loads(run("--json").stdout)[0]
    assert (panel["sex"], panel["age_years"], panel["lab_name"]) == ("female", 35, "Harbour Laboratory")
    # The same report again is the panel that there is.
    assert f"panel {panel['id']}" in run("import", str(report), "--yes").stderr
    glucose = json.loads(run("trend", "glucose", "--json").stdout)
    assert [(point["collected_date"], point["value"]) for point in glucose["points"]] == [
        ("2025-06-12", 96),
        ("2026-11-02", 104),
    ]
    assert "rolled back" in run("roll-back", imported["id"]).stdout
    assert [row["id"] for row in json.loads(run("--json").stdout)] == [panel["id"]]

    # One that is left, found again, corrected and confirmed.
    write_report(report, date(2026, 11, 3))
    run("import", str(report), "--no-wait")
    left = json.loads(run("review", "--set", "1=5.8 mmol/L", "--drop", "2", "--add", "Iron=80 ug/dL", "--json").stdout)
    assert [row["parse_status"] for row in json.loads(run("reports", "--json").stdout)] == ["needs_review", "confirmed"]
    assert left["document_values"][0]["value_canonical"] == pytest.approx(104.49, abs=0.01)
    confirmed = json.loads(run("review", left["id"], "--restore", "2", "--drop", "3", "--yes", "--json").stdout)
    names = [row["raw_name"] for row in json.loads(run("show", confirmed["linked_record_id"], "--json").stdout)]
    assert sorted(names) == sorted([*(row.name for row in RESULTS if row.name != "Creatinine"), "Iron"])
    run("add", "--to", confirmed["linked_record_id"], "--again", "Iron=90 ug/dL")
    run("remove", confirmed["linked_record_id"], "Sodium")
    stored = {row["raw_name"]: row["value"] for row in json.loads(run("show", "--json").stdout)}
    assert (stored["Iron"], "Sodium" in stored) == ("90", False)
    assert run("reports", "remove", left["id"], "--yes").stderr == "removed\n"
    assert len(json.loads(run("--json").stdout)) == 2


def test_scans_tests_and_visits(stack: Stack, config: Path) -> None:
    runner = CliRunner(env={"VITALIS_URL": stack.url, "VITALIS_PASSWORD": PASSWORD})

    def run(*arguments: str) -> str:
        result = runner.invoke(app, ["labs", *arguments])
        assert result.exit_code == 0, result.stderr
        return result.stdout

    assert runner.invoke(app, ["sign-up", "clinic@example.com", "--name", "Ada"]).exit_code == 0
    code = wait_for_code(stack.mailbox, "clinic@example.com")
    assert runner.invoke(app, ["verify-email", code]).exit_code == 0
    for year, fat in ((2025, "18 kg"), (2026, "17 kg")):
        run("scans", "add", f"scan_date={year}-11-19", "height_in=178 cm", f"total_fat_lbs={fat}", "provider=BodySpec")
    compared = json.loads(run("scans", "compare", "--json"))
    assert [change["path"] for change in compared["changes"]] == ["height_in", "total_fat_lbs", "figures.fmi"]
    run("tests", "add", "collected_at=2026-11-19", "biological_age=41.2", "chronological_age=43")
    (test,) = json.loads(run("tests", "--json"))
    assert test["delta_years"] == -1.8
    assert "raw_data" not in json.loads(run("tests", "show", test["id"], "--json"))
    run("tests", "set", test["id"], "pace_score=0.9", "chronological_age=")
    assert "delta_years" not in json.loads(run("tests", "show", test["id"], "--json"))
    run("visits", "add", "visit_date=2026-11-19", "specialty=Cardiology")
    (visit,) = json.loads(run("visits", "--json"))
    panel = json.loads(run("add", "Glucose=99 mg/dL", "--json"))["blood_panel"]["id"]
    assert json.loads(run("visits", "panels", visit["id"], panel, "--json"))[0]["id"] == panel
