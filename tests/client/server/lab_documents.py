"""Reports of two values, of which one cannot be believed."""

from google.protobuf import json_format
from starlette.requests import Request
from starlette.responses import Response

from tests.client.server.base import NOW, USER, USER_ID, Place, bad_query, cut, find, refuse, reply
from tests.client.server.clinic import Clinic
from tests.client.server.lab_files import lines
from tests.client.server.labs import Labs
from vitalis.labs.v1 import document_values_pb2, documents_pb2, panels_pb2

DOCUMENTS = USER + "/documents"
VALUES = USER + "/document-values/{id}"
READ = (("Glucose", "110", "glucose"), ("Gluc0se", "1l0", ""))


class LabDocuments(Clinic, Labs):
    """Each file name is a report of its own; one that says `blank` cannot be read. Only the name Glucose is known."""

    def __init__(self) -> None:
        super().__init__()
        self.documents: dict[str, documents_pb2.Document] = {}
        self.document_values: list[document_values_pb2.DocumentValue] = []
        # The day that reports say they are of.
        self.report_date = "2026-11-02"

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", DOCUMENTS, self.create_document),
            ("GET", DOCUMENTS, self.list_documents),
            ("GET", DOCUMENTS + "/{id}:watch", self.watch_document),
            ("POST", DOCUMENTS + "/{id}:confirm", self.confirm_document),
            ("GET", DOCUMENTS + "/{id}/values", self.get_document_values),
            ("POST", DOCUMENTS + "/{id}/values", self.create_document_value),
            ("PATCH", VALUES, self.update_document_value),
            ("DELETE", VALUES, self.delete_document_value),
            ("POST", VALUES + ":undelete", self.undelete_document_value),
            ("PATCH", DOCUMENTS + "/{id}", self.update_document),
            ("DELETE", DOCUMENTS + "/{id}", self.delete_document),
            ("GET", DOCUMENTS + "/{id}", self.get_document),
        ]

    async def create_document(self, request: Request) -> Response:
        if problem := bad_query(request, documents_pb2.CreateDocumentRequest):
            return problem
        blank = b"blank" in await request.body()
        name, kind = request.query_params["file_name"], request.query_params.get("document_type", "blood_work")
        known = next((row for row in self.documents.values() if row.original_filename == name), None)
        if known:
            return reply(known)
        id = f"01990000-0000-7000-8000-8{len(self.documents):011d}"
        document = documents_pb2.Document(id=id, user_id=USER_ID, document_type=kind, original_filename=name, etag="1")
        document.parse_status = "pending"
        document.error_message = "no text was found: enter the values by hand" if blank else ""
        if self.report_date:
            document.report_header.collected_date = self.report_date
        stamp(document)
        self.documents[id] = document
        if not blank and kind == "blood_work":
            for value, confidence in zip(READ, (0.98, 0.5), strict=True):
                row = document_values_pb2.DocumentValue(raw_name=value[0], value=value[1], confidence=confidence)
                self._append(id, row)
        return reply(document)

    def _append(self, document_id: str, row: document_values_pb2.DocumentValue) -> None:
        row.id = f"01990000-0000-7000-8000-9{len(self.document_values):011d}"
        row.document_id = document_id
        row.position = sum(other.document_id == document_id for other in self.document_values)
        stamp(row)
        judge(row)
        self.document_values.append(row)

    async def list_documents(self, request: Request) -> Response:
        if problem := bad_query(request, documents_pb2.ListDocumentsRequest):
            return problem
        status = request.query_params.get("parse_status", "")
        newest = [row for row in reversed(self.documents.values()) if status in ("", row.parse_status)]
        rows, token = cut(request, newest)
        return reply(documents_pb2.ListDocumentsResponse(documents=rows, next_page_token=token))

    async def watch_document(self, request: Request) -> Response:
        document = self.documents[request.path_params["id"]]
        if document.parse_status == "pending":
            document.parse_status = "failed" if document.error_message else "needs_review"
        return lines(document)

    async def get_document(self, request: Request) -> Response:
        document = self.documents.get(request.path_params["id"])
        if document is None:
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such document")
        return reply(document)

    async def delete_document(self, request: Request) -> Response:
        del self.documents[request.path_params["id"]]
        return reply(documents_pb2.DeleteDocumentResponse())

    async def get_document_values(self, request: Request) -> Response:
        if problem := bad_query(request, document_values_pb2.GetDocumentValuesRequest):
            return problem
        mine = [row for row in self.document_values if row.document_id == request.path_params["id"]]
        if not request.query_params.get("show_deleted"):
            mine = [row for row in mine if not row.HasField("deleted_at")]
        return reply(document_values_pb2.GetDocumentValuesResponse(document_values=mine))

    async def create_document_value(self, request: Request) -> Response:
        row = json_format.Parse(await request.body(), document_values_pb2.DocumentValue())
        self._append(request.path_params["id"], row)
        self.documents[row.document_id].parse_status = "needs_review"
        self._change(row)
        return reply(row)

    async def update_document_value(self, request: Request) -> Response:
        row = find(request, self.document_values)
        answer = await self.change(request, row)
        if answer.status_code < 400:
            row.ClearField("confidence")
            judge(row)
            self._change(row)
            return reply(row)
        return answer

    async def delete_document_value(self, request: Request) -> Response:
        row = find(request, self.document_values)
        row.deleted_at.FromDatetime(NOW)
        self._change(row)
        return reply(document_values_pb2.DeleteDocumentValueResponse())

    async def undelete_document_value(self, request: Request) -> Response:
        row = find(request, self.document_values)
        row.ClearField("deleted_at")
        self._change(row)
        return reply(row)

    async def update_document(self, request: Request) -> Response:
        if problem := bad_query(request, documents_pb2.UpdateDocumentRequest):
            return problem
        document = self.documents[request.path_params["id"]]
        if request.headers.get("if-match", "").strip('"') not in ("", document.etag):
            return changed_meanwhile()
        answer = await self.change(request, document)
        document.etag += "'"
        return reply(document) if answer.status_code < 400 else answer

    def _change(self, row: document_values_pb2.DocumentValue) -> None:
        self.documents[row.document_id].etag += "'"

    async def confirm_document(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), documents_pb2.ConfirmDocumentRequest())
        document = self.documents[request.path_params["id"]]
        if body.etag not in ("", document.etag):
            return changed_meanwhile()
        if body.HasField("dexa_scan"):
            document.linked_record_type, document.linked_record_id = "dexa_scan", self.add_scan(body.dexa_scan)
            document.parse_status = "confirmed"
            return reply(document)
        day = document.report_header.collected_date
        living = [
            row for row in self.document_values if row.document_id == document.id and not row.HasField("deleted_at")
        ]
        if problem := incomplete(living):
            return problem
        if not body.override and day in [panel.collected_date for panel in self.panels]:
            return refuse(409, "ALREADY_EXISTS", "PANEL_REPEATED", "there is a panel of that day already")
        head = document.report_header
        panel = panels_pb2.BloodPanel(**{field.name: value for field, value in head.ListFields()})
        document.parse_status, document.linked_record_type = "confirmed", "blood_panel"
        document.linked_record_id = self.add_panel(
            panel, [panels_pb2.BloodMarker(raw_name=row.raw_name, value=row.value, unit=row.unit) for row in living]
        )
        return reply(document)


def judge(row: document_values_pb2.DocumentValue) -> None:
    """Glucose is known by its name, and what is said to be glucose; of that every result in digits is a number."""
    known = row.raw_name == "Glucose" or row.biomarker == "glucose"
    del row.doubts[:]
    row.ClearField("value_canonical")
    if known:
        row.biomarker = "glucose"
    else:
        row.ClearField("biomarker")
        row.doubts.append("name_unknown")
    if not row.value.isdigit():
        row.doubts.append("not_a_number")
    elif known:
        row.value_canonical, row.canonical_unit = float(row.value), "mg/dL"


def incomplete(living: list[document_values_pb2.DocumentValue]) -> Response | None:
    first: dict[str, int] = {}
    for at, row in enumerate(living):
        if (earlier := first.setdefault(row.raw_name, at)) != at:
            field, why = f"document_values[{at}]", f"repeats document_values[{earlier}]: drop one"
            return refuse(400, "FAILED_PRECONDITION", "DOCUMENT_INCOMPLETE", f"{field}: {why}", {field: why})
    return None


def changed_meanwhile() -> Response:
    return refuse(409, "ABORTED", "ETAG_MISMATCH", "the document has changed")


def stamp(row: documents_pb2.Document | document_values_pb2.DocumentValue) -> None:
    row.created_at.FromDatetime(NOW)
    row.updated_at.FromDatetime(NOW)
