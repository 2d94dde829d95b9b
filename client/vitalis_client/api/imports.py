"""Files that are brought in: a part of `Vitalis`."""

import json
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx

from vitalis_client import upload
from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import Import
from vitalis_client.errors import Unreachable, VitalisError, from_json, unexpected
from vitalis_client.http import decode_json

# The statuses that an import does not leave by itself.
ENDED = frozenset({"succeeded", "failed", "cancelled", "rolled_back"})
# After the last byte the server still has to hash and store what it was sent.
UPLOAD_TIMEOUT = httpx.Timeout(30.0, connect=5.0, read=300.0, write=60.0)
POLL_SECONDS = 1.0
# What a watch can end with while the import goes on.
PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNAUTHENTICATED"})


class Imports(Area):
    """Uploads and what becomes of them."""

    def upload(
        self,
        path: Path | str,
        *,
        source: str = "apple_health",
        on_progress: Callable[[int, int], None] | None = None,
        idempotency_key: str = "",
    ) -> Import:
        """Uploads a file and queues its import; the file is streamed from the disk.

        `on_progress(sent, total)` is called with bytes; `sent` starts over if a
        broken connection makes the upload begin again. Uploads with the same
        `idempotency_key` (by default a new one for each call) are imported once.
        """
        file = Path(path)
        size = upload.open_file(file)
        headers = {
            "content-length": str(size),
            "content-type": "application/octet-stream",
            "idempotency-key": idempotency_key or str(uuid.uuid4()),
        }
        return self._http.call(
            routes.CREATE_IMPORT,
            {},
            repeat=True,
            # A name that is not UTF-8 would fit no URL.
            params={"source": source, "file_name": file.name.encode("utf-8", "replace").decode()},
            headers=headers,
            content=partial(upload.chunks, file, size, on_progress),
            timeout=UPLOAD_TIMEOUT,
        )

    def get_import(self, import_id: str) -> Import:
        """One import as it is now."""
        return self._http.get(routes.GET_IMPORT, id=import_id)

    def imports(self, *, status: str = "") -> Iterator[Import]:
        """The person's imports, all or those with a status such as `succeeded`."""
        return self._http.pages(routes.LIST_IMPORTS, {"status": status}, lambda page: page.imports)

    def watch_import(self, import_id: str) -> Iterator[Import]:
        """The import whenever it has come further, until it has ended; asks every second if watching fails."""
        last: Import | None = None
        try:
            for last in self._watch(import_id):
                yield last
        except VitalisError as error:
            if not isinstance(error, Unreachable) and error.reason not in PASSING:
                raise
        while last is None or last.status not in ENDED:
            now = self.get_import(import_id)
            if now != last:
                last = now
                yield now
            if now.status not in ENDED:
                self._http.pause(POLL_SECONDS)

    def cancel_import(self, import_id: str) -> Import:
        """Stops an import; nothing of it is stored. IMPORT_ENDED if it has ended already."""
        return self._http.post(routes.CANCEL_IMPORT, {}, id=import_id)

    def roll_back_import(self, import_id: str) -> Import:
        """Takes back what an import stored. IMPORT_NOT_ENDED if it is queued or running."""
        return self._http.post(routes.ROLL_BACK_IMPORT, {}, id=import_id)

    def _watch(self, import_id: str) -> Iterator[Import]:
        with self._http.stream(routes.WATCH_IMPORT, id=import_id) as response:
            for line in response.iter_lines():
                if not line.strip():
                    continue
                try:
                    failure = json.loads(line).get("error")
                except (ValueError, AttributeError):
                    raise unexpected(response.status_code, "sent a line that is no JSON object") from None
                if failure is not None:
                    raise from_json(failure, int(failure.get("code", 500)))
                yield decode_json(Import, line, response.status_code)
