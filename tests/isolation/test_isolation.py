"""One person's data is nobody else's, over every RPC that there is or will be."""

from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import grpc
import pytest

from services.kit.caller import ANONYMOUS, GATEWAY, Caller
from services.kit.contract import grantable_scopes
from services.kit.errors import from_rpc_error
from tests.harness import failure, person, reason, service
from tests.isolation.conftest import Start
from tests.isolation.resources import REQUEST_ID, call, entitled, everything_about, make
from tests.rpcs import Rpc, ids, rpcs
from vitalis.options.v1.options_pb2 import (
    AUDIENCE_ADMIN,
    AUDIENCE_GATEWAY,
    AUDIENCE_INTERNAL,
    AUDIENCE_PUBLIC,
    AUDIENCE_USER,
)

# What anybody reads without a token is nobody's, and so is what administrators change without saying whose it is.
ABOUT_SOMEBODY = [
    rpc
    for rpc in rpcs()
    if rpc.takes("user_id") or (rpc.takes("id") and rpc.access.audience not in (AUDIENCE_PUBLIC, AUDIENCE_ADMIN))
]
GUARDED = [rpc for rpc in rpcs() if rpc.access.audience not in (AUDIENCE_PUBLIC, AUDIENCE_GATEWAY)]
EVERY_SCOPE = {rpc.access.scope for rpc in rpcs()} - {""}
# What an RPC may answer to the resource's owner: that it is done, or that this resource is not in the state for it.
FINE_FOR_THE_OWNER = {
    "",
    "ALREADY_EXISTS",
    "CODE_WRONG",
    "GRANT_EXISTS",
    "GRANT_TOKEN_INVALID",
    "CONSENT_NOT_GIVEN",
    "DELETION_PENDING",
    "DOCUMENT_NOT_IN_REVIEW",
    "EXPORT_NOT_READY",
    "EXPORT_RUNNING",
    "IMPORT_ENDED",
    "IMPORT_NOT_ENDED",
    "INVITATION_INVALID",
    "OAUTH_PROVIDER_UNKNOWN",
    "OWNER_CANNOT_LEAVE",
    "PANEL_REPEATED",
    "PANEL_UNKNOWN",
    "PASSKEY_REFUSED",
    "PROOF_REFUSED",
    "PASSWORD_WEAK",
    "VERIFICATION_TOKEN_INVALID",
}
NOTHING_THERE = {
    "",
    "CONSENT_NOT_GIVEN",
    "EMAIL_UNVERIFIED",
    "GRANT_TOKEN_INVALID",
    "INVITATION_INVALID",
    "NOT_FOUND",
    "OAUTH_PROVIDER_UNKNOWN",
    "VERIFICATION_TOKEN_INVALID",
}
# Asked for before anything is looked at; made-up ones do not hold, and tests/identity has those that do.
PROOF = {"PASSKEY_REFUSED", "PROOF_REFUSED"}


@pytest.mark.parametrize("rpc", ABOUT_SOMEBODY, ids=ids)
async def test_nobody_reaches_another_persons_resources(rpc: Rpc, start: Start) -> None:
    running = await start(rpc.process)
    owner, row_id = await make(rpc.collection, running)
    stored = everything_about(running.database, owner.subject)
    assert stored
    stranger = entitled(running, rpc)

    named = await failure(call(running, rpc, stranger, user_id=owner.subject, id=row_id))
    assert named.reason.name == "SUBJECT_MISMATCH"
    # The same names and the same request id as the owner's.
    error, answer = await outcome(call(running, rpc, stranger, id=row_id, request_id=REQUEST_ID))
    if rpc.takes("id"):
        assert error in {"NOT_FOUND"} | PROOF
    elif rpc.only_reads and rpc.url:
        # One's own audit trail tells that one was refused, and a file of nothing is a file too.
        file = "file" in rpc.method.output_type.fields_by_name and row_id not in str(answer)
        assert error == "NOT_FOUND" or answer == type(answer)() or rpc.collection == "audit-trail" or file
    else:
        # Somebody who never signed up has no row of their own to change, no provider is configured, nobody invited.
        assert error in NOTHING_THERE | PROOF
    assert owner.subject not in str(answer)
    assert row_id not in str(answer)
    assert everything_about(running.database, owner.subject) == stored

    # The same call is fine when it is the owner's own: it was not refused for another reason.
    error, _ = await outcome(call(running, rpc, entitled(running, rpc, owner.subject), id=row_id, request_id="another"))
    assert error in {"", *rpc.errors} & FINE_FOR_THE_OWNER


async def outcome(call: Awaitable[Any]) -> tuple[str, Any]:
    """The reason of the error that a call ends with, or "" and its answer."""
    try:
        return "", await call
    except grpc.aio.AioRpcError as error:
        refusal = from_rpc_error(error)
        return refusal.reason.name, refusal


@pytest.mark.parametrize("rpc", GUARDED, ids=ids)
async def test_who_may_not_call(rpc: Rpc, start: Start) -> None:
    running = await start(rpc.process)
    somebody = person().subject
    assert await reason(call(running, rpc, ANONYMOUS, user_id=somebody)) == "UNAUTHENTICATED"
    bare = rpc.call(running.channel, rpc.ask(user_id=somebody), ())
    assert await reason(bare) == "UNAUTHENTICATED"
    elsewhere = running.trust.gateway.metadata(person(somebody), "elsewhere")
    assert await reason(rpc.call(running.channel, rpc.ask(user_id=somebody), elsewhere)) == "UNAUTHENTICATED"

    others = EVERY_SCOPE - {rpc.access.scope} | {"none"}
    caller = entitled(running, rpc, somebody)
    limited = Caller(caller.actor, caller.subject, caller.role, frozenset(others), caller.request_id)
    assert await reason(call(running, rpc, limited)) == "SCOPE_MISSING"

    too_little = {AUDIENCE_INTERNAL: ("user", "coach", "admin"), AUDIENCE_ADMIN: ("user", "coach")}
    for role in too_little.get(rpc.access.audience, ()):
        assert await reason(call(running, rpc, person(somebody, role))) == "SCOPE_MISSING"


@pytest.mark.parametrize("rpc", [rpc for rpc in rpcs() if rpc.access.audience == AUDIENCE_GATEWAY], ids=ids)
async def test_what_is_for_the_gateway_is_for_nobody_else(rpc: Rpc, start: Start) -> None:
    running = await start(rpc.process)
    assert await reason(call(running, rpc, ANONYMOUS)) == "UNAUTHENTICATED"
    assert await reason(rpc.call(running.channel, rpc.ask(), ())) == "UNAUTHENTICATED"
    elsewhere = running.trust.gateway.metadata(GATEWAY, "elsewhere")
    assert await reason(rpc.call(running.channel, rpc.ask(), elsewhere)) == "UNAUTHENTICATED"
    # Another service cannot call itself the gateway.
    pretended = running.trust.insights.metadata(GATEWAY, running.name)
    assert await reason(rpc.call(running.channel, rpc.ask(), pretended)) == "UNAUTHENTICATED"
    for caller in (*(person("", role) for role in ("user", "coach", "admin")), service(person().subject)):
        assert await reason(call(running, rpc, caller)) == "SCOPE_MISSING"
    await call(running, rpc, GATEWAY)


@pytest.mark.parametrize("rpc", GUARDED, ids=ids)
async def test_what_no_grant_can_hold_no_grant_opens(rpc: Rpc, start: Start) -> None:
    """Somebody with a grant reaches what its scopes say, of those that a person can share."""
    running = await start(rpc.process)
    owner, grantee = person().subject, person().subject
    with_it = Caller(grantee, owner, "coach", frozenset({rpc.access.scope}), "request-1", grant_id=grantee)
    about = {"user_id": owner, "id": person().subject}
    if rpc.access.audience == AUDIENCE_USER and rpc.access.scope in grantable_scopes():
        error, _ = await outcome(call(running, rpc, with_it, **about))
        assert error in {"", *rpc.errors}
    else:
        assert await reason(call(running, rpc, with_it, **about)) == "SCOPE_MISSING"
    for scopes, grant_id in ((with_it.scopes, ""), ({"*"}, grantee), (EVERY_SCOPE - with_it.scopes, grantee)):
        without = replace(with_it, scopes=frozenset(scopes), grant_id=grant_id)
        assert await reason(call(running, rpc, without, **about)) == "SCOPE_MISSING"
