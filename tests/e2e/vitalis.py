"""People who use Vitalis over HTTP, and what the tests see of it from behind."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname
from uuid import uuid4

import httpx
import psutil
import psycopg

from local.mailbox import wait_for_code
from local.runner import Stack

PASSWORD = "correct horse battery staple"
WAIT_SECONDS = 60.0
# What differs between two people's rows of the same file.
OWN = frozenset({"id", "user_id", "import_id", "created_at", "updated_at", "etag", "source_activity_id"})
COLLECTIONS = {
    "days": "days",
    "wearable-daily": "wearable_daily",
    "wearable-sleep": "wearable_sleep",
    "wearable-activities": "wearable_activities",
}


def until(condition: Callable[[], Any], what: str) -> Any:
    """Waits until the condition holds; its value. Fails if it never does."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        if value := condition():
            return value
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


class Person:
    """Somebody who has signed up. Paths are below `/api/v1/users/me`."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.http = httpx.Client(base_url=stack.url, timeout=WAIT_SECONDS)
        self.email = f"{uuid4().hex}@example.com"
        person = {"email": self.email, "password": PASSWORD, "display_name": "Ada"}
        answer = self.http.post("/api/v1/users", json=person)
        assert (answer.status_code, answer.json()) == (200, {}), answer.text
        code = wait_for_code(stack.mailbox, self.email)
        answer = self.http.post("/api/v1/users:verifyEmail", json={"token": code, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        self.id: str = answer.json()["user"]["id"]
        self.tokens: dict[str, str] = answer.json()["tokens"]
        self.http.headers["Authorization"] = f"Bearer {self.tokens['access_token']}"

    def close(self) -> None:
        self.http.close()

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(f"/api/v1/users/me/{path}", params=query)

    def post(self, path: str, **arguments: Any) -> httpx.Response:
        return self.http.post(f"/api/v1/users/me/{path}", **arguments)

    def upload(self, content: Any, **arguments: Any) -> dict[str, Any]:
        """Uploads a file; the import."""
        answer = self.post("imports", params={"source": "apple_health"}, content=content, **arguments)
        assert answer.status_code == 200, answer.text
        queued: dict[str, Any] = answer.json()
        return queued

    def import_now(self, import_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"imports/{import_id}").json()
        return found

    def watch(self, import_id: str) -> list[dict[str, Any]]:
        """Everything that a watcher of the import is told until it ends."""
        with self.http.stream("GET", f"/api/v1/users/me/imports/{import_id}:watch") as answer:
            assert answer.status_code == 200, answer.read()
            assert answer.headers["content-type"].startswith("application/x-ndjson")
            return [json.loads(line) for line in answer.iter_lines()]

    def imported(self, content: Any) -> dict[str, Any]:
        """The import of a file, once it has ended."""
        return self.watch(self.upload(content)["id"])[-1]

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Everything that wearables recorded, without what names this person or moment."""
        return {path: [strip(row) for row in self.all(path, field)] for path, field in COLLECTIONS.items()}

    def all(self, path: str, field: str) -> list[dict[str, Any]]:
        """Every page of a list."""
        rows: list[dict[str, Any]] = []
        token = ""
        while True:
            page = self.get(path, page_size=200, page_token=token).json()
            rows += page[field]
            if not (token := page["next_page_token"]):
                return rows

    def imports(self) -> list[dict[str, Any]]:
        return self.all("imports", "imports")

    def files(self) -> list[Path]:
        """This person's files in the object store, unfinished ones too."""
        store = Path(url2pathname(urlparse(objects(self.stack)).path))
        return [path for path in store.rglob("*") if path.is_file() and self.id in str(path)]


def strip(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in OWN}


def objects(stack: Stack) -> str:
    """The URL of the object store."""
    return stack.children["tracking"].program.environment["TRACKING_OBJECT_STORE_URL"]


NOTHING: dict[str, list[dict[str, Any]]] = {path: [] for path in COLLECTIONS}


@contextmanager
def holding(stack: Stack, person: Person, what: str) -> Iterator[Callable[[], None]]:
    """Holds one of the person's locks in tracking's database, so that whoever needs it stops there.

    `imports` stops an import after it has read its file, `activities` after it
    has written days and nights and before it commits. Gives a function that
    waits until somebody has stopped.
    """
    with psycopg.connect(stack.databases["tracking"].migrator, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", [f"{what}:{person.id}"])

        def somebody_waits() -> bool:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return bool((connection.execute(waiting).fetchone() or [0])[0])

        yield lambda: until(somebody_waits, f"somebody who needs the lock {what}")


class Memory:
    """The most that a process has had in memory while it was looked at, in bytes."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.peak = 0

    def look(self) -> None:
        self.peak = max(self.peak, self._process.memory_info().rss)
