"""The run of all tests is itself held to the contract; a part of it is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rpcs import rpcs

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
from tests import outcomes
def pytest_configure(config):
    config.pluginmanager.register(outcomes)
"""
TESTS = """
from tests import outcomes
from tests.rpcs import rpcs
EXPECTED = [(rpc.path, outcome) for rpc in rpcs() for outcome in ("OK", *rpc.errors)]
def test_half():
    outcomes.seen.update(EXPECTED[:len(EXPECTED) // 2])
def test_other_half():
    outcomes.seen.update(EXPECTED[len(EXPECTED) // 2:{left_out}])
"""


def run(directory: Path, left_out: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    tests = directory / "suite"
    tests.mkdir()
    (directory / "pytest.ini").write_text("[pytest]\ntestpaths = suite\n")
    (tests / "conftest.py").write_text(CONFTEST)
    (tests / "test_some.py").write_text(TESTS.format(left_out=left_out))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}", "PATH": ""}
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("processes", ["0", "2"])
def test_a_whole_run_shows_all_that_the_contract_says(tmp_path: Path, processes: str) -> None:
    done = run(tmp_path, "", "-n", processes)
    assert done.returncode == 0, done.stdout
    assert "the contract says more" not in done.stdout


@pytest.mark.parametrize("processes", ["0", "2"])
def test_what_no_test_has_shown_fails_the_run_by_name(tmp_path: Path, processes: str) -> None:
    done = run(tmp_path, "-1", "-n", processes)
    assert done.returncode == 1
    last = rpcs()[-1]
    missing = f"provokes {last.errors[-1]}" if last.errors else "calls it with success"
    assert f"{last.method.name}: no test {missing}" in done.stdout
    assert done.stdout.count(": no test") == 1


@pytest.mark.parametrize("part", [("suite/test_some.py",), ("-k", "half"), ("--deselect", "nothing")])
def test_a_part_of_the_tests_is_not_held_to_it(tmp_path: Path, part: tuple[str, ...]) -> None:
    assert run(tmp_path, "-5", *part).returncode == 0
