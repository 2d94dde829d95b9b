"""Signing up, logging in and out, and the tokens that come of it."""

import asyncio
import json
import threading
from dataclasses import replace
from itertools import chain
from typing import Any

import jwt
import psycopg
import pytest
import structlog
from argon2 import PasswordHasher

from services.identity.settings import IdentitySettings
from services.kit.caller import ANONYMOUS, Caller, CallerSigner
from tests.databases import ServiceDatabase
from tests.harness import failure, forged, person, reason, write_key
from tests.identity.conftest import EMAIL, PASSWORD, Identity, running
from vitalis.identity.v1 import sessions_pb2 as pb

WRONG = "wrong horse battery staple"


async def verified(identity: Identity, access_token: str) -> dict[str, object]:
    """The claims of an access token, verified as any outsider would: with the published keys."""
    answer = await identity.sessions.GetKeySet(pb.GetKeySetRequest(), metadata=identity.metadata())
    keys = [{name: getattr(key, name) for name in ("kty", "crv", "x", "kid", "use", "alg")} for key in answer.keys]
    kid = jwt.get_unverified_header(access_token)["kid"]
    key = jwt.PyJWKSet.from_json(json.dumps({"keys": keys}))[kid]
    claims: dict[str, object] = jwt.decode(
        access_token, key, algorithms=["EdDSA"], audience="vitalis-api", issuer="vitalis"
    )
    return claims


async def test_signing_up_logs_in(identity: Identity) -> None:
    answer = await identity.register()
    claims = await verified(identity, answer.tokens.access_token)
    assert set(claims) == {"iss", "aud", "sub", "sid", "role", "iat", "exp", "jti"}
    assert (claims["sub"], claims["role"]) == (answer.user.id, "user")
    assert isinstance(claims["exp"], int)
    assert isinstance(claims["iat"], int)
    assert claims["exp"] - claims["iat"] == 15 * 60
    assert answer.tokens.access_token_expires_at.ToSeconds() == claims["exp"]
    assert answer.tokens.refresh_token.startswith("vrt_")


async def test_logging_in_starts_another_session(identity: Identity) -> None:
    registered = await identity.register()
    answer = await identity.log_in(email=" ADA@example.com ")
    first = await verified(identity, registered.tokens.access_token)
    second = await verified(identity, answer.tokens.access_token)
    assert first["sub"] == second["sub"]
    assert first["sid"] != second["sid"]
    assert first["jti"] != second["jti"]
    assert answer.user.last_login_at.ToNanoseconds() > registered.user.last_login_at.ToNanoseconds()
    assert answer.user.updated_at == registered.user.updated_at


async def test_the_role_is_in_the_access_token(identity: Identity) -> None:
    await identity.register()
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute("UPDATE users SET role = 'coach'")
    answer = await identity.log_in()
    refreshed = await identity.refresh(answer.tokens.refresh_token)
    for token in (answer.tokens.access_token, refreshed.tokens.access_token):
        assert (await verified(identity, token))["role"] == "coach"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (EMAIL, WRONG),
        (EMAIL, PASSWORD + " "),
        ("nobody@example.com", PASSWORD),
        ("not an address", PASSWORD),
        ("ada@example.com\0", PASSWORD),
        ("\u212aada@example.com", PASSWORD),
    ],
)
async def test_wrong_credentials_are_all_alike(identity: Identity, email: str, password: str) -> None:
    await identity.register()
    error = await failure(identity.log_in(email, password))
    assert (error.reason.name, error.message) == ("WRONG_CREDENTIALS", "email or password is wrong")
    assert not error.violations
    assert not error.metadata


@pytest.mark.parametrize("change", ["deleted_at = now()", "password_hash = NULL"])
async def test_nobody_logs_in_as_one_who_is_deleted_or_has_no_password(identity: Identity, change: str) -> None:
    await identity.register()
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute(f"UPDATE users SET {change}".encode())
    assert await reason(identity.log_in()) == "WRONG_CREDENTIALS"


async def test_a_hash_of_other_parameters_is_replaced_at_login(
    settings: tuple[IdentitySettings, ServiceDatabase], identity: Identity
) -> None:
    await identity.register()
    raised = settings[0].model_copy(update={"password_iterations": 3})
    async with running(raised, settings[1], identity.trust) as later:
        await asyncio.gather(*(later.log_in() for _ in range(4)))
        await later.log_in()
    with psycopg.connect(identity.database.migrator_url) as owner:
        row = owner.execute("SELECT password_hash FROM users").fetchone()
    assert row
    assert row[0].startswith("$argon2id$v=19$m=19456,t=3,p=1$")


async def test_more_logins_than_can_be_hashed_are_refused_at_once(
    settings: tuple[IdentitySettings, ServiceDatabase], identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    await identity.register()
    narrow = settings[0].model_copy(update={"password_threads": 1, "password_capacity": 2})
    released = threading.Event()
    verify = PasswordHasher.verify
    monkeypatch.setattr(PasswordHasher, "verify", lambda *given: released.wait(30) and verify(*given))
    async with running(narrow, settings[1], identity.trust) as service:
        logins = [asyncio.create_task(service.log_in()) for _ in range(3)]
        done, waiting = await asyncio.wait(logins, return_when=asyncio.FIRST_COMPLETED)
        assert [await reason(login) for login in done] == ["UNAVAILABLE"]
        # The rest of the service is answered while every password thread is busy.
        await service.sessions.GetKeySet(pb.GetKeySetRequest(), metadata=service.metadata())
        released.set()
        assert [(await login).user.email for login in waiting] == [EMAIL, EMAIL]
        assert (await service.log_in()).user.email == EMAIL


async def test_logging_out_ends_the_session_and_can_be_repeated(identity: Identity) -> None:
    tokens = (await identity.register()).tokens
    for _ in range(2):
        await identity.log_out(tokens.refresh_token)
    assert await reason(identity.refresh(tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"
    with psycopg.connect(identity.database.migrator_url) as owner:
        assert owner.execute("SELECT revoked_reason FROM sessions").fetchall() == [("logged_out",)]


async def test_logging_out_of_one_session_leaves_the_others(identity: Identity) -> None:
    first, second = (await identity.register()).tokens, (await identity.log_in()).tokens
    await identity.log_out(first.refresh_token)
    assert (await identity.refresh(second.refresh_token)).tokens.refresh_token


async def test_logging_out_with_an_older_token_ends_the_session_too(identity: Identity) -> None:
    first = (await identity.register()).tokens
    second = (await identity.refresh(first.refresh_token)).tokens
    await identity.log_out(first.refresh_token)
    assert await reason(identity.refresh(second.refresh_token)) == "REFRESH_TOKEN_INVALID"


async def test_logging_out_with_anything_else_is_no_error(identity: Identity) -> None:
    for token in ("vrt_unknown", "x", "\0"):
        await identity.log_out(token)
    assert await reason(identity.log_out("")) == "INVALID_FIELD"


async def test_every_signing_key_is_published_and_the_first_signs(identity: Identity) -> None:
    answer = await identity.sessions.GetKeySet(pb.GetKeySetRequest(), metadata=identity.metadata())
    assert [(key.kty, key.crv, key.use, key.alg) for key in answer.keys] == [("OKP", "Ed25519", "sig", "EdDSA")] * 2
    token = (await identity.register()).tokens.access_token
    assert jwt.get_unverified_header(token)["kid"] == answer.keys[0].kid


async def test_after_a_key_change_older_tokens_still_verify(
    settings: tuple[IdentitySettings, ServiceDatabase], identity: Identity
) -> None:
    token = (await identity.register()).tokens.access_token
    files = settings[0].signing_key_files
    changed = settings[0].model_copy(update={"signing_key_files": (files[1], files[0])})
    async with running(changed, settings[1], identity.trust) as later:
        assert (await verified(later, token))["iss"] == "vitalis"
        newer = (await later.log_in()).tokens.access_token
    assert jwt.get_unverified_header(newer)["kid"] != jwt.get_unverified_header(token)["kid"]


async def test_no_caller_and_forged_callers_are_refused(
    settings: tuple[IdentitySettings, ServiceDatabase], identity: Identity
) -> None:
    request = pb.GetKeySetRequest()
    forger = CallerSigner("gateway", write_key(settings[0].caller_key_file.with_name("forger.pem")))
    nobody = ANONYMOUS
    for metadata in (
        (),
        forger.metadata(nobody, "identity"),
        identity.trust.insights.metadata(nobody, "identity"),
        identity.trust.gateway.metadata(nobody, "tracking"),
        (("vitalis-caller", "not a token"),),
    ):
        assert await reason(identity.sessions.GetKeySet(request, metadata=metadata)) == "UNAUTHENTICATED"


async def test_an_access_token_is_no_caller_token(identity: Identity) -> None:
    answer = await identity.register()
    metadata = (("vitalis-caller", answer.tokens.access_token),)
    assert await reason(identity.sessions.GetKeySet(pb.GetKeySetRequest(), metadata=metadata)) == "UNAUTHENTICATED"


async def test_who_am_i_needs_a_person(identity: Identity) -> None:
    answer = await identity.register()
    assert await reason(identity.get_user(answer.user.id, ANONYMOUS)) == "UNAUTHENTICATED"
    assert (await identity.get_user(answer.user.id, person(answer.user.id))).email == EMAIL


async def test_logs_hold_nothing_personal_and_no_secret(identity: Identity) -> None:
    with structlog.testing.capture_logs() as lines:
        registered = await identity.register()
        await identity.log_in()
        await reason(identity.log_in(password=WRONG))
        refreshed = await identity.refresh(registered.tokens.refresh_token)
        await reason(identity.refresh(registered.tokens.refresh_token))
        await identity.log_out(refreshed.tokens.refresh_token)
    assert [line for line in lines if line["log_level"] == "warning"]
    private = [EMAIL, PASSWORD, WRONG, "Ada", registered.user.id]
    for tokens in (registered.tokens, refreshed.tokens):
        private += [tokens.access_token, tokens.refresh_token]
    assert [secret for secret in private if secret in repr(lines)] == []


def at(address: str, user_agent: str = "") -> Caller:
    """Nobody, who calls from an address."""
    return replace(ANONYMOUS, address=address, user_agent=user_agent)


async def listed(identity: Identity, caller: Caller, **page: Any) -> pb.ListSessionsResponse:
    request = pb.ListSessionsRequest(user_id=caller.subject, **page)
    return await identity.sessions.ListSessions(request, metadata=identity.metadata(caller))


async def revoke(identity: Identity, caller: Caller, session_id: str) -> None:
    request = pb.RevokeSessionRequest(user_id=caller.subject, id=session_id)
    await identity.sessions.RevokeSession(request, metadata=identity.metadata(caller))


async def test_sessions_are_listed_with_where_they_are_used(identity: Identity) -> None:
    ada = await identity.register(caller=at("198.51.100.7", "Phone/1.0"))
    request = pb.LogInRequest(email=EMAIL, password=PASSWORD)
    laptop = identity.metadata(at("2001:db8::1", "Laptop/2.0 " + "x" * 500))
    second = await identity.sessions.LogIn(request, metadata=laptop)
    moved = identity.metadata(at("203.0.113.9", "Other/3.0"))
    refresh = pb.RefreshSessionRequest(refresh_token=ada.tokens.refresh_token)
    await identity.sessions.RefreshSession(refresh, metadata=moved)
    claims = await verified(identity, second.tokens.access_token)
    caller = replace(person(ada.user.id), session_id=str(claims["sid"]))
    newest, oldest = (await listed(identity, caller)).sessions
    assert (newest.id, newest.current, oldest.current) == (claims["sid"], True, False)
    assert (oldest.user_agent, oldest.address, oldest.last_address) == ("Phone/1.0", "198.51.100.7", "203.0.113.9")
    assert (newest.address, newest.last_address) == ("2001:db8::1", "2001:db8::1")
    assert newest.user_agent.startswith("Laptop/2.0 xxx")
    assert len(newest.user_agent) == 400
    assert oldest.last_used_at.ToNanoseconds() > oldest.created_at.ToNanoseconds()
    assert oldest.expires_at.ToSeconds() - oldest.created_at.ToSeconds() == 90 * 86_400


async def test_sessions_come_page_by_page(identity: Identity) -> None:
    ada = person((await identity.register()).user.id)
    for _ in range(4):
        await identity.log_in()
    whole = [session.id for session in (await listed(identity, ada)).sessions]
    pages, token, last = [], "", ""
    while True:
        page = await listed(identity, ada, page_size=2, page_token=token)
        pages.append([session.id for session in page.sessions])
        token = page.next_page_token
        if not token:
            break
        last = token
    assert [len(page) for page in pages] == [2, 2, 1]
    assert list(chain(*pages)) == whole == sorted(whole, reverse=True)
    for wrong in ("bad", forged(last, "yesterday")):
        assert await reason(listed(identity, ada, page_token=wrong)) == "INVALID_PAGE_TOKEN"


async def test_a_revoked_session_is_over_and_listed_no_more(identity: Identity) -> None:
    first, second = await identity.register(), await identity.log_in()
    ada = person(first.user.id)
    stolen = str((await verified(identity, first.tokens.access_token))["sid"])
    await revoke(identity, ada, stolen)
    assert await reason(identity.refresh(first.tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"
    assert (await identity.refresh(second.tokens.refresh_token)).tokens.refresh_token
    assert stolen not in [session.id for session in (await listed(identity, ada)).sessions]
    assert await reason(revoke(identity, ada, stolen)) == "NOT_FOUND"


async def test_nobody_ends_the_session_of_another(identity: Identity) -> None:
    ada, eve = await identity.register(), await identity.register("eve@example.com")
    session_id = str((await verified(identity, ada.tokens.access_token))["sid"])
    assert await reason(revoke(identity, person(eve.user.id), session_id)) == "NOT_FOUND"
    assert (await identity.refresh(ada.tokens.refresh_token)).tokens.refresh_token


@pytest.mark.parametrize("keep", [True, False])
async def test_all_sessions_end_or_all_the_others(identity: Identity, keep: bool) -> None:
    first, second = await identity.register(), await identity.log_in()
    await identity.log_in()
    claims = await verified(identity, second.tokens.access_token)
    caller = replace(person(first.user.id), session_id=str(claims["sid"]))
    request = pb.RevokeSessionsRequest(user_id=caller.subject, keep_current=keep)
    answer = await identity.sessions.RevokeSessions(request, metadata=identity.metadata(caller))
    assert answer.revoked == (2 if keep else 3)
    assert await reason(identity.refresh(first.tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"
    if keep:
        assert (await identity.refresh(second.tokens.refresh_token)).tokens.refresh_token
    else:
        assert await reason(identity.refresh(second.tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ("account_status = 'suspended', suspended_at = now()", "ACCOUNT_SUSPENDED"),
        ("account_status = 'deleted'", "ACCOUNT_SUSPENDED"),
        ("deleted_at = now()", "WRONG_CREDENTIALS"),
    ],
)
async def test_who_is_suspended_or_deleted_neither_logs_in_nor_stays(
    identity: Identity, change: str, answer: str
) -> None:
    tokens = (await identity.register()).tokens
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute(f"UPDATE users SET {change}".encode())
    assert await reason(identity.log_in()) == answer
    # Only to who has the password.
    assert await reason(identity.log_in(password=WRONG)) == "WRONG_CREDENTIALS"
    assert await reason(identity.refresh(tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"


async def test_a_password_that_changes_during_a_log_in_logs_nobody_in(identity: Identity) -> None:
    """Whoever changes a password because a thief knows it ends the thief's sessions, the one that begins now too."""
    await identity.register()
    changed = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash("quite another long passphrase")
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute("UPDATE users SET password_hash = %s", [changed])
        attempt = asyncio.create_task(identity.log_in())
        await identity.database.has_waiting()
    assert await reason(attempt) == "WRONG_CREDENTIALS"
