"""Somebody is erased while a document or a file of theirs is being read: nothing is left, whichever comes first."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from tests.harness import Running, drain, service
from tests.isolation.resources import everything_about
from tests.labs.conftest import As
from tests.labs.documents import uploaded
from tests.labs.documents.printed import QUEST, lines
from tests.labs.interchange import importing
from vitalis.common.v1 import person_data_pb2 as pb
from vitalis.common.v1 import person_data_pb2_grpc

FILE = "Date,Lab,Test,Result,Unit\n2025-03-04,North Lab,Glucose,5.5,mmol/L\n"
IMPORTING = "SELECT pg_advisory_xact_lock(hashtextextended('lab-imports:' || %s, 0))"
READING = "SELECT FROM documents WHERE user_id = %s FOR UPDATE"


async def erase(labs: Running, who: As) -> None:
    stub = person_data_pb2_grpc.PersonDataServiceStub(labs.channel)
    request = pb.ErasePersonDataRequest(user_id=who.id)
    await stub.ErasePersonData(request, metadata=labs.metadata(service(who.id)), timeout=60)


@pytest.mark.parametrize("first", ["worker", "erasure"])
@pytest.mark.parametrize("kind", ["document", "import"])
async def test_nothing_is_left(labs: Running, ada: As, tmp_path: Path, kind: str, first: str) -> None:
    if kind == "document":
        await uploaded.upload(ada, lines(tmp_path / "quest.pdf", QUEST).read_bytes())
    else:
        await importing.upload(ada, FILE)
    both = {"worker": lambda: drain(labs), "erasure": lambda: erase(labs, ada)}
    with psycopg.connect(labs.database.migrator_url) as holder:
        holder.execute(READING if kind == "document" else IMPORTING, [ada.id])
        begun = []
        for waiting, name in enumerate(sorted(both, key=lambda name: name != first), start=1):
            begun.append(asyncio.ensure_future(both[name]()))
            await labs.database.has_waiting(waiting)
    await asyncio.gather(*begun)
    assert everything_about(labs.database, ada.id) == []
    assert uploaded.stored_files(tmp_path) == []
    # Nothing comes back with what is tried again.
    await drain(labs)
    assert everything_about(labs.database, ada.id) == []
