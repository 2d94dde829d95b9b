"""Second factors: in the SDK, and at the command line with and without a terminal."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.accounts import APP_CODE, RECOVERY_CODE
from tests.client.server.base import PASSWORD
from vitalis_client import SecondFactorNeeded, Vitalis, VitalisError
from vitalis_client.cli import account, app

Run = Callable[..., Result]


@pytest.fixture
def run(server: Server, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("VITALIS_URL", server.url)

    def invoke(*arguments: str, input: str = "") -> Result:
        return CliRunner().invoke(app, arguments, input=input)

    return invoke


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits at standard input."""
    monkeypatch.setattr(account, "interactive", lambda: True)


def test_a_log_in_goes_on_with_a_code(server: Server) -> None:
    server.has_app = True
    with Vitalis(server.url) as api:
        with pytest.raises(SecondFactorNeeded) as needed:
            api.log_in("ada@example.com", PASSWORD)
        challenge = needed.value.challenge
        assert challenge.methods == ["totp", "recovery_code"]
        with pytest.raises(VitalisError, match="wrong") as wrong:
            api.complete_log_in(challenge, totp_code="000000")
        assert wrong.value.reason == "SECOND_FACTOR_WRONG"
        assert api.complete_log_in(challenge, recovery_code=RECOVERY_CODE).email == "ada@example.com"
        assert api.me()


def test_no_session_is_stored_before_the_code(server: Server, config: Path, run: Run) -> None:
    server.has_app = True
    result = run("log-in", "ada@example.com", "--password-stdin", input=f"{PASSWORD}\n")
    assert result.exit_code == 2
    assert "no terminal to ask for a code" in result.stderr
    assert run("whoami").exit_code == 1


@pytest.mark.parametrize("code", [APP_CODE, f" {RECOVERY_CODE} "])
def test_logging_in_with_the_code_in_the_next_line(server: Server, run: Run, code: str) -> None:
    server.has_app = True
    result = run("log-in", "ada@example.com", "--password-stdin", input=f"{PASSWORD}\n{code}\n")
    assert (result.exit_code, result.stderr) == (0, "logged in as ada@example.com\n")
    assert run("whoami").exit_code == 0


def test_a_wrong_code_without_a_terminal_is_an_error(server: Server, run: Run) -> None:
    server.has_app = True
    result = run("log-in", "ada@example.com", "--password-stdin", input=f"{PASSWORD}\n000000\n")
    assert result.exit_code == 1
    assert result.stderr == "vitalis: the code or passkey is wrong\n"


@pytest.mark.usefixtures("terminal")
def test_at_a_terminal_a_wrong_code_is_asked_for_again(server: Server, run: Run) -> None:
    server.has_app = True
    result = run("log-in", "ada@example.com", input=f"{PASSWORD}\n000000\n{APP_CODE}\n")
    assert result.exit_code == 0
    assert result.stderr.count("Code of the app, or recovery code") == 2
    assert "the code or passkey is wrong" in result.stderr


def test_turning_it_on_and_off(server: Server, run: Run) -> None:
    run("log-in", "ada@example.com", "--password-stdin", input=f"{PASSWORD}\n")
    assert run("second-factor", "status").stdout == "authenticator app: off\npasskeys: 1\nrecovery codes left: 0\n"
    enabled = run("second-factor", "enable", "--password-stdin", input=f"{PASSWORD}\n{APP_CODE}\n")
    assert enabled.exit_code == 0
    assert enabled.stdout == f"otpauth://totp/Ada?secret=SECRET\nSECRET\n{RECOVERY_CODE}\n"
    assert "not shown again" in enabled.stderr
    assert run("second-factor", "status").stdout.startswith("authenticator app: since 2026-11-20 12:00 UTC\n")
    assert '"recovery_codes_left":9' in run("second-factor", "status", "--json").stdout
    renewed = run("second-factor", "recovery-codes", "--code", APP_CODE)
    assert renewed.stdout == "new-1\nnew-2\n"
    assert run("second-factor", "disable", "--code", RECOVERY_CODE).exit_code == 0
    assert run("second-factor", "status").stdout.startswith("authenticator app: off\n")


def test_what_changes_them_is_refused_without_a_proof(server: Server, run: Run) -> None:
    run("log-in", "ada@example.com", "--password-stdin", input=f"{PASSWORD}\n")
    for command in ("enable", "disable", "recovery-codes"):
        refused = run("second-factor", command, "--code", "000000")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert refused.stderr == "vitalis: proof: the password or a code is needed\n"
    wrong = run("second-factor", "enable", "--password-stdin", input=f"{PASSWORD}\n000000\n")
    assert (wrong.exit_code, server.has_app) == (1, False)
    assert "is not the code" in wrong.stderr


def test_the_secret_is_not_stored(server: Server, run: Run, config: Path) -> None:
    run("log-in", "ada@example.com", "--password-stdin", input=f"{PASSWORD}\n")
    run("second-factor", "enable", "--password-stdin", input=f"{PASSWORD}\n{APP_CODE}\n")
    assert "SECRET" not in "".join(path.read_text() for path in config.iterdir())
