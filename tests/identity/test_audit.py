"""What logging in and out, and one's credentials, leave in the audit log, and what they never do."""

from dataclasses import replace
from typing import Any

import psycopg
from psycopg.rows import dict_row

from services.identity.tokens import fingerprint
from services.kit.caller import ANONYMOUS, Caller
from tests.identity.conftest import EMAIL, PASSWORD, Identity
from vitalis.identity.v1 import credentials_pb2
from vitalis.identity.v1 import registration_pb2 as pb

PHONE = replace(ANONYMOUS, address="192.0.2.7", user_agent="phone/1", request_id="r-1")


def rows(identity: Identity) -> list[dict[str, Any]]:
    with psycopg.connect(identity.database.migrator_url, row_factory=dict_row) as owner:
        return owner.execute("SELECT * FROM audit_log ORDER BY created_at").fetchall()


def events(identity: Identity, *names: str) -> list[dict[str, Any]]:
    return [row for row in rows(identity) if row["action"] in names]


async def test_logging_in_and_out_are_events_with_where_they_came_from(identity: Identity) -> None:
    registered = await identity.register(caller=PHONE)
    tokens = (await identity.log_in()).tokens
    await identity.log_out(tokens.refresh_token)
    await identity.log_out(tokens.refresh_token)
    first, second, out = events(identity, "LOGIN", "LOGOUT")
    assert [row["action"] for row in (first, second, out)] == ["LOGIN", "LOGIN", "LOGOUT"]
    assert {str(row["user_id"]) for row in (first, second, out)} == {registered.user.id}
    assert {row["action_by"] for row in (first, second, out)} == {registered.user.id}
    assert (first["ip_address"], first["user_agent"], first["request_id"]) == ("192.0.2.7", "phone/1", "r-1")
    assert first["record_id"] != second["record_id"] == out["record_id"]


async def test_a_log_in_that_fails_or_goes_on_is_none(identity: Identity) -> None:
    tokens = (await identity.register()).tokens
    await identity.refresh(tokens.refresh_token)
    await identity.log_out("nobody's")
    assert len(events(identity, "LOGIN", "LOGOUT")) == 1


async def test_no_secret_is_in_the_log(identity: Identity) -> None:
    registered = await identity.register()
    ada = Caller(registered.user.id, registered.user.id, "user", frozenset({"*"}))
    tokens = (await identity.refresh(registered.tokens.refresh_token)).tokens
    another = "a quite different passphrase"
    await identity.credentials.ChangePassword(
        credentials_pb2.ChangePasswordRequest(user_id=ada.subject, old_password=PASSWORD, new_password=another),
        metadata=identity.metadata(ada),
    )
    with psycopg.connect(identity.database.migrator_url) as owner:
        hashes = [row[0] for row in owner.execute("SELECT password_hash FROM users").fetchall()]
    written = str(rows(identity))
    secrets = [PASSWORD, another, *hashes, "$argon2", tokens.access_token]
    for token in (registered.tokens.refresh_token, tokens.refresh_token):
        secrets += [token, fingerprint(token).hex()]
    assert [secret for secret in secrets if secret in written] == []
    assert {"password_hash": "[changed]"} in [row["new_values"] for row in rows(identity)]


async def test_of_an_address_that_was_never_proved_nothing_stays(identity: Identity) -> None:
    await identity.register()
    request = pb.RegisterRequest(email="grace@example.com", password=PASSWORD, display_name="Grace")
    await identity.registration.Register(request, metadata=identity.metadata(PHONE))
    await identity.run_jobs()
    assert "grace@example.com" in str(rows(identity))
    with psycopg.connect(identity.database.migrator_url) as owner:
        owner.execute("UPDATE users SET created_at = now() - interval '8 days' WHERE email_verified_at IS NULL")
    before = len(rows(identity))
    assert identity.running.parts.jobs
    await identity.running.parts.jobs.app.tasks["forget_logins"].defer_async(timestamp=0)
    await identity.run_jobs()
    after = rows(identity)
    assert len(after) >= before
    assert "grace@example.com" not in str(after)
    assert "Grace" not in str(after)
    assert "192.0.2.7" not in str(after)
    # Ada's own is untouched.
    assert EMAIL in str(after)
