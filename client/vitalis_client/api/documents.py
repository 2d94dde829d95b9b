"""Reports on paper: a part of `Vitalis.labs`."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vitalis_client.api import files
from vitalis_client.api.area import Area
from vitalis_client.contract import routes
from vitalis_client.contract.models import Document, DocumentValue

# The states that a document leaves by itself.
GOING_ON = frozenset({"pending", "parsing"})


class Documents(Area):
    """PDFs and pictures: uploaded, read by the server, reviewed, and confirmed."""

    def upload_document(
        self,
        path: Path | str,
        *,
        on_progress: Callable[[int, int], None] | None = None,
        idempotency_key: str = "",
    ) -> Document:
        """Uploads a report of a laboratory and queues its reading, as `Vitalis.upload` does.

        The same file again is the same document. FILE_TYPE_REFUSED unless it is PDF, PNG, JPEG or TIFF.
        """
        return files.send(self._http, routes.CREATE_DOCUMENT, path, {}, on_progress, idempotency_key)

    def get_document(self, document_id: str) -> Document:
        """One document as it is now, with its text."""
        return self._http.get(routes.GET_DOCUMENT, id=document_id)

    def watch_document(self, document_id: str) -> Iterator[Document]:
        """The document whenever its state has changed, until it waits for the person, or has failed."""
        return files.watch(self._http, routes.WATCH_DOCUMENT, routes.GET_DOCUMENT, document_id, is_read)

    def document_values(self, document_id: str) -> list[DocumentValue]:
        """What was read in it, in its order; no result until it is confirmed."""
        return self._http.get(routes.GET_DOCUMENT_VALUES, id=document_id).document_values

    def drop_document_value(self, value_id: str) -> None:
        """Leaves a value out of what will be confirmed. DOCUMENT_NOT_IN_REVIEW."""
        self._http.call(routes.DELETE_DOCUMENT_VALUE, {"id": value_id}, repeat=False)

    def set_report_header(self, document_id: str, header: Mapping[str, Any]) -> Document:
        """Says what the panel's header will be, as a whole. DOCUMENT_NOT_IN_REVIEW."""
        return self._http.patch(routes.UPDATE_DOCUMENT, {"report_header": dict(header)}, (), id=document_id)

    def confirm_document(self, document_id: str, *, etag: str = "", override: bool = False) -> Document:
        """Makes a panel of the document's values, named in `linked_record_id`.

        ETAG_MISMATCH if `etag` is given and the document is another by now,
        DOCUMENT_INCOMPLETE with all that is wrong, PANEL_REPEATED unless `override`.
        """
        return self._http.post(routes.CONFIRM_DOCUMENT, {"etag": etag, "override": override}, id=document_id)


def is_read(document: Document) -> bool:
    return document.parse_status not in GOING_ON
