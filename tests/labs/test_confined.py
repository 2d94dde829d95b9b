"""What a process that reads files from outside is given."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from services.labs.confined import LimitReachedError, Limits, confined

LIMITS = Limits(memory_bytes=1 << 29, processor_seconds=20)


async def test_a_confined_process_knows_none_of_the_workers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALIS_DATABASE_URL", "postgresql://labs:secret@127.0.0.1/labs")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    names = await confined("tests.labs.environment", LIMITS)
    assert "PATH" in names
    assert not {"VITALIS_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"} & set(names)


def is_running(process_id: str) -> bool:
    """Whether it is there, and no zombie."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_what_a_confined_process_has_started_ends_with_it(tmp_path: Path) -> None:
    told = tmp_path / "process"
    work = asyncio.create_task(
        confined("tests.labs.endless", Limits(memory_bytes=1 << 29, processor_seconds=60), str(told))
    )
    async with asyncio.timeout(30):
        while not (told.exists() and (process_id := told.read_text())):
            await asyncio.sleep(0.01)
        assert is_running(process_id)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        while is_running(process_id):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("ending", ["waits", "killed"])
async def test_it_ends_with_it_however_that_ends(tmp_path: Path, ending: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Read to its end once nobody holds it any more.
    held = asyncio.create_task(asyncio.wait_for(asyncio.to_thread(pipe.read_bytes), 30))
    with pytest.raises(LimitReachedError):
        await confined("tests.labs.forking", LIMITS._replace(processor_seconds=1), str(pipe), ending)
    assert await held == b"both are there\n"


async def test_limits_hold_for_what_a_confined_process_starts() -> None:
    inherited = await confined("tests.labs.limits", LIMITS)
    assert inherited == {"memory_bytes": LIMITS.memory_bytes, "processor_seconds": LIMITS.processor_seconds}


async def test_texts_that_are_made_to_be_slow_hold_nobody_up() -> None:
    """A request may have a thousand of them. There were some of which each took a tenth of a second."""
    await confined("tests.labs.slow_texts", Limits(memory_bytes=2 << 30, processor_seconds=12))
