"""What uploads have in common, and watching what becomes of them."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import httpx

from vitalis_client import upload
from vitalis_client.errors import Unreachable, VitalisError, from_json, unexpected
from vitalis_client.http import Http, decode_json
from vitalis_client.route import Answer, Route

# After the last byte the server still has to hash and store what it was sent.
UPLOAD_TIMEOUT = httpx.Timeout(30.0, connect=5.0, read=300.0, write=60.0)
POLL_SECONDS = 1.0
# What a watch can end with while what is watched goes on.
PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNAUTHENTICATED"})


def send(
    http: Http,
    route: Route[Answer],
    path: Path | str,
    params: Mapping[str, str],
    on_progress: upload.Progress | None,
    idempotency_key: str,
) -> Answer:
    """Uploads a file, streamed from the disk; again if the connection breaks, which the key makes harmless."""
    file = Path(path)
    size = upload.open_file(file)
    headers = {
        "content-length": str(size),
        "content-type": "application/octet-stream",
        "idempotency-key": idempotency_key or str(uuid.uuid4()),
    }
    # A name that is not UTF-8 would fit no URL.
    wanted = {**params, "file_name": file.name.encode("utf-8", "replace").decode()}
    return http.call(
        route,
        {},
        repeat=True,
        params={name: value for name, value in wanted.items() if value},
        headers=headers,
        content=partial(upload.chunks, file, size, on_progress),
        timeout=UPLOAD_TIMEOUT,
    )


def watch(
    http: Http, watched: Route[Answer], read: Route[Answer], id: str, has_ended: Callable[[Answer], bool]
) -> Iterator[Answer]:
    """Something whenever it has come further, until it has ended; asks every second if watching fails."""
    last: Answer | None = None
    try:
        for last in _lines(http, watched, id):
            yield last
    except VitalisError as error:
        if not isinstance(error, Unreachable) and error.reason not in PASSING:
            raise
    while last is None or not has_ended(last):
        now = http.get(read, id=id)
        if now != last:
            last = now
            yield now
        if not has_ended(now):
            http.pause(POLL_SECONDS)


def _lines(http: Http, route: Route[Answer], id: str) -> Iterator[Answer]:
    with http.stream(route, id=id) as response:
        for line in response.iter_lines():
            if not line.strip():
                continue
            try:
                failure = json.loads(line).get("error")
            except (ValueError, AttributeError):
                raise unexpected(response.status_code, "sent a line that is no JSON object") from None
            if failure is not None:
                raise from_json(failure, int(failure.get("code", 500)))
            yield decode_json(route.answer, line, response.status_code)
