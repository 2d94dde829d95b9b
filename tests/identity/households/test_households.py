"""Households: who belongs to an account, and that it shares nothing."""

import asyncio
import re

import psycopg
import pytest

from services.identity.accounts.invitations import TOKEN_PREFIX
from services.kit.caller import Caller
from tests.harness import person, reason, service
from tests.identity.households.conftest import Household, names, outcome
from vitalis.common.v1 import person_data_pb2, person_data_pb2_grpc
from vitalis.identity.v1 import accounts_pb2 as pb
from vitalis.identity.v1 import users_pb2


async def test_everybody_has_an_account_of_their_own(home: Household) -> None:
    ada = await home.person("ada")
    account = await home.account(ada)
    assert (account.subscription_tier, account.subscription_status, account.max_users) == ("free", "active", 1)
    assert account.is_owner
    assert not account.HasField("subscription_expires_at")
    assert [(member.id, member.display_name) for member in account.members] == [(ada.subject, "Ada")]
    assert await reason(home.account(person())) == "NOT_FOUND"


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
