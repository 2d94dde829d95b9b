"""Signing up: nobody learns who is there already, and nobody gets an address that they have not proved."""

import asyncio
from collections.abc import Mapping
from email import message_from_bytes, policy
from typing import Any

import grpc
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import event

from local.mailbox import code_in, mails_to
from local.postgres import free_port
from services.identity.settings import IdentitySettings
from services.kit.database import Statement
from services.kit.errors import from_rpc_error
from tests.databases import ServiceDatabase
from tests.harness import Trust, drain, failure, reason
from tests.identity.conftest import Identity, running
from tests.identity.test_mail import Inbox, smtp_server
from tests.people import EMAIL, PASSWORD
from vitalis.identity.v1 import registration_pb2 as pb

OTHER_PASSWORD = "quite another long passphrase"
VERIFIED = "SELECT count(*) FROM users WHERE email_verified_at IS NOT NULL AND deleted_at IS NULL"


async def register(identity: Identity, email: str = EMAIL, password: str = PASSWORD) -> pb.RegisterResponse:
    request = pb.RegisterRequest(email=email, password=password, display_name="Ada")
    return await identity.registration.Register(request, metadata=identity.metadata())


async def resend(identity: Identity, email: str = EMAIL) -> pb.RequestEmailVerificationResponse:
    request = pb.RequestEmailVerificationRequest(email=email)
    return await identity.registration.RequestEmailVerification(request, metadata=identity.metadata())


async def verify(identity: Identity, code: str, password: str = PASSWORD) -> pb.VerifyEmailResponse:
    request = pb.VerifyEmailRequest(token=code, password=password)
    return await identity.registration.VerifyEmail(request, metadata=identity.metadata())


async def codes(identity: Identity, email: str = EMAIL) -> list[str]:
    """The codes that have been mailed, once all jobs are done."""
    await drain(identity.running)
    return [code for mail in mails_to(identity.mailbox, email) if (code := code_in(mail))]


def owner_rows(identity: Identity, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(identity.database.migrator_url) as owner:
        cursor = owner.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def test_a_person_is_there_once_the_address_is_proved(identity: Identity) -> None:
    assert await register(identity, "Ada@Example.COM") == pb.RegisterResponse()
    assert await reason(identity.log_in()) == "WRONG_CREDENTIALS"
    assert mails_to(identity.mailbox, EMAIL) == []
    (code,) = await codes(identity)
    (mail,) = mails_to(identity.mailbox, EMAIL)
    assert mail["Subject"] == "Confirm your email address"
    assert code in mail.get_content().split()
    assert "Ada" not in mail.get_content()
    answer = await verify(identity, code)
    assert (answer.user.email, answer.user.display_name, answer.user.role) == (EMAIL, "Ada", "user")
    assert answer.user.HasField("email_verified_at")
    assert answer.tokens.refresh_token.startswith("vrt_")
    assert (await identity.log_in()).user.id == answer.user.id
    assert owner_rows(identity, "SELECT owner_id = users.id FROM accounts, users") == [(True,)]


async def test_nothing_tells_whether_an_address_is_known(identity: Identity, statements: list[str]) -> None:
    """The same answer, the same statements, the same job, and a hash each time."""
    await identity.register()
    arguments = "SELECT task_name, (SELECT array_agg(key) FROM jsonb_object_keys(args) key) FROM procrastinate_jobs"
    seen = []
    for email in (EMAIL, "nobody@example.com"):
        statements.clear()
        answer = await register(identity, email, OTHER_PASSWORD)
        seen.append((answer.SerializeToString(), list(statements), owner_rows(identity, arguments)))
        await drain(identity.running)
    assert seen[0] == seen[1]
    assert seen[0][2] == [("mail_verification", ["user_id"])]
    hashes = owner_rows(identity, "SELECT password_hash IS NOT NULL FROM users WHERE email_verified_at IS NULL")
    assert hashes == [(True,), (True,)]


@pytest.fixture
def statements(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement that the service has sent to PostgreSQL."""
    pool, sent = identity.running.pool, []
    fetch = pool.fetch

    async def noting(statement: Statement, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        sent.append(statement.sql)
        return await fetch(statement, parameters)

    monkeypatch.setattr(pool, "fetch", noting)
    event.listen(pool.engine.sync_engine, "before_cursor_execute", lambda *call: sent.append(call[2]))
    return sent


async def test_who_has_the_address_is_told_by_mail_and_nothing_changes(identity: Identity) -> None:
    ada = await identity.register()
    await register(identity, password=OTHER_PASSWORD)
    await drain(identity.running)
    mail = mails_to(identity.mailbox, EMAIL)[-1]
    assert mail["Subject"] == "You have an account already"
    assert code_in(mail) == ""
    assert await reason(identity.log_in(password=OTHER_PASSWORD)) == "WRONG_CREDENTIALS"
    assert (await identity.log_in()).user.id == ada.user.id


async def test_another_mail_replaces_the_code_and_few_are_sent(identity: Identity) -> None:
    await register(identity)
    (first,) = await codes(identity)
    for _ in range(6):
        assert await resend(identity) == pb.RequestEmailVerificationResponse()
    found = await codes(identity)
    assert len(found) == 5
    for old in {first, *found[:-1]}:
        assert await reason(verify(identity, old)) == "VERIFICATION_TOKEN_INVALID"
    assert (await verify(identity, found[-1])).user.email == EMAIL


async def test_one_address_does_not_use_up_the_mails_of_another(identity: Identity) -> None:
    for _ in range(8):
        await register(identity)
    await register(identity, "eve@example.com")
    assert len(await codes(identity)) == 5
    assert len(await codes(identity, "eve@example.com")) == 1
    owner_rows(identity, "UPDATE attempts SET blocked_until = now() - interval '1 second'")
    await register(identity)
    assert len(await codes(identity)) == 6


async def test_asking_again_for_nobody_or_for_somebody_verified_sends_nothing(
    identity: Identity, statements: list[str]
) -> None:
    await identity.register()
    sent = len(mails_to(identity.mailbox, EMAIL))
    seen = []
    for email in (EMAIL, "nobody@example.com"):
        statements.clear()
        seen.append((await resend(identity, email), list(statements)))
    assert seen[0] == seen[1]
    await drain(identity.running)
    assert len(mails_to(identity.mailbox, EMAIL)) == sent
    assert mails_to(identity.mailbox, "nobody@example.com") == []


async def test_the_code_needs_the_password_of_its_registration(identity: Identity) -> None:
    """Eve registers Ada's address with a password of hers. Ada, who reads the mail, does not open the account."""
    await register(identity, password=OTHER_PASSWORD)
    (code,) = await codes(identity)
    assert await reason(verify(identity, code)) == "WRONG_CREDENTIALS"
    assert owner_rows(identity, VERIFIED) == [(0,)]
    await register(identity)
    (_, own) = await codes(identity)
    ada = await verify(identity, own)
    # Eve's registration cannot be verified any more, with the code either.
    assert await reason(verify(identity, code, OTHER_PASSWORD)) == "VERIFICATION_TOKEN_INVALID"
    assert owner_rows(identity, VERIFIED) == [(1,)]
    assert (await identity.log_in()).user.id == ada.user.id


async def test_guessing_the_password_of_a_code_is_slowed_down(identity: Identity) -> None:
    await register(identity)
    (code,) = await codes(identity)
    for _ in range(10):
        assert await reason(verify(identity, code, OTHER_PASSWORD)) == "WRONG_CREDENTIALS"
    error = await failure(verify(identity, code))
    assert error.reason.name == "TOO_MANY_ATTEMPTS"
    assert error.retry_after_seconds


async def test_a_code_works_once(identity: Identity) -> None:
    await register(identity)
    (code,) = await codes(identity)
    answers = await asyncio.gather(*(verify(identity, code) for _ in range(4)), return_exceptions=True)
    errors = [from_rpc_error(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [error.reason.name for error in errors] == ["VERIFICATION_TOKEN_INVALID"] * 3
    assert owner_rows(identity, "SELECT count(*) FROM sessions") == [(1,)]


async def test_of_two_who_prove_one_address_at_once_one_has_it(identity: Identity) -> None:
    await register(identity)
    await register(identity, password=OTHER_PASSWORD)
    one, other = await codes(identity)
    answers = await asyncio.gather(
        verify(identity, one), verify(identity, other, OTHER_PASSWORD), return_exceptions=True
    )
    errors = [from_rpc_error(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert [error.reason.name for error in errors] == ["VERIFICATION_TOKEN_INVALID"]
    assert owner_rows(identity, VERIFIED) == [(1,)]
    assert owner_rows(identity, "SELECT count(*) FROM sessions") == [(1,)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE verification_tokens SET expires_at = now()",
        "UPDATE verification_tokens SET used_at = now()",
        "UPDATE verification_tokens SET kind = 'password_reset'",
        "UPDATE users SET deleted_at = now()",
        "DELETE FROM verification_tokens",
    ],
)
async def test_what_makes_a_code_worthless(identity: Identity, change: str) -> None:
    await register(identity)
    (code,) = await codes(identity)
    owner_rows(identity, change)
    assert await reason(verify(identity, code)) == "VERIFICATION_TOKEN_INVALID"


@pytest.mark.parametrize("code", ["vvt_unknown", "x", "\0", "vrt_" + "é" * 50])
async def test_an_unknown_code_is_invalid(identity: Identity, code: str) -> None:
    assert await reason(verify(identity, code)) == "VERIFICATION_TOKEN_INVALID"


async def test_the_address_of_a_deleted_person_is_free_again(identity: Identity) -> None:
    first = await identity.register()
    owner_rows(identity, "UPDATE users SET deleted_at = now()")
    assert (await identity.register()).user.id != first.user.id


async def test_what_nobody_verifies_is_forgotten_after_a_week(identity: Identity) -> None:
    ada = await identity.register("ada@example.com")
    await register(identity, "eve@example.com")
    await register(identity, "new@example.com")
    owner_rows(identity, "UPDATE users SET created_at = now() - interval '8 days' WHERE email <> 'new@example.com'")
    await forget(identity)
    assert owner_rows(identity, "SELECT email FROM users ORDER BY email") == [(EMAIL,), ("new@example.com",)]
    assert owner_rows(identity, "SELECT count(*) FROM accounts") == [(2,)]
    assert (await identity.log_in()).user.id == ada.user.id


async def forget(identity: Identity) -> None:
    jobs = identity.running.parts.jobs
    assert jobs
    await jobs.app.tasks["forget_logins"].defer_async(timestamp=0)
    await drain(identity.running)


async def test_tokens_and_sessions_are_forgotten_thirty_days_after_their_end(identity: Identity) -> None:
    tokens = (await identity.register()).tokens
    await identity.refresh(tokens.refresh_token)
    for days, left in ((29, (2, 1, 1)), (31, (0, 0, 0))):
        owner_rows(identity, f"UPDATE refresh_tokens SET expires_at = now() - interval '{days} days'")
        owner_rows(identity, f"UPDATE sessions SET expires_at = now() - interval '{days} days'")
        owner_rows(identity, f"UPDATE verification_tokens SET used_at = now() - interval '{days} days'")
        await forget(identity)
        tables = ("refresh_tokens", "sessions", "verification_tokens")
        assert tuple(owner_rows(identity, f"SELECT count(*) FROM {table}")[0][0] for table in tables) == left


@pytest.mark.parametrize(
    ("field", "request_"),
    [
        ("email", pb.RegisterRequest(email="ada", password=PASSWORD, display_name="Ada")),
        ("email", pb.RegisterRequest(email="\u212a@example.com", password=PASSWORD, display_name="Ada")),
        ("email", pb.RegisterRequest(email="a@b.c\r\nBcc: eve@example.com", password=PASSWORD, display_name="Ada")),
        ("email", pb.RegisterRequest(password=PASSWORD, display_name="Ada")),
        ("password", pb.RegisterRequest(email=EMAIL, password="short", display_name="Ada")),
        ("password", pb.RegisterRequest(email=EMAIL, password="x" * 129, display_name="Ada")),
        ("display_name", pb.RegisterRequest(email=EMAIL, password=PASSWORD)),
        ("display_name", pb.RegisterRequest(email=EMAIL, password=PASSWORD, display_name="  ")),
        ("display_name", pb.RegisterRequest(email=EMAIL, password=PASSWORD, display_name="A\0da")),
    ],
)
async def test_what_cannot_be_registered(identity: Identity, field: str, request_: pb.RegisterRequest) -> None:
    error = await failure(identity.registration.Register(request_, metadata=identity.metadata()))
    assert error.reason.name == "INVALID_FIELD"
    assert field in [violation.field for violation in error.violations]
    assert not request_.password or request_.password not in error.message


@pytest.mark.parametrize("password", ["passwordpassword", "ada@example.com1", "aaaaaaaaaaaaaaaa", "qwertyuiop123"])
async def test_a_password_that_is_easy_to_guess_is_refused_with_a_hint(identity: Identity, password: str) -> None:
    error = await failure(register(identity, password=password))
    assert error.reason.name == "PASSWORD_WEAK"
    assert error.message.startswith("password: is easy to guess: ")
    assert [violation.field for violation in error.violations] == ["password"]
    assert password not in error.message
    assert owner_rows(identity, "SELECT count(*) FROM users") == [(0,)]


async def test_tokens_and_passwords_are_stored_and_queued_nowhere(identity: Identity) -> None:
    await register(identity)
    queued = repr(owner_rows(identity, "SELECT args FROM procrastinate_jobs"))
    assert EMAIL not in queued
    (code,) = await codes(identity)
    for table in ("users", "verification_tokens", "procrastinate_jobs", "attempts", "audit_log"):
        stored = repr(owner_rows(identity, f"SELECT * FROM {table}"))
        for secret in (code, code.removeprefix("vvt_"), PASSWORD):
            assert secret not in stored
    assert EMAIL not in repr(owner_rows(identity, "SELECT encode(key, 'escape') FROM attempts"))


async def test_a_mail_is_tried_again_until_the_server_is_back(
    settings: tuple[IdentitySettings, ServiceDatabase], trust: Trust
) -> None:
    port, inbox = free_port(), Inbox()
    away = settings[0].model_copy(update={"smtp_url": SecretStr(f"smtp://127.0.0.1:{port}?tls=none")})
    async with running(away, settings[1], trust) as identity:
        await register(identity)
        await drain(identity.running)
        state = "SELECT status::text, attempts, scheduled_at > now() FROM procrastinate_jobs"
        assert owner_rows(identity, f"{state} WHERE task_name = 'mail_verification'") == [("todo", 1, True)]
        owner_rows(identity, "UPDATE procrastinate_jobs SET scheduled_at = now()")
        with smtp_server(inbox, port=port):
            await drain(identity.running)
        (envelope,) = inbox.envelopes
        assert envelope.rcpt_tos == [EMAIL]
        assert isinstance(envelope.content, bytes)
        # The code is that of the last attempt: the one before made another.
        code = code_in(message_from_bytes(envelope.content, policy=policy.default))
        assert (await verify(identity, code)).user.email == EMAIL
