"""Households: who belongs to an account, and that it shares nothing."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import grpc
import psycopg
import pytest

from services.identity.accounts.invitations import MOST_IN_A_DAY, TOKEN_PREFIX
from services.identity.tokens import fingerprint
from services.kit.caller import Caller
from services.kit.errors import from_rpc_error
from tests.harness import failure, person, reason, service
from tests.identity.conftest import Identity
from vitalis.common.v1 import person_data_pb2, person_data_pb2_grpc
from vitalis.identity.v1 import accounts_pb2 as pb
from vitalis.identity.v1 import users_pb2

OPENED = "open"


class Household:
    """One identity, asked about accounts by whoever it is."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity

    async def ask(self, rpc: str, who: Caller, **fields: Any) -> Any:
        request = getattr(pb, f"{rpc}Request")(user_id=who.subject, **fields)
        return await getattr(self.identity.accounts, rpc)(request, metadata=self.identity.metadata(who))

    async def person(self, name: str) -> Caller:
        return person(await self.identity.make_person(f"{name}@example.com", name.title()))

    async def family(self, name: str = "ada") -> Caller:
        """The owner of an account with four places."""
        owner = await self.person(name)
        self.change("subscription_tier = 'family', max_users = 4", owner)
        return owner

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.identity.database.migrator_url) as owner:
            cursor = owner.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def change(self, values: str, owner: Caller) -> None:
        self.sql(f"UPDATE accounts SET {values} WHERE owner_id = %s", owner.subject)

    async def account(self, who: Caller) -> pb.Account:
        return (await self.ask("GetAccount", who)).account

    async def invite(self, owner: Caller, name: str) -> pb.AccountInvitation:
        invitation = pb.AccountInvitation(email=f"{name}@example.com")
        answer = await self.ask("CreateAccountInvitation", owner, account_invitation=invitation)
        return answer.account_invitation

    async def token(self, name: str) -> str:
        """The token of the mail that was sent last to the address."""
        await self.identity.run_jobs()
        mails = [mail for mail in self.identity.mails() if mail["to"] == f"{name}@example.com"]
        found = re.search(rf"\b{TOKEN_PREFIX}[\w-]+", mails[-1].get_content())
        assert found
        return found[0]

    async def join(self, who: Caller, token: str) -> pb.Account:
        return (await self.ask("JoinAccount", who, token=token)).account

    async def add(self, owner: Caller, name: str) -> Caller:
        """A new person who has joined the owner's account."""
        await self.invite(owner, name)
        member = await self.person(name)
        await self.join(member, await self.token(name))
        return member

    def plant(self, owner: Caller, name: str) -> str:
        """An open invitation whatever the rules say; its token."""
        token = f"{TOKEN_PREFIX}{name}"
        self.sql(
            "INSERT INTO account_invitations (id, user_id, account_id, email, token_sha256, expires_at)"
            " SELECT gen_random_uuid(), id, account_id, %s, %s, now() + interval '1 day' FROM users WHERE id = %s",
            f"{name}@example.com",
            fingerprint(token),
            owner.subject,
        )
        return token


@pytest.fixture
def home(identity: Identity) -> Household:
    return Household(identity)


async def names(home: Household, who: Caller) -> list[tuple[str, bool]]:
    return [(member.display_name, member.is_owner) for member in (await home.account(who)).members]


async def test_everybody_has_an_account_of_their_own(home: Household) -> None:
    ada = await home.person("ada")
    account = await home.account(ada)
    assert (account.subscription_tier, account.subscription_status, account.max_users) == ("free", "active", 1)
    assert account.is_owner
    assert not account.HasField("subscription_expires_at")
    assert [(member.id, member.display_name) for member in account.members] == [(ada.subject, "Ada")]
    assert await reason(home.account(person())) == "NOT_FOUND"


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


async def test_of_six_who_want_three_places_three_get_them(home: Household) -> None:
    ada = await home.family()
    guests = {name: await home.person(name) for name in ("bob", "cleo", "dora", "eve", "fay", "gil")}
    tokens = {name: home.plant(ada, name) for name in guests}
    outcomes = await asyncio.gather(*(outcome(home.join(who, tokens[name])) for name, who in guests.items()))
    assert sorted(outcomes) == ["ACCOUNT_FULL"] * 3 + ["joined"] * 3
    assert len(await names(home, ada)) == 4
    # Who found it full has kept their account and the invitation.
    refused = next(who for who, how in zip(guests.values(), outcomes, strict=True) if how != "joined")
    assert (await home.account(refused)).is_owner
    assert home.sql("SELECT count(*) FROM account_invitations WHERE status = 'open'") == [(3,)]


async def outcome(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error).reason.name
    return "joined"


async def test_of_one_who_joins_two_households_at_once_one_has_them(home: Household) -> None:
    ada, zoe, bob = await home.family("ada"), await home.family("zoe"), await home.person("bob")
    tokens = []
    for owner in (ada, zoe):
        await home.invite(owner, "bob")
    await home.identity.run_jobs()
    for mail in home.identity.mails():
        found = re.search(rf"\b{TOKEN_PREFIX}[\w-]+", mail.get_content())
        assert found
        tokens.append(found[0])
    await asyncio.gather(*(home.join(bob, token) for token in tokens))
    counts = [len((await home.account(owner)).members) for owner in (ada, zoe)]
    assert sorted(counts) == [1, 2]


async def test_who_has_a_household_does_not_leave_it_for_another(home: Household) -> None:
    ada, zoe = await home.family("ada"), await home.family("zoe")
    bob = await home.add(zoe, "bob")
    token = home.plant(ada, "zoe")
    assert await reason(home.join(zoe, token)) == "ACCOUNT_HAS_MEMBERS"
    await home.ask("RemoveAccountMember", zoe, id=bob.subject)
    await home.invite(zoe, "eve")
    await home.join(zoe, token)
    assert await names(home, ada) == [("Ada", True), ("Zoe", False)]
    # The account that she has left takes nobody in any more.
    assert home.sql("SELECT status FROM account_invitations WHERE email = 'eve@example.com'") == [("revoked",)]
    assert (await home.account(bob)).is_owner


async def test_a_member_of_one_household_moves_to_another(home: Household) -> None:
    ada, zoe = await home.family("ada"), await home.family("zoe")
    bob = await home.add(zoe, "bob")
    await home.join(bob, home.plant(ada, "bob"))
    assert [len((await home.account(one)).members) for one in (ada, zoe)] == [2, 1]
    assert home.sql("SELECT count(*) FROM accounts WHERE deleted_at IS NULL") == [(2,)]


async def test_leaving_and_being_removed_give_a_fresh_account(home: Household) -> None:
    ada = await home.family()
    bob, cleo = await home.add(ada, "bob"), await home.add(ada, "cleo")
    left = (await home.ask("LeaveAccount", bob)).account
    assert (left.is_owner, left.subscription_tier, len(left.members)) == (True, "free", 1)
    rest = (await home.ask("RemoveAccountMember", ada, id=cleo.subject)).account
    assert [member.display_name for member in rest.members] == ["Ada"]
    assert (await home.account(cleo)).id not in (left.id, rest.id)
    for member in (bob, cleo):
        assert await reason(home.ask("RemoveAccountMember", ada, id=member.subject)) == "NOT_FOUND"


async def test_who_may_remove_whom(home: Household) -> None:
    ada = await home.family()
    bob, cleo, eve = await home.add(ada, "bob"), await home.add(ada, "cleo"), await home.person("eve")
    assert await reason(home.ask("RemoveAccountMember", bob, id=cleo.subject)) == "NOT_ACCOUNT_OWNER"
    assert await reason(home.ask("RemoveAccountMember", bob, id=ada.subject)) == "NOT_ACCOUNT_OWNER"
    assert await reason(home.ask("RemoveAccountMember", eve, id=cleo.subject)) == "NOT_FOUND"
    assert await reason(home.ask("RemoveAccountMember", ada, id=eve.subject)) == "NOT_FOUND"
    assert await reason(home.ask("RemoveAccountMember", ada, id=ada.subject)) == "OWNER_CANNOT_LEAVE"
    assert await reason(home.ask("LeaveAccount", ada)) == "OWNER_CANNOT_LEAVE"
    assert await reason(home.ask("LeaveAccount", eve)) == "OWNER_CANNOT_LEAVE"
    assert await reason(home.ask("LeaveAccount", person())) == "NOT_FOUND"
    assert len(await names(home, ada)) == 3


async def test_an_account_is_handed_over(home: Household) -> None:
    ada = await home.family()
    bob, eve = await home.add(ada, "bob"), await home.person("eve")
    await home.invite(ada, "cleo")
    assert await reason(home.ask("MakeAccountOwner", bob, id=bob.subject)) == "NOT_ACCOUNT_OWNER"
    assert await reason(home.ask("MakeAccountOwner", ada, id=eve.subject)) == "NOT_FOUND"
    same = (await home.ask("MakeAccountOwner", ada, id=ada.subject)).account
    assert same.is_owner
    account = (await home.ask("MakeAccountOwner", ada, id=bob.subject)).account
    assert not account.is_owner
    assert await names(home, bob) == [("Bob", True), ("Ada", False)]
    # What the former owner has sent is taken back, and the new one can invite.
    (old,) = (await home.ask("ListAccountInvitations", ada, status="revoked")).account_invitations
    assert old.email == "cleo@example.com"
    await home.invite(bob, "cleo")
    await home.ask("LeaveAccount", ada)
    assert await names(home, bob) == [("Bob", True)]


async def test_of_an_owner_who_leaves_and_hands_over_at_once_nobody_is_lost(home: Household) -> None:
    """Whatever the order, every account has an owner who is in it."""
    ada = await home.family()
    bob = await home.add(ada, "bob")
    await asyncio.gather(
        home.ask("MakeAccountOwner", ada, id=bob.subject),
        home.ask("RemoveAccountMember", ada, id=bob.subject),
        home.ask("LeaveAccount", bob),
        home.ask("LeaveAccount", ada),
        return_exceptions=True,
    )
    ownerless = """
        SELECT FROM accounts a WHERE deleted_at IS NULL
        AND NOT EXISTS (SELECT FROM users u WHERE u.id = a.owner_id AND u.account_id = a.id)
    """
    assert home.sql(ownerless) == []


async def test_a_household_shares_nothing_but_names(home: Household) -> None:
    ada = await home.family()
    bob, cleo = await home.add(ada, "bob"), await home.add(ada, "cleo")
    home.sql("UPDATE users SET username = 'bobby', bio = 'private' WHERE id = %s", bob.subject)
    seen = (await home.account(cleo)).members
    assert [(member.id, member.display_name, member.username) for member in seen] == [
        ("", "Ada", ""),
        ("", "Bob", "bobby"),
        (cleo.subject, "Cleo", ""),
    ]
    assert {field.name for field in pb.AccountMember.DESCRIPTOR.fields} == {
        "id",
        "display_name",
        "username",
        "is_owner",
    }
    for who in (ada, cleo):
        request = users_pb2.GetUserRequest(user_id=bob.subject)
        call = home.identity.users.GetUser(request, metadata=home.identity.metadata(who))
        assert await reason(call) == "SUBJECT_MISMATCH"
        with psycopg.connect(home.identity.database.app_url) as app:
            app.execute("SELECT set_config('app.subject_id', %s, true)", [who.subject])
            assert app.execute("SELECT id::text FROM users").fetchall() == [(who.subject,)]
            assert app.execute("SELECT DISTINCT user_id::text FROM account_invitations").fetchall() == (
                [(ada.subject,)] if who is ada else []
            )
            assert app.execute("SELECT count(*) FROM accounts").fetchone() == (1,)


async def test_a_delegate_has_no_part_in_an_account(home: Household) -> None:
    ada = await home.person("ada")
    scopes = frozenset({"profile.read", "wearables.read", "wearables.write", "imports.write"})
    coach = Caller(person().actor, ada.subject, "coach", scopes)
    assert await reason(home.account(coach)) == "SCOPE_MISSING"
    assert await reason(home.invite(coach, "bob")) == "SCOPE_MISSING"


async def test_a_deleted_owners_household_passes_to_who_is_left(home: Household) -> None:
    ada = await home.family()
    bob = await home.add(ada, "bob")
    await home.invite(ada, "cleo")
    home.sql("UPDATE users SET deleted_at = now(), account_status = 'deleted' WHERE id = %s", ada.subject)
    assert await names(home, bob) == [("Bob", True)]
    assert home.sql("SELECT status FROM account_invitations WHERE email LIKE 'cleo%%'") == [("revoked",)]
    assert await reason(home.account(ada)) == "NOT_FOUND"
    # Back within the days of grace, as a member; the account is Bob's now.
    home.sql("UPDATE users SET deleted_at = NULL, account_status = 'active' WHERE id = %s", ada.subject)
    assert await names(home, ada) == [("Bob", True), ("Ada", False)]


async def test_an_erased_owners_household_passes_to_who_is_left(home: Household) -> None:
    ada = await home.family()
    bob = await home.add(ada, "bob")
    await home.invite(ada, "cleo")
    stub = person_data_pb2_grpc.PersonDataServiceStub(home.identity.running.channel)
    erase = person_data_pb2.ErasePersonDataRequest(user_id=ada.subject)
    for _ in range(2):
        await stub.ErasePersonData(erase, metadata=home.identity.metadata(service(ada.subject)))
    assert await names(home, bob) == [("Bob", True)]
    assert (await home.account(bob)).max_users == 4
    assert home.sql("SELECT count(*) FROM account_invitations") == [(0,)]
    # A member who is erased leaves the account as it is; who was alone takes it with them.
    erase.user_id = bob.subject
    await stub.ErasePersonData(erase, metadata=home.identity.metadata(service(bob.subject)))
    assert home.sql("SELECT count(*) FROM users") == home.sql("SELECT count(*) FROM accounts") == [(0,)]


async def test_who_comes_back_to_a_full_household_has_an_account_of_their_own(home: Household) -> None:
    ada = await home.family()
    bob = await home.add(ada, "bob")
    home.sql("UPDATE users SET deleted_at = now(), account_status = 'deleted' WHERE id = %s", bob.subject)
    for name in ("cleo", "dora", "eve"):
        await home.add(ada, name)
    home.sql("UPDATE users SET deleted_at = NULL, account_status = 'active' WHERE id = %s", bob.subject)
    assert await names(home, bob) == [("Bob", True)]
    assert len(await names(home, ada)) == 4


async def test_a_deleted_persons_account_is_closed_and_opened_again(home: Household) -> None:
    ada = await home.person("ada")
    closed = "SELECT deleted_at IS NOT NULL FROM accounts"
    home.sql("UPDATE users SET deleted_at = now(), account_status = 'deleted'")
    assert home.sql(closed) == [(True,)]
    home.sql("UPDATE users SET deleted_at = NULL, account_status = 'active'")
    assert home.sql(closed) == [(False,)]
    home.sql("DELETE FROM users WHERE id = %s", ada.subject)
    assert home.sql(closed) == [(True,)]


SIGN_UP_AS_ADMIN = """
    INSERT INTO users (id, email, display_name, account_id, role)
    VALUES (current_setting('app.subject_id')::uuid, 'x@example.com', 'x', gen_random_uuid(), 'admin')
"""


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET role = 'admin'",
        "UPDATE users SET account_id = gen_random_uuid()",
        "UPDATE users SET role = 'coach', bio = 'x'",
        SIGN_UP_AS_ADMIN,
        "UPDATE accounts SET subscription_tier = 'family', max_users = 4",
        "DELETE FROM accounts",
    ],
)
async def test_at_the_database_nobody_makes_themselves_more_than_they_are(home: Household, statement: str) -> None:
    ada = await home.family()
    bob = await home.add(ada, "bob")
    subject = person().subject if statement == SIGN_UP_AS_ADMIN else bob.subject
    with psycopg.connect(home.identity.database.app_url) as app:
        app.execute("SELECT set_config('app.subject_id', %s, true)", [subject])
        if statement.startswith("UPDATE accounts"):
            # A member sees the account, and changes nothing of it.
            assert app.execute(statement.encode()).rowcount == 0
            return
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement.encode())
