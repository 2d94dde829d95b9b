"""What can be offered to whom, how often, and in whose name."""

import asyncio
import time
from typing import Any

import pytest

from services.identity.sharing import MOST_A_DAY
from services.identity.sharing.terms import TERMS_VERSION
from services.kit.caller import ANONYMOUS, Caller
from tests.harness import failure, reason
from tests.identity.sharing.people import ADA, CARLA, EVE, Sharing, draft, instant
from tests.identity.sharing.test_grants import FAR
from vitalis.identity.v1 import sharing_pb2 as pb


async def test_one_living_grant_for_an_address(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    grant = await sharing.offered(ada)
    for address in (CARLA, "CARLA@example.com"):
        assert await reason(sharing.offer(ada, address)) == "GRANT_EXISTS"
    await sharing.call("AcceptGrant", carla, token=(await sharing.mails())[0].token)
    assert await reason(sharing.offer(ada)) == "GRANT_EXISTS"
    await sharing.call("RevokeGrant", ada, id=grant.id)
    await sharing.accepted(ada, carla)


async def test_one_living_grant_between_two_people(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    first = await sharing.accepted(ada, carla)
    new_address = "carla@new.example.com"
    sharing.sql("UPDATE users SET email = %s WHERE id = %s", new_address, carla.subject)
    await sharing.offered(ada, new_address)
    token = (await sharing.mails())[-1].token
    assert await reason(sharing.call("AcceptGrant", carla, token=token)) == "GRANT_EXISTS"
    await sharing.call("LeaveGrant", carla, id=first.id)
    await sharing.call("AcceptGrant", carla, token=token)
    assert [given.status for given in await sharing.received(carla)] == ["active", "declined"]


async def test_a_grant_that_ran_out_does_not_stand_in_the_way_of_another(
    sharing: Sharing, ada: Caller, carla: Caller
) -> None:
    first = await sharing.accepted(ada, carla)
    sharing.run_out(first.id)
    second = await sharing.accepted(ada, carla)
    assert [grant.status for grant in (await sharing.call("ListGrants", ada)).grants] == ["active", "expired"]
    sharing.run_out(second.id)
    sharing.sql("UPDATE users SET email = 'carla@new.example.com' WHERE id = %s", carla.subject)
    await sharing.accepted(ada, carla, "carla@new.example.com")


async def test_a_coach_has_that_role(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    await sharing.offered(ada, relation="coach")
    token = (await sharing.mails())[0].token
    # What the caller's token says of their role is not what decides.
    pretended = Caller(carla.actor, carla.subject, "coach", carla.scopes)
    assert await reason(sharing.call("AcceptGrant", pretended, token=token)) == "COACH_ROLE_NEEDED"
    sharing.sql("UPDATE users SET role = 'coach' WHERE id = %s", carla.subject)
    given = (await sharing.call("AcceptGrant", carla, token=token)).grant
    assert given.relation == "coach"


async def test_nobody_shares_with_themselves(sharing: Sharing, ada: Caller) -> None:
    for address in (ADA, "ADA@example.com"):
        error = await failure(sharing.offer(ada, address))
        assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "grant.grantee_email")
    # An address that became one's own since.
    await sharing.offered(ada, "later@example.com")
    token = (await sharing.mails())[0].token
    sharing.sql("UPDATE users SET email = 'later@example.com' WHERE id = %s", ada.subject)
    assert await reason(sharing.call("AcceptGrant", ada, token=token)) == "GRANT_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("fields", "scopes", "field"),
    [
        ({}, ["sessions.write"], "grant.scopes[0]"),
        ({}, ["wearables.read", "sharing.write"], "grant.scopes[1]"),
        ({}, ["*"], "grant.scopes[0]"),
        ({}, [""], "grant.scopes[0]"),
        ({}, ["wearables.read", "wearables.read"], "grant.scopes"),
        ({"relation": "family"}, ["wearables.read"], "grant.relation"),
        ({"relation": ""}, ["wearables.read"], "grant.relation"),
        ({"to": "carla"}, ["wearables.read"], "grant.grantee_email"),
        ({"to": ""}, ["wearables.read"], "grant.grantee_email"),
        ({"note": "x" * 501}, ["wearables.read"], "grant.note"),
        ({"note": "two\nlines"}, ["wearables.read"], "grant.note"),
        ({"expires_at": instant(time.time() - 1)}, ["wearables.read"], "grant.expires_at"),
        ({"expires_at": instant(time.time() + FAR)}, ["wearables.read"], "grant.expires_at"),
        ({"consent_version": ""}, ["wearables.read"], "grant.consent_version"),
    ],
)
async def test_what_can_be_offered(
    sharing: Sharing, ada: Caller, fields: dict[str, Any], scopes: list[str], field: str
) -> None:
    error = await failure(sharing.offer(ada, fields.pop("to", CARLA), *scopes, **fields))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", field)
    assert sharing.sql("SELECT count(*) FROM grants") == [(0,)]


async def test_no_scope_is_no_offer(sharing: Sharing, ada: Caller) -> None:
    grant = draft()
    del grant.scopes[:]
    assert await reason(sharing.call("CreateGrant", ada, grant=grant)) == "INVALID_FIELD"


async def test_one_agrees_to_the_terms_of_now(sharing: Sharing, ada: Caller) -> None:
    assert await reason(sharing.offer(ada, consent_version="2020-01-01")) == "SHARING_TERMS_OUTDATED"
    request = pb.GetSharingTermsRequest()
    terms = await sharing.stub.GetSharingTerms(request, metadata=sharing.identity.metadata(ANONYMOUS))
    assert terms.version == TERMS_VERSION
    assert "30 seconds" in terms.text
    await sharing.offered(ada, consent_version=terms.version)


async def test_a_repeat_is_answered_as_the_first_time(sharing: Sharing, ada: Caller) -> None:
    first = await sharing.offered(ada, request_id="once")
    assert await sharing.offered(ada, request_id="once") == first
    assert len(await sharing.mails()) == 1
    assert await reason(sharing.offer(ada, EVE, request_id="once")) == "REQUEST_ID_REUSED"


async def test_so_many_a_day(sharing: Sharing, ada: Caller) -> None:
    grants = [await sharing.offered(ada, f"somebody-{number}@example.com") for number in range(MOST_A_DAY)]
    await sharing.call("RevokeGrant", ada, id=grants[0].id)
    error = await failure(sharing.offer(ada))
    assert (error.reason.name, error.retry_after_seconds) == ("GRANT_LIMIT", 3600)
    sharing.sql("UPDATE grants SET created_at = now() - interval '25 hours' WHERE id = %s", grants[1].id)
    await sharing.offered(ada)


async def test_of_many_offers_to_one_address_at_once_one_is_made(sharing: Sharing, ada: Caller) -> None:
    answers = await asyncio.gather(*(sharing.offer(ada) for _ in range(6)), return_exceptions=True)
    assert sum(isinstance(answer, pb.CreateGrantResponse) for answer in answers) == 1
    assert len(await sharing.mails()) == 1


async def test_an_owner_who_is_gone_offers_nothing_and_gives_nothing(
    sharing: Sharing, ada: Caller, carla: Caller
) -> None:
    await sharing.offered(ada)
    token = (await sharing.mails())[0].token
    sharing.sql("UPDATE users SET account_status = 'suspended', suspended_at = now() WHERE id = %s", ada.subject)
    assert await reason(sharing.call("AcceptGrant", carla, token=token)) == "GRANT_TOKEN_INVALID"
    sharing.sql(
        "UPDATE users SET account_status = 'deleted', suspended_at = NULL, deleted_at = now() WHERE id = %s",
        ada.subject,
    )
    assert await reason(sharing.call("AcceptGrant", carla, token=token)) == "GRANT_TOKEN_INVALID"
    assert await reason(sharing.offer(ada, EVE)) == "NOT_FOUND"


async def test_who_was_suspended_since_has_no_mail_sent(sharing: Sharing, ada: Caller) -> None:
    await sharing.offered(ada)
    sharing.sql("UPDATE users SET account_status = 'suspended', suspended_at = now()")
    assert await sharing.mails() == []


async def test_nobody_shares_in_the_name_of_an_address_that_is_not_proved(sharing: Sharing, ada: Caller) -> None:
    sharing.sql("UPDATE users SET email_verified_at = NULL WHERE id = %s", ada.subject)
    assert await reason(sharing.offer(ada)) == "EMAIL_UNVERIFIED"
    assert await sharing.mails() == []
