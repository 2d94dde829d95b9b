"""One person's data is nobody else's, over every RPC that there is or will be."""

import grpc
import pytest

from services.kit.caller import ANONYMOUS, Caller
from tests.harness import failure, person, reason, service
from tests.isolation.conftest import Start
from tests.isolation.resources import REQUEST_ID, call, everything_about, make
from tests.rpcs import Rpc, ids, rpcs
from vitalis.options.v1.options_pb2 import AUDIENCE_ADMIN, AUDIENCE_INTERNAL, AUDIENCE_PUBLIC

ABOUT_SOMEBODY = [rpc for rpc in rpcs() if rpc.takes("user_id") or rpc.takes("id")]
GUARDED = [rpc for rpc in rpcs() if rpc.access.audience != AUDIENCE_PUBLIC]
EVERY_SCOPE = {rpc.access.scope for rpc in rpcs()} - {""}
# What an RPC may say to a resource's owner instead of doing as it is asked.
NOT_NOW = {"IMPORT_ENDED", "IMPORT_NOT_ENDED"}


def entitled(rpc: Rpc, subject: str = "") -> Caller:
    """Somebody who may call the RPC, with every scope."""
    if rpc.access.audience == AUDIENCE_INTERNAL:
        return service(subject or person().subject)
    return person(subject, "admin" if rpc.access.audience == AUDIENCE_ADMIN else "user")


@pytest.mark.parametrize("rpc", ABOUT_SOMEBODY, ids=ids)
async def test_nobody_reaches_another_persons_resources(rpc: Rpc, start: Start) -> None:
    running = await start(rpc.process)
    owner, row_id = await make(rpc.collection, running)
    stored = everything_about(running.database, owner.subject)
    assert stored
    stranger = entitled(rpc)

    named = await failure(call(running, rpc, stranger, user_id=owner.subject, id=row_id))
    assert named.reason.name == "SUBJECT_MISMATCH"
    try:
        # The same names and the same request id as the owner's.
        answer = await call(running, rpc, stranger, id=row_id, request_id=REQUEST_ID)
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND
        text = str(error.details())
    else:
        assert not rpc.takes("id")
        assert not rpc.only_reads or answer == type(answer)()
        text = str(answer)
    assert owner.subject not in text
    assert row_id not in text
    assert everything_about(running.database, owner.subject) == stored

    # The same call is fine when it is the owner's own: it was not refused for another reason.
    try:
        await call(running, rpc, entitled(rpc, owner.subject), id=row_id, request_id="another")
    except grpc.aio.AioRpcError as error:
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert set(rpc.errors) & NOT_NOW


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
    caller = entitled(rpc, somebody)
    limited = Caller(caller.actor, caller.subject, caller.role, frozenset(others), caller.request_id)
    assert await reason(call(running, rpc, limited)) == "SCOPE_MISSING"

    too_little = {AUDIENCE_INTERNAL: ("user", "coach", "admin"), AUDIENCE_ADMIN: ("user", "coach")}
    for role in too_little.get(rpc.access.audience, ()):
        assert await reason(call(running, rpc, person(somebody, role))) == "SCOPE_MISSING"
