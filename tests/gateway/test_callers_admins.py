"""What administrators reach, by the role of now, and what nobody else does."""

import time

import pytest

from gateway import callers
from services.kit.caller import EVERYTHING, Caller
from tests.gateway.calling import BOBS, FORGETFUL, GRANT, MINE, REVIEW, Called, Clock, grant, reason
from tests.gateway.conftest import Client, MakeClient
from tests.gateway.support import ADA, BOB, SESSION, Backend, bearer, mint


async def test_an_admin_acts_on_the_person_of_the_path(client: Client, called: Called, backend: Backend) -> None:
    backend.identity.roles[ADA] = "admin"
    assert (await client.get(f"{BOBS}:inspect")).status_code == 200
    assert called.by == Caller(ADA, BOB, "admin", frozenset({EVERYTHING}), session_id=SESSION)
    # What people do with their own data no admin does with it.
    assert (await client.get(BOBS)).status_code == 403


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
