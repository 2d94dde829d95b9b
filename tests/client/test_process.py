"""The command `vitalis` as a process of its own: without a terminal, at one, and interrupted."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.client.server import Server
from tests.client.server.base import PASSWORD
from tests.client.terminal import at_a_terminal
from vitalis.tracking.v1 import imports_pb2
from vitalis_client import Vitalis

Python = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def vitalis(server: Server, python: Python, monkeypatch: pytest.MonkeyPatch) -> Python:
    """Starts `vitalis …` without a terminal."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    return lambda *arguments: python("-m", "vitalis_client", *arguments)


def test_without_a_terminal_there_are_plain_lines(
    api: Vitalis, vitalis: Python, server: Server, tmp_path: Path
) -> None:
    export = tmp_path / "export.xml"
    export.write_bytes(b"x" * 2_000_000)
    server.steps = [imports_pb2.Import(status="running", progress_pct=50), imports_pb2.Import(status="succeeded")]
    process = vitalis("import", str(export))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "\x1b" not in out + err
    assert err.splitlines()[-2:] == ["running, 50 % read", "succeeded, 50 % read"]
    assert err.startswith("uploaded 10 % of 2.0 MB\nuploaded 20 % of 2.0 MB\n")
    assert out.startswith(f"import {next(iter(server.imports))} of export.xml (2.0 MB): succeeded")


def test_json_can_be_piped(api: Vitalis, vitalis: Python) -> None:
    out, err = vitalis("days", "--json").communicate(timeout=60)
    assert len(json.loads(out)) == 30
    assert err == ""


def test_a_reader_that_goes_away_gets_no_traceback(api: Vitalis, vitalis: Python) -> None:
    process = vitalis("days", "--json")
    assert process.stdout
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err


def test_ctrl_c_leaves_the_import_running_and_tells_how_to_go_on(
    api: Vitalis, vitalis: Python, server: Server, tmp_path: Path
) -> None:
    export = tmp_path / "export.xml"
    export.write_bytes(b"x")
    server.steps = [imports_pb2.Import(status="running", progress_pct=50)]
    server.watch_holds.clear()
    process = vitalis("import", str(export))
    assert process.stderr
    while not process.stderr.readline().startswith("running"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    (row,) = server.imports.values()
    assert process.returncode == 130
    assert row.status == "running"
    assert not server.requests["cancel_import"]
    assert err.splitlines() == [
        "the import goes on without you",
        f"  watch it:  vitalis watch {row.id}",
        f"  cancel it: vitalis cancel {row.id}",
    ]


def test_a_terminal_gets_bars_and_hides_the_password(
    config: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VITALIS_URL", server.url)
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = at_a_terminal(["log-in", "ada@example.com"], b"Password: ", PASSWORD.encode() + b"\n")
    assert b"logged in as ada@example.com" in shown
    assert PASSWORD.encode() not in shown
    export = tmp_path / "export.xml"
    export.write_bytes(b"x" * 2_000_000)
    server.steps = [
        imports_pb2.Import(status="running", progress_pct=50, records_read=1234),
        imports_pb2.Import(status="succeeded"),
    ]
    shown = at_a_terminal(["import", str(export)])
    assert b"Uploading" in shown
    assert b"1,234 records" in shown
    assert b"succeeded" in shown


@pytest.mark.parametrize("prompt", [b"Email: ", b"Password: "])
def test_ctrl_c_at_a_prompt(config: Path, server: Server, monkeypatch: pytest.MonkeyPatch, prompt: bytes) -> None:
    monkeypatch.setenv("VITALIS_URL", server.url)
    arguments = ["log-in"] if prompt == b"Email: " else ["log-in", "ada@example.com"]
    assert b"Traceback" not in at_a_terminal(arguments, prompt, None, exit_code=130)
