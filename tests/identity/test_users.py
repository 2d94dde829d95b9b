"""Who am I, and how addresses are compared."""

import string

import psycopg
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from services.identity.users import normalise_email
from tests.harness import person, reason
from tests.identity.conftest import EMAIL, Identity
from vitalis.identity.v1 import users_pb2

LOCAL = st.text(string.ascii_letters + string.digits + ".+-_", min_size=1, max_size=20)
BLANKS = st.text(" \t\n", max_size=3)


@given(st.text())
def test_normalising_twice_changes_nothing(email: str) -> None:
    assert normalise_email(normalise_email(email)) == normalise_email(email)


@given(LOCAL, BLANKS, BLANKS)
def test_case_and_blanks_around_do_not_matter(local: str, before: str, after: str) -> None:
    address = f"{local}@example.com"
    assert normalise_email(before + address.upper() + after) == normalise_email(address) == address.lower()


@given(st.text().filter(lambda text: not text.strip().isascii()))
def test_no_other_alphabet_reaches_an_ascii_address(email: str) -> None:
    assert not normalise_email(email).isascii()


async def test_a_person_reads_themselves(identity: Identity) -> None:
    registered = await identity.register(email="Ada@Example.COM")
    user = await identity.get_user(registered.user.id, person(registered.user.id))
    assert user == registered.user
    assert (user.email, user.display_name, user.role) == (EMAIL, "Ada", "user")
    assert user.HasField("last_login_at")
    assert user.HasField("created_at")
    assert user.HasField("updated_at")


async def test_another_person_is_refused_whether_or_not_they_exist(identity: Identity) -> None:
    ada, eve = await identity.register(), await identity.register(email="eve@example.com")
    nobody = "01890000-0000-7000-8000-000000000000"
    for other in (ada.user.id, nobody):
        assert await reason(identity.get_user(other, person(eve.user.id))) == "SUBJECT_MISMATCH"


async def test_a_person_without_a_row_is_not_found(identity: Identity) -> None:
    nobody = "01890000-0000-7000-8000-000000000000"
    assert await reason(identity.get_user(nobody, person(nobody))) == "NOT_FOUND"


async def test_a_deleted_person_is_not_found(identity: Identity) -> None:
    ada = await identity.register()
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute("UPDATE users SET deleted_at = now()")
    assert await reason(identity.get_user(ada.user.id, person(ada.user.id))) == "NOT_FOUND"


async def test_reading_needs_the_scope(identity: Identity) -> None:
    ada = await identity.register()
    caller = person(ada.user.id, "user", "wearables.read")
    assert await reason(identity.get_user(ada.user.id, caller)) == "SCOPE_MISSING"
    assert (await identity.get_user(ada.user.id, person(ada.user.id, "user", "profile.read"))).id == ada.user.id


@pytest.mark.parametrize("user_id", ["me", "1"])
async def test_an_id_must_be_one(identity: Identity, user_id: str) -> None:
    assert await reason(identity.get_user(user_id, person(user_id))) == "INVALID_FIELD"


def test_the_message_has_no_field_for_a_hash() -> None:
    assert not [name for name in users_pb2.User.DESCRIPTOR.fields_by_name if "password" in name]


async def test_the_hash_never_leaves(identity: Identity) -> None:
    registered, logged_in = await identity.register(), await identity.log_in()
    user = await identity.get_user(registered.user.id, person(registered.user.id))
    for answer in (registered, logged_in, user):
        assert "argon2" not in json_format.MessageToJson(answer)
