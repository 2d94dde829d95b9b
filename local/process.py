"""One child process: its output line by line, its end, and the watchdog that outlives the runner."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
TAIL_LINES = 30


class Watchdog:
    """Remembers the children outside of this process, and ends them if this process is killed."""

    def __init__(self, *temporary: Path) -> None:
        """`temporary` are folders that nobody needs after the children."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "local.watchdog", *map(str, temporary)],
            stdin=subprocess.PIPE,
            text=True,
            bufsize=1,
            cwd=ROOT,
            start_new_session=True,
        )

    def tell(self, sign: str, pid: int) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(f"{sign}{pid}\n")

    def close(self) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


@dataclass(frozen=True)
class Account:
    """The system account of a child that must not run as root."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Program:
    """What to run: `stop_signal` asks it to end, `grace_seconds` is how long it may take."""

    name: str
    command: Sequence[str | Path]
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_signal: signal.Signals = signal.SIGTERM
    grace_seconds: float = 20.0
    account: Account | None = None


class Child:
    """A running program in a process group of its own, so that a terminal's Ctrl-C does not reach it."""

    def __init__(
        self,
        program: Program,
        watchdog: Watchdog,
        show: Callable[[str, str], None],
        died: Callable[["Child"], None] = lambda child: None,
    ) -> None:
        """Starts it. `show(name, line)` gets its output; `died(child)` is called if it ends without being asked."""
        self.name = program.name
        self.program = program
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._watchdog, self._show, self._died = watchdog, show, died
        self._expected = False
        account = program.account
        self._process = subprocess.Popen(
            [str(part) for part in program.command],
            env={**os.environ, **program.environment},
            cwd="/" if account else ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        watchdog.tell("+", self._process.pid)
        self._reader = threading.Thread(target=self._read, name=f"{self.name}-log", daemon=True)
        self._reader.start()
        threading.Thread(target=self._wait, name=f"{self.name}-end", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        self._expected = True
        self._signal(self.program.stop_signal)

    def stop(self) -> None:
        """Asks it to end, waits, and kills it if it does not."""
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(self.program.grace_seconds)
        self.kill()

    def kill(self) -> None:
        """Ends it at once, with everything that it started: PostgreSQL's backends leave its process group."""
        self._expected = True
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._reader.join(timeout=5)

    def _family(self) -> list[psutil.Process]:
        if self.exit_code is not None:
            return []
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self.pid)
            return [process, *process.children(recursive=True)]
        return []

    def _signal(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                self.tail.append(line.rstrip("\n"))
                self._show(self.name, line.rstrip("\n"))

    def _wait(self) -> None:
        self._process.wait()
        self._watchdog.tell("-", self.pid)
        if not self._expected:
            # What it said last is the reason; let it arrive first.
            self._reader.join(timeout=2)
            self._died(self)
