"""Laboratories' files: imports that end at once, and reports of two values."""

from collections.abc import AsyncIterator

from google.protobuf import json_format
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.client.server.base import NOW, USER, USER_ID, Place, bad_query, cut, refuse, reply, to_json
from tests.client.server.labs import Labs
from vitalis.labs.v1 import document_values_pb2, documents_pb2, interchange_pb2, panels_pb2

LAB_IMPORTS = USER + "/lab-imports"
DOCUMENTS = USER + "/documents"
READ = (("Glucose", "110", "glucose"), ("Gluc0se", "1l0", ""))


class LabFiles(Labs):
    """A file's first record is stored and its second rejected; a report that says `blank` cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.lab_imports: dict[str, interchange_pb2.LabImport] = {}
        self.lab_import_params: dict[str, str] = {}
        self.documents: dict[str, documents_pb2.Document] = {}
        self.document_values: list[document_values_pb2.DocumentValue] = []
        # The day that reports say they are of.
        self.report_date = "2026-11-02"

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", LAB_IMPORTS, self.create_lab_import),
            ("GET", LAB_IMPORTS, self.list_lab_imports),
            ("GET", LAB_IMPORTS + "/{id}:watch", self.watch_lab_import),
            ("POST", LAB_IMPORTS + "/{id}:cancel", self.cancel_lab_import),
            ("POST", LAB_IMPORTS + "/{id}:rollBack", self.roll_back_lab_import),
            ("GET", LAB_IMPORTS + "/{id}", self.get_lab_import),
            ("POST", DOCUMENTS, self.create_document),
            ("GET", DOCUMENTS + "/{id}:watch", self.watch_document),
            ("POST", DOCUMENTS + "/{id}:confirm", self.confirm_document),
            ("GET", DOCUMENTS + "/{id}/values", self.get_document_values),
            ("DELETE", USER + "/document-values/{id}", self.delete_document_value),
            ("PATCH", DOCUMENTS + "/{id}", self.update_document),
            ("GET", DOCUMENTS + "/{id}", self.get_document),
        ]

    async def create_lab_import(self, request: Request) -> Response:
        if problem := bad_query(request, interchange_pb2.CreateLabImportRequest):
            return problem
        await request.body()
        self.lab_import_params = dict(request.query_params)
        id = f"01990000-0000-7000-8000-7{len(self.lab_imports):011d}"
        name = request.query_params["file_name"]
        row = interchange_pb2.LabImport(id=id, user_id=USER_ID, file_name=name, status="queued", format="csv")
        row.queued_at.FromDatetime(NOW)
        self.lab_imports[id] = row
        return reply(row)

    async def list_lab_imports(self, request: Request) -> Response:
        if problem := bad_query(request, interchange_pb2.ListLabImportsRequest):
            return problem
        rows, token = cut(request, list(reversed(self.lab_imports.values())))
        return reply(interchange_pb2.ListLabImportsResponse(lab_imports=rows, next_page_token=token))

    async def watch_lab_import(self, request: Request) -> Response:
        row = self.lab_imports[request.path_params["id"]]
        row.status, row.progress_pct = "succeeded", 100
        result = row.result
        result.records_read, result.records_stored, result.records_rejected = 2, 1, 1
        result.panels_stored, result.first_date, result.last_date = 1, "2026-11-02", "2026-11-02"
        result.rejected_by_reason["no_value"] = 1
        result.rejections.add(reason="no_value", message="has no value", place="line 3")
        result.doubts_by_kind["marker_unknown"] = 1
        result.doubts.add(kind="marker_unknown", message="is kept as printed", place="line 2")
        return lines(row)

    async def get_lab_import(self, request: Request) -> Response:
        return reply(self.lab_imports[request.path_params["id"]])

    async def cancel_lab_import(self, request: Request) -> Response:
        return self._end(request, "cancelled")

    async def roll_back_lab_import(self, request: Request) -> Response:
        return self._end(request, "rolled_back")

    def _end(self, request: Request, status: str) -> Response:
        row = self.lab_imports.get(request.path_params["id"])
        if row is None:
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such import")
        row.status = status
        return reply(row)

    async def create_document(self, request: Request) -> Response:
        if problem := bad_query(request, documents_pb2.CreateDocumentRequest):
            return problem
        blank = b"blank" in await request.body()
        id = "01990000-0000-7000-8000-800000000000"
        if id not in self.documents:
            document = documents_pb2.Document(
                id=id, user_id=USER_ID, parse_status="failed" if blank else "needs_review"
            )
            document.original_filename, document.etag = request.query_params["file_name"], "1"
            if blank:
                document.error_message = "no text was found: enter the values by hand"
            if self.report_date:
                document.report_header.collected_date = self.report_date
            self.documents[id] = document
            for at, (name, value, slug) in enumerate(READ):
                row = document_values_pb2.DocumentValue(raw_name=name, value=value)
                row.id, row.document_id, row.position = f"01990000-0000-7000-8000-9{at:011d}", id, at
                row.confidence = 0.98 if slug else 0.5
                if slug:
                    row.biomarker, row.value_canonical, row.canonical_unit = slug, float(value), "mg/dL"
                else:
                    row.doubts.extend(["name_unknown", "not_a_number"])
                stamp(row)
                self.document_values.append(row)
            stamp(document)
        return reply(self.documents[id])

    async def watch_document(self, request: Request) -> Response:
        return lines(self.documents[request.path_params["id"]])

    async def get_document(self, request: Request) -> Response:
        return reply(self.documents[request.path_params["id"]])

    async def get_document_values(self, request: Request) -> Response:
        return reply(document_values_pb2.GetDocumentValuesResponse(document_values=self.document_values))

    async def delete_document_value(self, request: Request) -> Response:
        self.document_values = [row for row in self.document_values if row.id != request.path_params["id"]]
        self._change(self.documents[self.document_values[0].document_id])
        return reply(document_values_pb2.DeleteDocumentValueResponse())

    async def update_document(self, request: Request) -> Response:
        if problem := bad_query(request, documents_pb2.UpdateDocumentRequest):
            return problem
        sent = json_format.Parse(await request.body(), documents_pb2.Document())
        document = self.documents[request.path_params["id"]]
        document.report_header.CopyFrom(sent.report_header)
        self._change(document)
        return reply(document)

    def _change(self, document: documents_pb2.Document) -> None:
        document.etag = str(int(document.etag) + 1)

    async def confirm_document(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), documents_pb2.ConfirmDocumentRequest())
        document = self.documents[request.path_params["id"]]
        if body.etag != document.etag:
            return refuse(409, "ABORTED", "ETAG_MISMATCH", "the document has changed")
        if not body.override and document.report_header.collected_date in [one.collected_date for one in self.panels]:
            return refuse(409, "ALREADY_EXISTS", "PANEL_REPEATED", "there is a panel of that day already")
        document.parse_status, document.linked_record_type = "confirmed", "blood_panel"
        document.linked_record_id = "01990000-0000-7000-8000-500000000000"
        for value in self.document_values:
            marker = panels_pb2.BloodMarker(raw_name=value.raw_name, value=value.value, biomarker=value.biomarker)
            marker.panel_id, marker.collected_date = document.linked_record_id, document.report_header.collected_date
            stamp(marker)
            self.markers.append(marker)
        return reply(document)


def stamp(row: documents_pb2.Document | document_values_pb2.DocumentValue | panels_pb2.BloodMarker) -> None:
    row.created_at.FromDatetime(NOW)
    row.updated_at.FromDatetime(NOW)


def lines(row: Message) -> Response:
    """A watch of something that has ended."""

    async def only() -> AsyncIterator[str]:
        yield to_json(row) + "\n"

    return StreamingResponse(only(), media_type="application/x-ndjson")
