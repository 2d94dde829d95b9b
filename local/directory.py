"""The data directory: where everything of a local Vitalis is kept between runs.

lock              held by the run that uses the directory
secrets.json      passwords of the database roles, made once
keys/             Ed25519 keys of the processes, master keys of encrypted columns
mail/             mail to people, unless IDENTITY_SMTP_URL says otherwise
postgres/         the embedded server's own files
objects/          uploaded files, unless TRACKING_OBJECT_STORE_URL says otherwise
documents/        people's documents, unless LABS_OBJECT_STORE_URL says otherwise
"""

import fcntl
import json
import os
import secrets
import sys
from pathlib import Path
from typing import IO

import platformdirs

from services.kit.watched import replace_file

# Passwords are random, so their length is what makes them hard to guess.
PASSWORD_BYTES = 32


class LocalError(Exception):
    """Why Vitalis cannot run here, in words for the person at the terminal."""


def default_directory() -> Path:
    """VITALIS_DATA_DIR, or the platform's place for a user's data.

    Root's is /var/lib/vitalis: PostgreSQL does not run as root, and its account
    cannot reach root's home.
    """
    if chosen := os.environ.get("VITALIS_DATA_DIR"):
        return Path(chosen).expanduser().resolve()
    if os.geteuid() == 0 and sys.platform.startswith("linux"):
        return Path("/var/lib/vitalis")
    return Path(platformdirs.user_data_dir("vitalis"))


class DataDirectory:
    """A data directory that one run holds at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Creates the directory and takes it. Raises LocalError if another run has it, or it is something else's."""
        self._refuse_foreign()
        private_directory(self.path)
        if os.geteuid() == 0:
            # PostgreSQL's account has to pass through to its own folder; the others stay closed.
            self.path.chmod(0o711)
        lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise LocalError(
                f"{self.path} is in use by another run (process {holder}); stop it, or set another VITALIS_DATA_DIR"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def _refuse_foreign(self) -> None:
        """Its mode is changed below, which must not happen to /tmp or to somebody's home."""
        try:
            foreign = self.path.is_dir() and any(self.path.iterdir()) and not self._is_ours()
        except OSError as error:
            raise LocalError(f"{self.path} cannot be used: {error.strerror}; choose another --data-dir") from None
        if foreign:
            raise LocalError(f"{self.path} holds other things; choose an empty or a new --data-dir")

    def _is_ours(self) -> bool:
        """Whether a run has been here: its lock is a file and holds nothing but the number of a process."""
        lock = self.path / "lock"
        return lock.is_file() and not lock.is_symlink() and lock.read_bytes()[:20].strip().isdigit()

    def release(self) -> None:
        if self._lock:
            self._lock.close()
            self._lock = None

    def password(self, name: str) -> str:
        """The password kept under `name`; a new random one the first time."""
        file = self.path / "secrets.json"
        kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        if name not in kept:
            kept[name] = secrets.token_urlsafe(PASSWORD_BYTES)
            write_private(file, json.dumps(kept, indent=2).encode())
        return kept[name]


def private_directory(path: Path) -> Path:
    """The directory, made if it is missing, with mode 0700."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o700)
    except OSError as error:
        raise LocalError(f"{path} cannot be used: {error.strerror}; choose another with VITALIS_DATA_DIR") from None
    return path


def write_private(file: Path, content: bytes) -> None:
    """Replaces `file` in one step, with mode 0600: a crash leaves the old one."""
    replace_file(file, content, 0o600)
