"""Where the tokens of a session live: in memory, or in a file that the user's processes share.

A refresh token works once, and using it twice ends the session. So whoever
refreshes holds the store's lock, looks whether somebody else has refreshed
meanwhile, and saves the new tokens before it uses them.
"""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import RLock
from typing import Protocol

import platformdirs
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from vitalis_client.errors import VitalisError

LOCK_SECONDS = 60


class Session(BaseModel):
    """A logged-in person's tokens at one server."""

    model_config = ConfigDict(frozen=True)

    user_id: str
    email: str
    access_token: str = Field(repr=False)
    # By this machine's clock, in seconds since 1970.
    access_token_expires_at: float
    refresh_token: str = Field(repr=False)


class Sessions(Protocol):
    """A store of sessions by server URL."""

    def load(self, url: str) -> Session | None: ...

    def save(self, url: str, session: Session | None) -> None: ...

    def lock(self) -> AbstractContextManager[object]:
        """Held while a session is replaced; the holder may take it again."""
        ...


class MemorySessions:
    """Keeps sessions as long as the object lives."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._lock = RLock()

    def load(self, url: str) -> Session | None:
        return self._sessions.get(url)

    def save(self, url: str, session: Session | None) -> None:
        if session is None:
            self._sessions.pop(url, None)
        else:
            self._sessions[url] = session

    def lock(self) -> AbstractContextManager[object]:
        return self._lock


_FILE = TypeAdapter(dict[str, Session])


class FileSessions:
    """Keeps sessions in `sessions.json` (mode 0600), by default in the user's configuration directory.

    The directory is `VITALIS_CONFIG_DIR` if that is set. Writing replaces the
    file as a whole, so nobody ever reads half of it.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory or config_directory()
        self.path = self.directory / "sessions.json"
        self._lock = FileLock(self.directory / "sessions.lock", timeout=LOCK_SECONDS, mode=0o600)

    def load(self, url: str) -> Session | None:
        return self._read().get(url)

    def save(self, url: str, session: Session | None) -> None:
        with self.lock():
            sessions = self._read()
            if session is None:
                sessions.pop(url, None)
            else:
                sessions[url] = session
            self._write(sessions)

    @contextmanager
    def lock(self) -> Iterator[None]:
        self._make_directory()
        try:
            held = self._lock.acquire()
        except Timeout:
            raise VitalisError(0, "BUSY", f"another process holds {self._lock.lock_file}; try again") from None
        with held:
            yield

    def _make_directory(self) -> None:
        if not self.directory.exists():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _read(self) -> dict[str, Session]:
        try:
            return _FILE.validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValidationError:
            raise VitalisError(
                0, "SESSIONS_UNREADABLE", f"{self.path} is damaged; delete it and log in again"
            ) from None

    def _write(self, sessions: dict[str, Session]) -> None:
        # mkstemp makes the file with mode 0600.
        descriptor, scratch = tempfile.mkstemp(dir=self.directory, prefix=".sessions-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(_FILE.dump_python(sessions, mode="json"), file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, self.path)
        except BaseException:
            os.unlink(scratch)
            raise


def config_directory() -> Path:
    """`VITALIS_CONFIG_DIR`, or the platform's directory for a user's configuration."""
    configured = os.environ.get("VITALIS_CONFIG_DIR")
    return Path(configured).expanduser() if configured else platformdirs.user_config_path("vitalis", appauthor=False)
