"""What every area of the server shares: the connection, tokens, faults, answers and pages."""

import json
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Self

import uvicorn
from google.protobuf import json_format, message
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from vitalis.identity.v1 import sessions_pb2

PASSWORD = "correct horse battery staple"
USER_ID = "01990000-0000-7000-8000-000000000001"
OWNER_ID = "01990000-0000-7000-8000-000000000002"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
USER = "/api/v1/users/{user_id}"

# A method, a path, and what answers there.
Place = tuple[str, str, Any]


@dataclass
class Fault:
    """What happens instead of an answer: an HTTP status, a lost answer, or a page that is no JSON."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    lose: bool = False
    body: bytes = b""


class LostAnswer(Response):
    """Says that a hundred bytes follow, and closes the connection."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def to_json(answer: message.Message) -> str:
    return json_format.MessageToJson(
        answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True, indent=None
    )


def reply(answer: message.Message) -> Response:
    return Response(to_json(answer), media_type="application/json", headers={"x-request-id": "request-0001"})


def error(code: int, status: str, reason: str, text: str, fields: dict[str, str] | None = None) -> dict[str, Any]:
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "test", "metadata": {}}
    ]
    if fields:
        broken = [{"field": name, "description": rule} for name, rule in fields.items()]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "field_violations": broken})
    return {"error": {"code": code, "status": status, "message": text, "details": details}}


def refuse(code: int, *words: Any, headers: dict[str, str] | None = None) -> Response:
    extra = {"x-request-id": "request-0002", **(headers or {})}
    return Response(json.dumps(error(code, *words)), code, extra, "application/json")


class Base:
    """A server without any operations; attributes say what it does next, `requests` counts what it was asked."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.faults: list[tuple[str, Fault]] = []
        self.token_seconds = 900.0
        self.clock_offset = timedelta(0)
        self.refresh_tokens: list[str] = []
        self.good_access_token = ""
        # Whose data was asked for, in that order.
        self.subjects: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self._app(), log_level="critical", lifespan="off", ws="none", date_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def open_places(self) -> list[Place]:
        """What answers without a token."""
        return []

    def places(self) -> list[Place]:
        """What answers to who is logged in."""
        return []

    def fail(self, operation: str, *faults: Fault) -> None:
        """The next requests of an operation such as `list_days` fail so, in that order."""
        self.faults += [(operation, fault) for fault in faults]

    def tokens(self) -> sessions_pb2.Tokens:
        """New tokens; only the newest access token and refresh token work."""
        number = len(self.refresh_tokens) + 1
        self.good_access_token = f"access-{number}"
        self.refresh_tokens.append(f"refresh-{number}")
        tokens = sessions_pb2.Tokens(access_token=self.good_access_token, refresh_token=self.refresh_tokens[-1])
        now = datetime.now(UTC) + self.clock_offset
        tokens.access_token_expires_at.FromDatetime(now + timedelta(seconds=self.token_seconds))
        tokens.refresh_token_expires_at.FromDatetime(now + timedelta(days=30))
        return tokens

    def _app(self) -> Starlette:
        routes = [self._route(*place, needs_token=False) for place in self.open_places()]
        return Starlette(routes=routes + [self._route(*place, needs_token=True) for place in self.places()])

    def _route(self, method: str, path: str, answer: Any, *, needs_token: bool) -> Route:
        operation = answer.__name__

        async def endpoint(request: Request) -> Response:
            self.requests[operation] += 1
            fault = next((fault for name, fault in self.faults if name == operation), None)
            if fault:
                self.faults.remove((operation, fault))
            if fault and not fault.lose:
                return Response(fault.body, fault.status, fault.headers)
            if needs_token and request.headers.get("authorization") != f"Bearer {self.good_access_token}":
                return refuse(401, "UNAUTHENTICATED", "UNAUTHENTICATED", "sign in first")
            self.subjects.append(request.path_params.get("user_id", ""))
            response: Response = await answer(request)
            response.headers["date"] = format_datetime(datetime.now(UTC) + self.clock_offset, usegmt=True)
            return LostAnswer() if fault else response

        return Route(path, endpoint, methods=[method])

    async def change(self, request: Request, stored: Any) -> Response:
        """Changes what the mask names of a resource, as a PATCH does."""
        sent = json_format.Parse(await request.body(), type(stored)())
        for path in request.query_params["update_mask"].split(","):
            if path not in stored.DESCRIPTOR.fields_by_name:
                return refuse(400, "INVALID_ARGUMENT", "INVALID_FIELD", f"update_mask: {path} is not a field")
            stored.ClearField(path)
        stored.MergeFrom(sent)
        return reply(stored)


def find(request: Request, rows: list[Any]) -> Any:
    return next(row for row in rows if row.id == request.path_params["id"])


def bad_query(request: Request, kind: type[message.Message]) -> Response | None:
    for name in request.query_params:
        if name not in kind.DESCRIPTOR.fields_by_name:
            return refuse(400, "INVALID_ARGUMENT", "INVALID_FIELD", f"{name}: is unknown", {name: "is unknown"})
    return None


def between(request: Request, rows: list[Any], field: str) -> list[Any]:
    start, end = request.query_params.get("start_date") or "0", request.query_params.get("end_date") or "9"
    return [row for row in rows if start <= getattr(row, field) <= end]


def cut(request: Request, rows: list[Any]) -> tuple[list[Any], str]:
    """A page and the token of the next, which holds only for the same other parameters."""
    bound = {k: v for k, v in request.query_params.multi_items() if k not in ("page_token", "page_size")}
    size = min(int(request.query_params.get("page_size", 0)) or 50, 1000)
    token = request.query_params.get("page_token")
    start = 0
    if token:
        before, start = json.loads(token)
        assert before == bound
    more = start + size < len(rows)
    return rows[start : start + size], json.dumps([bound, start + size]) if more else ""
