"""Sessions, passwords and addresses by the command, against all of Vitalis as `make up` runs it."""

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from local.mailbox import wait_for_code
from local.runner import Stack
from tests.client.server.base import PASSWORD
from vitalis_client import FileSessions, Vitalis
from vitalis_client.cli import account, app, sessions

Run = Callable[..., Result]
NEW = "quite another long passphrase"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # PostgreSQL's own account has to be able to reach the directory, which it cannot below pytest's.
    with tempfile.TemporaryDirectory(prefix="vitalis-client-") as directory, Stack(Path(directory), port=0) as running:
        yield running


@pytest.fixture
def email(request: pytest.FixtureRequest) -> str:
    return f"{re.sub('[^a-z]', '-', request.node.name)}@example.com"


@pytest.fixture
def api(stack: Stack, config: Path, email: str) -> Iterator[Vitalis]:
    """Somebody new, logged in, with the tokens in the configuration directory."""
    with Vitalis(stack.url, sessions=FileSessions()) as client:
        client.register(email, PASSWORD, "Ada")
        client.verify_email(wait_for_code(stack.mailbox, email), PASSWORD)
        yield client


@pytest.fixture
def elsewhere(stack: Stack, api: Vitalis, email: str) -> Iterator[Vitalis]:
    """The same person on another device."""
    with Vitalis(stack.url) as client:
        client.log_in(email, PASSWORD)
        yield client


@pytest.fixture
def run(stack: Stack, api: Vitalis) -> Run:
    def invoke(*arguments: str, input: str = "") -> Result:
        return CliRunner(env={"VITALIS_URL": stack.url}).invoke(app, arguments, input=input)

    return invoke


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits at standard input."""
    monkeypatch.setattr(account, "interactive", lambda: True)


def another_code(stack: Stack, email: str, before: str) -> str:
    """The code that comes after another one."""
    deadline = time.monotonic() + 60
    while (code := wait_for_code(stack.mailbox, email)) == before:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return code


def test_sessions_are_listed_and_ended(run: Run, elsewhere: Vitalis) -> None:
    shown = run("sessions").stdout.splitlines()
    assert shown[0].split() == " ".join(sessions.COLUMNS).split()
    assert "127.0.0.1" in shown[1]
    assert [line.rstrip().endswith("yes") for line in shown[1:]] == [False, True]
    other, this = json.loads(run("sessions", "--json").stdout)
    assert (other["current"], this["current"]) == (False, True)
    assert other["user_agent"].startswith("vitalis-client/")
    assert run("sessions", "end", other["id"]).stderr == "ended\n"
    gone = run("sessions", "end", other["id"])
    assert (gone.exit_code, gone.stdout) == (1, "")
    assert len(json.loads(run("sessions", "--json").stdout)) == 1
    assert run("sessions", "end", this["id"]).stderr == "ended; it was this one; to come back: vitalis log-in\n"
    assert "you are not logged in" in run("sessions").stderr


def test_a_table_of_sessions_fits_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = run("sessions").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert re.match(r"[0-9a-f-]{36} ", next(line for line in lines if line.startswith("0")))


def test_all_other_sessions_or_all_are_ended(run: Run, stack: Stack, elsewhere: Vitalis, email: str) -> None:
    assert run("sessions", "end", "--others").stderr == "1 other session ended\n"
    assert run("sessions", "end", "--others").stderr == "0 other sessions ended\n"
    elsewhere.log_in(email, PASSWORD)
    assert run("sessions", "end", "--all").stderr == ("2 sessions ended, this one too; to come back: vitalis log-in\n")
    assert FileSessions().load(stack.url) is None


def test_what_to_end_has_to_be_said(run: Run) -> None:
    for arguments in ((), ("--others", "--all"), ("0199", "--all")):
        result = run("sessions", "end", *arguments)
        assert (result.exit_code, result.stderr) == (2, "vitalis: say what to end: an id, --others or --all\n")


def test_a_server_that_is_named_is_the_one_that_is_asked(run: Run) -> None:
    url = ("--url", "http://127.0.0.1:9")
    for arguments in ((*url, "end", "--all"), ("end", "--all", *url), ("--url", "http://[", "end", "--all", *url)):
        result = run("sessions", *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("vitalis: you are not logged in at http://127.0.0.1:9: ")
    assert run("sessions").exit_code == 0


@pytest.mark.usefixtures("terminal")
def test_a_password_is_changed_at_a_terminal(run: Run, api: Vitalis, elsewhere: Vitalis, email: str) -> None:
    result = run("password", "change", input=f"{PASSWORD}\n{NEW}\nanother one\n{NEW}\n{NEW}\n")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.endswith("the password is changed, and your other sessions have ended\n")
    assert "Old password" in result.stderr
    assert "do not match" in result.stderr
    assert NEW not in result.output
    assert [session.current for session in api.sessions()] == [True]
    assert elsewhere.log_in(email, NEW)


def test_passwords_that_are_refused(run: Run) -> None:
    def refused(old: str, new: str) -> str:
        result = run("password", "change", "--password-stdin", input=f"{old}\n{new}\n")
        assert (result.exit_code, result.stdout) == (1, "")
        return result.stderr

    assert refused(PASSWORD, "passwordpassword").startswith("vitalis: the new password is easy to guess: ")
    assert refused(PASSWORD, PASSWORD) == "vitalis: the new password was one of your last passwords\n"
    assert refused(PASSWORD, "short").startswith("vitalis: new_password: ")
    answers = [refused("wrong", NEW) for _ in range(11)]
    assert answers[0] == "vitalis: the password is wrong\n"
    assert re.fullmatch(r"vitalis: too many attempts; try again in \d+ seconds\n", answers[-1])


def test_a_new_password_is_not_in_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALIS_PASSWORD", PASSWORD)
    for arguments in (("change",), ("reset", "vvt_code")):
        result = run("password", *arguments)
        assert result.exit_code == 2
        assert result.stderr == "vitalis: there is no terminal to ask for the new password: use --password-stdin\n"
    short = run("password", "change", "--password-stdin", input=f"{PASSWORD}\n")
    assert (short.exit_code, "in a line of its own" in short.stderr) == (2, True)


def test_a_forgotten_password_is_replaced(run: Run, stack: Stack, elsewhere: Vitalis, email: str) -> None:
    before = wait_for_code(stack.mailbox, email)
    asked = run("password", "forgot", email)
    assert (asked.exit_code, asked.stdout) == (0, "")
    assert asked.stderr.startswith(f"if {email} is somebody's address, a mail with a code is on its way to it\n")
    assert asked.stderr.endswith("to go on: vitalis password reset CODE\n")
    # Whether an address is known is nobody's business.
    unknown = run("password", "forgot", "nobody@example.com")
    assert unknown.stderr == asked.stderr.replace(email, "nobody@example.com")

    code = another_code(stack, email, before)
    weak = run("password", "reset", code, "--password-stdin", input="passwordpassword\n")
    assert (weak.exit_code, "the new password is easy to guess" in weak.stderr) == (1, True)
    done = run("password", "reset", code, "--password-stdin", input=f"{NEW}\n")
    assert (done.exit_code, done.stderr) == (
        0,
        "the password is set, and all your sessions have ended; log in with it: vitalis log-in\n",
    )
    assert run("log-in", email, "--password-stdin", input=f"{NEW}\n").exit_code == 0
    again = run("password", "reset", code, "--password-stdin", input=f"{PASSWORD}\n")
    assert (again.exit_code, again.stdout) == (1, "")
    assert again.stderr.startswith("vitalis: the code is ")
    assert again.stderr.endswith("ask for another: vitalis password forgot\n")


def test_an_address_is_changed(run: Run, stack: Stack, email: str) -> None:
    new = f"new-{email}"
    wrong = run("email", "change", new, "--password-stdin", input="wrong\n")
    assert (wrong.exit_code, wrong.stderr) == (1, "vitalis: the password is wrong\n")
    asked = run("email", "change", new, "--password-stdin", input=f"{PASSWORD}\n")
    assert asked.exit_code == 0, asked.stderr
    assert asked.stderr.startswith(f"a mail with a code is on its way to {new}; until you confirm it nothing changes\n")
    assert asked.stderr.endswith("to go on: vitalis email confirm CODE\n")
    bad = run("email", "confirm", "vvt_another")
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert bad.stderr.endswith("ask for another: vitalis email change NEW\n")
    done = run("email", "confirm", wait_for_code(stack.mailbox, new))
    assert (done.exit_code, done.stderr) == (0, f"the address is changed: from now on you log in as {new}\n")


def test_nobody_to_ask_for_what_is_left_out(run: Run) -> None:
    for arguments in (("password", "forgot"), ("password", "reset"), ("email", "confirm")):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("vitalis: there is no terminal to ask at: give the ")


def test_what_happened_is_in_the_audit_trail(run: Run, elsewhere: Vitalis) -> None:
    result = run("audit", "--last", "50")
    assert result.exit_code == 0, result.stderr
    assert re.search(r"\d +login +identity\b.* you +127\.0\.0\.1 ", result.stdout)
    assert json.loads(run("audit", "--last", "1", "--json").stdout)[0]["service"] == "identity"
