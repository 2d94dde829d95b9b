"""Grants through the stub: offering, accepting, declining, leaving, changing, revoking, running out."""

import asyncio
import time
from typing import Any

import pytest

from services.identity.sharing.terms import TERMS_VERSION
from services.kit.caller import Caller
from tests.harness import failure, forged, reason
from tests.identity.sharing.people import ADA, CARLA, EVE, Sharing, instant
from vitalis.identity.v1 import sharing_pb2 as pb

DAY = 86_400


FAR = 5 * 365.25 * DAY + DAY


async def test_what_is_offered_is_accepted_with_the_mailed_token(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    until = instant(time.time() + DAY)
    grant = await sharing.offered(
        ada, "Carla@Example.com", "wearables.read", "imports.read", note="for the spring", expires_at=until
    )
    assert (grant.user_id, grant.grantee_email, grant.status) == (ada.subject, CARLA, "pending")
    assert (list(grant.scopes), grant.relation, grant.note) == (
        ["wearables.read", "imports.read"],
        "person",
        "for the spring",
    )
    assert (grant.consent_version, grant.consent_address) == (TERMS_VERSION, "203.0.113.7")
    assert abs(grant.consented_at.seconds - time.time()) < 60
    assert not grant.HasField("grantee_id")
    assert await sharing.received(carla) == []

    (mail,) = await sharing.mails()
    assert mail.to == CARLA
    for told in (ADA, "wearables.read", "imports.read"):
        assert told in mail.body
    # What its owner typed is not mailed in our name.
    assert "spring" not in mail.body
    given = (await sharing.call("AcceptGrant", carla, token=mail.token)).grant
    assert (given.id, given.owner_id, given.owner_name) == (grant.id, ada.subject, "Ada")
    assert (list(given.scopes), given.note, given.status) == (
        ["wearables.read", "imports.read"],
        "for the spring",
        "active",
    )
    assert given.expires_at == until
    assert await sharing.received(carla) == [given]

    seen = await sharing.get(ada, grant.id)
    assert (seen.status, seen.grantee_id) == ("active", carla.subject)
    assert seen.accepted_at == given.accepted_at
    assert seen.etag != grant.etag
    assert list((await sharing.call("ListGrants", ada)).grants) == [seen]


async def test_the_answer_does_not_tell_whether_anybody_has_the_address(
    sharing: Sharing, ada: Caller, carla: Caller
) -> None:
    known, unknown = await sharing.offered(ada, CARLA), await sharing.offered(ada, "nobody@example.com")
    differs = {"id", "grantee_email", "created_at", "updated_at", "consented_at", "invitation_expires_at", "etag"}
    for grant in (known, unknown):
        for name in differs:
            grant.ClearField(name)  # type: ignore[arg-type]
    assert known == unknown
    assert {mail.to for mail in await sharing.mails()} == {CARLA, "nobody@example.com"}


async def test_a_token_works_once_for_the_address_that_it_was_sent_to(
    sharing: Sharing, ada: Caller, carla: Caller, eve: Caller
) -> None:
    await sharing.offered(ada)
    token = (await sharing.mails())[0].token
    unverified = await sharing.somebody("late@example.com")
    sharing.sql("UPDATE users SET email_verified_at = NULL, email = %s WHERE id = %s", CARLA, unverified.subject)
    for method in ("AcceptGrant", "DeclineGrant"):
        for somebody in (eve, ada, unverified):
            assert await reason(sharing.call(method, somebody, token=token)) == "GRANT_TOKEN_INVALID"
        for wrong in (token[:-1], token + "x", token.upper(), "vgt_", "\0", "x" * 200):
            assert await reason(sharing.call(method, carla, token=wrong)) == "GRANT_TOKEN_INVALID"
    await sharing.call("AcceptGrant", carla, token=token)
    for method in ("AcceptGrant", "DeclineGrant"):
        assert await reason(sharing.call(method, carla, token=token)) == "GRANT_TOKEN_INVALID"
    assert await sharing.received(eve) == []


async def test_the_refusal_of_a_token_is_one_for_all(sharing: Sharing, ada: Caller, carla: Caller, eve: Caller) -> None:
    await sharing.offered(ada)
    token = (await sharing.mails())[0].token
    answers = [await failure(sharing.call("AcceptGrant", eve, token=text)) for text in (token, "unknown")]
    assert answers[0].message == answers[1].message
    assert answers[0].metadata == answers[1].metadata


async def test_of_many_who_accept_at_once_one_does(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    await sharing.offered(ada)
    token = (await sharing.mails())[0].token
    calls = [sharing.call("AcceptGrant", carla, token=token) for _ in range(8)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(isinstance(answer, pb.AcceptGrantResponse) for answer in answers) == 1
    assert len(await sharing.received(carla)) == 1


async def test_only_the_tokens_fingerprint_is_kept(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    await sharing.offered(ada)
    token = (await sharing.mails())[0].token
    everything = (
        str(sharing.sql("SELECT to_jsonb(g) FROM grants g"))
        + str(sharing.sql("SELECT to_jsonb(a) FROM audit_log a"))
        + str(sharing.sql("SELECT args FROM procrastinate_jobs"))
    )
    assert token not in everything
    await sharing.call("AcceptGrant", carla, token=token)
    assert sharing.sql("SELECT token_sha256 FROM grants") == [(None,)]


async def test_a_mail_that_is_sent_again_has_the_only_token_that_works(
    sharing: Sharing, ada: Caller, carla: Caller
) -> None:
    grant = await sharing.offered(ada)
    first = (await sharing.mails())[0].token
    jobs = sharing.identity.running.parts.jobs
    assert jobs
    again = jobs.app.configure_task("invite_grantee")
    await again.defer_async(user_id=ada.subject, grant_id=grant.id, request_id="again")
    second = (await sharing.mails())[1].token
    assert await reason(sharing.call("AcceptGrant", carla, token=first)) == "GRANT_TOKEN_INVALID"
    await sharing.call("AcceptGrant", carla, token=second)
    await again.defer_async(user_id=ada.subject, grant_id=grant.id, request_id="too late")
    assert len(await sharing.mails()) == 2


async def test_declining_and_leaving_end_a_grant(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    declined = await sharing.offered(ada)
    await sharing.call("DeclineGrant", carla, token=(await sharing.mails())[0].token)
    seen = await sharing.get(ada, declined.id)
    assert (seen.status, seen.HasField("grantee_id"), seen.HasField("ended_at")) == ("declined", False, True)
    left = await sharing.accepted(ada, carla)
    for _ in range(2):
        await sharing.call("LeaveGrant", carla, id=left.id)
        seen = await sharing.get(ada, left.id)
        assert (seen.status, seen.grantee_id) == ("declined", carla.subject)
    assert [given.status for given in await sharing.received(carla)] == ["declined"]


async def test_only_the_grantee_leaves_and_only_the_owner_revokes(
    sharing: Sharing, ada: Caller, carla: Caller, eve: Caller
) -> None:
    grant = await sharing.accepted(ada, carla)
    for somebody in (ada, eve):
        assert await reason(sharing.call("LeaveGrant", somebody, id=grant.id)) == "NOT_FOUND"
    for somebody in (carla, eve):
        for method in ("RevokeGrant", "GetGrant"):
            assert await reason(sharing.call(method, somebody, id=grant.id)) == "NOT_FOUND"
        change = sharing.call("UpdateGrant", somebody, id=grant.id, grant={"scopes": ["wearables.read"]})
        assert await reason(change) == "NOT_FOUND"
        assert list((await sharing.call("ListGrants", somebody)).grants) == []
    assert await sharing.get(ada, grant.id) == grant


async def test_revoking_ends_what_was_accepted_and_what_was_not(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    pending = await sharing.offered(ada)
    token = (await sharing.mails())[0].token
    ended = (await sharing.call("RevokeGrant", ada, id=pending.id)).grant
    assert (ended.status, ended.HasField("ended_at")) == ("revoked", True)
    assert await reason(sharing.call("AcceptGrant", carla, token=token)) == "GRANT_TOKEN_INVALID"
    active = await sharing.accepted(ada, carla)
    first = (await sharing.call("RevokeGrant", ada, id=active.id)).grant
    assert first.status == "revoked"
    # A second time changes nothing.
    assert (await sharing.call("RevokeGrant", ada, id=active.id)).grant == first
    assert [given.status for given in await sharing.received(carla)] == ["revoked"]
    # A mail that was not yet sent is not sent any more.
    other = await sharing.offered(ada, EVE)
    await sharing.call("RevokeGrant", ada, id=other.id)
    assert EVE not in {mail.to for mail in await sharing.mails()}


async def test_scopes_become_fewer_and_the_end_another(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    grant = await sharing.accepted(ada, carla, CARLA, "wearables.read", "wearables.write", "imports.read")
    fewer = ["wearables.read", "imports.read"]
    changed = (await sharing.call("UpdateGrant", ada, id=grant.id, grant={"scopes": fewer, "etag": grant.etag})).grant
    assert (list(changed.scopes), changed.status) == (fewer, "active")
    until = instant(time.time() + 2 * DAY)
    changed = (await sharing.call("UpdateGrant", ada, id=grant.id, grant={"expires_at": until})).grant
    assert (changed.expires_at, list(changed.scopes)) == (until, fewer)
    for scopes in (["wearables.read", "wearables.write"], ["profile.read"], [*fewer, "imports.write"]):
        error = await failure(sharing.call("UpdateGrant", ada, id=grant.id, grant={"scopes": scopes}))
        assert error.reason.name == "INVALID_FIELD"
    error = await failure(
        sharing.call("UpdateGrant", ada, id=grant.id, grant={"scopes": ["wearables.read"], "etag": grant.etag})
    )
    assert (error.reason.name, error.metadata) == ("ETAG_MISMATCH", {"etag": changed.etag})
    no_end = sharing.call("UpdateGrant", ada, id=grant.id, grant={}, update_mask={"paths": ["expires_at"]})
    assert not (await no_end).grant.HasField("expires_at")
    nothing = sharing.call("UpdateGrant", ada, id=grant.id, grant={}, update_mask={"paths": ["scopes"]})
    assert await reason(nothing) == "INVALID_FIELD"
    assert list((await sharing.received(carla))[0].scopes) == fewer


@pytest.mark.parametrize(
    "fields",
    [
        {"grantee_email": EVE},
        {"relation": "coach"},
        {"note": "another"},
        {"consent_version": "2020-01-01"},
    ],
)
async def test_whom_a_grant_is_for_and_what_was_agreed_to_stays(
    sharing: Sharing, ada: Caller, fields: dict[str, Any]
) -> None:
    grant = await sharing.offered(ada)
    assert await reason(sharing.call("UpdateGrant", ada, id=grant.id, grant=fields)) == "INVALID_FIELD"
    # What is not the owner's to set is not set.
    sent = {"status": "active", "grantee_id": ada.subject, "consent_address": "x"}
    assert (await sharing.call("UpdateGrant", ada, id=grant.id, grant=sent)).grant == grant


async def test_what_has_ended_does_not_change(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    grant = await sharing.accepted(ada, carla)
    await sharing.call("RevokeGrant", ada, id=grant.id)
    later = {"expires_at": instant(time.time() + DAY)}
    assert await reason(sharing.call("UpdateGrant", ada, id=grant.id, grant=later)) == "GRANT_ENDED"
    again = await sharing.accepted(ada, carla)
    sharing.run_out(again.id)
    assert (await sharing.get(ada, again.id)).status == "expired"
    assert [given.status for given in await sharing.received(carla)] == ["expired", "revoked"]
    assert await reason(sharing.call("UpdateGrant", ada, id=again.id, grant=later)) == "GRANT_ENDED"


async def test_an_invitation_runs_out(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    for column in ("invitation_expires_at", "expires_at"):
        grant = await sharing.offered(ada)
        token = (await sharing.mails())[-1].token
        sharing.run_out(grant.id, column)
        assert (await sharing.get(ada, grant.id)).status == "expired"
        assert await reason(sharing.call("AcceptGrant", carla, token=token)) == "GRANT_TOKEN_INVALID"


async def test_pages(sharing: Sharing, ada: Caller, carla: Caller, eve: Caller) -> None:
    ids = [(await sharing.accepted(ada, carla)).id]
    for _ in range(4):
        await sharing.call("RevokeGrant", ada, id=ids[0])
        ids.insert(0, (await sharing.accepted(ada, carla)).id)
    for method, caller, field in (("ListGrants", ada, "grants"), ("ListReceivedGrants", carla, "received_grants")):
        found, token = [], ""
        while True:
            page = await sharing.call(method, caller, page_size=2, page_token=token)
            found += [grant.id for grant in getattr(page, field)]
            if not (token := page.next_page_token):
                break
            last = token
        assert found == ids
        for wrong in ("x", last + "x", forged(last, "x")):
            assert await reason(sharing.call(method, caller, page_token=wrong)) == "INVALID_PAGE_TOKEN"
        assert list(getattr(await sharing.call(method, eve), field)) == []
    first = (await sharing.call("ListGrants", ada, page_size=1)).next_page_token
    assert await reason(sharing.call("ListReceivedGrants", carla, page_token=first)) == "INVALID_PAGE_TOKEN"


async def test_what_has_run_out_is_marked_and_strangers_addresses_are_forgotten(
    sharing: Sharing, ada: Caller, carla: Caller
) -> None:
    active = await sharing.accepted(ada, carla)
    pending = await sharing.offered(ada, "nobody@example.com")
    other = await sharing.offered(ada, "other@example.com")
    sharing.run_out(active.id)
    sharing.run_out(pending.id, "invitation_expires_at")
    sharing.sql("SELECT tidy_grants()")
    states = {str(row[0]): row[1] for row in sharing.sql("SELECT id, status FROM grants")}
    assert states == {active.id: "expired", pending.id: "expired", other.id: "pending"}
    sharing.sql("UPDATE grants SET ended_at = now() - interval '31 days' WHERE ended_at IS NOT NULL")
    sharing.sql("SELECT tidy_grants()")
    # What was accepted stays on record with the consent to it.
    assert {str(row[0]) for row in sharing.sql("SELECT id FROM grants")} == {active.id, other.id}


async def test_everything_about_a_grant_is_in_its_owners_trail(sharing: Sharing, ada: Caller, carla: Caller) -> None:
    grant = await sharing.accepted(ada, carla)
    await sharing.call("RevokeGrant", ada, id=grant.id)
    rows = sharing.sql(
        "SELECT action, action_by, user_id::text, ip_address FROM audit_log"
        " WHERE table_name = 'grants' AND record_id = %s ORDER BY created_at",
        grant.id,
    )
    by_ada, by_carla = (ada.actor, ada.subject, "203.0.113.7"), (carla.actor, ada.subject, "203.0.113.7")
    assert rows == [
        ("INSERT", *by_ada),
        ("GRANT", *by_ada),
        ("UPDATE", *by_carla),
        ("GRANT_ACCEPTED", *by_carla),
        ("UPDATE", *by_ada),
        ("GRANT_REVOKED", *by_ada),
    ]
    assert CARLA not in str(sharing.sql("SELECT to_jsonb(a) FROM audit_log a WHERE table_name = 'grants'"))
