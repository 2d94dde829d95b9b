"""The embedded PostgreSQL: kept between runs, closed to others, and back after a crash."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from local.directory import LocalError
from local.postgres import Postgres, temporary_directory
from local.process import Child, Watchdog

PASSWORD = "pa ss/word@1"
# Enough for the crash of a process; only that of the machine needs more.
SETTINGS = {"fsync": "off"}


@pytest.fixture
def directory() -> Iterator[Path]:
    with temporary_directory() as path:
        yield path


@contextmanager
def running(directory: Path) -> Iterator[tuple[Postgres, Child]]:
    watchdog = Watchdog()
    server = Postgres(directory, PASSWORD, SETTINGS)
    server.initialise()
    child = Child(server.program(), watchdog, lambda name, line: None)
    try:
        server.wait_until_ready(child)
        yield server, child
    finally:
        child.stop()
        watchdog.close()


def answer(server: Postgres, statement: str) -> object:
    with psycopg.connect(server.admin_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchone() if cursor.description else None


def test_data_stays_between_runs(directory: Path) -> None:
    with running(directory) as (server, _):
        answer(server, "CREATE TABLE kept AS SELECT 7 AS number")
    with running(directory) as (server, child):
        assert answer(server, "SELECT number FROM kept") == (7,)
        assert answer(server, "SELECT current_setting('server_version_num')::integer / 10000") == (18,)
    assert child.exit_code == 0


def test_it_listens_on_loopback_only_and_wants_the_password(directory: Path) -> None:
    with running(directory) as (server, child):
        process = psutil.Process(child.pid)
        assert {connection.laddr.ip for connection in process.net_connections("inet")} == {"127.0.0.1"}
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(server.admin_url, password="another")
        assert (directory / "postgres").stat().st_mode & 0o777 == 0o700


def test_it_comes_back_after_it_was_killed(directory: Path) -> None:
    with running(directory) as (server, child):
        answer(server, "CREATE TABLE kept AS SELECT 7 AS number")
        with closing(psycopg.connect(server.admin_url)) as busy:
            busy.execute("SELECT 1")
            child.kill()
    with running(directory) as (server, _):
        assert answer(server, "SELECT number FROM kept") == (7,)


def test_a_server_that_outlived_its_run_is_stopped_first(directory: Path) -> None:
    with running(directory) as (first, orphan):
        answer(first, "CREATE TABLE kept AS SELECT 7 AS number")
        second = Postgres(directory, PASSWORD, SETTINGS)
        second.initialise()
        assert not psutil.pid_exists(orphan.pid)
    with running(directory) as (server, _):
        assert answer(server, "SELECT number FROM kept") == (7,)


def test_a_stale_process_number_does_not_stop_it(directory: Path) -> None:
    with running(directory) as (_, child):
        content = (directory / "postgres" / "postmaster.pid").read_text().split("\n")
        child.kill()
    (directory / "postgres" / "postmaster.pid").write_text("\n".join([str(psutil.Process().pid), *content[1:]]))
    with running(directory) as (server, _):
        assert server.ready()


def test_an_interrupted_set_up_starts_again(directory: Path) -> None:
    (directory / "postgres").mkdir()
    (directory / "postgres" / "half").touch()
    with running(directory) as (server, _):
        assert server.ready()


def test_another_versions_data_is_refused(directory: Path) -> None:
    (directory / "postgres").mkdir()
    (directory / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(LocalError, match="is of PostgreSQL 16, this is 18"):
        Postgres(directory, PASSWORD).initialise()


def test_a_temporary_server_leaves_nothing_when_its_run_is_killed() -> None:
    script = """
import psycopg
from local.postgres import temporary_server
with temporary_server() as admin_url, psycopg.connect(admin_url) as connection:
    print(connection.execute("SHOW data_directory").fetchone()[0], flush=True)
    input()
"""
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process:
        data = Path(process.stdout.readline().strip())
        watchdog = next(
            child for child in psutil.Process(process.pid).children() if "local.watchdog" in child.cmdline()
        )
        process.kill()
        watchdog.wait(timeout=60)
        assert not data.parent.exists()
