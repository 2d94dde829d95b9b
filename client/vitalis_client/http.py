"""Requests: timeouts, retries, access tokens, and answers as models."""

import email.utils
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from threading import RLock
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from vitalis_client.contract import routes
from vitalis_client.contract.models import Tokens
from vitalis_client.errors import NotLoggedIn, Unreachable, VitalisError, from_response, unexpected
from vitalis_client.route import Route
from vitalis_client.sessions import Session, Sessions

ATTEMPTS = 3
BACKOFF_SECONDS = 0.25
# A server that asks for more patience than this gets its answer passed on instead.
PATIENCE_SECONDS = 30.0
# An access token is replaced when it has this long left to live.
MARGIN_SECONDS = 60.0
TIMEOUT = httpx.Timeout(30.0, connect=5.0)
MAX_PAGE = 1000
LOOPBACK = {"localhost", "127.0.0.1", "::1"}

Answer = TypeVar("Answer", bound=BaseModel)
Row = TypeVar("Row", bound=BaseModel)
Params = Mapping[str, str | int | list[str]]


class Http:
    """Sends requests to one server.

    `me` of a route's `{user_id}` is filled in. Requests that are not idempotent
    are sent once. Others are repeated, three times in all, when the connection
    fails or the server answers 503, after `Retry-After` if it says so.
    """

    def __init__(self, base_url: str, sessions: Sessions, user_agent: str, timeout: httpx.Timeout = TIMEOUT) -> None:
        self.base_url = normal_url(base_url)
        self.sessions = sessions
        # A proxy for the world outside has no way to this machine's own ports.
        trust_env = httpx.URL(self.base_url).host not in LOOPBACK
        self._client = httpx.Client(
            base_url=self.base_url, timeout=timeout, trust_env=trust_env, headers={"user-agent": user_agent}
        )
        self._refreshing = RLock()

    def close(self) -> None:
        self._client.close()

    @staticmethod
    def pause(seconds: float) -> None:
        """Waits before the next attempt."""
        time.sleep(seconds)

    def get(self, route: Route[Answer], params: Params | None = None, **fields: str) -> Answer:
        """Reads something of the logged-in person's."""
        return self.call(route, fields, repeat=True, params=params)

    def post(self, route: Route[Answer], body: Mapping[str, Any], **fields: str) -> Answer:
        """Sends a request that the logged-in person makes once."""
        return self.call(route, fields, repeat=False, json=dict(body))

    def patch(self, route: Route[Answer], values: Mapping[str, Any], clear: Sequence[str], **fields: str) -> Answer:
        """Changes the named values of a resource and clears others."""
        mask = ",".join([*values, *clear])
        return self.call(route, fields, repeat=False, json=dict(values), params={"update_mask": mask})

    def open(self, route: Route[Answer], body: Mapping[str, Any], **fields: str) -> tuple[Answer, httpx.Headers]:
        """Sends a request that needs no session. Also gives the answer's headers."""
        response = self._once(route, fields, "", json=dict(body))
        if response.status_code >= 400:
            raise from_response(response)
        return decode(route.answer, response), response.headers

    def call(self, route: Route[Answer], fields: Mapping[str, str], *, repeat: bool, **request: Any) -> Answer:
        """Sends a request of the logged-in person's; `content` may be a function that opens the body anew."""
        response = self._send(route, fields, repeat=repeat, **request)
        return decode(route.answer, response)

    def pages(
        self,
        route: Route[Answer],
        params: Mapping[str, str | list[str]],
        rows: Callable[[Answer], list[Row]],
        page_size: int = 0,
        person: str = "",
    ) -> Iterator[Row]:
        """The rows of page after page; `person` is the id of somebody else whose rows they are."""
        fixed = {name: value for name, value in params.items() if value}
        fields = {"user_id": person} if person else {}
        token = ""
        while True:
            # The size of a page may change between pages; the other parameters may not.
            wanted = {**fixed, "page_size": page_size or MAX_PAGE, "page_token": token}
            page = self.get(route, wanted, **fields)
            yield from rows(page)
            token = str(getattr(page, "next_page_token", ""))
            if not token:
                return

    @contextmanager
    def stream(self, route: Route[Answer], **fields: str) -> Iterator[httpx.Response]:
        """An answer that arrives bit by bit. A failure before its first byte raises as for any request."""
        response = self._send(route, fields, repeat=True, stream=True)
        try:
            yield response
        except httpx.TransportError as error:
            raise Unreachable(self.base_url, error) from error
        finally:
            response.close()

    def file(self, path: str) -> Iterator[bytes]:
        """The bytes of a file that a link leads to; nobody need be logged in."""
        try:
            with self._client.stream("GET", path) as response:
                if response.status_code >= 400:
                    response.read()
                    raise from_response(response)
                yield from response.iter_bytes()
        except httpx.TransportError as error:
            raise Unreachable(self.base_url, error) from error

    def start(self, user_id: str, email: str, tokens: Tokens, headers: httpx.Headers) -> None:
        """Begins a session and stores it."""
        with self._refreshing, self.sessions.lock():
            self.sessions.save(self.base_url, _session(user_id, email, tokens, headers))

    def end(self) -> None:
        """Ends the session, and forgets it even when the server cannot be told."""
        with self._refreshing, self.sessions.lock():
            session = self.sessions.load(self.base_url)
            if session is None:
                return
            try:
                self.open(routes.LOG_OUT, {"refresh_token": session.refresh_token})
            finally:
                self.sessions.save(self.base_url, None)

    def _send(self, route: Route[Answer], fields: Mapping[str, str], *, repeat: bool, **request: Any) -> httpx.Response:
        rejected = ""
        failures = count(1)
        while True:
            wait = 0.0
            try:
                token = self._access_token(rejected)
                response = self._once(route, fields, token, **request)
            except Unreachable:
                failure = next(failures)
                if not repeat or failure >= ATTEMPTS:
                    raise
                wait = BACKOFF_SECONDS * 2 ** (failure - 1)
            else:
                if response.status_code == 401 and not rejected:
                    rejected = token
                elif response.status_code == 503 and repeat and (failure := next(failures)) < ATTEMPTS:
                    wait = _retry_after(response) or BACKOFF_SECONDS * 2 ** (failure - 1)
                    if wait > PATIENCE_SECONDS:
                        raise from_response(response)
                elif response.status_code >= 400:
                    raise from_response(response)
                else:
                    return response
            if wait:
                self.pause(wait)

    def _once(
        self,
        route: Route[Answer],
        fields: Mapping[str, str],
        token: str,
        *,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> httpx.Response:
        """One request and its answer, whose body has been read unless it is a stream that began well."""
        if callable(request.get("content")):
            request["content"] = request["content"]()
        path = route.url(**{"user_id": "me", **fields})
        authorization = {"authorization": f"Bearer {token}"} if token else {}
        try:
            built = self._client.build_request(
                route.method, path, headers={**(headers or {}), **authorization}, **request
            )
        except ValueError:
            # Python reads NaN and infinities out of JSON, which has none.
            raise VitalisError(0, "USAGE", "a number to be sent is none: NaN, or infinite") from None
        try:
            response = self._client.send(built, stream=True)
            if not stream or response.status_code >= 400:
                response.read()
        except httpx.TransportError as error:
            raise Unreachable(self.base_url, error) from error
        return response

    def _access_token(self, rejected: str) -> str:
        """An access token that is good for a while yet, and is not the one that was rejected."""
        session = self._session()
        if _good(session, rejected):
            return session.access_token
        with self._refreshing, self.sessions.lock():
            # Another thread or process may have refreshed while this one waited for the lock.
            session = self._session()
            if not _good(session, rejected):
                session = self._refresh(session)
            return session.access_token

    def _session(self) -> Session:
        session = self.sessions.load(self.base_url)
        if session is None:
            raise NotLoggedIn(f"you are not logged in at {self.base_url}")
        return session

    def _refresh(self, session: Session) -> Session:
        response = self._once(routes.REFRESH_SESSION, {}, "", json={"refresh_token": session.refresh_token})
        if response.status_code == 401:
            self.sessions.save(self.base_url, None)
            raise NotLoggedIn(f"your session at {self.base_url} has ended; log in again")
        if response.status_code >= 400:
            raise from_response(response)
        tokens = decode(routes.REFRESH_SESSION.answer, response).tokens
        renewed = _session(session.user_id, session.email, tokens, response.headers)
        self.sessions.save(self.base_url, renewed)
        return renewed


def normal_url(url: str) -> str:
    """The URL without a trailing slash. Raises ValueError for one that is not http:// or https://."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        raise ValueError(f"{url} is no server's URL, such as http://127.0.0.1:8080")
    return str(parsed).rstrip("/")


def decode(model: type[Answer], response: httpx.Response) -> Answer:
    """The answer as a model. Raises VitalisError for one that is none."""
    return decode_json(model, response.content, response.status_code)


def decode_json(model: type[Answer], content: str | bytes, status: int) -> Answer:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise unexpected(status, f"sent no proper {model.__name__} ({where or 'body'}: {problem['type']})") from None


def _good(session: Session, rejected: str) -> bool:
    return session.access_token != rejected and session.access_token_expires_at - time.time() > MARGIN_SECONDS


def _session(user_id: str, email_address: str, tokens: Tokens, headers: httpx.Headers) -> Session:
    # The two machines' clocks may differ, so only the difference of the server's own times is believed.
    now = time.time()
    sent = headers.get("date")
    try:
        server_now = email.utils.parsedate_to_datetime(sent).timestamp() if sent else now
    except ValueError:
        server_now = now
    return Session(
        user_id=user_id,
        email=email_address,
        access_token=tokens.access_token,
        access_token_expires_at=now + tokens.access_token_expires_at.timestamp() - server_now,
        refresh_token=tokens.refresh_token,
    )


def _retry_after(response: httpx.Response) -> float:
    """The seconds that `Retry-After` asks for; 0 if it asks for none, or names a date."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else 0.0
