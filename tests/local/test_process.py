"""Child processes: stopped as asked, never left behind."""

import os
import queue
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local.directory import DataDirectory, LocalError
from local.log import MergedLog
from local.process import Child, Program, Watchdog

PYTHON = [sys.executable, "-u", "-c"]
OBEDIENT = "import signal\nprint('ready')\nsignal.pause()"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\nwhile True: signal.pause()"


class Recorder:
    """Collects what children say, and waits for a line."""

    def __init__(self) -> None:
        self.lines: queue.SimpleQueue[tuple[str, str]] = queue.SimpleQueue()
        self.deaths: queue.SimpleQueue[Child] = queue.SimpleQueue()

    def show(self, name: str, line: str) -> None:
        self.lines.put((name, line))

    def wait_for(self, line: str) -> None:
        while self.lines.get(timeout=30)[1] != line:
            pass


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    dog = Watchdog()
    yield dog
    dog.close()


def start(watchdog: Watchdog, recorder: Recorder, script: str, grace: float = 10.0) -> Child:
    program = Program("child", [*PYTHON, script], {"ADDED": "1"}, grace_seconds=grace)
    return Child(program, watchdog, recorder.show, recorder.deaths.put)


def test_a_child_stops_when_asked_and_is_not_reported(watchdog: Watchdog) -> None:
    recorder = Recorder()
    child = start(watchdog, recorder, OBEDIENT)
    recorder.wait_for("ready")
    child.stop()
    assert child.exit_code == -signal.SIGTERM
    assert recorder.deaths.empty()


def test_a_deaf_child_is_killed_after_its_grace(watchdog: Watchdog) -> None:
    recorder = Recorder()
    child = start(watchdog, recorder, DEAF, grace=0.1)
    recorder.wait_for("ready")
    child.stop()
    assert child.exit_code == -signal.SIGKILL


def test_a_child_that_dies_is_reported_with_its_last_lines(watchdog: Watchdog) -> None:
    recorder = Recorder()
    child = start(watchdog, recorder, "import os\nprint('why', os.environ['ADDED'])\nraise SystemExit(3)")
    assert recorder.deaths.get(timeout=30) is child
    assert child.exit_code == 3
    assert list(child.tail) == ["why 1"]


def test_killing_a_child_kills_what_it_started(watchdog: Watchdog) -> None:
    recorder = Recorder()
    script = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-u', '-c', {OBEDIENT!r}]).wait()"
    child = start(watchdog, recorder, script)
    recorder.wait_for("ready")
    grandchild = psutil.Process(child.pid).children()[0]
    child.kill()
    grandchild.wait(timeout=30)


def test_children_end_with_a_runner_that_is_killed() -> None:
    runner = f"""
import sys, time
from local.process import Child, Program, Watchdog
watchdog = Watchdog()
children = []
for _ in range(2):
    children.append(Child(Program("child", {[*PYTHON, OBEDIENT]!r}), watchdog, lambda name, line: None))
print(*[child.pid for child in children], flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", runner], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout:
        children = [psutil.Process(int(pid)) for pid in process.stdout.readline().split()]
        assert len(children) == 2
        process.kill()
        process.wait()
        for child in children:
            child.wait(timeout=30)


def test_a_data_directory_is_one_runs_at_a_time(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path / "data"), DataDirectory(tmp_path / "data")
    first.acquire()
    with pytest.raises(LocalError, match=f"in use by another run \\(process {os.getpid()}\\)"):
        second.acquire()
    password = first.password("postgres")
    first.release()
    second.acquire()
    assert second.password("postgres") == password != second.password("other")
    assert (tmp_path / "data" / "secrets.json").stat().st_mode & 0o777 == 0o600
    second.release()


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="file/data cannot be used"):
        DataDirectory(tmp_path / "file" / "data").acquire()


def test_a_folder_of_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter").touch()
    with pytest.raises(LocalError, match="holds other things"):
        DataDirectory(tmp_path).acquire()
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_the_merged_log_names_each_line(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with file.open("w") as stream:
        log = MergedLog(stream)
        log("identity", "started")
        log("gateway", "started")
    assert file.read_text() == "identity        | started\ngateway         | started\n"
