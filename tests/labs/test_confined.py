"""What a process that reads files from outside is given."""

import pytest

from services.labs.confined import Limits, confined


async def test_a_confined_process_knows_none_of_the_workers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITALIS_DATABASE_URL", "postgresql://labs:secret@127.0.0.1/labs")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    names = await confined("tests.labs.environment", Limits(memory_bytes=1 << 29, processor_seconds=20))
    assert "PATH" in names
    assert not {"VITALIS_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"} & set(names)
