"""Sessions, grants and roles as identity says they are now: what lives, what ends, and how soon."""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway import callers, exchange
from services.kit.caller import EVERYTHING, Caller, CallerVerifier, key_id
from services.kit.errors import ServiceError
from tests.gateway.conftest import Client, MakeClient, MakeServer
from tests.gateway.support import ADA, BOB, SESSION, Backend, bearer, mint
from vitalis.identity.v1.callers_pb2 import ResolvedGrant

MINE = "/api/v1/users/me/things/7"
BOBS = f"/api/v1/users/{BOB}/things/7"
GRANT = "01930000-0000-7000-8000-00000000f00d"
# Nothing is remembered for longer than it takes to ask again.
FORGETFUL = {"caller_memory_seconds": 0.000001}


def grant(*scopes: str, **values: Any) -> ResolvedGrant:
    return ResolvedGrant(id=GRANT, scopes=scopes or ("wearables.read",), **values)


@pytest.fixture
def called(backend: Backend, gateway_key: Ed25519PrivateKey) -> "Called":
    return Called(backend, gateway_key)


class Called:
    """As whom the service was called last, and until when it believes that."""

    def __init__(self, backend: Backend, key: Ed25519PrivateKey) -> None:
        self._backend = backend
        self._trusted = {"gateway": {key_id(key): key.public_key()}}

    @property
    def token(self) -> str:
        return self._backend.things.metadata["vitalis-caller"]

    @property
    def by(self) -> Caller:
        return CallerVerifier("sample", self._trusted).verify(self.token, "")

    @property
    def until(self) -> float:
        return CallerVerifier("sample", self._trusted)._decode(self.token)[0]


def reason(answer: httpx.Response) -> str:
    found: str = answer.json()["error"]["details"][0]["reason"]
    return found


async def test_ones_own_data_is_reached_in_ones_session(client: Client, called: Called, backend: Backend) -> None:
    for path in (MINE, f"/api/v1/users/{ADA}/things/7"):
        assert (await client.get(path)).status_code == 200
        assert called.by == Caller(ADA, ADA, "user", frozenset({EVERYTHING}), session_id=SESSION)
    assert backend.identity.asked == [(ADA, SESSION, ADA)]


async def test_a_session_that_has_ended_opens_nothing(client: Client, backend: Backend) -> None:
    backend.identity.grants[ADA, BOB] = grant()
    backend.identity.ended.add(SESSION)
    for path in (MINE, BOBS, f"{MINE}:watch"):
        answer = await client.get(path)
        assert (answer.status_code, reason(answer)) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert backend.things.requests == []


async def test_the_end_of_a_session_is_noticed_once_its_memory_is_over(
    make_client: MakeClient, backend: Backend
) -> None:
    client = await make_client(**FORGETFUL)
    headers = bearer(mint(backend.key))
    assert (await client.get(MINE, headers=headers)).status_code == 200
    backend.identity.ended.add(SESSION)
    assert (await client.get(MINE, headers=headers)).status_code == 401


async def test_another_session_of_the_same_person_goes_on(client: Client, backend: Backend) -> None:
    backend.identity.ended.add(SESSION)
    assert (await client.get(MINE)).status_code == 401
    other = bearer(mint(backend.key, sid=GRANT))
    assert (await client.get(MINE, headers=other)).status_code == 200


async def test_a_token_without_a_session_is_none(client: Client, backend: Backend) -> None:
    for session in (None, "", 7):
        answer = await client.get(MINE, headers=bearer(mint(backend.key, sid=session)))
        assert answer.status_code == 401


async def test_a_grant_gives_its_scopes_of_that_persons_data(client: Client, called: Called, backend: Backend) -> None:
    backend.identity.grants[ADA, BOB] = grant("wearables.read", "imports.read")
    assert (await client.get(BOBS)).status_code == 200
    assert called.by == Caller(
        ADA, BOB, "user", frozenset({"wearables.read", "imports.read"}), session_id=SESSION, grant_id=GRANT
    )
    assert backend.things.requests[-1].user_id == BOB


@pytest.mark.parametrize(
    "subject",
    [
        BOB,
        "00000000-0000-0000-0000-000000000000",
        "nobody",
        BOB.upper(),
        f"{BOB}%0A",
        "%6d%65x",
        "*",
        "me.",
        "😀",
    ],
)
async def test_without_a_grant_the_answer_is_the_same_for_everybody(
    client: Client, backend: Backend, subject: str
) -> None:
    backend.identity.grants[ADA, ADA] = grant()
    answer = await client.get(f"/api/v1/users/{subject}/things/7")
    assert answer.status_code == 403
    assert reason(answer) == "SUBJECT_MISMATCH"
    assert answer.json()["error"]["message"] == "you have no access to this person's data"
    assert backend.things.requests == []


async def test_only_somebody_with_an_id_is_asked_about(client: Client, backend: Backend) -> None:
    for subject in ("nobody", BOB.upper(), "%00", "x" * 2000):
        await client.get(f"/api/v1/users/{subject}/things/7")
    assert backend.identity.asked == []


async def test_a_persons_id_in_a_body_or_a_query_gives_nothing(client: Client, backend: Backend) -> None:
    """Whose data it is about stands in the path."""
    backend.identity.grants[ADA, BOB] = grant()
    assert (await client.get(MINE, params={"user_id": BOB})).status_code == 400
    assert (await client.post(f"{MINE}:lock", json={"user_id": BOB})).status_code == 400
    assert backend.things.requests == []


async def test_a_grant_that_has_gone_is_noticed_and_one_that_is_new_too(
    make_client: MakeClient, backend: Backend
) -> None:
    client = await make_client(**FORGETFUL)
    headers = bearer(mint(backend.key))
    for given in (True, False, True):
        backend.identity.grants = {(ADA, BOB): grant()} if given else {}
        assert (await client.get(BOBS, headers=headers)).status_code == (200 if given else 403)


async def test_identity_is_asked_once_in_ten_seconds(
    make_client: MakeClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await make_client()
    now = time.monotonic()
    # The clock of callers alone: the event loop has its own.
    monkeypatch.setattr(callers, "time", Clock(now))
    backend.identity.grants[ADA, BOB] = grant()
    headers = bearer(mint(backend.key))
    for seconds, asked in ((0.0, 1), (9.9, 1), (10.1, 2), (20.0, 2), (20.3, 3)):
        monkeypatch.setattr(callers, "time", Clock(now + seconds))
        assert (await client.get(BOBS, headers=headers)).status_code == 200
        assert len(backend.identity.asked) == asked


class Clock:
    """A module `time` that stands still; `time.time` is the real one plus what it is ahead."""

    def __init__(self, monotonic: float) -> None:
        self._ahead = monotonic - time.monotonic()
        self._monotonic = monotonic

    def monotonic(self) -> float:
        return self._monotonic

    def time(self) -> float:
        return time.time() + self._ahead


async def test_a_refusal_for_want_of_a_grant_is_forgotten_within_a_second(
    make_client: MakeClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has just accepted something tries at once."""
    client = await make_client()
    headers = bearer(mint(backend.key))
    now = time.monotonic()
    monkeypatch.setattr(callers, "time", Clock(now))
    assert (await client.get(BOBS, headers=headers)).status_code == 403
    backend.identity.grants[ADA, BOB] = grant()
    assert (await client.get(BOBS, headers=headers)).status_code == 403
    monkeypatch.setattr(callers, "time", Clock(now + 1.1))
    assert (await client.get(BOBS, headers=headers)).status_code == 200


async def test_requests_at_once_ask_once(client: Client, backend: Backend) -> None:
    gate = asyncio.Event()
    backend.identity.resolve = gate.wait  # type: ignore[assignment]
    backend.identity.grants[ADA, BOB] = grant()
    requests = [asyncio.create_task(client.get(BOBS)) for _ in range(20)]
    while not backend.identity.asked:
        await asyncio.sleep(0.001)
    # The one that made the others wait may go away.
    requests[0].cancel()
    gate.set()
    answers = await asyncio.gather(*requests[1:])
    assert {answer.status_code for answer in answers} == {200}
    assert backend.identity.asked == [(ADA, SESSION, BOB)]


async def test_the_memory_of_callers_stays_bounded(
    make_client: MakeClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "MEMORY_SIZE", 4)
    client = await make_client()
    for number in range(12):
        subject = f"01930000-0000-7000-8000-{number:012d}"
        await client.get(f"/api/v1/users/{subject}/things/7", headers=bearer(mint(backend.key)))
    remembered = client._transport.app._callers  # type: ignore[attr-defined]
    assert len(remembered._standings) <= 4
    assert remembered._asking == {}


async def test_a_caller_token_of_a_grant_ends_ten_seconds_after_its_memory(
    client: Client, called: Called, backend: Backend
) -> None:
    backend.identity.grants[ADA, BOB] = grant()
    before = time.time()
    await client.get(BOBS)
    assert before + 20 <= called.until <= time.time() + 20
    # The next request, in memory's last second, gets nothing that lives longer.
    first = called.until
    await client.get(BOBS)
    assert called.until == first


async def test_a_grant_is_not_outlived_by_what_rests_on_it(
    make_client: MakeClient, called: Called, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await make_client()
    headers = bearer(mint(backend.key))
    backend.identity.grants[ADA, BOB] = grant(seconds_left=3.5)
    before = time.time()
    assert (await client.get(BOBS, headers=headers)).status_code == 200
    assert before + 3.5 <= called.until <= time.time() + 3.5
    del backend.identity.grants[ADA, BOB]
    now = time.monotonic()
    monkeypatch.setattr(callers, "time", Clock(now + 3.6))
    assert (await client.get(BOBS, headers=headers)).status_code == 403


async def test_the_role_is_the_one_of_now(make_client: MakeClient, called: Called, backend: Backend) -> None:
    client = await make_client(**FORGETFUL)
    for in_token, now, status in (("user", "admin", 200), ("admin", "user", 403), ("admin", "coach", 403)):
        backend.identity.roles[ADA] = now
        answer = await client.get("/api/v1/secrets/7", headers=bearer(mint(backend.key, role=in_token)))
        assert answer.status_code == status
        if status == 200:
            assert (called.by.actor, called.by.subject, called.by.role) == (ADA, ADA, "admin")
        else:
            assert reason(answer) == "SCOPE_MISSING"
        await client.get(MINE, headers=bearer(mint(backend.key, role=in_token)))
        assert called.by.role == now
    assert len(backend.things.requests) == 4


async def test_an_admin_acts_on_the_person_of_the_path(client: Client, called: Called, backend: Backend) -> None:
    backend.identity.roles[ADA] = "admin"
    assert (await client.get(f"{BOBS}:inspect")).status_code == 200
    assert called.by == Caller(ADA, BOB, "admin", frozenset({EVERYTHING}), session_id=SESSION)
    # What people do with their own data no admin does with it.
    assert (await client.get(BOBS)).status_code == 403


REVIEW = f"{BOBS}:review"


async def test_an_admin_reaches_what_lets_admins_in_and_nothing_else(
    client: Client, called: Called, backend: Backend
) -> None:
    backend.identity.roles[ADA] = "admin"
    assert (await client.get(REVIEW)).status_code == 200
    assert called.by == Caller(ADA, BOB, "admin", frozenset({EVERYTHING}), session_id=SESSION)
    for path in (BOBS, f"{BOBS}:watch", f"/api/v1/users/{BOB}/names", f"/api/v1/users/{BOB}/kept/7"):
        answer = await client.get(path)
        assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")
    # What was refused before is no obstacle, and the other way round.
    assert (await client.get(REVIEW)).status_code == 200
    assert [rpc.rpartition("/")[2] for _, rpc, _, _ in backend.identity.denials] == [
        "GetThing",
        "WatchThing",
        "ListNames",
        "GetKeptThing",
    ]


async def test_an_admin_is_themselves_on_their_own_data(client: Client, called: Called, backend: Backend) -> None:
    backend.identity.roles[ADA] = "admin"
    assert (await client.get(f"{MINE}:review")).status_code == 200
    assert called.by == Caller(ADA, ADA, "admin", frozenset({EVERYTHING}), session_id=SESSION)


@pytest.mark.parametrize("role", ["user", "coach", "Admin", ""])
async def test_nobody_else_gets_in_as_an_admin(client: Client, backend: Backend, role: str) -> None:
    """Whatever their token says."""
    backend.identity.roles[ADA] = role
    answer = await client.get(REVIEW, headers=bearer(mint(backend.key, role="admin")))
    assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")
    assert backend.things.requests == []


async def test_an_admin_needs_no_token_that_says_so(client: Client, called: Called, backend: Backend) -> None:
    backend.identity.roles[ADA] = "admin"
    answer = await client.get(REVIEW, headers=bearer(mint(backend.key, role="user")))
    assert (answer.status_code, called.by.role) == (200, "admin")


async def test_an_admin_with_a_grant_uses_it_and_one_that_is_too_small_takes_nothing_away(
    make_client: MakeClient, called: Called, backend: Backend
) -> None:
    client = await make_client(**FORGETFUL)
    headers = bearer(mint(backend.key))
    backend.identity.roles[ADA] = "admin"
    backend.identity.grants[ADA, BOB] = grant("profile.read")
    assert (await client.get(REVIEW, headers=headers)).status_code == 200
    assert (called.by.grant_id, called.by.scopes) == (GRANT, frozenset({"profile.read"}))
    backend.identity.grants[ADA, BOB] = grant("imports.read")
    assert (await client.get(REVIEW, headers=headers)).status_code == 200
    assert (called.by.grant_id, called.by.scopes) == ("", frozenset({EVERYTHING}))
    # Elsewhere the grant is all they have.
    assert (await client.get(BOBS, headers=headers)).status_code == 200
    assert (called.by.grant_id, called.by.scopes) == (GRANT, frozenset({"imports.read"}))


async def test_an_ex_admin_is_out_within_the_usual_seconds(
    make_client: MakeClient, called: Called, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await make_client()
    headers = bearer(mint(backend.key, role="admin"))
    now = time.monotonic()
    monkeypatch.setattr(callers, "time", Clock(now))
    backend.identity.roles[ADA] = "admin"
    before = time.time()
    assert (await client.get(REVIEW, headers=headers)).status_code == 200
    assert called.until <= before + 21
    backend.identity.roles[ADA] = "user"
    monkeypatch.setattr(callers, "time", Clock(now + 10.1))
    answer = await client.get(REVIEW, headers=headers)
    assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")
    backend.identity.roles[ADA] = "admin"
    backend.identity.ended.add(SESSION)
    monkeypatch.setattr(callers, "time", Clock(now + 20.2))
    assert (await client.get(REVIEW, headers=headers)).status_code == 401


async def test_a_session_that_has_ended_makes_no_admin(client: Client, backend: Backend) -> None:
    backend.identity.roles[ADA] = "admin"
    backend.identity.ended.add(SESSION)
    assert (await client.get(REVIEW)).status_code == 401
    assert (await client.get("/api/v1/users/nobody/things/7:review")).status_code == 403
    assert backend.things.requests == []


async def unavailable() -> None:
    raise ServiceError("UNAVAILABLE", "the database cannot be reached; try again")


async def broken() -> None:
    raise ServiceError("INTERNAL", "something went wrong")


@pytest.mark.parametrize("failure", [unavailable, broken])
async def test_without_identity_ones_own_data_is_read_on_the_tokens_word_and_nothing_else(
    make_client: MakeClient, called: Called, backend: Backend, failure: Any
) -> None:
    client = await make_client(**FORGETFUL)
    backend.identity.grants[ADA, BOB] = grant()
    backend.identity.roles[ADA] = "admin"
    headers = bearer(mint(backend.key, role="admin"))
    for path in (MINE, BOBS, "/api/v1/secrets/7", REVIEW):
        assert (await client.get(path, headers=headers)).status_code == 200
    backend.identity.resolve = failure
    assert (await client.get(MINE, headers=headers)).status_code == 200
    assert called.by == Caller(ADA, ADA, "admin", frozenset({EVERYTHING}), session_id=SESSION)
    for path in (BOBS, "/api/v1/secrets/7", f"{BOBS}:inspect", REVIEW):
        answer = await client.get(path, headers=headers)
        assert (answer.status_code, reason(answer)) == (503, "UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"


async def test_who_was_turned_away_stays_so_without_identity(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client(**FORGETFUL)
    headers = bearer(mint(backend.key))
    backend.identity.ended.add(SESSION)
    assert (await client.get(MINE, headers=headers)).status_code == 401
    backend.identity.resolve = unavailable
    assert (await client.get(MINE, headers=headers)).status_code == 401


async def test_nobody_waits_long_for_an_identity_that_hangs(
    make_client: MakeClient, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.backend.RESOLVE_TIMEOUT_SECONDS", 0.05)
    # Identity's keys come from the same process, so it hangs in this alone.
    backend.identity.resolve = asyncio.Event().wait  # type: ignore[assignment]
    client = await make_client()
    headers = bearer(mint(backend.key))
    assert (await client.get(MINE, headers=headers)).status_code == 200
    asked = len(backend.identity.asked)
    # For a second nobody else waits.
    other = bearer(mint(backend.key, person=BOB, sid=GRANT))
    assert (await client.get(MINE, headers=other)).status_code == 200
    assert len(backend.identity.asked) == asked == 1


async def test_guessing_people_is_counted_before_it_is_asked(make_client: MakeClient, backend: Backend) -> None:
    client = await make_client(rate="3/minute")
    subjects = [f"01930000-0000-7000-8000-{number:012d}" for number in range(5)]
    headers = bearer(mint(backend.key))
    answers = [await client.get(f"/api/v1/users/{subject}/things/7", headers=headers) for subject in subjects]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 429, 429]
    assert len(backend.identity.asked) == 3


# What lasts: watches, uploads, and slow requests.


@pytest.fixture
def watched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "WATCH_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(callers, "PAUSE_SECONDS", 0.01)


async def things_for_ever(backend: Backend) -> AsyncIterator[Any]:
    for number in itertools.count():
        yield backend.things.message("ThingResponse", json.dumps({"thing": {"text": str(number)}}))
        await asyncio.sleep(0.01)


@pytest.mark.usefixtures("watched_at_once")
@pytest.mark.parametrize(
    ("path", "expected"), [(f"{BOBS}:watch", "SUBJECT_MISMATCH"), (f"{MINE}:watch", "UNAUTHENTICATED")]
)
async def test_a_watch_ends_when_the_grant_or_the_session_does(
    make_server: MakeServer, backend: Backend, path: str, expected: str
) -> None:
    backend.identity.grants[ADA, BOB] = grant()
    backend.things.handlers["WatchThing"] = lambda *_: things_for_ever(backend)
    client = await make_server(caller_memory_seconds=0.05)
    async with client.stream("GET", path, headers=bearer(mint(backend.key))) as answer:
        lines = answer.aiter_lines()
        for _ in range(20):
            assert "text" in json.loads(await anext(lines))
        backend.identity.ended.add(SESSION) if "me" in path else backend.identity.grants.clear()
        (*_, last) = [json.loads(line) async for line in lines]
    assert last["error"]["details"][0]["reason"] == expected
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


@pytest.mark.usefixtures("watched_at_once")
async def test_a_watch_that_has_said_nothing_ends_with_a_plain_error(client: Client, backend: Backend) -> None:
    async def silent(request: Any, context: Any) -> AsyncIterator[Any]:
        backend.identity.grants.clear()
        await asyncio.Event().wait()
        yield

    backend.identity.grants[ADA, BOB] = grant(seconds_left=0.05)
    backend.things.handlers["WatchThing"] = silent
    answer = await client.get(f"{BOBS}:watch")
    assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")


@pytest.mark.usefixtures("watched_at_once")
async def test_a_slow_request_ends_with_its_grant(client: Client, backend: Backend) -> None:
    async def slow(request: Any, context: Any) -> Any:
        backend.identity.grants.clear()
        await asyncio.Event().wait()

    backend.identity.grants[ADA, BOB] = grant(seconds_left=0.05)
    backend.things.handlers["GetThing"] = slow
    answer = await client.get(BOBS)
    assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")
    await asyncio.wait_for(backend.things.cancelled.wait(), 5)


@pytest.mark.usefixtures("watched_at_once")
@pytest.mark.parametrize("person", [BOB, "me"])
async def test_an_upload_ends_when_the_grant_or_the_session_does(
    make_server: MakeServer, backend: Backend, person: str
) -> None:
    """One that goes on sending, and one whose service takes its time."""
    client = await make_server(caller_memory_seconds=0.05)

    async def file() -> AsyncIterator[bytes]:
        for number in range(100):
            yield bytes(2**16)
            await asyncio.sleep(0.01)
            if number == 20:
                backend.identity.ended.add(SESSION) if person == "me" else backend.identity.grants.clear()

    async def takes_its_time(messages: Any, context: Any) -> Any:
        async for _ in messages:
            pass
        backend.identity.ended.add(SESSION) if person == "me" else backend.identity.grants.clear()
        await asyncio.Event().wait()

    expected = (401, "UNAUTHENTICATED") if person == "me" else (403, "SUBJECT_MISMATCH")
    url, headers = f"/api/v1/users/{person}/files?file_name=a", bearer(mint(backend.key))
    for handler, content in ((None, file()), (takes_its_time, b"whole")):
        backend.identity.grants[ADA, BOB] = grant("imports.write")
        backend.identity.ended.clear()
        backend.things.cancelled.clear()
        await asyncio.sleep(0.06)
        if handler:
            backend.things.handlers["UploadFile"] = handler
        answer = await client.post(url, content=content, headers={**headers, "content-type": "application/zip"})
        assert (answer.status_code, reason(answer)) == expected
        await asyncio.wait_for(backend.things.cancelled.wait(), 5)


@pytest.mark.usefixtures("watched_at_once")
async def test_a_moment_without_identity_breaks_nothing_off(make_server: MakeServer, backend: Backend) -> None:
    """What was allowed goes on until what was signed for it ends."""
    backend.identity.grants[ADA, BOB] = grant()
    backend.things.handlers["WatchThing"] = lambda *_: things_for_ever(backend)
    client = await make_server(caller_memory_seconds=0.02)
    async with client.stream("GET", f"{BOBS}:watch", headers=bearer(mint(backend.key))) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        backend.identity.resolve = unavailable
        asked = len(backend.identity.asked)
        while len(backend.identity.asked) < asked + 3:
            assert "text" in json.loads(await anext(lines))
        backend.identity.resolve = backend.identity._at_once
        for _ in range(10):
            assert "text" in json.loads(await anext(lines))


@pytest.mark.usefixtures("watched_at_once")
async def test_without_identity_for_long_a_grants_watch_ends(
    make_server: MakeServer, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers, "MARGIN_SECONDS", 0.2)
    backend.identity.grants[ADA, BOB] = grant()
    backend.things.handlers["WatchThing"] = lambda *_: things_for_ever(backend)
    client = await make_server(caller_memory_seconds=0.05)
    async with client.stream("GET", f"{BOBS}:watch", headers=bearer(mint(backend.key))) as answer:
        lines = answer.aiter_lines()
        await anext(lines)
        backend.identity.resolve = unavailable
        (*_, last) = [json.loads(line) async for line in lines]
    assert last["error"]["details"][0]["reason"] == "UNAVAILABLE"


async def test_a_body_that_takes_its_time_is_sent_on_as_what_its_sender_is_by_then(
    make_server: MakeServer, backend: Backend
) -> None:
    """The caller is signed when the call begins, not when the request did."""
    client = await make_server(caller_memory_seconds=0.05)
    backend.identity.grants[ADA, BOB] = grant("wearables.write")

    async def slow_body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(0.1)
        backend.identity.grants.clear()
        yield b"}"

    headers = {**bearer(mint(backend.key)), "content-type": "application/json"}
    answer = await client.post(f"{BOBS}:lock", content=slow_body(), headers=headers)
    assert (answer.status_code, reason(answer)) == (403, "SUBJECT_MISMATCH")
    assert backend.things.requests == []
