"""What an administrator reaches of a person's data without a grant: what the contract says, and only as one."""

import re

import pytest

from tests.rpcs import Rpc, ids, rpcs
from tests.sharing.conftest import Somebody, System
from vitalis.options.v1.options_pb2 import AUDIENCE_USER

SOME_ID = "01930000-0000-7000-8000-000000000001"
PEOPLES = [rpc for rpc in rpcs() if rpc.access.audience == AUDIENCE_USER and "{user_id}" in rpc.url]
OPEN = [rpc for rpc in PEOPLES if rpc.access.admins]
NO_ACCESS = (403, "SUBJECT_MISMATCH")


@pytest.fixture
def admin(system: System) -> Somebody:
    return system.sign_in("root", role="admin")


def path_of(rpc: Rpc) -> str:
    return re.sub(r"\{[a-z_]+\}", SOME_ID, rpc.url.partition("{user_id}")[2])


async def test_an_admin_reads_what_the_contract_opens_and_stands_in_the_owners_trail(
    ada: Somebody, admin: Somebody
) -> None:
    assert OPEN
    for rpc in OPEN:
        answer = await admin.call("GET", path_of(rpc), of=ada.id)
        assert answer.status_code in (200, 404), (ids(rpc), answer.text)
    entries = (await ada.done("GET", "/audit-trail", params={"action": "READ"}))["entries"]
    assert sorted(entry["new_values"]["rpc"].rpartition("/")[2] for entry in entries) == sorted(
        rpc.method.name for rpc in OPEN
    )
    assert {(entry["action_by"], entry["actor_role"], entry.get("grant_id")) for entry in entries} == {
        (admin.id, "admin", None)
    }


async def test_an_admin_reaches_nothing_else_of_a_persons(system: System, ada: Somebody, admin: Somebody) -> None:
    for rpc in PEOPLES:
        if not rpc.access.admins:
            url = f"/api/v1/users/{ada.id}{path_of(rpc)}"
            verb = str(rpc.http.WhichOneof("pattern")).upper()
            answer = await system.http.request(verb, url, headers=admin.headers)
            assert answer.status_code == 403, (ids(rpc), answer.text)


async def test_what_is_opened_is_opened_to_nobody_else(system: System, ada: Somebody, carla: Somebody) -> None:
    """A coach is no administrator, and neither is whoever was one when they got their token."""
    for somebody in (carla, system.sign_in("eve"), system.sign_in("once", role="admin")):
        system.sql("UPDATE users SET role = 'user' WHERE id = %s AND role = 'admin'", somebody.id)
        for rpc in OPEN:
            assert await somebody.refused("GET", path_of(rpc), of=ada.id) == NO_ACCESS


async def test_an_admin_whose_session_ends_is_out(system: System, ada: Somebody, admin: Somebody) -> None:
    system.sql("UPDATE sessions SET revoked_at = now(), revoked_reason = 'logged_out' WHERE id = %s", admin.session)
    for rpc in OPEN:
        assert await admin.refused("GET", path_of(rpc), of=ada.id) == (401, "UNAUTHENTICATED")


async def test_an_admin_is_told_who_is_nobody(admin: Somebody) -> None:
    for rpc in OPEN:
        assert (await admin.refused("GET", path_of(rpc), of=SOME_ID))[0] == 404
        assert await admin.refused("GET", path_of(rpc), of="nobody") == NO_ACCESS
