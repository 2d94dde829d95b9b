"""Laboratories' files of results that are brought in: a part of `Vitalis.labs`."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from vitalis_client.api import files
from vitalis_client.api.area import Area
from vitalis_client.api.imports import has_ended
from vitalis_client.contract import routes
from vitalis_client.contract.models import LabImport


class LabImports(Area):
    """Files of FHIR R4, HL7 v2, C-CDA and CSV, and what becomes of them."""

    def upload(
        self,
        path: Path | str,
        *,
        time_zone: str = "",
        collected: date | str = "",
        date_order: str = "",
        on_progress: Callable[[int, int], None] | None = None,
        idempotency_key: str = "",
    ) -> LabImport:
        """Uploads a file and queues its import, as `Vitalis.upload` does; what kind it is, its content says.

        `time_zone` is of times without an offset (UTC), `collected` the day of
        results that carry none, `date_order` is `day_first` or `month_first`.
        """
        params = {"time_zone": time_zone, "collected_date": str(collected), "date_order": date_order}
        return files.send(self._http, routes.CREATE_LAB_IMPORT, path, params, on_progress, idempotency_key)

    def get_import(self, import_id: str) -> LabImport:
        """One import as it is now."""
        return self._http.get(routes.GET_LAB_IMPORT, id=import_id)

    def imports(self, *, status: str = "") -> Iterator[LabImport]:
        """The person's imports, all or those with a status such as `succeeded`."""
        return self._http.pages(routes.LIST_LAB_IMPORTS, {"status": status}, lambda page: page.lab_imports)

    def watch_import(self, import_id: str) -> Iterator[LabImport]:
        """The import whenever it has come further, until it has ended; asks every second if watching fails."""
        return files.watch(self._http, routes.WATCH_LAB_IMPORT, routes.GET_LAB_IMPORT, import_id, has_ended)

    def cancel_import(self, import_id: str) -> LabImport:
        """Stops an import; nothing of it is stored. IMPORT_ENDED if it has ended already."""
        return self._http.post(routes.CANCEL_LAB_IMPORT, {}, id=import_id)

    def roll_back_import(self, import_id: str) -> LabImport:
        """Takes back what an import stored. IMPORT_NOT_ENDED if it is queued or running."""
        return self._http.post(routes.ROLL_BACK_LAB_IMPORT, {}, id=import_id)
