"""The queue: a job exists if and only if the data does, and is done in the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from procrastinate.jobs import Job

from services.kit.caller import calling, current
from services.kit.database import Database, now
from services.kit.jobs import Jobs
from tests.databases import ServiceDatabase
from tests.harness import person

LEFT = sa.text("SELECT count(*) FROM procrastinate_jobs WHERE task_name <> 'retry_stalled'")


@pytest.fixture
async def pool(clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Database]:
    database = Database(clone_database("tracking").app_url, 5)
    await database.open()
    yield database
    await database.close()


async def left(pool: Database) -> int:
    async with pool.transaction() as connection:
        return int((await connection.execute(LEFT)).scalar_one())


async def work_until(jobs: Jobs, done: Callable[[], Awaitable[bool]], stalled_after: float = 30) -> None:
    worker = asyncio.create_task(jobs.work(2, 5, stalled_after))
    try:
        async with asyncio.timeout(60):
            while not await done():
                await asyncio.sleep(0.05)
    finally:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker


async def test_a_job_exists_if_and_only_if_its_transaction_does(pool: Database) -> None:
    jobs, ran = Jobs("tracking", pool), []

    @jobs.job("note")
    async def note(what: str) -> None:
        ran.append(what)

    await jobs.open()

    async def defer_and_fail() -> None:
        async with pool.transaction() as connection:
            await jobs.defer(connection, note, lock="a", what="rolled back")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await defer_and_fail()
    assert await left(pool) == 0
    async with pool.transaction() as connection:
        await jobs.defer(connection, note, lock="a", what="committed")
    assert await left(pool) == 1

    async def all_done() -> bool:
        return await left(pool) == 0

    await work_until(jobs, all_done)
    assert ran == ["committed"]


async def test_a_job_runs_as_the_service_about_its_person(pool: Database) -> None:
    jobs, callers = Jobs("tracking", pool), []

    @jobs.job("who")
    async def who(user_id: str, request_id: str) -> None:
        callers.append(current())

    await jobs.open()
    ada = person()
    with calling(ada):
        async with pool.transaction() as connection:
            await jobs.defer(connection, who, lock="a", user_id=ada.subject, request_id=ada.request_id)

    async def ran() -> bool:
        return bool(callers)

    await work_until(jobs, ran)
    (caller,) = callers
    assert (caller.actor, caller.subject, caller.role) == ("service:tracking", ada.subject, "service")
    assert caller.request_id == "request-1"


async def test_a_job_that_fails_is_tried_again_later(pool: Database, capsys: pytest.CaptureFixture[str]) -> None:
    jobs, tries = Jobs("tracking", pool), []

    @jobs.job("flaky")
    async def flaky(user_id: str) -> None:
        tries.append(user_id)
        if len(tries) == 1:
            raise ValueError(f"about {user_id}")

    await jobs.open()
    async with pool.transaction() as connection:
        await jobs.defer(connection, flaky, lock="a", user_id="11111111-2222-7333-8444-555555555555")

    async def twice() -> bool:
        return len(tries) == 2

    await work_until(jobs, twice)
    logged = "".join(capsys.readouterr())
    assert "ValueError" in logged
    assert tries[0] not in logged


async def test_jobs_of_one_lock_run_one_after_the_other(pool: Database) -> None:
    jobs, order = Jobs("tracking", pool), []

    @jobs.job("slow")
    async def slow(name: str) -> None:
        order.append(f"{name} begins")
        await asyncio.sleep(0.2)
        order.append(f"{name} ends")

    await jobs.open()
    async with pool.transaction() as connection:
        for name in ("first", "second"):
            await jobs.defer(connection, slow, lock="a", name=name)

    async def both() -> bool:
        return len(order) == 4

    await work_until(jobs, both)
    assert order == ["first begins", "first ends", "second begins", "second ends"]


async def test_a_job_whose_worker_died_is_taken_up_again(pool: Database) -> None:
    jobs, ran = Jobs("tracking", pool), []

    @jobs.job("note")
    async def note(what: str) -> None:
        ran.append(what)

    await jobs.open()
    async with pool.transaction() as connection:
        await jobs.defer(connection, note, lock="a", what="again")
        dead = "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour') RETURNING id"
        worker_id = (await connection.execute(sa.text(dead))).scalar_one()
        taken = sa.text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = :id")
        await connection.execute(taken, {"id": worker_id})

    async def again() -> bool:
        return bool(ran)

    await work_until(jobs, again, stalled_after=2)
    assert ran == ["again"]


async def test_retries_wait_longer_each_time_and_end(pool: Database) -> None:
    jobs = Jobs("tracking", pool)

    @jobs.job("flaky", attempts=4)
    async def flaky() -> None: ...

    strategy: Any = flaky.retry_strategy
    waits = []
    for attempts in range(4):
        job = Job(id=1, queue="default", lock=None, queueing_lock=None, task_name="flaky", attempts=attempts)
        decision = strategy.get_retry_decision(exception=ValueError(), job=job)
        waits.append(decision and decision.retry_at - now())
    assert waits[0] < waits[1] < waits[2]
    assert waits[3] is None


async def test_nobody_waits_for_a_short_job_until_long_ones_are_done(pool: Database) -> None:
    jobs, mailed, may_end = Jobs("tracking", pool), asyncio.Event(), asyncio.Event()

    @jobs.job("export", long=True)
    async def export(number: int) -> None:
        await may_end.wait()

    @jobs.job("mail")
    async def mail() -> None:
        mailed.set()

    await jobs.open()
    async with pool.transaction() as connection:
        for number in range(5):
            await jobs.defer(connection, export, lock=f"export {number}", number=number)
        await jobs.defer(connection, mail, lock="mail")

    async def mailed_and_then_all_done() -> bool:
        if mailed.is_set():
            may_end.set()
        return await left(pool) == 0

    await work_until(jobs, mailed_and_then_all_done)
