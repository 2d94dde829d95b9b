"""Refresh tokens: rotation, reuse, expiry."""

import asyncio

import grpc
import psycopg
import pytest

from services.kit.errors import from_rpc_error
from tests.harness import reason
from tests.identity.conftest import Identity
from vitalis.identity.v1 import sessions_pb2 as pb


def owner_execute(identity: Identity, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(identity.database.migrator_url) as owner:
        cursor = owner.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


async def test_refreshing_replaces_both_tokens(identity: Identity) -> None:
    first = (await identity.register()).tokens
    second = (await identity.refresh(first.refresh_token)).tokens
    third = (await identity.refresh(second.refresh_token)).tokens
    assert len({tokens.refresh_token for tokens in (first, second, third)}) == 3
    assert len({tokens.access_token for tokens in (first, second, third)}) == 3
    rows = owner_execute(
        identity,
        "SELECT used.used_at IS NOT NULL, used.replaced_by = next.id FROM refresh_tokens used"
        " LEFT JOIN refresh_tokens next ON next.id = used.replaced_by ORDER BY used.created_at",
    )
    assert rows == [(True, True), (True, True), (False, None)]


async def test_reuse_ends_the_session_with_its_newest_token(identity: Identity) -> None:
    first = (await identity.register()).tokens
    second = (await identity.refresh(first.refresh_token)).tokens
    third = (await identity.refresh(second.refresh_token)).tokens
    assert await reason(identity.refresh(first.refresh_token)) == "REFRESH_TOKEN_REUSED"
    assert await reason(identity.refresh(third.refresh_token)) == "REFRESH_TOKEN_INVALID"
    assert await reason(identity.refresh(second.refresh_token)) == "REFRESH_TOKEN_REUSED"
    assert owner_execute(identity, "SELECT revoked_reason FROM sessions") == [("refresh_token_reused",)]


async def test_reuse_leaves_other_sessions_alone(identity: Identity) -> None:
    stolen, other = (await identity.register()).tokens, (await identity.log_in()).tokens
    await identity.refresh(stolen.refresh_token)
    assert await reason(identity.refresh(stolen.refresh_token)) == "REFRESH_TOKEN_REUSED"
    assert (await identity.refresh(other.refresh_token)).tokens.refresh_token


async def test_of_twenty_at_once_exactly_one_wins_and_the_session_ends(identity: Identity) -> None:
    tokens = (await identity.register()).tokens
    answers = await asyncio.gather(*(identity.refresh(tokens.refresh_token) for _ in range(20)), return_exceptions=True)
    winners = [answer for answer in answers if isinstance(answer, pb.RefreshSessionResponse)]
    errors = [from_rpc_error(answer) for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert len(winners) == 1
    assert [error.reason.name for error in errors] == ["REFRESH_TOKEN_REUSED"] * 19
    assert await reason(identity.refresh(winners[0].tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"


async def test_refreshing_and_logging_out_at_once_ends_the_session(identity: Identity) -> None:
    for _ in range(5):
        tokens = (await identity.log_in() if _ else await identity.register()).tokens
        answer, _out = await asyncio.gather(
            identity.refresh(tokens.refresh_token), identity.log_out(tokens.refresh_token), return_exceptions=True
        )
        if isinstance(answer, pb.RefreshSessionResponse):
            assert await reason(identity.refresh(answer.tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"


@pytest.mark.parametrize("token", ["vrt_unknown", "x", "\0", "vrt_" + "é" * 100])
async def test_an_unknown_token_is_invalid(identity: Identity, token: str) -> None:
    assert await reason(identity.refresh(token)) == "REFRESH_TOKEN_INVALID"


async def test_an_access_token_refreshes_nothing(identity: Identity) -> None:
    tokens = (await identity.register()).tokens
    assert await reason(identity.refresh(tokens.access_token)) in ("REFRESH_TOKEN_INVALID", "INVALID_FIELD")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE refresh_tokens SET expires_at = now()",
        "UPDATE sessions SET expires_at = now()",
        "UPDATE sessions SET revoked_at = now(), revoked_reason = 'logged_out'",
        "UPDATE users SET deleted_at = now()",
        "DELETE FROM users",
    ],
)
async def test_what_ends_a_refresh_token(identity: Identity, change: str) -> None:
    tokens = (await identity.register()).tokens
    owner_execute(identity, change)
    assert await reason(identity.refresh(tokens.refresh_token)) == "REFRESH_TOKEN_INVALID"


async def test_an_expired_token_that_was_used_still_ends_the_session(identity: Identity) -> None:
    first = (await identity.register()).tokens
    second = (await identity.refresh(first.refresh_token)).tokens
    owner_execute(identity, "UPDATE refresh_tokens SET expires_at = now() WHERE used_at IS NOT NULL")
    assert await reason(identity.refresh(first.refresh_token)) == "REFRESH_TOKEN_REUSED"
    assert await reason(identity.refresh(second.refresh_token)) == "REFRESH_TOKEN_INVALID"


async def test_lifetimes_slide_up_to_the_end_of_the_session(identity: Identity) -> None:
    first = (await identity.register()).tokens
    assert owner_execute(
        identity,
        "SELECT token.expires_at - token.created_at = interval '30 days',"
        " session.expires_at - session.created_at = interval '90 days'"
        " FROM refresh_tokens token JOIN sessions session ON session.id = token.session_id",
    ) == [(True, True)]
    owner_execute(identity, "UPDATE sessions SET expires_at = now() + interval '1 day'")
    second = (await identity.refresh(first.refresh_token)).tokens
    assert owner_execute(
        identity,
        "SELECT token.expires_at = session.expires_at FROM refresh_tokens token"
        " JOIN sessions session ON session.id = token.session_id WHERE token.used_at IS NULL",
    ) == [(True,)]
    assert second.refresh_token_expires_at.ToSeconds() < first.refresh_token_expires_at.ToSeconds()


async def test_the_token_itself_is_stored_nowhere(identity: Identity) -> None:
    tokens = (await identity.register()).tokens
    for table in ("users", "sessions", "refresh_tokens"):
        rows = owner_execute(identity, f"SELECT * FROM {table}")
        assert tokens.refresh_token not in repr(rows)
        assert tokens.refresh_token.removeprefix("vrt_") not in repr(rows)
