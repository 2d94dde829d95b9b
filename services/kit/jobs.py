"""The queue of a service: work that outlives a request, in the service's own PostgreSQL.

A job is deferred on the transaction that made it necessary, so it exists if
and only if the data does. Jobs run in `python -m services.<name> worker`. Those
that may take minutes (`long`) have places of their own, so that nobody waits for a
mail until somebody else's export is made.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import procrastinate
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.kit.audit import make_ahead
from services.kit.caller import calling, service_caller
from services.kit.database import Database, driver_connection
from services.kit.idempotency import forget_old
from services.kit.telemetry import where

log = structlog.get_logger()
RECONNECT_SECONDS = 1.0
# Procrastinate's own name, under which jobs of earlier versions wait.
SHORT, LONG = "default", "long"
Job = Callable[..., Awaitable[None]]
Task: TypeAlias = procrastinate.tasks.Task[..., Any, Any]


class Jobs:
    """The jobs of one service. Declare them with `job` and `scheduled`, run them with `work`."""

    def __init__(self, service: str, database: Database) -> None:
        self._service = service
        self._database = database
        self.app = procrastinate.App(connector=procrastinate.PsycopgConnector(), periodic_defaults={"max_delay": 86400})
        self._stalled_after = 30.0
        self.scheduled("* * * * *", "retry_stalled")(self.retry_stalled)
        self.scheduled("37 * * * *", "forget_idempotency_keys")(self.forget_idempotency_keys)
        self.scheduled("13 3 * * *", "make_audit_partitions")(self.make_audit_partitions)
        if database.has_vault:
            self.scheduled("11 3 * * *", "rotate_keys")(self.rotate_keys)

    def job(self, name: str, *, attempts: int = 5, long: bool = False) -> Callable[[Job], Task]:
        """Declares a job, retried with exponential backoff; it runs as the service, about its `user_id` argument."""
        retry = procrastinate.RetryStrategy(max_attempts=attempts - 1, exponential_wait=2)
        return self._declare(name, retry=retry, queue=LONG if long else SHORT)

    def scheduled(self, cron: str, name: str, *, long: bool = False) -> Callable[[Job], Task]:
        """Declares a job that runs by itself at the times of a cron expression, in UTC."""

        def declare(function: Job) -> Task:
            @functools.wraps(function)
            async def without_timestamp(timestamp: int) -> None:
                await function()

            periodic: Any = self.app.periodic(cron=cron)
            declared = self._declare(name, queueing_lock=name, queue=LONG if long else SHORT)
            task: Task = periodic(declared(without_timestamp))
            return task

        return declare

    def _declare(self, name: str, **options: Any) -> Callable[[Job], Task]:
        def declare(function: Job) -> Task:
            @functools.wraps(function)
            async def run(**arguments: Any) -> None:
                caller = service_caller(self._service, arguments.get("user_id", ""), arguments.get("request_id", ""))
                with calling(caller):
                    line = log.bind(job=name, request_id=caller.request_id)
                    line.info("job", state="started")
                    try:
                        await function(**arguments)
                    except Exception as error:
                        line.error("job", state="failed", kind=type(error).__name__, where=where(error))
                        raise
                    line.info("job", state="done")

            register: Any = self.app.task
            task: Task = register(name=name, **options)(run)
            return task

        return declare

    async def defer(self, connection: AsyncConnection, job: Task, *, lock: str, **arguments: Any) -> None:
        """Queues a job on the transaction of `connection`; jobs with one lock run one after the other."""
        await job.configure(connection=await driver_connection(connection), lock=lock).defer_async(**arguments)

    async def open(self) -> None:
        """Uses the database's pool, which must be open."""
        await self.app.connector.open_async(self._database.pool)

    async def work(self, concurrency: int, grace_seconds: float, stalled_after_seconds: float) -> None:
        """Runs jobs until cancelled; then lets those that run finish within the grace time.

        `concurrency` is how many long ones run at once, and how many short ones.
        Goes on after the database was away.

        A worker that has given no sign of life for `stalled_after_seconds` is
        taken for dead, and its jobs are queued again.
        """
        self._stalled_after = stalled_after_seconds
        async with asyncio.TaskGroup() as both:
            for queue in (SHORT, LONG):
                both.create_task(self._work_on(queue, concurrency, grace_seconds))

    async def _work_on(self, queue: str, concurrency: int, grace_seconds: float) -> None:
        while True:
            try:
                await self.retry_stalled()
                # Returns, or raises this, only when it has lost the database.
                await self.app.run_worker_async(
                    queues=[queue],
                    name=queue,
                    concurrency=concurrency,
                    install_signal_handlers=False,
                    shutdown_graceful_timeout=grace_seconds,
                    delete_jobs="successful",
                    update_heartbeat_interval=self._stalled_after / 3,
                    stalled_worker_timeout=self._stalled_after,
                )
            except procrastinate.exceptions.ConnectorException:
                pass
            log.warning("worker", queue=queue, state="lost the database")
            await asyncio.sleep(RECONNECT_SECONDS)

    async def forget_idempotency_keys(self) -> None:
        """Forgets the answers to repeated requests that are older than a day."""
        async with self._database.transaction() as connection:
            await forget_old(connection)

    async def make_audit_partitions(self) -> None:
        """Makes the audit log's partitions ahead."""
        async with self._database.transaction() as connection:
            await make_ahead(connection)

    async def rotate_keys(self) -> None:
        """Wraps data keys anew that an older master key still wraps."""
        from services.kit.rotation import rotate_keys

        await rotate_keys(self._database, self._service)

    async def retry_stalled(self) -> None:
        """Queues jobs again whose worker died: its heartbeat has stopped."""
        manager = self.app.job_manager
        for job in await manager.get_stalled_jobs(seconds_since_heartbeat=self._stalled_after):
            log.warning("job", job=job.task_name, state="stalled")
            await manager.retry_job(job)
