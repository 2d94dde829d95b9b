"""The same request at the same time: the work is done once."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from services.kit.caller import calling
from services.kit.database import Database
from services.kit.errors import ServiceError
from services.kit.idempotency import once
from services.tracking.base import IDEMPOTENCY_KEYS
from tests.databases import ServiceDatabase
from tests.harness import person
from vitalis.tracking.v1 import wearables_pb2 as pb


@pytest.fixture
async def pool(clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Database]:
    database = Database(clone_database("tracking").app_url, 10)
    await database.open()
    yield database
    await database.close()


def request(user_id: str, steps: int = 1, request_id: str = "r1") -> pb.BatchUpsertWearableDailyRequest:
    row = pb.WearableDaily(date="2026-01-01", source="garmin", steps=steps)
    return pb.BatchUpsertWearableDailyRequest(user_id=user_id, wearable_daily=[row], request_id=request_id)


async def answer(
    pool: Database, message: pb.BatchUpsertWearableDailyRequest, done: list[int], fails: bool = False
) -> pb.BatchUpsertWearableDailyResponse:
    async with pool.transaction() as connection:

        async def work() -> pb.BatchUpsertWearableDailyResponse:
            done.append(1)
            await asyncio.sleep(0.05)
            if fails:
                raise ZeroDivisionError
            return pb.BatchUpsertWearableDailyResponse(counts=pb.WriteCounts(stored=len(done)))

        return await once(connection, IDEMPOTENCY_KEYS, message, pb.BatchUpsertWearableDailyResponse, work)


async def test_repeats_at_once_do_the_work_once(pool: Database) -> None:
    ada, done = person(), list[int]()
    with calling(ada):
        answers = await asyncio.gather(*(answer(pool, request(ada.subject), done) for _ in range(8)))
    assert len(done) == 1
    assert all(each == answers[0] for each in answers)


async def test_work_that_failed_can_be_repeated(pool: Database) -> None:
    ada, done = person(), list[int]()
    with calling(ada):
        with pytest.raises(ZeroDivisionError):
            await answer(pool, request(ada.subject), done, fails=True)
        assert (await answer(pool, request(ada.subject), done)).counts.stored == 2


async def test_an_id_belongs_to_one_request_and_one_person(pool: Database) -> None:
    ada, bob, done = person(), person(), list[int]()
    with calling(ada):
        await answer(pool, request(ada.subject), done)
        with pytest.raises(ServiceError) as error:
            await answer(pool, request(ada.subject, steps=2), done)
        assert error.value.reason.name == "REQUEST_ID_REUSED"
    with calling(bob):
        await answer(pool, request(bob.subject, steps=2), done)
    assert len(done) == 2


async def test_requests_without_an_id_are_done_each_time(pool: Database) -> None:
    ada, done = person(), list[int]()
    with calling(ada):
        for _ in range(2):
            await answer(pool, request(ada.subject, request_id=""), done)
    assert len(done) == 2
