"""Processes that die and people who leave: nothing is lost, nothing is doubled."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlparse
from uuid import uuid4

import httpx
import psutil
import pytest

from examples.apple_health import Truth
from local.runner import SERVICES, Stack, serving
from tests.e2e.conftest import SETTINGS
from tests.e2e.vitalis import NOTHING, Person, holding, until

WORKER = "tracking-worker"
STALLED_SECONDS = float(SETTINGS["TRACKING_WORKER_STALLED_SECONDS"])
SignUp = Callable[[], Person]
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def undisturbed(stack: Stack, export: tuple[bytes, Truth]) -> Iterator[Rows]:
    """The rows that the export comes to when nothing happens."""
    person = Person(stack)
    assert person.imported(export[0])["status"] == "succeeded"
    yield person.rows()
    person.close()


@contextmanager
def worker_replaced(stack: Stack) -> Iterator[None]:
    """A new worker is there afterwards, and knows the old one for dead."""
    yield
    time.sleep(STALLED_SECONDS)
    stack.restart(WORKER)


def frozen_while_reading(stack: Stack, person: Person, import_id: str) -> bool:
    """Stops the worker where it stands; whether it stands in the middle of reading the file."""
    worker = psutil.Process(stack.children[WORKER].pid)
    until(lambda: person.import_now(import_id)["status"] != "queued", "the import to begin")
    worker.suspend()
    return bool(person.import_now(import_id)["status"] == "running")


def test_a_worker_killed_while_it_reads_is_replaced_without_doubling(
    stack: Stack, ada: Person, sign_up: SignUp, long_export: tuple[bytes, Truth]
) -> None:
    content, truth = long_export
    queued = ada.upload(content)
    with worker_replaced(stack):
        assert frozen_while_reading(stack, ada, queued["id"])
        stack.kill(WORKER)
    ended = ada.watch(queued["id"])[-1]
    assert (ended["status"], ended["attempts"]) == ("succeeded", 2)
    assert ended["result"]["records_read"] == truth.records_read
    undisturbed = sign_up()
    whole = undisturbed.imported(content)
    assert ended["result"] == whole["result"]
    assert ada.rows() == undisturbed.rows()
    again = ada.imported(content)["result"]["rows"]
    assert all((counts["stored"], counts["updated"]) == (0, 0) for counts in again.values())


# Before it stores anything, and when days and nights are stored and workouts are not.
@pytest.mark.parametrize(
    ("where", "how"),
    [("imports", signal.SIGKILL), ("activities", signal.SIGKILL), ("activities", signal.SIGTERM)],
)
def test_a_worker_that_ends_while_it_stores_is_replaced_without_doubling(
    stack: Stack, ada: Person, export: tuple[bytes, Truth], undisturbed: Rows, where: str, how: signal.Signals
) -> None:
    with worker_replaced(stack):
        with holding(stack, ada, where) as wait:
            queued = ada.upload(export[0])
            wait()
            if how is signal.SIGKILL:
                stack.kill(WORKER)
            else:
                stack.children[WORKER].stop()
            assert ada.rows() == NOTHING
    assert ada.watch(queued["id"])[-1]["status"] == "succeeded"
    assert ada.rows() == undisturbed


class Load:
    """Reads and writes of one person, all of the time, from two threads."""

    def __init__(self, person: Person) -> None:
        self.acknowledged: list[str] = []
        self.reads = 0
        self.errors: list[tuple[int, str]] = []
        self.wrong: list[str] = []
        self._person = person
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=work) for work in (self._write, self._write, self._read)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int = 25) -> None:
        """Until this many more writes were acknowledged, and something was read."""
        writes, reads = len(self.acknowledged), self.reads
        until(lambda: len(self.acknowledged) >= writes + count and self.reads > reads, "answers")

    def _write(self) -> None:
        with self._client() as http:
            while not self._stop.is_set():
                key = uuid4().hex
                activity = {
                    "activity_date": "2026-03-01",
                    "source": "manual",
                    "activity_type": "running",
                    "source_activity_id": key,
                }
                # As a careful client does: the same request again until it is answered.
                while not self._stop.is_set():
                    answer = http.post("wearable-activities", json=activity, headers={"Idempotency-Key": key})
                    if answer.status_code == 200:
                        self.acknowledged.append(key)
                        break
                    self._note(answer)

    def _read(self) -> None:
        with self._client() as http:
            while not self._stop.is_set():
                answer = http.get("wearable-activities", params={"page_size": 5})
                if answer.status_code == 200:
                    self.reads += 1
                else:
                    self._note(answer)

    def _note(self, answer: httpx.Response) -> None:
        reason = answer.json()["error"]["details"][0]["reason"]
        self.errors.append((answer.status_code, reason))
        if (answer.status_code, reason) not in ((503, "UNAVAILABLE"), (504, "DEADLINE_EXCEEDED")):
            self.wrong.append(answer.text)
        time.sleep(0.02)

    def _client(self) -> httpx.Client:
        base_url = f"{self._person.stack.url}/api/v1/users/me/"
        return httpx.Client(base_url=base_url, headers=self._person.http.headers, timeout=60)


@pytest.mark.parametrize("how", ["restarted", "crashed"])
def test_a_database_that_restarts_under_load_loses_and_doubles_nothing(stack: Stack, ada: Person, how: str) -> None:
    with Load(ada) as load:
        load.wait_for_more()
        assert load.errors == []
        if how == "crashed":
            stack.kill("postgres")
        stack.restart("postgres")
        for service in SERVICES:
            until(partial(serving, stack.target(service)), f"{service} to serve again")
        load.wait_for_more()
        errors = len(load.errors)
        load.wait_for_more(100)
        assert load.errors[errors:] == []
    assert load.wrong == []
    stored = [row["source_activity_id"] for row in ada.all("wearable-activities", "wearable_activities")]
    assert len(stored) == len(set(stored))
    # The last write of each thread may have been stored without an answer.
    assert set(load.acknowledged) <= set(stored)
    assert len(stored) <= len(load.acknowledged) + 2


def test_the_worker_survives_a_restart_of_the_database(
    stack: Stack, ada: Person, export: tuple[bytes, Truth], undisturbed: Rows
) -> None:
    with holding(stack, ada, "activities") as wait:
        queued = ada.upload(export[0])
        wait()
        # The lock's own connection ends with the server.
        stack.restart("postgres")
    until(lambda: serving(stack.target("tracking")), "tracking to serve again")
    ended = ada.watch(queued["id"])[-1]
    assert ended["status"] == "succeeded"
    assert ada.rows() == undisturbed
    assert stack.children[WORKER].exit_code is None


@pytest.mark.parametrize("form", [False, True])
def test_a_client_that_leaves_in_mid_upload_leaves_nothing(stack: Stack, ada: Person, form: bool) -> None:
    url = urlparse(stack.url)
    boundary = "the-boundary"
    head = (
        f"POST /api/v1/users/me/imports?source=apple_health HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Authorization: {ada.http.headers['Authorization']}\r\nContent-Length: {40 * 2**20}\r\n"
        f"Content-Type: {f'multipart/form-data; boundary={boundary}' if form else 'application/zip'}\r\n\r\n"
    )
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="export.zip"\r\n\r\n'
    with socket.create_connection((url.hostname, url.port)) as upload:
        upload.sendall(head.encode() + (part.encode() if form else b""))
        upload.sendall(bytes(20 * 2**20))
        until(ada.files, "the upload to reach the object store")
    until(lambda: not ada.files(), "the unfinished upload to be removed")
    assert ada.imports() == []
    # And no job either: the next import is not kept waiting, and is the only one.
    assert ada.imported(b"no export")["status"] == "failed"
    assert len(ada.imports()) == 1


def test_a_tracking_service_that_is_killed_in_mid_upload_leaves_no_import(stack: Stack, ada: Person) -> None:
    def slowly() -> Iterator[bytes]:
        yield bytes(20 * 2**20)
        until(ada.files, "the upload to reach the object store")
        stack.kill("tracking")
        yield bytes(2**20)

    answer = ada.post("imports", params={"source": "apple_health"}, content=slowly())
    stack.restart("tracking")
    until(lambda: ada.get("imports").status_code == 200, "the gateway to find the new process")
    assert answer.status_code == 503, answer.text
    assert ada.imports() == []
    assert ada.imported(b"no export")["status"] == "failed"
