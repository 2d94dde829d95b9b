"""Getting more out of a grant than it gives, through the real gateway and services."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from gateway import callers, exchange
from services.identity.sharing.terms import TERMS_VERSION
from services.kit.contract import grantable_scopes
from tests.rpcs import ids, rpcs
from tests.sharing.conftest import Somebody, System
from vitalis.options.v1.options_pb2 import AUDIENCE_ADMIN, AUDIENCE_USER

DAILY = {"wearable_daily": [{"date": "2026-01-15", "source": "manual", "steps": 4200}]}
NO_ACCESS = (403, "SUBJECT_MISMATCH")
NO_SCOPE = (403, "SCOPE_MISSING")
ENDED = (401, "UNAUTHENTICATED")
SOME_ID = "01930000-0000-7000-8000-000000000001"


async def test_what_is_shared_is_read_and_what_may_be_is_written(
    system: System, ada: Somebody, carla: Somebody
) -> None:
    await ada.done("POST", "/wearable-daily:batchUpsert", json=DAILY)
    assert await carla.refused("GET", "/wearable-daily", of=ada.id) == NO_ACCESS
    await ada.share(carla, "wearables.read", "wearables.write", relation="coach")
    (day,) = (await carla.done("GET", "/wearable-daily", of=ada.id))["wearable_daily"]
    assert (day["user_id"], day["steps"]) == (ada.id, 4200)
    more = {"wearable_daily": [{**DAILY["wearable_daily"][0], "steps": 5000}]}
    await carla.done("POST", "/wearable-daily:batchUpsert", of=ada.id, json=more)
    (day,) = (await ada.done("GET", "/wearable-daily"))["wearable_daily"]
    assert day["steps"] == 5000
    # One's own stays one's own.
    assert (await carla.done("GET", "/wearable-daily"))["wearable_daily"] == []
    (received,) = (await carla.done("GET", "/received-grants"))["received_grants"]
    assert (received["owner_id"], received["owner_name"]) == (ada.id, "Ada")


async def test_reading_is_not_writing_and_writing_is_not_reading(ada: Somebody, carla: Somebody) -> None:
    grant = await ada.share(carla, "wearables.read")
    assert await carla.refused("POST", "/wearable-daily:batchUpsert", of=ada.id, json=DAILY) == NO_SCOPE
    await ada.done("POST", f"/grants/{grant}:revoke", json={})
    await ada.share(carla, "wearables.write")
    await carla.done("POST", "/wearable-daily:batchUpsert", of=ada.id, json=DAILY)
    assert await carla.refused("GET", "/wearable-daily", of=ada.id) == NO_SCOPE
    assert await carla.refused("GET", "/imports", of=ada.id) == NO_SCOPE


OF_PEOPLE = (AUDIENCE_USER, AUDIENCE_ADMIN)
ABOUT_PEOPLE = [rpc for rpc in rpcs() if "{user_id}" in rpc.url and rpc.access.audience in OF_PEOPLE]


@pytest.mark.parametrize("everything", [True, False], ids=["every scope", "one scope"])
async def test_a_grant_opens_its_scopes_and_nothing_else_over_every_url(
    system: System, ada: Somebody, carla: Somebody, everything: bool
) -> None:
    """The sessions, second factors, privacy, audit and account of the owner among them."""
    granted = sorted(grantable_scopes()) if everything else ["imports.read"]
    await ada.share(carla, *granted, relation="coach")
    for rpc in ABOUT_PEOPLE:
        url = re.sub(r"\{[a-z_]+\}", SOME_ID, rpc.url.replace("{user_id}", ada.id))
        answer = await system.http.request(rpc.http.WhichOneof("pattern").upper(), url, headers=carla.headers)
        reason = answer.json()["error"]["details"][0]["reason"] if answer.status_code >= 400 else ""
        # A body that does not fit is refused by the gateway before anybody's scope counts.
        if rpc.access.audience == AUDIENCE_USER and rpc.access.scope in granted:
            assert reason not in ("SCOPE_MISSING", "SUBJECT_MISMATCH"), ids(rpc)
        elif reason != "INVALID_FIELD":
            assert reason == "SCOPE_MISSING", (ids(rpc), answer.text)


async def test_after_its_end_a_grant_gives_nothing(system: System, ada: Somebody, carla: Somebody) -> None:
    """By the database's clock."""
    grant = await ada.share(carla, "wearables.read")
    await carla.done("GET", "/wearable-daily", of=ada.id)
    system.sql("UPDATE grants SET expires_at = now() WHERE id = %s", grant)
    assert await carla.refused("GET", "/wearable-daily", of=ada.id) == NO_ACCESS


@pytest.mark.parametrize("how", ["revoked", "left", "narrowed", "owner suspended", "owner deleted", "no coach"])
async def test_what_ends_a_grant(system: System, ada: Somebody, carla: Somebody, how: str) -> None:
    grant = await ada.share(carla, "wearables.read", "imports.read", relation="coach")
    await carla.done("GET", "/wearable-daily", of=ada.id)
    expected = NO_ACCESS
    if how == "revoked":
        await ada.done("POST", f"/grants/{grant}:revoke", json={})
    elif how == "left":
        await carla.done("POST", f"/received-grants/{grant}:leave", json={})
    elif how == "narrowed":
        await ada.done("PATCH", f"/grants/{grant}", json={"scopes": ["imports.read"]})
        expected = NO_SCOPE
    elif how == "no coach":
        system.sql("UPDATE users SET role = 'user' WHERE id = %s", carla.id)
    else:
        state = {"owner suspended": "suspended_at", "owner deleted": "deleted_at"}[how]
        system.sql(f"UPDATE users SET account_status = %s, {state} = now() WHERE id = %s", how.split()[1], ada.id)
    assert await carla.refused("GET", "/wearable-daily", of=ada.id) == expected


async def test_a_pending_or_declined_offer_gives_nothing(ada: Somebody, carla: Somebody) -> None:
    grant = {"grantee_email": carla.email, "scopes": ["wearables.read"], "relation": "person"}
    await ada.done("POST", "/grants", json={**grant, "consent_version": TERMS_VERSION})
    assert await carla.refused("GET", "/wearable-daily", of=ada.id) == NO_ACCESS


async def test_what_was_granted_cannot_be_granted_on(system: System, ada: Somebody, carla: Somebody) -> None:
    dora = system.sign_in("dora")
    await ada.share(carla, *sorted(grantable_scopes()), relation="coach")
    await carla.share(dora, *sorted(grantable_scopes()))
    await dora.done("GET", "/wearable-daily", of=carla.id)
    assert await dora.refused("GET", "/wearable-daily", of=ada.id) == NO_ACCESS
    offer = {"grantee_email": dora.email, "scopes": ["wearables.read"], "relation": "person"}
    on_behalf = {**offer, "consent_version": TERMS_VERSION}
    assert await carla.refused("POST", "/grants", of=ada.id, json=on_behalf) == NO_SCOPE
    assert await carla.refused("GET", "/grants", of=ada.id) == NO_SCOPE
    # A grant works one way.
    assert await ada.refused("GET", "/wearable-daily", of=carla.id) == NO_ACCESS


async def test_a_household_alone_shares_nothing(system: System, ada: Somebody, carla: Somebody) -> None:
    (account,) = system.sql("SELECT account_id FROM users WHERE id = %s", ada.id)[0]
    system.sql("UPDATE accounts SET subscription_tier = 'family', max_users = 4 WHERE id = %s", account)
    system.sql("UPDATE users SET account_id = %s WHERE id = %s", account, carla.id)
    for one, other in ((ada, carla), (carla, ada)):
        for path in ("", "/wearable-daily", "/imports", "/grants"):
            assert await one.refused("GET", path, of=other.id) == NO_ACCESS


async def test_a_role_alone_shows_nothing(system: System, ada: Somebody, carla: Somebody) -> None:
    admin = system.sign_in("admin", role="admin")
    for somebody in (carla, admin):
        for path in ("", "/wearable-daily", "/imports"):
            assert await somebody.refused("GET", path, of=ada.id) == NO_ACCESS


async def test_whether_somebody_exists_is_not_told(ada: Somebody, carla: Somebody) -> None:
    answers = [await carla.call("GET", "/wearable-daily", of=of) for of in (ada.id, SOME_ID, "nobody")]
    assert {answer.status_code for answer in answers} == {403}
    assert len({json.dumps(answer.json()) for answer in answers}) == 1


async def test_a_grantee_who_is_suspended_or_whose_session_ends_reads_nothing(
    system: System, ada: Somebody, carla: Somebody
) -> None:
    await ada.share(carla, "wearables.read")
    state = "UPDATE users SET account_status = %s, suspended_at = %s WHERE id = %s"
    for path in ({"of": ada.id}, {}):
        system.sql(state, "suspended", "now", carla.id)
        assert await carla.refused("GET", "/wearable-daily", **path) == ENDED
        system.sql(state, "active", None, carla.id)
        await carla.done("GET", "/wearable-daily", **path)
        system.sql("UPDATE sessions SET revoked_at = now(), revoked_reason = 'logged_out' WHERE id = %s", carla.session)
        assert await carla.refused("GET", "/wearable-daily", **path) == ENDED
        system.sql("UPDATE sessions SET revoked_at = NULL, revoked_reason = NULL WHERE id = %s", carla.session)
        system.sql("UPDATE sessions SET expires_at = now() WHERE id = %s", carla.session)
        assert await carla.refused("GET", "/wearable-daily", **path) == ENDED
        system.sql("UPDATE sessions SET expires_at = now() + interval '1 day' WHERE id = %s", carla.session)


async def test_each_use_stands_in_the_owners_trail_under_its_grant(
    system: System, ada: Somebody, carla: Somebody
) -> None:
    grant = await ada.share(carla, "wearables.read", "wearables.write")
    await carla.done("GET", "/wearable-daily", of=ada.id)
    await carla.done("POST", "/wearable-daily:batchUpsert", of=ada.id, json=DAILY)
    await ada.done("GET", "/wearable-daily")
    uses = (await ada.done("GET", "/audit-trail", params={"grant": grant}))["entries"]
    assert {(use["action_by"], use["grant_id"], use["service"]) for use in uses} == {(carla.id, grant, "tracking")}
    assert len(uses) >= 2
    other = await ada.done("GET", "/audit-trail", params={"grant": SOME_ID})
    assert other["entries"] == []
    assert await carla.refused("GET", "/audit-trail", of=ada.id, params={"grant": grant}) == NO_SCOPE


# What lasts


@pytest.fixture
def looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that lasts is looked at from its beginning on."""
    monkeypatch.setattr(exchange, "WATCH_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(callers, "PAUSE_SECONDS", 0.02)


@pytest.mark.usefixtures("looked_at_often")
async def test_an_import_that_is_watched_is_watched_no_more(system: System, ada: Somebody, carla: Somebody) -> None:
    uploaded = await ada.done("POST", "/imports?source=apple_health&file_name=a.zip", content=b"PK")
    grant = await ada.share(carla, "imports.read")
    system.http.timeout = 20
    url = f"/api/v1/users/{ada.id}/imports/{uploaded['id']}:watch"
    async with system.http.stream("GET", url, headers=carla.headers) as answer:
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["id"] == uploaded["id"]
        await ada.done("POST", f"/grants/{grant}:revoke", json={})
        (*_, last) = [json.loads(line) async for line in lines]
    assert last["error"]["details"][0]["reason"] == "SUBJECT_MISMATCH"


@pytest.mark.usefixtures("looked_at_often")
async def test_an_upload_under_way_ends_and_nothing_of_it_is_kept(
    system: System, ada: Somebody, carla: Somebody
) -> None:
    grant = await ada.share(carla, "imports.write", "imports.read")
    revoked = asyncio.Event()

    async def file() -> AsyncIterator[bytes]:
        for number in range(16):
            yield bytes(2**15)
            if number == 10:
                await ada.done("POST", f"/grants/{grant}:revoke", json={})
                revoked.set()
            await asyncio.sleep(0.02)

    url = "/imports?source=apple_health&file_name=a.zip"
    assert await carla.refused("POST", url, of=ada.id, content=file()) == NO_ACCESS
    assert revoked.is_set()
    assert (await ada.done("GET", "/imports"))["imports"] == []
    count = "SELECT count(*) FROM imports WHERE user_id = %s"
    assert system.sql(count, UUID(ada.id), service="tracking") == [(0,)]
