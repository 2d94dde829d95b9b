"""Imports: uploads, and what becomes of them."""

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tests.client.server.base import NOW, USER, USER_ID, Base, Place, bad_query, cut, refuse, reply, to_json
from vitalis.tracking.v1 import imports_pb2

IMPORTS = USER + "/imports"


class Imports(Base):
    """Takes uploads; `steps` are what an import comes to next, each time that somebody asks."""

    def __init__(self) -> None:
        super().__init__()
        self.imports: dict[str, imports_pb2.Import] = {}
        self.keys: dict[str, str] = {}
        self.uploaded: list[tuple[int, int, str]] = []
        self.steps: list[imports_pb2.Import] = []
        # After how many lines a watch breaks off; with the error if there is one.
        self.watch_breaks_after: int | None = None
        self.watch_error: dict[str, Any] | None = None
        self.watch_holds = threading.Event()
        self.watch_holds.set()

    def __exit__(self, *exception: object) -> None:
        self.watch_holds.set()
        super().__exit__(*exception)

    def places(self) -> list[Place]:
        return [
            *super().places(),
            ("POST", IMPORTS, self.create_import),
            ("GET", IMPORTS, self.list_imports),
            ("GET", IMPORTS + "/{id}:watch", self.watch_import),
            ("POST", IMPORTS + "/{id}:cancel", self.cancel_import),
            ("POST", IMPORTS + "/{id}:rollBack", self.roll_back_import),
            ("GET", IMPORTS + "/{id}", self.get_import),
        ]

    def add_import(self, status: str, **values: Any) -> imports_pb2.Import:
        number = len(self.imports) + 1
        id = f"01990000-0000-7000-8000-1{number:011d}"
        row = imports_pb2.Import(id=id, user_id=USER_ID, source="apple_health", status=status, **values)
        row.queued_at.FromDatetime(NOW)
        self.imports[id] = row
        return row

    async def create_import(self, request: Request) -> Response:
        if problem := bad_query(request, imports_pb2.CreateImportRequest):
            return problem
        if request.query_params["source"] != "apple_health":
            fields = {"source": "must be in list [apple_health]"}
            return refuse(400, "INVALID_ARGUMENT", "INVALID_FIELD", "source: must be in list [apple_health]", fields)
        digest, count, largest = hashlib.sha256(), 0, 0
        async for chunk in request.stream():
            digest.update(chunk)
            count += len(chunk)
            largest = max(largest, len(chunk))
        key = request.headers["idempotency-key"]
        self.uploaded.append((count, largest, key))
        if key not in self.keys:
            name = request.query_params["file_name"]
            row = self.add_import("queued", file_name=name, file_size_bytes=count, file_sha256=digest.hexdigest())
            self.keys[key] = row.id
        return reply(self.imports[self.keys[key]])

    async def list_imports(self, request: Request) -> Response:
        if problem := bad_query(request, imports_pb2.ListImportsRequest):
            return problem
        rows, token = cut(request, list(reversed(self.imports.values())))
        return reply(imports_pb2.ListImportsResponse(imports=rows, next_page_token=token))

    async def watch_import(self, request: Request) -> Response:
        row = self.imports.get(request.path_params["id"])
        if row is None:
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such import")

        async def lines() -> AsyncIterator[str]:
            sent = 0
            while self.steps:
                if sent == self.watch_breaks_after:
                    break
                row.MergeFrom(self.steps.pop(0))
                yield to_json(row) + "\n"
                sent += 1
            await asyncio.to_thread(self.watch_holds.wait)
            if self.watch_error:
                yield json.dumps(self.watch_error) + "\n"

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    async def cancel_import(self, request: Request) -> Response:
        row = self.imports[request.path_params["id"]]
        if row.status not in ("queued", "running"):
            return refuse(400, "FAILED_PRECONDITION", "IMPORT_ENDED", "the import has ended")
        row.status = "cancelled"
        return reply(row)

    async def roll_back_import(self, request: Request) -> Response:
        row = self.imports[request.path_params["id"]]
        row.status = "rolled_back"
        return reply(row)

    async def get_import(self, request: Request) -> Response:
        row = self.imports.get(request.path_params["id"])
        if row is None:
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such import")
        if self.steps:
            row.MergeFrom(self.steps.pop(0))
        return reply(row)
