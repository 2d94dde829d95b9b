"""The errors that follow from what a request carries, provoked on every RPC that documents them."""

from collections.abc import Collection
from typing import Any

import pytest

from services.kit.caller import Caller
from tests.harness import Running, failure, reason
from tests.isolation.conftest import Start, start
from tests.isolation.resources import call, entitled, make, signed_up
from tests.rpcs import Rpc, ids, rpcs

NOBODYS = "01930000-0000-7000-8000-00000000dead"
# Whose own tests repeat a request: what is valid depends on the calls before it.
REPEATED_ELSEWHERE = {"SaveOnboardingStep"}


def documenting(name: str, but: Collection[str] = ()) -> pytest.MarkDecorator:
    found = [rpc for rpc in rpcs() if name in rpc.errors and rpc.method.name not in but]
    return pytest.mark.parametrize("rpc", found, ids=ids)


@documenting("NOT_FOUND")
async def test_what_is_not_there_is_not_found(rpc: Rpc, start: Start) -> None:
    running = await start(rpc.process)
    error = await failure(call(running, rpc, entitled(running, rpc, NOBODYS), id=NOBODYS))
    # Where a proof is asked for first, nobody has one; tests/identity goes on from there.
    assert error.reason.name in {"NOT_FOUND", "PROOF_REFUSED"} & set(rpc.errors)
    assert NOBODYS not in error.message


@documenting("INVALID_PAGE_TOKEN")
async def test_a_page_token_belongs_to_its_list_and_parameters(rpc: Rpc, start: Start) -> None:
    running = await start(rpc.process)
    caller = entitled(running, rpc)
    for token in ("x", "e30", "W10", "WyJhIl0", "\0", "ü", "W1tbW1tb" * 200):
        assert await reason(call(running, rpc, caller, page_token=token)) == "INVALID_PAGE_TOKEN"
    assert await reason(call(running, rpc, caller, page_size=-1)) == "INVALID_FIELD"


@documenting("REQUEST_ID_REUSED", but=REPEATED_ELSEWHERE)
async def test_a_request_id_belongs_to_one_request(rpc: Rpc, start: Start) -> None:
    running = await start(rpc.process)
    ada, about = await whose(rpc, running)
    first = await call(running, rpc, ada, request_id="r1", **about)
    assert await call(running, rpc, ada, request_id="r1", **about) == first
    changed = rpc.ask(user_id=ada.subject, request_id="r1", **about)
    if not change(changed[0]):
        # It says nothing but whose it is, so only another RPC can be another request (tests/privacy).
        assert set(changed[0].DESCRIPTOR.fields_by_name) == {"user_id", "request_id"}
        return
    error = await failure(rpc.call(running.channel, changed, running.metadata(ada)))
    assert error.reason.name == "REQUEST_ID_REUSED"
    # Another person's request ids are their own.
    somebody, theirs = await whose(rpc, running)
    await call(running, rpc, somebody, request_id="r1", **theirs)


async def whose(rpc: Rpc, running: Running) -> tuple[Caller, dict[str, str]]:
    """Somebody new, with a resource of theirs if the RPC is about one."""
    if not rpc.takes("id"):
        return signed_up(running), {}
    owner, row_id = await make(rpc.collection, running)
    return owner, {"id": row_id}


@documenting("DATE_OUT_OF_RANGE")
async def test_a_date_that_no_partition_has_is_named_as_the_reason(rpc: Rpc, start: Start) -> None:
    running = await start(rpc.process)
    caller = entitled(running, rpc)
    fields: dict[str, str] = {}
    if rpc.takes("id"):
        owner, fields["id"] = await make(rpc.collection, running)
        caller = owner
    for date in ("1500-01-01", "9999-12-31"):
        requests = rpc.ask(user_id=caller.subject, **fields)
        redate(requests[0], date)
        error = await failure(rpc.call(running.channel, requests, running.metadata(caller)))
        assert error.reason.name == "DATE_OUT_OF_RANGE"
        assert date not in error.message


def change(message: Any) -> bool:
    """Makes it another request: the first number inside, or a name, differs."""
    for field, value in message.ListFields():
        if field.name in ("file_name", "raw_name", "version"):
            setattr(message, field.name, "another.zip")
            return True
        if field.name in ("alias", "note", "notes"):
            setattr(message, field.name, "another")
            return True
        if field.type in (field.TYPE_DOUBLE, field.TYPE_INT32):
            setattr(message, field.name, value + 1)
            return True
        if is_ours(field) and change(value[0] if field.is_repeated else value):
            return True
    return False


def redate(request: Any, date: str) -> None:
    """Puts the date into every resource of the request."""
    for field, value in request.ListFields():
        if is_ours(field):
            for resource in value if field.is_repeated else [value]:
                names = [f.name for f in resource.DESCRIPTOR.fields]
                setattr(resource, next(name for name in names if name == "date" or name.endswith("_date")), date)


def is_ours(field: Any) -> bool:
    return bool(field.message_type and field.message_type.full_name.startswith("vitalis."))


__all__ = ["start"]
