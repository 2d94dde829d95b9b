"""Reports on paper: a part of `Vitalis.labs`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
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
        document_type: str = "",
        on_progress: Callable[[int, int], None] | None = None,
        idempotency_key: str = "",
    ) -> Document:
        """Uploads a report of a laboratory and queues its reading, as `Vitalis.upload` does.

        The same file again is the same document. FILE_TYPE_REFUSED unless it is PDF, PNG, JPEG or TIFF.
        Of a `document_type` other than `blood_work`, such as `dexa`, no values are read.
        """
        params = {"document_type": document_type}
        return files.send(self._http, routes.CREATE_DOCUMENT, path, params, on_progress, idempotency_key)

    def documents(self, *, status: str = "", page_size: int = 0) -> Iterator[Document]:
        """The person's documents, the newest first, without their text: all, or those of a state (`needs_review`)."""
        wanted = {"parse_status": status}
        return self._http.pages(routes.LIST_DOCUMENTS, wanted, lambda page: page.documents, page_size)

    def get_document(self, document_id: str) -> Document:
        """One document as it is now, with its text."""
        return self._http.get(routes.GET_DOCUMENT, id=document_id)

    def watch_document(self, document_id: str) -> Iterator[Document]:
        """The document whenever its state has changed, until it waits for the person, or has failed."""
        return files.watch(self._http, routes.WATCH_DOCUMENT, routes.GET_DOCUMENT, document_id, is_read)

    def document_values(self, document_id: str, *, dropped: bool = False) -> list[DocumentValue]:
        """What was read in it, in its order, with what was `dropped` if wanted; no result until it is confirmed."""
        params = {"show_deleted": "true"} if dropped else None
        return self._http.get(routes.GET_DOCUMENT_VALUES, params, id=document_id).document_values

    def add_document_value(self, document_id: str, value: Mapping[str, Any]) -> DocumentValue:
        """Adds a value as it is printed: `{"raw_name": "Ferritin", "value": "80", "unit": "ng/mL"}`."""
        return self._http.post(routes.CREATE_DOCUMENT_VALUE, value, id=document_id)

    def update_document_value(
        self, value_id: str, values: Mapping[str, Any], *, clear: Sequence[str] = ()
    ) -> DocumentValue:
        """Corrects a value. DOCUMENT_NOT_IN_REVIEW."""
        return self._http.patch(routes.UPDATE_DOCUMENT_VALUE, values, clear, id=value_id)

    def drop_document_value(self, value_id: str) -> None:
        """Leaves a value out of what will be confirmed. DOCUMENT_NOT_IN_REVIEW."""
        self._http.call(routes.DELETE_DOCUMENT_VALUE, {"id": value_id}, repeat=False)

    def restore_document_value(self, value_id: str) -> DocumentValue:
        """Brings a dropped value back. DOCUMENT_NOT_IN_REVIEW."""
        return self._http.post(routes.UNDELETE_DOCUMENT_VALUE, {}, id=value_id)

    def set_report_header(self, document_id: str, header: Mapping[str, Any], *, etag: str = "") -> Document:
        """Says what the panel's header will be, as a whole. DOCUMENT_NOT_IN_REVIEW, ETAG_MISMATCH."""
        return self._http.call(
            routes.UPDATE_DOCUMENT,
            {"id": document_id},
            repeat=False,
            params={"update_mask": "report_header"},
            json={"report_header": dict(header)},
            headers={"if-match": f'"{etag}"'} if etag else {},
        )

    def delete_document(self, document_id: str) -> None:
        """Deletes a document for good, with its file; what it has become stays. NOT_FOUND."""
        self._http.call(routes.DELETE_DOCUMENT, {"id": document_id}, repeat=False)

    def confirm_document(
        self, document_id: str, *, etag: str = "", override: bool = False, record: Mapping[str, Any] | None = None
    ) -> Document:
        """Makes a panel of the document's values, named in `linked_record_id`.

        A document about a scan or a test becomes that `record`: `{"dexa_scan": {"scan_date": "2026-11-19"}}`.
        ETAG_MISMATCH if `etag` is given and the document is another by now,
        DOCUMENT_INCOMPLETE with all that is wrong, PANEL_REPEATED unless `override`.
        """
        body = {"etag": etag, "override": override, **(record or {})}
        return self._http.post(routes.CONFIRM_DOCUMENT, body, id=document_id)


def is_read(document: Document) -> bool:
    return document.parse_status not in GOING_ON
