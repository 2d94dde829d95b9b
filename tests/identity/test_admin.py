"""Administrators: what they see and do, and who is none."""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import jwt
import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.identity.tokens import fingerprint
from services.kit.caller import Caller
from tests.harness import failure, forged, person, reason
from tests.identity.conftest import Identity
from tests.people import insert_person, make_family
from vitalis.identity.v1 import accounts_pb2, admin_pb2_grpc, users_pb2
from vitalis.identity.v1 import admin_pb2 as pb


class Office:
    """One identity, administered."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.stub = admin_pb2_grpc.AdminServiceStub(identity.running.channel)

    def hire(self, name: str = "root", role: str = "admin") -> Caller:
        return person(insert_person(self.identity.database, f"{name}@example.com", role=role), role)

    async def ask(self, rpc: str, admin: Caller, subject: str = "", **fields: Any) -> Any:
        """A call as the gateway signs it: the subject is the person in the path."""
        if rpc != "ListPeople":
            fields["user_id"] = subject or admin.actor
        caller = replace(admin, subject=subject or admin.actor)
        request = getattr(pb, f"{rpc}Request")(**fields)
        return await getattr(self.stub, rpc)(request, metadata=self.identity.metadata(caller))

    async def people(self, admin: Caller, **fields: Any) -> list[str]:
        answer = await self.ask("ListPeople", admin, **fields)
        return [one.email.partition("@")[0] for one in answer.people]

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.identity.database.migrator_url) as owner:
            cursor = owner.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def session(self, user_id: str) -> None:
        self.sql(
            "INSERT INTO sessions (id, user_id, expires_at) VALUES (gen_random_uuid(), %s, now() + interval '1 day')",
            user_id,
        )

    def living_sessions(self, user_id: str) -> int:
        rows = self.sql("SELECT count(*) FROM sessions WHERE user_id = %s AND revoked_at IS NULL", user_id)
        return int(rows[0][0])

    def trail(self, user_id: str) -> list[tuple[Any, ...]]:
        return self.sql(
            "SELECT action, action_by, actor_role FROM audit_log"
            " WHERE user_id = %s AND action_by = ANY (%s) AND action <> 'ACCESS' ORDER BY created_at",
            user_id,
            [id for (id,) in self.sql("SELECT id::text FROM users WHERE role = 'admin'")],
        )


@pytest.fixture
def office(identity: Identity) -> Office:
    return Office(identity)


@pytest.fixture
def root(office: Office) -> Caller:
    return office.hire()


@pytest.fixture
def ada(office: Office, root: Caller) -> str:
    return insert_person(office.identity.database, "ada@example.com", display_name="Ada")


async def test_people_are_found(office: Office, root: Caller, ada: str) -> None:
    office.hire("charlotte", "coach")
    office.sql("UPDATE users SET email_verified_at = NULL WHERE id = %s", ada)
    insert_person(office.identity.database, "adam_x@example.com")
    gone = insert_person(office.identity.database, "gone@example.com")
    office.sql("UPDATE users SET deleted_at = now(), account_status = 'deleted' WHERE id = %s", gone)
    assert await office.people(root) == ["adam_x", "charlotte", "ada", "root"]
    assert await office.people(root, role="coach") == ["charlotte"]
    assert await office.people(root, role="admin") == ["root"]
    assert await office.people(root, account_status="deleted") == ["gone"]
    assert await office.people(root, account_status="suspended") == []
    assert await office.people(root, email_prefix="ADA") == ["adam_x", "ada"]
    # No character means another.
    for pattern in ("%", "_da", "adam%", "a.*", "\\"):
        assert await office.people(root, email_prefix=pattern) == []
    assert await office.people(root, email_prefix="adam_x@example.com", role="user", account_status="active")


async def test_the_list_is_paged(office: Office, root: Caller) -> None:
    for number in range(4):
        insert_person(office.identity.database, f"p{number}@example.com")
    first = await office.ask("ListPeople", root, page_size=2)
    second = await office.ask("ListPeople", root, page_size=2, page_token=first.next_page_token)
    third = await office.ask("ListPeople", root, page_size=2, page_token=second.next_page_token)
    names = [one.email[:2] for page in (first, second, third) for one in page.people]
    assert names == ["p3", "p2", "p1", "p0", "ro"]
    assert third.next_page_token == ""
    for token, filters in ((first.next_page_token, {"role": "user"}), ("x", {}), (first.next_page_token + "x", {})):
        call = office.ask("ListPeople", root, page_size=2, page_token=token, **filters)
        assert await reason(call) == "INVALID_PAGE_TOKEN"
    nowhere = office.ask("ListPeople", root, page_token=forged(first.next_page_token, "1 OR true"))
    assert await reason(nowhere) == "INVALID_PAGE_TOKEN"
    assert await reason(office.ask("ListPeople", root, page_size=-1)) == "INVALID_FIELD"
    assert await reason(office.ask("ListPeople", root, email_prefix="\0")) == "INVALID_FIELD"


async def test_a_person_is_shown_as_far_as_their_account_goes(office: Office, root: Caller, ada: str) -> None:
    one = (await office.ask("GetPerson", root, ada)).person
    assert (one.id, one.email, one.display_name, one.role) == (ada, "ada@example.com", "Ada", "user")
    assert (one.account_status, one.is_account_owner) == ("active", True)
    assert one.subscription == pb.Subscription(subscription_tier="free", subscription_status="active", max_users=1)
    listed = (await office.ask("ListPeople", root, email_prefix="ada")).people
    assert list(listed) == [one]
    assert await reason(office.ask("GetPerson", root, person().subject)) == "NOT_FOUND"
    # Of the profile, of health and of credentials there is nothing.
    fields = {field.name for field in pb.Person.DESCRIPTOR.fields}
    assert not fields & {"bio", "name", "date_of_birth", "biological_sex", "cycle_enabled", "password_hash"}


async def test_who_is_suspended_is_out_until_they_are_restored(office: Office, root: Caller, ada: str) -> None:
    office.session(ada)
    suspended = (await office.ask("SuspendPerson", root, ada, reason="Spam.")).person
    assert (suspended.account_status, suspended.suspended_reason) == ("suspended", "Spam.")
    assert office.living_sessions(ada) == 0
    assert office.sql("SELECT revoked_reason FROM sessions") == [("suspended",)]
    # Again: it stays as it was.
    again = (await office.ask("SuspendPerson", root, ada, reason="Another.")).person
    assert again == suspended
    assert await office.people(root, account_status="suspended") == ["ada"]
    restored = (await office.ask("RestorePerson", root, ada)).person
    assert restored.account_status == "active"
    assert not restored.HasField("suspended_at")
    assert not restored.HasField("suspended_reason")
    assert (await office.ask("RestorePerson", root, ada)).person == restored
    actions = [action for action, by, role in office.trail(ada) if (by, role) == (root.actor, "admin")]
    assert actions == ["UPDATE", "UPDATE", "SUSPEND", "UPDATE", "RESTORE"]
    # Why is for administrators.
    assert not office.sql("SELECT FROM audit_log WHERE to_jsonb(audit_log)::text LIKE '%%Spam%%'")


async def test_who_is_suspended_can_be_deleted(office: Office, root: Caller, ada: str) -> None:
    await office.ask("SuspendPerson", root, ada, reason="Spam.")
    office.sql(
        "UPDATE users SET deleted_at = now(), account_status = 'deleted', suspended_at = NULL WHERE id = %s", ada
    )
    person = (await office.ask("GetPerson", root, ada)).person
    assert (person.account_status, person.suspended_reason) == ("deleted", "Spam.")


async def test_a_suspended_person_is_not_restored_by_anything_they_can_do(
    office: Office, root: Caller, ada: str
) -> None:
    await office.ask("SuspendPerson", root, ada, reason="Spam.")
    request = users_pb2.UpdateUserRequest(user_id=ada, user=users_pb2.User(account_status="active", bio="x"))
    await office.identity.users.UpdateUser(request, metadata=office.identity.metadata(person(ada)))
    assert (await office.ask("GetPerson", root, ada)).person.account_status == "suspended"


async def test_who_is_suspended_neither_logs_in_nor_goes_on(office: Office, root: Caller) -> None:
    signed_up = await office.identity.register()
    await office.ask("SuspendPerson", root, signed_up.user.id, reason="x")
    assert await reason(office.identity.refresh(signed_up.tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"
    assert await reason(office.identity.log_in()) == "ACCOUNT_SUSPENDED"
    # To who does not know the password it is not told.
    assert await reason(office.identity.log_in(password="not the right one")) == "WRONG_CREDENTIALS"
    await office.ask("RestorePerson", root, signed_up.user.id)
    assert await reason(office.identity.refresh(signed_up.tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"
    assert (await office.identity.log_in()).user.account_status == "active"


async def test_a_role_that_was_given_is_in_the_next_token(office: Office, root: Caller) -> None:
    signed_up = await office.identity.register()
    await office.ask("SetPersonRole", root, signed_up.user.id, role="coach")
    assert await reason(office.identity.refresh(signed_up.tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"
    logged_in = await office.identity.log_in()
    claims = jwt.decode(logged_in.tokens.access_token, options={"verify_signature": False})
    assert (claims["role"], logged_in.user.role) == ("coach", "coach")


async def test_sessions_are_ended(office: Office, root: Caller, ada: str) -> None:
    for _ in range(3):
        office.session(ada)
    office.session(root.actor)
    await office.ask("EndPersonSessions", root, ada)
    assert office.living_sessions(ada) == 0
    assert office.living_sessions(root.actor) == 1
    assert office.trail(ada)[-1][0] == "FORCED_LOGOUT"


async def test_a_role_is_given_and_ends_sessions(office: Office, root: Caller, ada: str) -> None:
    office.session(ada)
    assert (await office.ask("SetPersonRole", root, ada, role="coach")).person.role == "coach"
    assert office.living_sessions(ada) == 0
    office.session(ada)
    await office.ask("SetPersonRole", root, ada, role="coach")
    assert office.living_sessions(ada) == 1
    assert [action for action, *_ in office.trail(ada)][-1] == "ROLE"
    assert await reason(office.ask("SetPersonRole", root, ada, role="owner")) == "INVALID_FIELD"


async def test_there_is_always_an_administrator(office: Office, root: Caller, ada: str) -> None:
    assert await reason(office.ask("SuspendPerson", root, reason="x")) == "NOT_ON_YOURSELF"
    assert await reason(office.ask("SetPersonRole", root, role="user")) == "LAST_ADMIN"
    # One who is suspended does not count.
    other = office.hire("other")
    await office.ask("SuspendPerson", root, other.actor, reason="x")
    assert await reason(office.ask("SetPersonRole", root, role="user")) == "LAST_ADMIN"
    await office.ask("RestorePerson", root, other.actor)
    assert (await office.ask("SetPersonRole", root, role="user")).person.role == "user"


@pytest.mark.parametrize("rpc", ["SuspendPerson", "SetPersonRole"])
async def test_two_administrators_who_remove_each_other_leave_one(office: Office, root: Caller, rpc: str) -> None:
    other = office.hire("other")
    fields = {"reason": "x"} if rpc == "SuspendPerson" else {"role": "user"}
    await asyncio.gather(
        *(office.ask(rpc, one, two.actor, **fields) for one, two in ((root, other), (other, root))),
        return_exceptions=True,
    )
    assert office.sql("SELECT count(*) FROM users WHERE role = 'admin' AND account_status = 'active'") == [(1,)]


CALLS: dict[str, dict[str, Any]] = {
    "ListPeople": {},
    "GetPerson": {},
    "SuspendPerson": {"reason": "x"},
    "RestorePerson": {},
    "EndPersonSessions": {},
    "SetPersonRole": {"role": "admin"},
    "UpdateSubscription": {"subscription": pb.Subscription(subscription_tier="pro")},
}


@pytest.mark.parametrize("rpc", CALLS)
async def test_a_token_that_says_admin_is_not_enough(office: Office, root: Caller, ada: str, rpc: str) -> None:
    """Somebody who was an administrator when their token was made, or who is suspended since, or no person at all."""
    before = office.sql("SELECT to_jsonb(u)::text FROM users u ORDER BY id")
    for actor in (ada, person().actor):
        assert await reason(office.ask(rpc, person(actor, "admin"), ada, **CALLS[rpc])) == "SCOPE_MISSING"
    office.sql("UPDATE users SET account_status = 'suspended', suspended_at = now() WHERE id = %s", root.actor)
    assert await reason(office.ask(rpc, root, ada, **CALLS[rpc])) == "SCOPE_MISSING"
    assert office.sql("SELECT to_jsonb(u)::text FROM users u WHERE role = 'user' ORDER BY id") == [
        row for row in before if '"role": "user"' in row[0]
    ]


@pytest.mark.parametrize("role", ["user", "coach"])
@pytest.mark.parametrize("rpc", CALLS)
async def test_nobody_else_administers(office: Office, root: Caller, ada: str, rpc: str, role: str) -> None:
    # Though the database has them as one, what the gateway signed counts too.
    assert await reason(office.ask(rpc, replace(root, role=role), ada, **CALLS[rpc])) == "SCOPE_MISSING"


@pytest.mark.parametrize("rpc", ["GetPerson", "SuspendPerson", "RestorePerson", "EndPersonSessions", "SetPersonRole"])
async def test_nobody_is_not_found(office: Office, root: Caller, ada: str, rpc: str) -> None:
    office.sql("UPDATE users SET deleted_at = now(), account_status = 'deleted' WHERE id = %s", ada)
    assert await reason(office.ask(rpc, root, person().subject, **CALLS[rpc])) == "NOT_FOUND"
    if rpc != "GetPerson":
        assert await reason(office.ask(rpc, root, ada, **CALLS[rpc])) == "NOT_FOUND"


def test_at_the_database_the_functions_answer_administrators_alone(office: Office, root: Caller, ada: str) -> None:
    people = "SELECT email FROM list_people('', '', '', NULL, 100)"
    with psycopg.connect(office.identity.database.app_url) as app:
        for actor, role, found in (
            (root.actor, "admin", 2),
            (root.actor, "user", 0),
            (ada, "admin", 0),
            ("", "", 0),
            ("service:tracking", "service", 0),
            ("x' OR true", "admin", 0),
        ):
            app.execute("SELECT set_config('app.actor_id', %s, true), set_config('app.role', %s, true)", [actor, role])
            assert len(app.execute(people).fetchall()) == found


async def subscribe(office: Office, admin: Caller, subject: str, subscription: pb.Subscription, *paths: str) -> Any:
    mask = FieldMask(paths=paths)
    answer = await office.ask("UpdateSubscription", admin, subject, subscription=subscription, update_mask=mask)
    return answer.subscription


async def test_a_subscription_is_kept(office: Office, root: Caller, ada: str) -> None:
    paid = pb.Subscription(
        subscription_tier="family", subscription_status="trialing", stripe_customer_id="cus_1", max_users=100
    )
    paid.subscription_expires_at.FromJsonString("2030-01-01T00:00:00Z")
    stored = await subscribe(office, root, ada, paid)
    assert (stored.subscription_tier, stored.max_users, stored.stripe_customer_id) == ("family", 4, "cus_1")
    assert stored.subscription_expires_at == paid.subscription_expires_at
    assert (await office.ask("GetPerson", root, ada)).person.subscription == stored
    cleared = await subscribe(office, root, ada, pb.Subscription(), "stripe_customer_id", "subscription_expires_at")
    assert not cleared.HasField("stripe_customer_id")
    assert not cleared.HasField("subscription_expires_at")
    assert (await subscribe(office, root, ada, pb.Subscription(subscription_tier="pro"))).max_users == 1
    assert await reason(subscribe(office, root, ada, pb.Subscription(), "subscription_tier")) == "INVALID_FIELD"
    assert await reason(subscribe(office, root, ada, pb.Subscription(), "max_users")) == "INVALID_FIELD"
    for wrong in ("x", "cus_", "cus_1; DROP", "sub_1"):
        call = subscribe(office, root, ada, pb.Subscription(stripe_customer_id=wrong))
        assert await reason(call) == "INVALID_FIELD"


async def test_a_customer_of_stripe_pays_for_one_account(office: Office, root: Caller, ada: str) -> None:
    await subscribe(office, root, ada, pb.Subscription(stripe_customer_id="cus_1"))
    call = subscribe(office, root, root.actor, pb.Subscription(stripe_customer_id="cus_1"))
    assert await reason(call) == "ALREADY_EXISTS"


async def test_a_household_does_not_lose_its_tier_while_people_are_in_it(
    office: Office, root: Caller, ada: str
) -> None:
    bob = insert_person(office.identity.database, "bob@example.com")
    make_family(office.identity.database, ada, bob)
    for tier in ("free", "pro"):
        error = await failure(subscribe(office, root, ada, pb.Subscription(subscription_tier=tier)))
        assert error.reason.name == "ACCOUNT_HAS_MEMBERS"
        assert "2 members" in error.message
    assert await reason(subscribe(office, root, bob, pb.Subscription(subscription_tier="pro"))) == "NOT_ACCOUNT_OWNER"
    assert await reason(subscribe(office, root, person().subject, pb.Subscription())) == "NOT_FOUND"
    # What else there is to change can be, and so can the tier once he has gone.
    await subscribe(office, root, ada, pb.Subscription(subscription_status="past_due"))
    accounts, metadata = office.identity.accounts, office.identity.metadata
    invitation = accounts_pb2.AccountInvitation(email="cleo@example.com")
    invite = accounts_pb2.CreateAccountInvitationRequest(user_id=ada, account_invitation=invitation)
    await accounts.CreateAccountInvitation(invite, metadata=metadata(person(ada)))
    leave = accounts_pb2.LeaveAccountRequest(user_id=bob)
    await accounts.LeaveAccount(leave, metadata=metadata(person(bob)))
    await subscribe(office, root, ada, pb.Subscription(subscription_tier="free"))
    assert office.sql("SELECT status FROM account_invitations") == [("revoked",)]


async def test_a_downgrade_and_somebody_who_joins_at_once_do_not_both_happen(
    office: Office, root: Caller, ada: str
) -> None:
    await subscribe(office, root, ada, pb.Subscription(subscription_tier="family"))
    bob, token = insert_person(office.identity.database, "bob@example.com"), "vin_token"
    office.sql(
        "INSERT INTO account_invitations (id, user_id, account_id, email, token_sha256, expires_at)"
        " SELECT gen_random_uuid(), id, account_id, 'bob@example.com', %s, now() + interval '1 day'"
        " FROM users WHERE id = %s",
        fingerprint(token),
        ada,
    )
    join = accounts_pb2.JoinAccountRequest(user_id=bob, token=token)
    await asyncio.gather(
        office.identity.accounts.JoinAccount(join, metadata=office.identity.metadata(person(bob))),
        subscribe(office, root, ada, pb.Subscription(subscription_tier="free")),
        return_exceptions=True,
    )
    state = "SELECT a.max_users, count(*) FROM accounts a JOIN users u ON u.account_id = a.id WHERE a.owner_id = %s"
    assert office.sql(f"{state} GROUP BY a.id", ada)[0] in ((1, 1), (4, 2))


def run_make_admin(office: Office, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.identity", "make-admin", *arguments],
        env={**os.environ, "IDENTITY_MIGRATOR_DATABASE_URL": office.identity.database.migrator_url},
        capture_output=True,
        text=True,
        check=False,
    )


async def test_the_first_administrator_is_made_by_a_command(office: Office) -> None:
    ada = insert_person(office.identity.database, "ada@example.com")
    office.session(ada)
    done = await asyncio.to_thread(run_make_admin, office, "Ada@Example.com")
    assert (done.returncode, done.stderr) == (0, "")
    assert office.sql("SELECT role FROM users") == [("admin",)]
    assert office.living_sessions(ada) == 0
    logged = office.sql("SELECT action_by, request_id, new_values ->> 'role' FROM audit_log WHERE table_name = 'users'")
    assert logged[-1] == ("database:identity_migrator", "make-admin", "admin")
    again = await asyncio.to_thread(run_make_admin, office, "ada@example.com")
    assert (again.returncode, again.stdout) == (0, "is an administrator already\n")


@pytest.mark.parametrize("state", ["email_verified_at = NULL", "account_status = 'suspended', suspended_at = now()"])
async def test_only_somebody_who_is_there_is_made_one(office: Office, state: str) -> None:
    insert_person(office.identity.database, "ada@example.com")
    office.sql(f"UPDATE users SET {state}")
    done = await asyncio.to_thread(run_make_admin, office, "ada@example.com")
    assert done.returncode == 1
    assert "nobody" in done.stderr
    assert (await asyncio.to_thread(run_make_admin, office)).returncode == 1
    assert office.sql("SELECT role FROM users") == [("user",)]
