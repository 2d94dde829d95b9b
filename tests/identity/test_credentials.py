"""Passwords and addresses that change: by whom, what ends with them, and what nobody learns from it."""

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import bcrypt
import grpc
import psycopg
import pytest

from local.mailbox import code_in, mails_to
from services.kit.caller import ANONYMOUS, Caller
from services.kit.errors import from_rpc_error
from tests.harness import drain, failure, person, reason
from tests.identity.conftest import Identity
from tests.people import EMAIL, PASSWORD
from vitalis.identity.v1 import credentials_pb2 as pb
from vitalis.identity.v1 import sessions_pb2

NEW = "quite another long passphrase"
OTHER = "eve@example.com"
PLANTED = "01930000-0000-7000-8000-000000000001"


async def ask(identity: Identity, email: str = EMAIL) -> pb.RequestPasswordResetResponse:
    request = pb.RequestPasswordResetRequest(email=email)
    return await identity.credentials.RequestPasswordReset(request, metadata=identity.metadata())


async def reset(identity: Identity, code: str, password: str = NEW) -> pb.ResetPasswordResponse:
    request = pb.ResetPasswordRequest(token=code, new_password=password)
    return await identity.credentials.ResetPassword(request, metadata=identity.metadata())


async def change(identity: Identity, caller: Caller, old: str = PASSWORD, new: str = NEW) -> Any:
    request = pb.ChangePasswordRequest(user_id=caller.subject, old_password=old, new_password=new)
    return await identity.credentials.ChangePassword(request, metadata=identity.metadata(caller))


async def move(identity: Identity, caller: Caller, email: str = "ada@new.example.com", password: str = PASSWORD) -> Any:
    request = pb.RequestEmailChangeRequest(user_id=caller.subject, password=password, new_email=email)
    return await identity.credentials.RequestEmailChange(request, metadata=identity.metadata(caller))


async def confirm(identity: Identity, caller: Caller, code: str) -> Any:
    request = pb.ConfirmEmailChangeRequest(user_id=caller.subject, token=code)
    return await identity.credentials.ConfirmEmailChange(request, metadata=identity.metadata(caller))


async def codes(identity: Identity, email: str = EMAIL) -> list[str]:
    """The codes mailed to an address, once all jobs are done; not the one of the registration."""
    await drain(identity.running)
    found = [mail for mail in mails_to(identity.mailbox, email) if mail["Subject"] != "Confirm your email address"]
    return [code for mail in found if (code := code_in(mail))]


def subjects(identity: Identity, email: str = EMAIL) -> list[str]:
    return [str(mail["Subject"]) for mail in mails_to(identity.mailbox, email)]


def owner_rows(identity: Identity, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(identity.database.migrator_url) as owner:
        cursor = owner.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def test_a_forgotten_password_is_replaced_and_all_sessions_end(identity: Identity) -> None:
    first, second = (await identity.register()).tokens, (await identity.log_in()).tokens
    assert await ask(identity, "Ada@Example.com") == pb.RequestPasswordResetResponse()
    (code,) = await codes(identity)
    mail = mails_to(identity.mailbox, EMAIL)[-1]
    assert code in mail.get_content().split()
    assert await reset(identity, code) == pb.ResetPasswordResponse()
    for tokens in (first, second):
        assert await reason(identity.refresh(tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"
    assert await reason(identity.log_in()) == "WRONG_CREDENTIALS"
    assert (await identity.log_in(password=NEW)).user.email == EMAIL
    assert owner_rows(identity, "SELECT DISTINCT revoked_reason FROM sessions WHERE revoked_at IS NOT NULL") == [
        ("password_reset",)
    ]
    await drain(identity.running)
    assert subjects(identity)[-1] == "Your password has changed"


async def test_asking_tells_nothing_and_sends_nothing_to_who_may_not_log_in(identity: Identity) -> None:
    ada = await identity.register()
    await identity.register(OTHER)
    owner_rows(
        identity,
        f"UPDATE users SET account_status = 'suspended', suspended_at = now() WHERE id <> '{ada.user.id}'",
    )
    sent = subjects(identity, OTHER)
    arguments = "SELECT task_name, (SELECT array_agg(key) FROM jsonb_object_keys(args) key) FROM procrastinate_jobs"
    seen = []
    for email in (EMAIL, OTHER, "nobody@example.com"):
        answer = await ask(identity, email)
        seen.append((answer.SerializeToString(), owner_rows(identity, arguments)))
        await drain(identity.running)
    assert seen[0] == seen[1] == seen[2]
    assert subjects(identity, OTHER) == sent
    assert subjects(identity, "nobody@example.com") == []


async def test_an_address_gets_few_mails_an_hour(identity: Identity) -> None:
    await identity.register()
    for _ in range(8):
        await ask(identity)
    assert len(await codes(identity)) == 5


@pytest.mark.parametrize("what", ["unknown", "older", "used", "expired", "another kind", "deleted"])
async def test_a_code_that_does_not_hold(identity: Identity, what: str) -> None:
    tokens = (await identity.register()).tokens
    await ask(identity)
    (code,) = await codes(identity)
    if what == "unknown":
        code = "vvt_unknown"
    elif what == "older":
        await ask(identity)
        await drain(identity.running)
    elif what == "used":
        await reset(identity, code)
    elif what == "expired":
        owner_rows(identity, "UPDATE verification_tokens SET expires_at = now()")
    elif what == "another kind":
        owner_rows(
            identity,
            "UPDATE verification_tokens SET kind = 'email_verify' WHERE kind = 'password_reset'"
            " AND NOT EXISTS (SELECT FROM verification_tokens WHERE kind = 'email_verify')",
        )
        owner_rows(identity, "DELETE FROM verification_tokens WHERE kind = 'password_reset'")
    else:
        owner_rows(identity, "UPDATE users SET deleted_at = now()")
    error = await failure(reset(identity, code, "a third and different passphrase"))
    assert error.reason.name == "VERIFICATION_TOKEN_INVALID"
    if what in ("unknown", "older", "expired"):
        assert (await identity.refresh(tokens.refresh_token)).tokens.refresh_token


async def test_two_resets_with_one_code(identity: Identity) -> None:
    await identity.register()
    await ask(identity)
    (code,) = await codes(identity)
    passwords = [f"{NEW} number {number}" for number in range(4)]
    answers = await asyncio.gather(*(reset(identity, code, new) for new in passwords), return_exceptions=True)
    errors = [from_rpc_error(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [error.reason.name for error in errors] == ["VERIFICATION_TOKEN_INVALID"] * 3
    winner = next(new for new, answer in zip(passwords, answers, strict=True) if not isinstance(answer, Exception))
    assert (await identity.log_in(password=winner)).user.email == EMAIL


async def test_a_weak_password_does_not_use_the_code_up(identity: Identity) -> None:
    await identity.register()
    await ask(identity)
    (code,) = await codes(identity)
    for weak in ("passwordpassword", "ada@example.com1", PASSWORD):
        error = await failure(reset(identity, code, weak))
        assert error.reason.name == "PASSWORD_WEAK"
        assert weak not in error.message
    await reset(identity, code)


async def test_somebody_without_a_password_gets_one(identity: Identity) -> None:
    await identity.register()
    owner_rows(identity, "UPDATE users SET password_hash = NULL")
    await ask(identity)
    (code,) = await codes(identity)
    await reset(identity, code)
    assert (await identity.log_in(password=NEW)).user.email == EMAIL
    assert owner_rows(identity, "SELECT count(*) FROM password_history") == [(0,)]


async def test_changing_a_password_ends_the_other_sessions(identity: Identity) -> None:
    mine, other = (await identity.register()).tokens, (await identity.log_in()).tokens
    user_id, session_id = owner_rows(identity, "SELECT user_id::text, id::text FROM sessions ORDER BY id LIMIT 1")[0]
    caller = replace(person(user_id), session_id=session_id)
    await ask(identity)
    (code,) = await codes(identity)
    assert await change(identity, caller) == pb.ChangePasswordResponse()
    assert (await identity.refresh(mine.refresh_token)).tokens.refresh_token
    assert await reason(identity.refresh(other.refresh_token)) == "REFRESH_TOKEN_INVALID"
    assert await reason(identity.log_in()) == "WRONG_CREDENTIALS"
    assert (await identity.log_in(password=NEW)).user.id == user_id
    # A code that went out before does not undo it.
    assert await reason(reset(identity, code, PASSWORD)) == "VERIFICATION_TOKEN_INVALID"
    await drain(identity.running)
    assert subjects(identity)[-1] == "Your password has changed"


async def test_changing_needs_the_present_password(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    for call in (change(identity, ada, old="wrong password"), move(identity, ada, password="wrong password")):
        error = await failure(call)
        assert (error.reason.name, error.message) == ("PASSWORD_WRONG", "the password is wrong")
    for weak in ("passwordpassword", PASSWORD):
        assert await reason(change(identity, ada, new=weak)) == "PASSWORD_WEAK"
    nobody = person()
    assert await reason(change(identity, nobody)) == "NOT_FOUND"
    assert await reason(move(identity, nobody)) == "NOT_FOUND"


async def test_guessing_the_present_password_is_slowed_down(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    for _ in range(5):
        assert await reason(change(identity, ada, old="wrong")) == "PASSWORD_WRONG"
        assert await reason(move(identity, ada, password="wrong")) == "PASSWORD_WRONG"
    assert await reason(change(identity, ada)) == "TOO_MANY_ATTEMPTS"
    assert await reason(move(identity, ada)) == "TOO_MANY_ATTEMPTS"


async def test_of_two_changes_at_once_one_succeeds(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    news = [f"{NEW} number {number}" for number in range(3)]
    answers = await asyncio.gather(*(change(identity, ada, new=new) for new in news), return_exceptions=True)
    errors = [from_rpc_error(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [error.reason.name for error in errors] == ["PASSWORD_WRONG"] * 2
    assert owner_rows(identity, "SELECT count(*) FROM password_history") == [(1,)]


async def test_the_last_five_passwords_do_not_come_back(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    passwords = [PASSWORD, *(f"{NEW} number {number}" for number in range(5))]
    for old, new in itertools.pairwise(passwords[:5]):
        await change(identity, ada, old, new)
    for earlier in passwords[:5]:
        error = await failure(change(identity, ada, passwords[4], earlier))
        assert (error.reason.name, error.message) == ("PASSWORD_WEAK", "new_password: was one of your last passwords")
    await change(identity, ada, passwords[4], passwords[5])
    assert owner_rows(identity, "SELECT count(*) FROM password_history") == [(4,)]
    # Five others lie between.
    await change(identity, ada, passwords[5], PASSWORD)


async def test_an_address_changes_when_the_new_one_is_proved(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    assert await move(identity, ada, "Ada@New.Example.com") == pb.RequestEmailChangeResponse()
    (code,) = await codes(identity, "ada@new.example.com")
    assert subjects(identity)[-1] == "Your email address is about to change"
    assert "new.example.com" not in mails_to(identity.mailbox, EMAIL)[-1].get_content()
    assert (await identity.log_in()).user.email == EMAIL
    assert await confirm(identity, ada, code) == pb.ConfirmEmailChangeResponse()
    assert await reason(identity.log_in()) == "WRONG_CREDENTIALS"
    assert (await identity.log_in("ada@new.example.com")).user.id == ada.subject
    assert await reason(confirm(identity, ada, code)) == "VERIFICATION_TOKEN_INVALID"


async def test_who_opens_a_strangers_link_gives_their_address_to_nobody(identity: Identity) -> None:
    """Otherwise Eve, who asks for Ada's address, has it verified by Ada's curiosity, and an account in her name."""
    eve = person((await identity.register(OTHER)).user.id)
    await move(identity, eve, EMAIL)
    (code,) = await codes(identity)
    carla = person((await identity.register("carla@example.com")).user.id)
    for stranger in (ANONYMOUS, carla):
        request = pb.ConfirmEmailChangeRequest(user_id=eve.subject, token=code)
        answer = identity.credentials.ConfirmEmailChange(request, metadata=identity.metadata(stranger))
        assert await reason(answer) in ("UNAUTHENTICATED", "SUBJECT_MISMATCH")
    assert await reason(confirm(identity, carla, code)) == "VERIFICATION_TOKEN_INVALID"
    assert (await identity.log_in(OTHER)).user.id == eve.subject
    assert (await identity.register()).user.email == EMAIL


async def test_a_code_to_the_old_address_dies_with_it(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    await ask(identity)
    (stolen,) = await codes(identity)
    await move(identity, ada)
    (code,) = await codes(identity, "ada@new.example.com")
    await confirm(identity, ada, code)
    assert await reason(reset(identity, stolen)) == "VERIFICATION_TOKEN_INVALID"


async def test_an_address_that_somebody_has_is_not_told_and_not_taken(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    eve = await identity.register(OTHER)
    assert await move(identity, ada, OTHER) == pb.RequestEmailChangeResponse()
    assert await codes(identity, OTHER) == []
    assert subjects(identity, OTHER)[-1] == "You have an account already"
    assert (await identity.log_in(OTHER)).user.id == eve.user.id


async def test_an_address_that_was_proved_meanwhile_is_not_taken(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    await move(identity, ada, OTHER)
    (code,) = await codes(identity, OTHER)
    eve = await identity.register(OTHER)
    assert await reason(confirm(identity, ada, code)) == "VERIFICATION_TOKEN_INVALID"
    assert (await identity.log_in(OTHER)).user.id == eve.user.id
    assert (await identity.log_in()).user.id == ada.subject


async def test_a_changed_password_takes_a_change_of_address_back(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    await move(identity, ada)
    (code,) = await codes(identity, "ada@new.example.com")
    await change(identity, ada)
    assert await reason(confirm(identity, ada, code)) == "VERIFICATION_TOKEN_INVALID"


async def test_another_request_replaces_the_address_and_the_code(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    await move(identity, ada, "one@example.com")
    (first,) = await codes(identity, "one@example.com")
    await move(identity, ada, "two@example.com")
    (second,) = await codes(identity, "two@example.com")
    assert await reason(confirm(identity, ada, first)) == "VERIFICATION_TOKEN_INVALID"
    await confirm(identity, ada, second)
    assert (await identity.log_in("two@example.com")).user.id == ada.subject


async def test_a_hash_of_another_system_lets_in_once_and_is_replaced(identity: Identity) -> None:
    user_id = await identity.make_person(
        EMAIL, password_hash=bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    )
    assert await reason(identity.log_in(password="wrong password")) == "WRONG_CREDENTIALS"
    for _ in range(2):
        assert (await identity.log_in()).user.id == user_id
    ((stored,),) = owner_rows(identity, "SELECT password_hash FROM users")
    assert stored.startswith("$argon2id$")


async def test_a_new_session_has_nothing_of_what_was_before_it(identity: Identity) -> None:
    """Session fixation: a session, a refresh token or an id that was there before a log-in is not the new one's."""
    before = await identity.register()
    planted = identity.metadata(replace(person(before.user.id), session_id=PLANTED))
    request = sessions_pb2.LogInRequest(email=EMAIL, password=PASSWORD)
    after = await identity.sessions.LogIn(request, metadata=planted)
    ids = {str(row[0]) for row in owner_rows(identity, "SELECT id FROM sessions")}
    assert len(ids) == 2
    assert PLANTED not in ids
    assert before.tokens.refresh_token != after.tokens.refresh_token
    await identity.log_out(before.tokens.refresh_token)
    assert (await identity.refresh(after.tokens.refresh_token)).tokens.refresh_token
