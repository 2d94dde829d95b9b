"""`python -m local up`, as a person runs it: real processes, real signals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from local.directory import DataDirectory
from local.postgres import HOST, SUPERUSER, temporary_directory, temporary_server
from services.kit.roles import app_role, migrator_role

READY = re.compile(r"vitalis +\| API +(http://127\.0\.0\.1:\d+)")


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as path:
        yield path / "data"


@contextmanager
def up(directory: Path, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "local", "up", "--data-dir", str(directory), *(arguments or ("--port", "0"))]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
    )
    try:
        assert process.stdout
        with process.stdout:
            yield process
    finally:
        process.kill()
        process.wait()


def url_of(process: subprocess.Popen[str]) -> str:
    """Reads the log until everything is up."""
    assert process.stdout
    seen = []
    for line in process.stdout:
        seen.append(line)
        if ready := READY.match(line):
            return ready[1]
    raise AssertionError("".join(seen))


def rest_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.read()


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_up_answers_stops_in_order_and_keeps_its_data_and_keys_private(directory: Path) -> None:
    kept = []
    for number in (signal.SIGINT, signal.SIGTERM):
        with up(directory) as process:
            url = url_of(process)
            with urllib.request.urlopen(f"{url}/openapi.json") as answer:
                assert json.load(answer)["openapi"].startswith("3.1")
            children = descendants(process)
            process.send_signal(number)
            log = rest_of(process)
            assert process.wait() == 0, log
            assert psutil.wait_procs(children, timeout=10)[1] == []
        assert "database system is shut down" in log.splitlines()[-1]
        assert "Traceback" not in log
        kept.append({path.name: path.read_bytes() for path in sorted(directory.glob("keys/*"))})
    assert kept[0] == kept[1] != {}
    files = [directory / "secrets.json", *directory.glob("keys/*")]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert {(directory / name).stat().st_mode & 0o777 for name in ("keys", "objects", "postgres")} == {0o700}


def test_a_process_that_crashes_stops_everything_with_a_clear_message(directory: Path) -> None:
    with up(directory) as process:
        url_of(process)
        children = descendants(process)
        worker = next(child for child in children if child.cmdline()[-2:] == ["services.tracking", "worker"])
        worker.kill()
        log = rest_of(process)
        assert process.wait() == 1
        assert psutil.wait_procs(children, timeout=10)[1] == []
    assert "tracking-worker was ended by signal 9" in log


def test_a_process_that_does_not_start_says_why(directory: Path) -> None:
    with up(directory, TRACKING_LOG_FORMAT="unheard of") as process:
        log = rest_of(process)
        assert process.wait() == 1
    assert re.search(r"tracking(-worker)? ended with exit code 2", log)
    assert "setting TRACKING_LOG_FORMAT" in log


def test_nothing_outlives_a_runner_that_is_killed(directory: Path) -> None:
    with up(directory) as process:
        url_of(process)
        children = descendants(process)
        process.kill()
        assert psutil.wait_procs(children, timeout=60)[1] == []
    migrated = run_migrate(directory)
    assert migrated.returncode == 0, migrated.stderr


def test_a_port_in_use_is_named(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with up(directory, "--port", str(port)) as process:
            log = rest_of(process)
            assert process.wait() == 1
    assert f"port {port} is in use" in log


def test_one_data_directory_takes_one_run(directory: Path) -> None:
    first = DataDirectory(directory)
    first.acquire()
    with up(directory) as process:
        log = rest_of(process)
        assert process.wait() == 1
    first.release()
    assert f"in use by another run (process {os.getpid()})" in log


def test_another_server_is_used_when_it_is_named(directory: Path) -> None:
    with temporary_server() as admin_url, up(directory, VITALIS_ADMIN_DATABASE_URL=admin_url) as process:
        url_of(process)
        assert "postgres" not in {child.name() for child in descendants(process)}
        assert not (directory / "postgres").exists()
        with psycopg.connect(admin_url) as admin:
            users = {
                user for (user,) in admin.execute("SELECT usename FROM pg_stat_activity WHERE usename IS NOT NULL")
            }
        assert users - {SUPERUSER} == {app_role("identity"), app_role("tracking"), app_role("labs")}
        assert migrator_role("identity") not in users
        process.send_signal(signal.SIGTERM)
        rest_of(process)
        assert process.wait() == 0


def test_migrate_brings_the_databases_up_and_ends(directory: Path) -> None:
    for _ in range(2):
        done = run_migrate(directory)
        assert done.returncode == 0, done.stderr
        assert "tracking database" in done.stdout


def test_make_admin_asks_identity_and_ends(directory: Path) -> None:
    done = run_local(directory, "make-admin", "nobody@example.com")
    assert done.returncode == 1
    assert "nobody who is active has verified this address" in done.stderr


def run_migrate(directory: Path) -> subprocess.CompletedProcess[str]:
    return run_local(directory, "migrate")


def run_local(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "local", *arguments, "--data-dir", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
