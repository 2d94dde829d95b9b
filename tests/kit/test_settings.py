"""Settings from the environment: what is missing or wrong is named, and no secret with it."""

from pathlib import Path

import pytest

from services.kit.settings import MigrateSettings, ServiceSettings, load

FILE = Path(__file__)
GOOD = {
    "PROBE_LISTEN": "127.0.0.1:0",
    "PROBE_DATABASE_URL": "postgresql://app:hunter2@127.0.0.1/probe",
    "PROBE_CALLER_KEY_FILE": str(FILE),
    "PROBE_TRUSTED_CALLERS_FILE": str(FILE),
}


def load_with(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> ServiceSettings:
    for name in GOOD:
        monkeypatch.delenv(name, raising=False)
    for name, value in {**GOOD, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    return load(ServiceSettings, "PROBE_")


def test_what_is_set_is_read_under_the_processs_own_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_GRACE_SECONDS", "99")
    settings = load_with(monkeypatch, PROBE_GRACE_SECONDS="3")
    assert (settings.listen, settings.grace_seconds) == ("127.0.0.1:0", 3)
    assert settings.caller_key_file == FILE
    assert "hunter2" not in repr(settings)


def test_everything_that_is_missing_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        load_with(monkeypatch, PROBE_LISTEN=None, PROBE_CALLER_KEY_FILE=None)
    assert stopped.value.code == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["setting PROBE_CALLER_KEY_FILE", "setting PROBE_LISTEN"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROBE_GRACE_SECONDS", "-1"),
        ("PROBE_DATABASE_POOL_SIZE", "hunter2"),
        ("PROBE_DATABASE_POOL_SIZE", "0"),
        ("PROBE_LOG_FORMAT", "hunter2"),
        ("PROBE_WORKER_CONCURRENCY", "many hunter2"),
        ("PROBE_LISTEN", "hunter2"),
        ("PROBE_DATABASE_URL", "hunter2"),
        ("PROBE_DATABASE_URL", "mysql://app:hunter2@127.0.0.1/probe"),
        ("PROBE_DATABASE_URL", "postgresql://app:hunter2%@127.0.0.1/probe"),
        ("PROBE_DATABASE_URL", "postgresql://app:hunter2@127.0.0.1:port/probe"),
    ],
)
def test_what_is_wrong_is_named_without_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    with pytest.raises(SystemExit):
        load_with(monkeypatch, **{name: value})
    said = capsys.readouterr().err
    assert said.startswith(f"setting {name}: ")
    assert len(said.splitlines()) == 1
    assert "hunter2" not in said


def test_migrating_needs_the_migrators_url_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PROBE_MIGRATOR_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit):
        load(MigrateSettings, "PROBE_")
    assert capsys.readouterr().err.startswith("setting PROBE_MIGRATOR_DATABASE_URL: ")
    monkeypatch.setenv("PROBE_MIGRATOR_DATABASE_URL", "postgresql://migrator:hunter2@127.0.0.1/probe")
    assert "hunter2" not in repr(load(MigrateSettings, "PROBE_"))
