"""The queue is everybody's, so what stands in it may name people by their ids alone."""

import psycopg

from tests.harness import person
from tests.isolation.conftest import Start
from tests.isolation.resources import call, everything_about
from tests.rpcs import rpcs


async def test_a_job_says_whose_and_which_and_nothing_of_what(start: Start) -> None:
    running = await start("tracking")
    ada = person()
    create = next(rpc for rpc in rpcs() if rpc.method.name == "CreateImport")
    answer = await call(running, create, ada, file_name="what the doctor said.zip")
    with psycopg.connect(running.database.migrator_url) as owner:
        arguments = owner.execute("SELECT args FROM procrastinate_jobs").fetchall()
    ids = {"user_id": ada.subject, "import_id": answer.file_import.id, "request_id": ada.request_id}
    assert arguments == [(ids,)]
    queued = [row for row in everything_about(running.database, ada.subject) if row.startswith("procrastinate")]
    assert queued
    assert not any("doctor" in row for row in queued)
