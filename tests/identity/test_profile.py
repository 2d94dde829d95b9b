"""What a person says about themselves, and what somebody else sees of it."""

import asyncio
from dataclasses import replace
from datetime import date
from typing import Any

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.identity.users import OWN, check_age
from services.kit.caller import Caller
from services.kit.errors import ServiceError
from tests.harness import failure, person, reason
from tests.identity.conftest import Identity
from vitalis.identity.v1 import users_pb2 as pb

FULL = pb.User(
    display_name="Ada L.",
    username="Ada_1815",
    name="Ada Lovelace",
    bio="Notes,\nand engines.",
    profile_picture_url="https://example.com/ada.jpg",
    cycle_enabled=True,
    biological_sex="female",
    date_of_birth="1990-12-10",
)


async def update(identity: Identity, caller: Caller, user: pb.User, *paths: str) -> pb.User:
    request = pb.UpdateUserRequest(user_id=caller.subject, user=user, update_mask=FieldMask(paths=paths))
    return (await identity.users.UpdateUser(request, metadata=identity.metadata(caller))).user


@pytest.fixture
async def ada(identity: Identity) -> Caller:
    return person(await identity.make_person("ada@example.com", "Ada"))


async def test_what_is_sent_is_changed_and_the_rest_stays(identity: Identity, ada: Caller) -> None:
    before = await identity.get_user(ada.subject, ada)
    assert not before.HasField("username")
    assert (before.account_status, before.onboarding_completed, before.cycle_enabled) == ("active", False, False)
    changed = await update(identity, ada, FULL)
    assert changed == await identity.get_user(ada.subject, ada)
    for field, value in FULL.ListFields():
        assert getattr(changed, field.name) == value
    assert changed.etag != before.etag
    assert changed.updated_at.ToNanoseconds() > before.updated_at.ToNanoseconds()
    again = await update(identity, ada, pb.User(bio="Engines."))
    assert (again.bio, again.name, again.username) == ("Engines.", "Ada Lovelace", "Ada_1815")


async def test_a_mask_clears_what_is_not_sent(identity: Identity, ada: Caller) -> None:
    await update(identity, ada, FULL)
    cleared = await update(identity, ada, pb.User(name="A"), "name", "bio", "username")
    assert cleared.name == "A"
    assert not cleared.HasField("bio")
    assert not cleared.HasField("username")
    assert cleared.profile_picture_url
    off = await update(identity, ada, pb.User(cycle_enabled=False), "cycle_enabled")
    assert off.cycle_enabled is False
    everything = await update(identity, ada, pb.User(display_name="Ada", cycle_enabled=True), "*")
    assert not everything.HasField("name")
    assert everything.email == "ada@example.com"


@pytest.mark.parametrize(
    "path", ["role", "email", "account_status", "id", "onboarding_completed_at", "etag", "nonsense"]
)
async def test_what_is_not_the_persons_to_set_is_not_set(identity: Identity, ada: Caller, path: str) -> None:
    assert await reason(update(identity, ada, pb.User(role="admin"), path)) == "INVALID_FIELD"
    before = await identity.get_user(ada.subject, ada)
    sent = pb.User(role="admin", email="eve@example.com", account_status="deleted", onboarding_completed=True)
    assert await update(identity, ada, sent) == before
    assert await update(identity, ada, sent, "bio") != pb.User()
    after = await identity.get_user(ada.subject, ada)
    assert (after.role, after.email, after.account_status) == ("user", "ada@example.com", "active")


@pytest.mark.parametrize(
    "user",
    [
        pb.User(display_name="\u200b"),
        pb.User(display_name="a" * 101),
        pb.User(username="ab"),
        pb.User(username="a" * 21),
        pb.User(username="ada lovelace"),
        pb.User(username="adä"),
        pb.User(username="ada\n"),
        pb.User(username="admin"),
        pb.User(username="__Support_"),
        pb.User(username="VITALIS"),
        pb.User(name=""),
        pb.User(name="a\x00b"),
        pb.User(bio="a" * 2001),
        pb.User(bio="\0"),
        pb.User(profile_picture_url="http://example.com/a.jpg"),
        pb.User(profile_picture_url="https://"),
        pb.User(profile_picture_url="https:///ada.jpg"),
        pb.User(profile_picture_url="https://ada:secret@example.com/ada.jpg"),
        pb.User(profile_picture_url="javascript:alert(1)"),
        pb.User(profile_picture_url="https://example.com/" + "a" * 490),
        pb.User(biological_sex="unknown"),
    ],
    ids=str,
)
async def test_what_a_profile_does_not_hold(identity: Identity, ada: Caller, user: pb.User) -> None:
    before = await identity.get_user(ada.subject, ada)
    assert await reason(update(identity, ada, user)) == "INVALID_FIELD"
    assert await identity.get_user(ada.subject, ada) == before


@pytest.mark.parametrize("path", ["display_name", "cycle_enabled"])
async def test_what_everybody_has_is_not_cleared(identity: Identity, ada: Caller, path: str) -> None:
    error = await failure(update(identity, ada, pb.User(), path))
    assert (error.reason.name, error.violations[0].field) == ("INVALID_FIELD", path)


async def test_an_etag_that_is_old_changes_nothing(identity: Identity, ada: Caller) -> None:
    first = await update(identity, ada, pb.User(bio="one"))
    second = await update(identity, ada, pb.User(bio="two", etag=first.etag))
    error = await failure(update(identity, ada, pb.User(bio="three", etag=first.etag)))
    assert (error.reason.name, error.metadata) == ("ETAG_MISMATCH", {"etag": second.etag})
    assert await identity.get_user(ada.subject, ada) == second


async def test_a_username_is_one_persons_in_any_case(identity: Identity, ada: Caller) -> None:
    eve = person(await identity.make_person("eve@example.com", "Eve"))
    await update(identity, ada, pb.User(username="Ada_1815"))
    error = await failure(update(identity, eve, pb.User(username="aDA_1815", bio="me")))
    assert (error.reason.name, error.violations[0].field) == ("USERNAME_TAKEN", "username")
    assert "1815" not in error.message
    assert not (await identity.get_user(eve.subject, eve)).HasField("bio")
    # One's own, in other letters, is one's own; and what is given up is free.
    await update(identity, ada, pb.User(username="ADA_1815"))
    await update(identity, ada, pb.User(username="countess"))
    assert (await update(identity, eve, pb.User(username="ada_1815"))).username == "ada_1815"


async def test_of_two_who_take_a_username_at_once_one_has_it(identity: Identity) -> None:
    people = [person(await identity.make_person(f"p{number}@example.com")) for number in range(6)]
    tries = [update(identity, one, pb.User(username="the_one")) for one in people]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(outcome, pb.User) for outcome in outcomes) == 1
    with psycopg.connect(identity.database.migrator_url) as owner:
        assert owner.execute("SELECT count(*) FROM users WHERE username IS NOT NULL").fetchone() == (1,)


async def test_a_deleted_persons_username_is_free(identity: Identity, ada: Caller) -> None:
    await update(identity, ada, pb.User(username="ada"))
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute("UPDATE users SET deleted_at = now(), account_status = 'deleted'")
    assert await reason(update(identity, ada, pb.User(bio="still here"))) == "NOT_FOUND"
    eve = person(await identity.make_person("eve@example.com"))
    assert (await update(identity, eve, pb.User(username="ada"))).username == "ada"


async def test_who_reads_through_a_grant_sees_the_profile_and_not_what_is_the_owners(
    identity: Identity, ada: Caller
) -> None:
    mine = await update(identity, ada, FULL)
    coach = replace(ada, actor=person().actor, role="coach", scopes=frozenset({"profile.read"}), grant_id="a")
    seen = await identity.get_user(ada.subject, coach)
    assert {field.name for field, _ in mine.ListFields()} - {field.name for field, _ in seen.ListFields()} == (
        set(OWN) - {"last_login_at", "onboarding_completed", "onboarding_completed_at"}
    )
    for name in OWN:
        mine.ClearField(name)  # type: ignore[arg-type]
    assert seen == mine
    assert "ada@example.com" not in str(seen)


async def test_changing_needs_its_own_scope(identity: Identity, ada: Caller) -> None:
    reader: Any = replace(ada, scopes=frozenset({"profile.read", "wearables.write"}))
    assert await reason(update(identity, reader, pb.User(bio="x"))) == "SCOPE_MISSING"


async def test_a_date_of_birth_is_read_by_its_owner_and_stored_unreadable(identity: Identity, ada: Caller) -> None:
    born = (await update(identity, ada, pb.User(date_of_birth="1990-12-10"))).date_of_birth
    user = await identity.get_user(ada.subject, ada)
    assert born == user.date_of_birth == "1990-12-10"
    assert (await update(identity, ada, pb.User(bio="x"))).date_of_birth == born
    with psycopg.connect(identity.database.migrator_url) as owner:
        row = owner.execute("SELECT date_of_birth, to_jsonb(users)::text FROM users").fetchone()
        logged = owner.execute("SELECT to_jsonb(audit_log)::text FROM audit_log").fetchall()
    assert row
    assert row[0][:1] == b"\x01"
    for text in (bytes(row[0]), row[1].encode(), *(line.encode() for (line,) in logged)):
        assert b"1990-12-10" not in text
    assert not (await update(identity, ada, pb.User(), "date_of_birth")).HasField("date_of_birth")


async def test_a_date_of_birth_that_was_moved_to_somebody_else_is_not_read(identity: Identity, ada: Caller) -> None:
    eve = person(await identity.make_person("eve@example.com"))
    for one in (ada, eve):
        await update(identity, one, pb.User(date_of_birth="1990-12-10"))
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute(
            "UPDATE users SET date_of_birth = (SELECT date_of_birth FROM users WHERE id = %s) WHERE id = %s",
            [ada.subject, eve.subject],
        )
    assert await reason(identity.get_user(eve.subject, eve)) == "INTERNAL"


@pytest.mark.parametrize("born", ["2999-01-01", "1800-01-01", "1990-02-30", "1990-2-3", "yesterday", ""])
async def test_a_date_that_nobody_who_signs_up_was_born_on(identity: Identity, ada: Caller, born: str) -> None:
    assert await reason(update(identity, ada, pb.User(date_of_birth=born))) == "INVALID_FIELD"


@pytest.mark.parametrize(
    ("born", "today", "fine"),
    [
        ("2012-02-29", "2025-02-28", False),
        ("2012-02-29", "2025-03-01", True),
        ("2012-11-21", "2025-11-21", True),
        ("2012-11-22", "2025-11-21", False),
        ("1875-11-21", "2026-11-20", True),
        ("1875-11-21", "2026-11-21", False),
    ],
)
def test_people_are_13_to_150_years_old(born: str, today: str, fine: bool) -> None:
    days = date.fromisoformat(born), date.fromisoformat(today)
    if fine:
        check_age(*days)
    else:
        with pytest.raises(ServiceError, match="13 to 150 years"):
            check_age(*days)
