"""Sessions, grants and roles as identity says they are now: what lives, what ends, and how soon."""

import asyncio
import time
from typing import Any

import pytest

from gateway import callers
from services.kit.caller import EVERYTHING, Caller
from tests.gateway.calling import (
    BOBS,
    FORGETFUL,
    GRANT,
    MINE,
    REVIEW,
    Called,
    Clock,
    broken,
    grant,
    reason,
    unavailable,
)
from tests.gateway.conftest import Client, MakeClient
from tests.gateway.support import ADA, BOB, SESSION, Backend, bearer, mint


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
