"""Files that are brought in: a part of `Vitalis`."""

from collections.abc import Callable, Iterator
from pathlib import Path

from vitalis_client.api import files
from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import Import, LabImport

# The statuses that an import does not leave by itself.
ENDED = frozenset({"succeeded", "failed", "cancelled", "rolled_back"})


def has_ended(file_import: Import | LabImport) -> bool:
    return file_import.status in ENDED


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
        return files.send(self._http, routes.CREATE_IMPORT, path, {"source": source}, on_progress, idempotency_key)

    def get_import(self, import_id: str) -> Import:
        """One import as it is now."""
        return self._http.get(routes.GET_IMPORT, id=import_id)

    def imports(self, *, status: str = "") -> Iterator[Import]:
        """The person's imports, all or those with a status such as `succeeded`."""
        return self._http.pages(routes.LIST_IMPORTS, {"status": status}, lambda page: page.imports)

    def watch_import(self, import_id: str) -> Iterator[Import]:
        """The import whenever it has come further, until it has ended; asks every second if watching fails."""
        return files.watch(self._http, routes.WATCH_IMPORT, routes.GET_IMPORT, import_id, has_ended)

    def cancel_import(self, import_id: str) -> Import:
        """Stops an import; nothing of it is stored. IMPORT_ENDED if it has ended already."""
        return self._http.post(routes.CANCEL_IMPORT, {}, id=import_id)

    def roll_back_import(self, import_id: str) -> Import:
        """Takes back what an import stored. IMPORT_NOT_ENDED if it is queued or running."""
        return self._http.post(routes.ROLL_BACK_IMPORT, {}, id=import_id)
