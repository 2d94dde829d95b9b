"""Who is refused at the door is written down where services write down their own refusals."""

from structlog.testing import capture_logs

from tests.gateway.conftest import Client
from tests.gateway.support import ADA, BOB, SESSION, Backend

THINGS = "vitalis.sample.v1.ThingsService"
BOBS = f"/api/v1/users/{BOB}/things/7"


async def test_a_refusal_is_recorded_with_where_it_came_from(client: Client, backend: Backend) -> None:
    answer = await client.get(BOBS, headers={"User-Agent": "curl/8", "X-Request-Id": "r-77"})
    assert answer.status_code == 403
    ((actor, rpc, reason, sent),) = backend.identity.denials
    assert (actor, rpc, reason) == (ADA, f"{THINGS}/GetThing", "SUBJECT_MISMATCH")
    assert (sent["vitalis-user-agent"], sent["vitalis-request-id"]) == ("curl/8", answer.headers["X-Request-Id"])
    assert sent["vitalis-client-address"]


async def test_every_try_is_recorded_whatever_is_remembered(client: Client, backend: Backend) -> None:
    for _ in range(3):
        await client.get(BOBS)
    await client.get("/api/v1/users/nobody/things/7")
    assert len(backend.identity.denials) == 4


async def test_what_is_ones_own_or_nobodys_is_not(client: Client, backend: Backend) -> None:
    assert (await client.get("/api/v1/users/me/things/7")).status_code == 200
    assert (await client.get(BOBS, headers={"Authorization": "Bearer x"})).status_code == 401
    backend.identity.ended.add(SESSION)
    assert (await client.get(BOBS)).status_code == 401
    assert backend.identity.denials == []


async def test_the_answer_is_the_same_though_it_cannot_be_recorded(client: Client, backend: Backend) -> None:
    told = await client.get(BOBS)
    backend.identity.records_denials = False
    with capture_logs() as logged:
        untold = await client.get(BOBS)
    assert (untold.status_code, untold.json()["error"]["message"]) == (403, told.json()["error"]["message"])
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["a denied access was not recorded"]
    assert len(backend.identity.denials) == 1
