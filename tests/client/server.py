"""A server that speaks the contract over real HTTP, and that can be told to fail.

What it answers is printed from the contract's own messages, and query
parameters that a request's message has no field for are refused, so the client
cannot drift from the protos here.
"""

import asyncio
import hashlib
import json
import socket
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Self

import uvicorn
from google.protobuf import json_format, message
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from vitalis.identity.v1 import log_in_pb2, registration_pb2, second_factors_pb2, sessions_pb2, sharing_pb2, users_pb2
from vitalis.tracking.v1 import imports_pb2, wearables_pb2

PASSWORD = "correct horse battery staple"
APP_CODE, RECOVERY_CODE = "123456", "3f8k-w2mz-7cqa-x9vr-t4nd-h5be"
CODE = "vvt_code"
USER_ID = "01990000-0000-7000-8000-000000000001"
OWNER_ID = "01990000-0000-7000-8000-000000000002"
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RULE = "must be at least 12 characters"


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


class Server:
    """One person's server. Attributes say what it does next; `requests` counts what it was asked."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.faults: list[tuple[str, Fault]] = []
        self.token_seconds = 900.0
        self.clock_offset = timedelta(0)
        self.refresh_tokens: list[str] = []
        self.good_access_token = ""
        self.registered = registration_pb2.RegisterRequest()
        self.reused = 0
        self.has_app = False
        self.days = [wearables_pb2.Day(date=f"2026-10-{day:02d}", steps=day) for day in range(31, 0, -1)]
        self.nights: list[wearables_pb2.WearableSleep] = []
        self.workouts: list[wearables_pb2.WearableActivity] = []
        self.imports: dict[str, imports_pb2.Import] = {}
        self.keys: dict[str, str] = {}
        self.uploaded: list[tuple[int, int, str]] = []
        self.steps: list[imports_pb2.Import] = []
        self.grants: list[sharing_pb2.Grant] = []
        self.received: list[sharing_pb2.ReceivedGrant] = []
        # Whose data was asked for, in that order.
        self.subjects: list[str] = []
        # After how many lines a watch breaks off; with the error if there is one.
        self.watch_breaks_after: int | None = None
        self.watch_error: dict[str, Any] | None = None
        self.watch_holds = threading.Event()
        self.watch_holds.set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(self._app(), log_level="critical", lifespan="off", ws="none", date_header=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.watch_holds.set()
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

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

    def add_import(self, status: str, **values: Any) -> imports_pb2.Import:
        number = len(self.imports) + 1
        id = f"01990000-0000-7000-8000-1{number:011d}"
        row = imports_pb2.Import(id=id, user_id=USER_ID, source="apple_health", status=status, **values)
        row.queued_at.FromDatetime(NOW)
        self.imports[id] = row
        return row

    def _app(self) -> Starlette:
        user, imports = "/api/v1/users/{user_id}", "/api/v1/users/{user_id}/imports"
        open_routes = [
            ("POST", "/api/v1/users", self.register),
            ("POST", "/api/v1/users:verifyEmail", self.verify_email),
            ("POST", "/api/v1/sessions", self.log_in),
            ("POST", "/api/v1/sessions:complete", self.complete_log_in),
            ("POST", "/api/v1/sessions:refresh", self.refresh),
            ("POST", "/api/v1/sessions:logOut", self.log_out),
            ("GET", "/api/v1/sharing-terms", self.get_sharing_terms),
        ]
        own_routes = [
            ("GET", user, self.get_user),
            ("GET", user + "/second-factors", self.get_second_factors),
            ("POST", user + "/second-factors/totp:begin", self.begin_totp),
            ("POST", user + "/second-factors/totp:confirm", self.confirm_totp),
            ("POST", user + "/second-factors/totp:remove", self.remove_totp),
            ("POST", user + "/second-factors/recovery-codes:regenerate", self.regenerate_recovery_codes),
            ("POST", imports, self.create_import),
            ("GET", imports, self.list_imports),
            ("GET", imports + "/{id}:watch", self.watch_import),
            ("POST", imports + "/{id}:cancel", self.cancel_import),
            ("POST", imports + "/{id}:rollBack", self.roll_back_import),
            ("GET", imports + "/{id}", self.get_import),
            ("GET", user + "/days", self.list_days),
            ("POST", user + "/grants", self.create_grant),
            ("GET", user + "/grants", self.list_grants),
            ("PATCH", user + "/grants/{id}", self.update_grant),
            ("POST", user + "/grants/{id}:revoke", self.revoke_grant),
            ("POST", user + "/received-grants:accept", self.accept_grant),
            ("POST", user + "/received-grants:decline", self.decline_grant),
            ("GET", user + "/received-grants", self.list_received_grants),
            ("POST", user + "/received-grants/{id}:leave", self.leave_grant),
            ("GET", user + "/wearable-sleep", self.list_nights),
            ("GET", user + "/wearable-sleep/{id}", self.get_night),
            ("GET", user + "/wearable-activities/{id}", self.get_workout),
            ("GET", user + "/wearable-activities", self.list_workouts),
        ]
        routes = [self._route(*route, needs_token=False) for route in open_routes]
        return Starlette(routes=routes + [self._route(*route, needs_token=True) for route in own_routes])

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

    async def register(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), registration_pb2.RegisterRequest())
        if len(body.password) < 12:
            fields = {"password": RULE}
            return refuse(400, "INVALID_ARGUMENT", "INVALID_FIELD", f"password: {RULE}", fields)
        self.registered = body
        return reply(registration_pb2.RegisterResponse())

    async def verify_email(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), registration_pb2.VerifyEmailRequest())
        if body.token != CODE:
            text = "the code is mistyped, was used, or is too old; try again or ask for another"
            return refuse(400, "INVALID_ARGUMENT", "VERIFICATION_TOKEN_INVALID", text)
        if body.password != self.registered.password:
            return refuse(401, "UNAUTHENTICATED", "WRONG_CREDENTIALS", "email or password is wrong")
        return reply(registration_pb2.VerifyEmailResponse(user=person(self.registered.email), tokens=self.tokens()))

    async def log_in(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), sessions_pb2.LogInRequest())
        if body.password != PASSWORD:
            return refuse(401, "UNAUTHENTICATED", "WRONG_CREDENTIALS", "email or password is wrong")
        if self.has_app:
            methods = ["totp", "recovery_code"]
            challenge = second_factors_pb2.LogInChallenge(challenge="vch_1", methods=methods)
            challenge.expires_at.FromDatetime(NOW)
            return reply(sessions_pb2.LogInResponse(challenge=challenge))
        return reply(sessions_pb2.LogInResponse(user=person(body.email), tokens=self.tokens()))

    async def complete_log_in(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), log_in_pb2.CompleteLogInRequest())
        assert body.challenge == "vch_1"
        if body.totp_code != APP_CODE and body.recovery_code != RECOVERY_CODE:
            return refuse(401, "UNAUTHENTICATED", "SECOND_FACTOR_WRONG", "the code or passkey is wrong")
        return reply(log_in_pb2.CompleteLogInResponse(user=person("ada@example.com"), tokens=self.tokens()))

    async def get_second_factors(self, request: Request) -> Response:
        answer = second_factors_pb2.GetSecondFactorsResponse(passkeys=1)
        if self.has_app:
            answer.recovery_codes_left = 9
            answer.totp_confirmed_at.FromDatetime(NOW)
        return reply(answer)

    async def begin_totp(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), second_factors_pb2.BeginTotpRequest())
        if not proves(body.proof):
            return unproved()
        answer = second_factors_pb2.BeginTotpResponse(secret="SECRET", otpauth_uri="otpauth://totp/Ada?secret=SECRET")
        answer.expires_at.FromDatetime(NOW)
        return reply(answer)

    async def confirm_totp(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), second_factors_pb2.ConfirmTotpRequest())
        if body.totp_code != APP_CODE:
            return refuse(400, "FAILED_PRECONDITION", "CODE_WRONG", "totp_code: is not the code that the app shows now")
        self.has_app = True
        return reply(second_factors_pb2.ConfirmTotpResponse(recovery_codes=[RECOVERY_CODE]))

    async def remove_totp(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), second_factors_pb2.RemoveTotpRequest())
        if not proves(body.proof):
            return unproved()
        self.has_app = False
        return reply(second_factors_pb2.RemoveTotpResponse())

    async def regenerate_recovery_codes(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), second_factors_pb2.RegenerateRecoveryCodesRequest())
        if not proves(body.proof):
            return unproved()
        return reply(second_factors_pb2.RegenerateRecoveryCodesResponse(recovery_codes=["new-1", "new-2"]))

    async def refresh(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), sessions_pb2.RefreshSessionRequest())
        # Long enough for another process to come along with the same token.
        await asyncio.sleep(0.05)
        if body.refresh_token != self.refresh_tokens[-1]:
            self.reused += body.refresh_token in self.refresh_tokens
            return refuse(401, "UNAUTHENTICATED", "REFRESH_TOKEN_REUSED", "log in again")
        return reply(sessions_pb2.RefreshSessionResponse(tokens=self.tokens()))

    async def log_out(self, request: Request) -> Response:
        json_format.Parse(await request.body(), sessions_pb2.LogOutRequest())
        return reply(sessions_pb2.LogOutResponse())

    async def get_user(self, request: Request) -> Response:
        return reply(person("ada@example.com"))

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

    async def get_import(self, request: Request) -> Response:
        row = self.imports.get(request.path_params["id"])
        if row is None:
            return refuse(404, "NOT_FOUND", "NOT_FOUND", "there is no such import")
        if self.steps:
            row.MergeFrom(self.steps.pop(0))
        return reply(row)

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

    async def get_sharing_terms(self, request: Request) -> Response:
        return reply(sharing_pb2.GetSharingTermsResponse(version="1", text="What you share is seen.\n"))

    async def create_grant(self, request: Request) -> Response:
        grant = json_format.Parse(await request.body(), sharing_pb2.Grant())
        if grant.grantee_email == "taken@example.com":
            return refuse(409, "ALREADY_EXISTS", "GRANT_EXISTS", "you share with this address already")
        grant.id, grant.status = f"01990000-0000-7000-8000-2{len(self.grants):011d}", "pending"
        self._stamp(grant, "consented_at", "invitation_expires_at", "created_at", "updated_at")
        self.grants.append(grant)
        return reply(grant)

    def _stamp(self, grant: message.Message, *names: str) -> None:
        for name in names:
            getattr(grant, name).FromDatetime(NOW)

    async def list_grants(self, request: Request) -> Response:
        if problem := bad_query(request, sharing_pb2.ListGrantsRequest):
            return problem
        rows, token = cut(request, list(reversed(self.grants)))
        return reply(sharing_pb2.ListGrantsResponse(grants=rows, next_page_token=token))

    async def update_grant(self, request: Request) -> Response:
        sent = json_format.Parse(await request.body(), sharing_pb2.Grant())
        grant = find(request, self.grants)
        del grant.scopes[:]
        grant.scopes.extend(sent.scopes)
        return reply(grant)

    async def revoke_grant(self, request: Request) -> Response:
        grant = find(request, self.grants)
        grant.status = "revoked"
        return reply(grant)

    async def accept_grant(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), sharing_pb2.AcceptGrantRequest())
        if body.token != "vgt_good":
            return refuse(403, "PERMISSION_DENIED", "GRANT_TOKEN_INVALID", "the invitation is not valid")
        grant = sharing_pb2.ReceivedGrant(
            id=f"01990000-0000-7000-8000-3{len(self.received):011d}",
            owner_id=OWNER_ID,
            owner_name="Bert\x1b[2J",
            scopes=["wearables.read"],
            relation="person",
            status="active",
        )
        self._stamp(grant, "accepted_at")
        self.received.append(grant)
        return reply(grant)

    async def decline_grant(self, request: Request) -> Response:
        body = json_format.Parse(await request.body(), sharing_pb2.DeclineGrantRequest())
        if body.token != "vgt_good":
            return refuse(403, "PERMISSION_DENIED", "GRANT_TOKEN_INVALID", "the invitation is not valid")
        return reply(sharing_pb2.DeclineGrantResponse())

    async def list_received_grants(self, request: Request) -> Response:
        if problem := bad_query(request, sharing_pb2.ListReceivedGrantsRequest):
            return problem
        rows, token = cut(request, list(reversed(self.received)))
        return reply(sharing_pb2.ListReceivedGrantsResponse(received_grants=rows, next_page_token=token))

    async def leave_grant(self, request: Request) -> Response:
        find(request, self.received).status = "declined"
        return reply(sharing_pb2.LeaveGrantResponse())

    async def list_days(self, request: Request) -> Response:
        if problem := bad_query(request, wearables_pb2.ListDaysRequest):
            return problem
        rows, token = cut(request, between(request, self.days, "date"))
        return reply(wearables_pb2.ListDaysResponse(days=rows, next_page_token=token))

    async def list_nights(self, request: Request) -> Response:
        if problem := bad_query(request, wearables_pb2.ListWearableSleepRequest):
            return problem
        rows, token = cut(request, between(request, self.nights, "sleep_date"))
        return reply(wearables_pb2.ListWearableSleepResponse(wearable_sleep=rows, next_page_token=token))

    async def list_workouts(self, request: Request) -> Response:
        if problem := bad_query(request, wearables_pb2.ListWearableActivityRequest):
            return problem
        rows, token = cut(request, between(request, self.workouts, "activity_date"))
        return reply(wearables_pb2.ListWearableActivityResponse(wearable_activities=rows, next_page_token=token))

    async def get_night(self, request: Request) -> Response:
        return reply(find(request, self.nights))

    async def get_workout(self, request: Request) -> Response:
        return reply(find(request, self.workouts))


def proves(proof: second_factors_pb2.Proof) -> bool:
    return proof.password == PASSWORD or proof.totp_code == APP_CODE or proof.recovery_code == RECOVERY_CODE


def unproved() -> Response:
    return refuse(403, "PERMISSION_DENIED", "PROOF_REFUSED", "proof: the password or a code is needed")


def find(request: Request, rows: list[Any]) -> Any:
    return next(row for row in rows if row.id == request.path_params["id"])


def person(email: str) -> users_pb2.User:
    user = users_pb2.User(id=USER_ID, email=email, display_name="Ada", role="user")
    user.created_at.FromDatetime(NOW)
    user.updated_at.FromDatetime(NOW)
    return user


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
