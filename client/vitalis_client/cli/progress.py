"""Progress of uploads and imports: a bar in a terminal, a line now and then elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vitalis_client.cli.terminal import say, size, stderr
from vitalis_client.contract.models import Import, LabImport

STEP_PCT = 10


class Bar(Protocol):
    """Shows how far something has come."""

    def upload(self, sent: int, total: int) -> None: ...

    def update(self, file_import: Import | LabImport) -> None: ...


class _TerminalBar:
    def __init__(self, console: Console) -> None:
        self._console = console
        self.progress: Progress | None = None
        self._task = TaskID(0)

    def upload(self, sent: int, total: int) -> None:
        if self.progress is None:
            self._show(DownloadColumn(), "Uploading", total)
        self._advance(sent, "Uploading")

    def update(self, file_import: Import | LabImport) -> None:
        if self.progress is None:
            self._show(TextColumn("{task.fields[records]:,} records"), "Importing", 100)
        self._advance(file_import.progress_pct, file_import.status.capitalize(), file_import.records_read)

    def stop(self) -> None:
        if self.progress:
            self.progress.stop()
            self.progress = None

    def _show(self, column: DownloadColumn | TextColumn, what: str, total: float) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(None), TextColumn("{task.percentage:>3.0f} %"), column)
        self.progress = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True, expand=True)
        self._task = self.progress.add_task(what, total=total, records=0)
        self.progress.start()

    def _advance(self, completed: float, description: str, records: int = 0) -> None:
        if self.progress:
            self.progress.update(self._task, completed=completed, description=description, records=records)


class _Lines:
    def __init__(self) -> None:
        self._said = ""

    def upload(self, sent: int, total: int) -> None:
        percent = sent * 100 // total // STEP_PCT * STEP_PCT
        self._say(f"uploaded {percent} % of {size(total)}")

    def update(self, file_import: Import | LabImport) -> None:
        percent = int(file_import.progress_pct) // STEP_PCT * STEP_PCT
        self._say(f"{file_import.status}, {percent} % read")

    def stop(self) -> None:
        pass

    def _say(self, line: str) -> None:
        if line != self._said:
            say(line)
            self._said = line


@contextmanager
def bar() -> Iterator[Bar]:
    """Shows one thing's progress on stderr for as long as the block runs."""
    console = stderr()
    shown = _TerminalBar(console) if console.is_terminal else _Lines()
    try:
        yield shown
    finally:
        shown.stop()
