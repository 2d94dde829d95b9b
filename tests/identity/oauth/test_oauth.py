"""Logging in with an account elsewhere, and linking it: through the stub, at providers in processes of their own."""

import asyncio
import hashlib
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest
from structlog.testing import capture_logs

from services.identity.oauth.flow import Flow
from services.identity.oauth.tables import oauth_identities
from services.identity.privacy.personal import PERSONAL
from tests.harness import failure, person, reason
from tests.identity.conftest import Identity
from tests.identity.factors import BY_PASSWORD, PASSWORD_HASH, somebody
from tests.identity.oauth.conftest import REDIRECT, Client, Strict, just_now, query_of, rows, with_password
from vitalis.identity.v1 import log_in_pb2, log_in_pb2_grpc
from vitalis.identity.v1 import oauth_pb2 as pb
from vitalis.identity.v1.second_factors_pb2 import Proof


async def test_somebody_new_is_signed_up_and_comes_back_as_the_same(client: Client, identity: Identity) -> None:
    first = await client.log_in()
    assert (first.user.email, first.user.display_name) == ("ada@example.com", "Ada Lovelace")
    assert (await identity.refresh(first.tokens.refresh_token)).tokens.access_token
    again = await client.log_in(email="ada@elsewhere.example", name="Countess")
    assert again.user.id == first.user.id
    # What the provider says later changes nothing here.
    assert (again.user.email, again.user.display_name) == ("ada@example.com", "Ada Lovelace")
    stored = rows(identity, "SELECT password_hash, email_verified_at, account_id FROM users")
    assert len(stored) == 1
    assert stored[0]["password_hash"] is None
    assert stored[0]["email_verified_at"] is not None
    assert rows(identity, "SELECT owner_id FROM accounts") == [{"owner_id": UUID(first.user.id)}]
    assert await reason(identity.log_in(email="ada@example.com")) == "WRONG_CREDENTIALS"


async def test_at_a_provider_of_others_making(identity: Identity, strict: Strict, mock_provider: str) -> None:
    client = Client(identity, strict, "mock")
    browser = httpx.AsyncClient()
    await browser.put(f"{mock_provider}/users/grace", json={"email": "grace@example.org", "email_verified": True})
    users = set()
    for redirect in (REDIRECT, "http://127.0.0.1:41241/callback"):
        begun = await client.start(redirect)
        agreed = await browser.post(begun.authorization_url, data={"sub": "grace"})
        assert agreed.headers["location"].startswith(redirect)
        returned = query_of(agreed.headers["location"])
        answer = await client.complete(**returned, binding=begun.binding)
        assert answer.user.email == "grace@example.org"
        users.add(answer.user.id)
        assert await reason(client.complete(**returned, binding=begun.binding)) == "OAUTH_STATE_INVALID"
    assert len(users) == 1
    begun = await client.start()
    denied = await browser.post(begun.authorization_url, data={"action": "deny"})
    assert query_of(denied.headers["location"])["error"] == "access_denied"
    await browser.aclose()


async def test_a_state_is_good_once_and_for_ten_minutes(client: Client, identity: Identity) -> None:
    back = await client.come_back()
    await client.complete(**back)
    assert await reason(client.complete(**back)) == "OAUTH_STATE_INVALID"
    back = await client.come_back()
    lasts = rows(identity, "SELECT expires_at - now() AS lasts FROM oauth_states")[0]["lasts"]
    assert 590 < lasts.total_seconds() <= 600
    rows(identity, "UPDATE oauth_states SET expires_at = now()")
    assert await reason(client.complete(**back)) == "OAUTH_STATE_INVALID"
    assert rows(identity, "SELECT 1 FROM oauth_states") == []


async def test_what_nobody_ended_is_forgotten(client: Client, identity: Identity) -> None:
    await client.start()
    await client.start()
    rows(identity, "UPDATE oauth_states SET expires_at = now() WHERE ctid = (SELECT min(ctid) FROM oauth_states)")
    jobs = identity.running.parts.jobs
    assert jobs
    await jobs.app.tasks["forget_oauth"].func(timestamp=0)
    assert len(rows(identity, "SELECT 1 FROM oauth_states")) == 1


async def test_a_code_in_another_client_logs_nobody_in(client: Client) -> None:
    """Log-in CSRF: an attacker's own code and state, brought to the victim's client, and the other way round."""
    attackers, victims = await client.come_back(), await client.come_back()
    mixed = {**attackers, "binding": victims["binding"]}
    assert await reason(client.complete(**mixed)) == "OAUTH_STATE_INVALID"
    # It was used up by that.
    assert await reason(client.complete(**attackers)) == "OAUTH_STATE_INVALID"
    stolen = {**victims, "code": (await client.come_back())["code"]}
    assert await reason(client.complete(**stolen)) == "OAUTH_REFUSED"


async def test_a_state_belongs_to_its_provider_and_purpose(client: Client, identity: Identity) -> None:
    ada = just_now(await client.log_in())
    bert = just_now(await client.log_in(sub="b", email="b@b.example"))
    assert await reason(client.complete(**await client.come_back(), provider="other")) == "OAUTH_STATE_INVALID"
    # A log-in is not ended as a link, nor a link as a log-in, nor by somebody else.
    assert await reason(client.link(ada, **await client.come_back())) == "OAUTH_STATE_INVALID"
    assert await reason(client.complete(**await client.start_link(ada))) == "OAUTH_STATE_INVALID"
    assert await reason(client.link(bert, **await client.start_link(ada))) == "OAUTH_STATE_INVALID"
    assert await reason(client.link(ada, **await client.start_link(ada), provider="other")) == "OAUTH_STATE_INVALID"


async def test_the_database_cannot_end_a_flow(client: Client, identity: Identity) -> None:
    begun = await client.start()
    flow = Flow(begun.state, begun.binding)
    stored = str(rows(identity, "SELECT * FROM oauth_states"))
    for secret in (flow.state, flow.binding, flow.verifier, flow.nonce):
        assert secret not in stored
        assert hashlib.sha256(secret.encode()).hexdigest() not in stored
    with psycopg.connect(identity.database.app_url) as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("SELECT * FROM oauth_states")


async def test_the_providers_tokens_are_stored_encrypted(client: Client, identity: Identity, strict: Strict) -> None:
    answer = await client.log_in()
    strict.rules(token={"refresh_token": None})
    before = rows(identity, "SELECT refresh_token_enc FROM oauth_identities")
    await client.log_in()
    stored = rows(identity, "SELECT * FROM oauth_identities")[0]
    assert stored["refresh_token_enc"] == before[0]["refresh_token_enc"]
    assert stored["provider_user_id"] == f"{strict.url} ada"
    assert stored["last_used_at"]
    assert stored["expires_at"]
    database = identity.running.pool
    async with database.transaction(person(answer.user.id)) as connection:
        key = await database.vault.key(connection)
    for column in ("access_token_enc", "refresh_token_enc"):
        token = key.decrypt("oauth_identities", column, stored["id"], stored[column])
        assert len(token) > 40
        assert token.encode() not in stored[column]


async def test_a_stolen_access_token_links_and_unlinks_nothing(client: Client, identity: Identity) -> None:
    known, stolen = just_now(await client.log_in()), await with_password(identity, "bert@example.com")
    linked = (await client.identities(known))[0].id
    for caller, proof in ((stolen, None), (stolen, Proof(password="guessed")), (person(known.subject), None)):
        assert await reason(client.start_link(caller, proof)) == "PROOF_REFUSED"
        assert await reason(client.unlink(caller, linked, proof)) == "PROOF_REFUSED"
    rows(identity, "UPDATE sessions SET created_at = now() - interval '11 minutes'")
    assert await reason(client.start_link(known)) == "PROOF_REFUSED"
    assert rows(identity, "SELECT 1 FROM oauth_states") == []


async def test_codes_are_not_guessed_here_either(client: Client, identity: Identity) -> None:
    owner = await (await somebody(identity, password_hash=PASSWORD_HASH)).enable_totp()
    caller, wrong = owner.caller, Proof(totp_code=owner.wrong_code())
    guesses = [await reason(client.start_link(caller, wrong)) for _ in range(12)]
    assert set(guesses) == {"PROOF_REFUSED", "TOO_MANY_ATTEMPTS"}
    assert await reason(client.unlink(caller, str(UUID(int=7)), wrong)) == "TOO_MANY_ATTEMPTS"


async def test_who_has_a_second_factor_is_asked_for_it(client: Client, identity: Identity, strict: Strict) -> None:
    owner = await (await somebody(identity)).enable_totp()
    await client.link(owner.caller, **await client.start_link(owner.caller, BY_PASSWORD))
    before = rows(identity, "SELECT count(*) AS sessions FROM sessions")
    answer = await client.log_in()
    assert not answer.HasField("tokens")
    assert not answer.HasField("user")
    assert set(answer.challenge.methods) == {"totp", "recovery_code"}
    assert rows(identity, "SELECT count(*) AS sessions FROM sessions") == before
    assert rows(identity, "SELECT last_login_at FROM users") == [{"last_login_at": None}]
    owner.wait()
    complete = log_in_pb2.CompleteLogInRequest(challenge=answer.challenge.challenge, totp_code=owner.code())
    stub: Any = log_in_pb2_grpc.LogInServiceStub(identity.running.channel)
    completed = await stub.CompleteLogIn(complete, metadata=identity.metadata())
    assert completed.user.id == owner.user_id
    assert (await identity.refresh(completed.tokens.refresh_token)).tokens.access_token


async def test_a_providers_tokens_leave_by_no_door(client: Client, identity: Identity, strict: Strict) -> None:
    """Neither with an answer nor in the log nor in an export, nor in the audit trail."""
    tokens = {"access_token": "an-access-token-of-the-provider", "refresh_token": "a-refresh-token-of-the-provider"}
    strict.rules(token=tokens, claims={"at_hash": None})
    with capture_logs() as logs:
        answer = await client.log_in()
        listed = await client.identities(person(answer.user.id))
    trail = rows(identity, "SELECT * FROM audit_log")
    assert [row["table_name"] for row in trail if row["table_name"] == "oauth_identities"]
    exported = {column.name for column in PERSONAL.columns(oauth_identities)}
    assert not exported & {"access_token_enc", "refresh_token_enc"}
    for place in (answer, listed, logs, trail, rows(identity, "SELECT * FROM oauth_identities")):
        for token in tokens.values():
            assert token not in str(place)
            assert token.encode().hex() not in str(place)


async def test_the_same_subject_of_another_issuer_is_somebody_else(
    client: Client, identity: Identity, strict: Strict, mock_provider: str
) -> None:
    known = (await client.log_in()).user.id
    async with httpx.AsyncClient() as browser:
        await browser.put(f"{mock_provider}/users/ada", json={"email": "ada@example.org", "email_verified": True})
        begun = await Client(identity, strict, "mock").start()
        agreed = await browser.post(begun.authorization_url, data={"sub": "ada"})
    back = query_of(agreed.headers["location"])
    other = await client.complete(**back, binding=begun.binding, provider="mock")
    assert other.user.id != known
    # Nor is it the same one if a name is given to another issuer later.
    assert rows(
        identity, "SELECT DISTINCT split_part(provider_user_id, ' ', 1) AS issuer FROM oauth_identities ORDER BY 1"
    ) == [{"issuer": issuer} for issuer in sorted((strict.url, mock_provider))]


async def test_an_unknown_provider_or_redirect(client: Client, identity: Identity, strict: Strict) -> None:
    unknown = Client(identity, strict, "unknown")
    somebody = just_now(await client.log_in())
    back = await client.come_back()
    assert await reason(unknown.start()) == "OAUTH_PROVIDER_UNKNOWN"
    assert await reason(unknown.complete(**back)) == "OAUTH_PROVIDER_UNKNOWN"
    assert await reason(unknown.start_link(somebody)) == "OAUTH_PROVIDER_UNKNOWN"
    assert await reason(unknown.link(somebody, **back)) == "OAUTH_PROVIDER_UNKNOWN"
    assert await reason(client.start("https://evil.example/callback")) == "OAUTH_REDIRECT_NOT_ALLOWED"
    request = pb.StartLinkRequest(user_id=somebody.subject, provider="strict", redirect_uri="https://evil.example/")
    evil = client.stub.StartLink(request, metadata=identity.metadata(somebody))
    assert await reason(evil) == "OAUTH_REDIRECT_NOT_ALLOWED"


async def test_the_suspended_and_the_deleted_stay_out(client: Client, identity: Identity) -> None:
    ada = (await client.log_in()).user.id
    rows(identity, "UPDATE users SET account_status = 'suspended', suspended_at = now()")
    assert await reason(client.log_in()) == "ACCOUNT_SUSPENDED"
    rows(identity, "UPDATE users SET account_status = 'active', suspended_at = NULL, deleted_at = now()")
    assert await reason(client.log_in()) == "ACCOUNT_SUSPENDED"
    rows(identity, "UPDATE users SET deleted_at = NULL")
    assert (await client.log_in()).user.id == ada


async def test_a_refusal_says_nothing_of_the_provider(client: Client, strict: Strict) -> None:
    back = await client.come_back()
    error = await failure(client.complete(**{**back, "code": "wrong"}))
    assert (error.reason.name, "script" in error.message) == ("OAUTH_REFUSED", False)
    somebody = just_now(await client.log_in())
    back = await client.start_link(somebody)
    assert await reason(client.link(somebody, **{**back, "code": "wrong"})) == "OAUTH_REFUSED"


async def test_of_two_at_once_one_signs_up(client: Client, identity: Identity) -> None:
    backs = [await client.come_back() for _ in range(6)]
    answers = await asyncio.gather(*(client.complete(**back) for back in backs), return_exceptions=True)
    people = {answer.user.id for answer in answers if isinstance(answer, pb.CompleteOAuthResponse)}
    assert len(people) == 1
    assert len(rows(identity, "SELECT 1 FROM users")) == 1
    assert len(rows(identity, "SELECT 1 FROM oauth_identities")) == 1


async def test_an_identity_is_one_persons(client: Client, identity: Identity) -> None:
    ada, caller = just_now(await client.log_in()), await with_password(identity, "bert@example.com")
    for linking, proof in ((ada, None), (caller, BY_PASSWORD)):
        back = await client.start_link(linking, proof)
        assert await reason(client.link(linking, **back)) == "IDENTITY_TAKEN"
    assert await client.identities(caller) == []
    adas = (await client.identities(ada))[0].id
    assert await reason(client.unlink(caller, adas, BY_PASSWORD)) == "NOT_FOUND"


async def test_a_person_is_told_of_a_new_way_in(client: Client, identity: Identity) -> None:
    caller = await with_password(identity, "bert@example.com")
    await client.link(caller, **await client.start_link(caller, BY_PASSWORD))
    await identity.run_jobs()
    [mail] = [mail for mail in identity.mails() if mail["Subject"] == "A new way to log in"]
    assert mail["To"] == "bert@example.com"
    assert "strict" in mail.get_content()


async def test_the_last_way_in_stays(client: Client, identity: Identity, strict: Strict) -> None:
    caller = just_now(await client.log_in())
    first = (await client.identities(caller))[0]
    assert await reason(client.unlink(caller, first.id)) == "LAST_WAY_TO_LOG_IN"
    other = Client(identity, strict, "other")
    second = (await other.link(caller, **await other.start_link(caller))).identity
    assert [one.id for one in await client.identities(caller)] == [second.id, first.id]
    assert await reason(client.identities(caller, page_token="none of ours")) == "INVALID_PAGE_TOKEN"
    # Of two at once one stays.
    outcomes = await asyncio.gather(*(client.unlink(caller, one.id) for one in (first, second)), return_exceptions=True)
    assert sum(isinstance(outcome, pb.UnlinkIdentityResponse) for outcome in outcomes) == 1
    assert len(await client.identities(caller)) == 1
    assert await reason(client.unlink(caller, str(UUID(int=7)))) == "NOT_FOUND"


async def test_with_a_password_every_identity_can_go(client: Client, identity: Identity) -> None:
    caller = await with_password(identity, "ada@example.com")
    linked = (await client.link(caller, **await client.start_link(caller, BY_PASSWORD))).identity
    await client.unlink(caller, linked.id, BY_PASSWORD)
    assert await client.identities(caller) == []
    assert await reason(client.unlink(caller, linked.id, BY_PASSWORD)) == "NOT_FOUND"
    # It is a stranger's again, with an address that is somebody's.
    assert await reason(client.log_in()) == "OAUTH_LINK_FIRST"


async def test_a_provider_that_is_down_is_an_outage_and_holds_no_connection(
    client: Client, identity: Identity, strict: Strict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.identity.oauth.web.TOTAL_SECONDS", 2.0)
    backs = [await client.come_back() for _ in range(12)]
    strict.rules(broken={"/token": "hangs"})
    hanging = [asyncio.ensure_future(client.complete(**back)) for back in backs]
    while len(strict.seen("/token")) < len(backs):
        await asyncio.sleep(0.01)
    # More of them than the pool has connections, and yet others get theirs.
    assert identity.running.pool.pool.max_size < len(backs)
    bert = await identity.make_person("bert@example.com")
    assert await asyncio.wait_for(identity.get_user(bert, person(bert)), 1.5)
    errors = [await failure(attempt) for attempt in hanging]
    assert {error.reason.name for error in errors} == {"UNAVAILABLE"}
    assert {error.retry_after_seconds for error in errors} == {5}
