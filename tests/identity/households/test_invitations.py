"""Invitations into a household: who may invite whom, what is mailed, and whom it lets in."""

import asyncio
from datetime import timedelta

import pytest

from services.identity.accounts.invitations import MOST_IN_A_DAY
from tests.harness import failure, person, reason
from tests.identity.households.conftest import OPENED, Household, names
from vitalis.identity.v1 import accounts_pb2 as pb


async def test_somebody_is_invited_by_mail_and_joins(home: Household) -> None:
    ada = await home.family()
    invitation = await home.invite(ada, "Bob")
    assert (invitation.email, invitation.status) == ("bob@example.com", OPENED)
    lifetime = invitation.expires_at.ToDatetime() - invitation.created_at.ToDatetime()
    assert lifetime == timedelta(days=14)
    # Bob signs up only now.
    bob = await home.person("bob")
    before = await home.account(bob)
    token = await home.token("bob")
    joined = await home.join(bob, token)
    assert joined.id == (await home.account(ada)).id != before.id
    assert not joined.is_owner
    assert await names(home, ada) == [("Ada", True), ("Bob", False)]
    assert home.sql("SELECT deleted_at IS NOT NULL FROM accounts WHERE id = %s", before.id) == [(True,)]
    listed = await home.ask("ListAccountInvitations", ada)
    assert [(one.status, one.HasField("ended_at")) for one in listed.account_invitations] == [("accepted", True)]
    # Asked again, because the answer was lost.
    assert await home.join(bob, token) == joined
    # It was for one person once.
    await home.ask("LeaveAccount", bob)
    assert await reason(home.join(bob, token)) == "INVITATION_INVALID"


async def test_the_mail_holds_nothing_that_the_inviter_typed_and_the_database_no_token(home: Household) -> None:
    ada = await home.family()
    home.sql("UPDATE users SET display_name = 'Click https://evil.example'")
    await home.invite(ada, "bob")
    arguments = home.sql("SELECT args::text FROM procrastinate_jobs")
    token = await home.token("bob")
    (mail,) = home.identity.mails()
    assert "evil" not in mail.as_string()
    assert "ada@example.com" in mail.get_content()
    assert arguments
    everything = "".join(str(row) for row in home.sql("SELECT to_jsonb(t)::text FROM account_invitations t"))
    everything += "".join(str(row) for row in home.sql("SELECT to_jsonb(t)::text FROM audit_log t"))
    assert token not in everything + str(arguments)
    assert "bob" not in str(arguments)


async def test_a_mail_that_is_sent_again_has_another_token_and_only_that_works(home: Household) -> None:
    ada = await home.family()
    invitation = await home.invite(ada, "bob")
    first = await home.token("bob")
    again = {"user_id": ada.subject, "invitation_id": invitation.id, "request_id": ""}
    jobs = home.identity.running.parts.jobs
    assert jobs
    await jobs.app.configure_task("mail_account_invitation").defer_async(**again)
    second = await home.token("bob")
    bob = await home.person("bob")
    assert await reason(home.join(bob, first)) == "INVITATION_INVALID"
    await home.join(bob, second)


async def test_an_invitation_that_ended_is_not_mailed(home: Household) -> None:
    ada = await home.family()
    invitation = await home.invite(ada, "bob")
    await home.ask("RevokeAccountInvitation", ada, id=invitation.id)
    await home.identity.run_jobs()
    assert home.identity.mails() == []


async def test_who_was_suspended_since_has_no_mail_sent(home: Household) -> None:
    ada = await home.family()
    await home.invite(ada, "bob")
    home.sql("UPDATE users SET account_status = 'suspended', suspended_at = now()")
    await home.identity.run_jobs()
    assert home.identity.mails() == []


async def test_nobody_invites_in_the_name_of_an_address_that_is_not_proved(home: Household) -> None:
    ada = await home.family()
    home.sql("UPDATE users SET email_verified_at = NULL")
    assert await reason(home.invite(ada, "bob")) == "EMAIL_UNVERIFIED"
    await home.identity.run_jobs()
    assert home.identity.mails() == []


async def test_who_was_not_invited_does_not_get_in(home: Household) -> None:
    ada = await home.family()
    await home.invite(ada, "bob")
    bob, eve = await home.person("bob"), await home.person("eve")
    token = await home.token("bob")
    for wrong in ("x", token[:-1], token + "x", token.upper(), "\0"):
        assert await reason(home.join(bob, wrong)) == "INVITATION_INVALID"
        assert await reason(home.ask("DeclineAccountInvitation", bob, token=wrong)) == "INVITATION_INVALID"
    # Found in somebody else's mailbox; the answer is the same.
    assert await reason(home.join(eve, token)) == "INVITATION_INVALID"
    assert await reason(home.ask("DeclineAccountInvitation", eve, token=token)) == "INVITATION_INVALID"
    for state in (
        "email_verified_at = NULL",
        "account_status = 'suspended', suspended_at = now()",
        "account_status = 'deleted', deleted_at = now()",
    ):
        kept = home.sql("SELECT email_verified_at FROM users WHERE id = %s", bob.subject)
        home.sql(f"UPDATE users SET {state} WHERE id = %s", bob.subject)
        assert await reason(home.join(bob, token)) == "INVITATION_INVALID"
        home.sql(
            "UPDATE users SET email_verified_at = %s, account_status = 'active', suspended_at = NULL,"
            " deleted_at = NULL WHERE id = %s",
            kept[0][0],
            bob.subject,
        )
    await home.join(bob, token)


@pytest.mark.parametrize("end", ["declined", "revoked", "expired", "accepted"])
async def test_an_invitation_that_ended_lets_nobody_in(home: Household, end: str) -> None:
    ada = await home.family()
    invitation = await home.invite(ada, "bob")
    bob = await home.person("bob")
    token = await home.token("bob")
    if end == "declined":
        await home.ask("DeclineAccountInvitation", bob, token=token)
    elif end == "revoked":
        await home.ask("RevokeAccountInvitation", ada, id=invitation.id)
    else:
        home.sql("UPDATE account_invitations SET status = %s, ended_at = now()", end)
    (listed,) = (await home.ask("ListAccountInvitations", ada, status=end)).account_invitations
    assert listed.id == invitation.id
    assert await reason(home.join(bob, token)) == "INVITATION_INVALID"
    assert await reason(home.ask("DeclineAccountInvitation", bob, token=token)) == "INVITATION_INVALID"
    # Ended is ended.
    revoked = await home.ask("RevokeAccountInvitation", ada, id=invitation.id)
    assert revoked.account_invitation.status == end
    # The place is free again.
    await home.invite(ada, "bob")


async def test_an_invitation_ends_after_two_weeks_whether_or_not_it_was_swept(home: Household) -> None:
    ada = await home.family()
    invitation = await home.invite(ada, "bob")
    bob = await home.person("bob")
    token = await home.token("bob")
    home.sql("UPDATE account_invitations SET expires_at = now()")
    assert await reason(home.join(bob, token)) == "INVITATION_INVALID"
    await home.invite(ada, "bob")
    (old,) = (await home.ask("ListAccountInvitations", ada, status="expired")).account_invitations
    assert old.id == invitation.id
    home.sql("UPDATE account_invitations SET expires_at = now() - interval '91 days' WHERE status = 'open'")
    home.sql("SELECT sweep_account_invitations()")
    assert home.sql("SELECT status FROM account_invitations") == [("expired",)]
    home.sql("SELECT sweep_account_invitations()")
    assert home.sql("SELECT count(*) FROM account_invitations WHERE ended_at < now() - interval '90 days'") == [(0,)]


async def test_who_may_invite_and_whom(home: Household) -> None:
    ada = await home.person("ada")
    assert await reason(home.invite(ada, "bob")) == "FAMILY_TIER_NEEDED"
    home.change("subscription_tier = 'pro'", ada)
    assert await reason(home.invite(ada, "bob")) == "FAMILY_TIER_NEEDED"
    home.change("subscription_tier = 'family', max_users = 4", ada)
    for state in (
        "subscription_status = 'canceled'",
        "subscription_status = 'unpaid'",
        "subscription_status = 'paused'",
        "subscription_status = 'active', subscription_expires_at = now()",
    ):
        home.change(state, ada)
        assert await reason(home.invite(ada, "bob")) == "FAMILY_TIER_NEEDED"
    home.change("subscription_expires_at = now() + interval '1 day'", ada)
    bob = await home.add(ada, "bob")
    assert await reason(home.invite(bob, "eve")) == "NOT_ACCOUNT_OWNER"
    assert await reason(home.invite(person(), "eve")) == "NOT_FOUND"
    error = await failure(home.invite(ada, "ADA"))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", "email")
    assert await reason(home.invite(ada, "no address")) == "INVALID_FIELD"
    await home.invite(ada, "eve")
    assert await reason(home.invite(ada, "Eve")) == "ALREADY_EXISTS"


async def test_the_answer_does_not_tell_whether_an_address_is_anybodys(home: Household) -> None:
    ada = await home.family()
    await home.person("bob")
    known, unknown = await home.invite(ada, "bob"), await home.invite(ada, "nobody")
    for invitation in (known, unknown):
        for field in ("id", "email", "expires_at", "created_at", "updated_at"):
            invitation.ClearField(field)
    assert known == unknown


async def test_open_invitations_hold_their_places(home: Household) -> None:
    ada = await home.family()
    await home.add(ada, "bob")
    await home.invite(ada, "cleo")
    last = await home.invite(ada, "dora")
    assert await reason(home.invite(ada, "eve")) == "ACCOUNT_FULL"
    await home.ask("RevokeAccountInvitation", ada, id=last.id)
    await home.invite(ada, "eve")


async def test_of_two_invitations_into_the_last_place_one_is_made(home: Household) -> None:
    ada = await home.family()
    await home.invite(ada, "bob")
    await home.invite(ada, "cleo")
    tries = [home.invite(ada, f"guest{number}") for number in range(6)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(answer, pb.AccountInvitation) for answer in outcomes) == 1
    assert home.sql("SELECT count(*) FROM account_invitations") == [(3,)]


async def test_mail_to_strangers_is_limited(home: Household) -> None:
    ada = await home.family()
    for number in range(MOST_IN_A_DAY):
        invitation = await home.invite(ada, f"guest{number}")
        await home.ask("RevokeAccountInvitation", ada, id=invitation.id)
    error = await failure(home.invite(ada, "one_more"))
    assert (error.reason.name, error.retry_after_seconds) == ("TOO_MANY_INVITATIONS", 86400)
    home.sql("UPDATE account_invitations SET created_at = now() - interval '25 hours'")
    await home.invite(ada, "one_more")
