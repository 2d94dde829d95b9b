"""Consents: a history that only grows."""

from dataclasses import replace

import psycopg
import pytest

from tests.harness import reason
from tests.privacy.conftest import Both, Somebody
from vitalis.identity.v1 import consents_pb2 as pb


async def give(who: Somebody, purpose: str, version: str = "2026-11", request_id: str = "") -> pb.Consent:
    request = pb.GiveConsentRequest(user_id=who.id, purpose=purpose, version=version, request_id=request_id)
    return (await who.consents("GiveConsent", request)).consent


async def withdraw(who: Somebody, purpose: str) -> pb.Consent:
    request = pb.WithdrawConsentRequest(user_id=who.id, purpose=purpose)
    return (await who.consents("WithdrawConsent", request)).consent


async def history(who: Somebody, purpose: str = "") -> list[tuple[str, str, bool]]:
    request = pb.ListConsentsRequest(user_id=who.id, purpose=purpose)
    return [(c.purpose, c.version, c.given) for c in (await who.consents("ListConsents", request)).consents]


async def test_what_was_given_and_withdrawn_stands_in_order(both: Both, ada: Somebody) -> None:
    ada.caller = replace(ada.caller, address="192.0.2.7")
    given = await give(ada, "terms", "1")
    assert given.ip_address == "192.0.2.7"
    await give(ada, "research", "2026-11")
    await give(ada, "terms", "2")
    withdrawn = await withdraw(ada, "research")
    assert (withdrawn.version, withdrawn.given) == ("2026-11", False)
    assert await history(ada) == [
        ("research", "2026-11", False),
        ("terms", "2", True),
        ("research", "2026-11", True),
        ("terms", "1", True),
    ]
    assert await history(ada, "terms") == [("terms", "2", True), ("terms", "1", True)]


async def test_only_what_holds_can_be_withdrawn(both: Both, ada: Somebody, bert: Somebody) -> None:
    await give(bert, "sharing")
    assert await reason(withdraw(ada, "sharing")) == "CONSENT_NOT_GIVEN"
    await give(ada, "sharing")
    await withdraw(ada, "sharing")
    assert await reason(withdraw(ada, "sharing")) == "CONSENT_NOT_GIVEN"
    await give(ada, "sharing")
    await withdraw(ada, "sharing")
    assert await history(bert) == [("sharing", "2026-11", True)]


async def test_a_repeat_is_one_consent(both: Both, ada: Somebody) -> None:
    assert await give(ada, "terms", request_id="one") == await give(ada, "terms", request_id="one")
    assert await reason(give(ada, "research", request_id="one")) == "REQUEST_ID_REUSED"
    assert len(await history(ada)) == 1
    request = pb.ListConsentsRequest(user_id=ada.id, page_token="x")
    assert await reason(ada.consents("ListConsents", request)) == "INVALID_PAGE_TOKEN"


async def test_the_app_cannot_change_the_history(both: Both, ada: Somebody) -> None:
    await give(ada, "terms")
    for statement in ("UPDATE consents SET given = false", "DELETE FROM consents"):
        with psycopg.connect(both.databases["identity"].app_url) as app:
            app.execute("SELECT set_config('app.subject_id', %s, true)", [ada.id])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement.encode())
