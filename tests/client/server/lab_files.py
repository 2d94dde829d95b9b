"""Laboratories' files: imports that end at once."""

from collections.abc import AsyncIterator

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.client.server.base import NOW, USER, USER_ID, Base, Place, bad_query, cut, refuse, reply, to_json
from vitalis.labs.v1 import interchange_pb2

LAB_IMPORTS = USER + "/lab-imports"


class LabFiles(Base):
    """A file's first record is stored and its second rejected."""

    def __init__(self) -> None:
        super().__init__()
        self.lab_imports: dict[str, interchange_pb2.LabImport] = {}
        self.lab_import_params: dict[str, str] = {}
        # Why the second record is not stored.
        self.lab_import_rejects = "no_value"
        self.lab_import_withdraws = 0

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", LAB_IMPORTS, self.create_lab_import),
            ("GET", LAB_IMPORTS, self.list_lab_imports),
            ("GET", LAB_IMPORTS + "/{id}:watch", self.watch_lab_import),
            ("POST", LAB_IMPORTS + "/{id}:cancel", self.cancel_lab_import),
            ("POST", LAB_IMPORTS + "/{id}:rollBack", self.roll_back_lab_import),
            ("GET", LAB_IMPORTS + "/{id}", self.get_lab_import),
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
        result.records_read, result.records_stored, result.records_rejected = 2 + self.lab_import_withdraws, 1, 1
        result.records_withdrawn = self.lab_import_withdraws
        result.panels_stored, result.first_date, result.last_date = 1, "2026-11-02", "2026-11-02"
        result.rejected_by_reason[self.lab_import_rejects] = 1
        result.rejections.add(reason=self.lab_import_rejects, message="has no value", place="line 3")
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


def lines(row: Message) -> Response:
    """A watch of something that has ended."""

    async def only() -> AsyncIterator[str]:
        yield to_json(row) + "\n"

    return StreamingResponse(only(), media_type="application/x-ndjson")
