"""Where a provider sends a person's browser back to: no RPC, because it is a browser that comes.

    GET, POST /api/v1/oauth/{provider}/callback

What came back goes on to the one app that is configured, or is answered as JSON
for the client to take. Nothing is checked here, and nothing is kept: the state
and the code mean something only to the client that began, and to identity.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from gateway.replies import Headers, Receive, Scope, Send, error_body
from services.kit.errors import ServiceError, invalid

PATH = re.compile("/api/v1/oauth/([a-z][a-z0-9-]{0,31})/callback")
FORM = "application/x-www-form-urlencoded"
MAX_BODY_BYTES = 64 * 2**10
MAX_PARAMETERS = 50
MAX_VALUE = 4096
BODY_SECONDS = 10.0
SEE_OTHER = 303
# RFC 6749 section 4.1.2 and RFC 9207. What else a provider sends, its `error_description` above
# all, is text of somebody else's that nobody needs to see.
PASSED_ON = ("code", "state", "iss", "error")


class Callback:
    """Passes on what a provider's redirect carries (`GET`), or its form (`POST`, `response_mode=form_post`)."""

    def __init__(self, app_url: str, headers: Headers) -> None:
        """`app_url` is where people go on to; "" answers as JSON."""
        self._app_url = app_url
        self._headers = {name.decode(): value.decode() for name, value in headers}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ServiceError as error:
            status = error.reason.http_status
            response = Response(error_body(error, status), status, self._headers, "application/json")
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        if request.method not in ("GET", "POST"):
            return Response(status_code=405, headers={**self._headers, "allow": "GET, POST"})
        text = await _form(request) if request.method == "POST" else request.url.query
        found = PATH.fullmatch(request.scope["path"])
        passed = {"provider": found[1] if found else "", **_parameters(text)}
        if not self._app_url:
            return Response(json.dumps(passed), 200, self._headers, "application/json")
        joint = "&" if urlsplit(self._app_url).query else "?"
        # 303: a form becomes a plain GET, and leaves no body behind in the browser.
        return Response(
            status_code=SEE_OTHER, headers={**self._headers, "location": self._app_url + joint + urlencode(passed)}
        )


async def _form(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise invalid("Content-Type", f"must be {FORM}")
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise ServiceError("TOO_LARGE", f"the request is larger than the limit of {MAX_BODY_BYTES} bytes")
    except TimeoutError:
        raise ServiceError("DEADLINE_EXCEEDED", "the request took longer than its deadline") from None
    return body.decode("latin-1")


def _parameters(text: str) -> Mapping[str, str]:
    """Those that are passed on, each at most once. Raises INVALID_FIELD."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="strict")
    except ValueError:
        raise invalid("query", "cannot be read") from None
    passed = [(name, value) for name, value in pairs if name in PASSED_ON]
    for name, value in passed:
        if len(value) > MAX_VALUE or sum(name == other for other, _ in passed) > 1:
            raise invalid(name, f"must come once, with up to {MAX_VALUE} characters")
    parameters = dict(passed)
    if "state" not in parameters or ("code" in parameters) == ("error" in parameters):
        raise invalid("state", "must come with either code or error")
    return parameters
