"""Wearables: days, nights and activities, several sources a day."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import sqlalchemy as sa

from services.kit.caller import current
from services.kit.database import Database, uuid7
from services.kit.idempotency import once
from services.kit.resources import Resource, batch_upsert, delete, get, list_, undelete, update
from services.kit.upsert import Counts
from services.tracking.base import IDEMPOTENCY_KEYS
from services.tracking.wearables import activities
from services.tracking.wearables.days import list_days
from services.tracking.wearables.tables import wearable_activities, wearable_daily, wearable_sleep
from vitalis.tracking.v1 import wearables_pb2 as pb
from vitalis.tracking.v1 import wearables_pb2_grpc as pb_grpc

Context = grpc.aio.ServicerContext[Any, Any]

DAILY = Resource(
    pb.WearableDaily,
    wearable_daily,
    what="daily row",
    order_by=("date", "source"),
    date_column="date",
    filters=("source",),
    heavy=("raw_data",),
    natural_key=("date", "source"),
    idempotency_keys=IDEMPOTENCY_KEYS,
)
SLEEP = Resource(
    pb.WearableSleep,
    wearable_sleep,
    what="night",
    order_by=("sleep_date", "source"),
    date_column="sleep_date",
    filters=("source",),
    heavy=("hypnogram", "raw_data"),
    natural_key=("sleep_date", "source"),
    idempotency_keys=IDEMPOTENCY_KEYS,
)
ACTIVITIES = Resource(
    pb.WearableActivity,
    wearable_activities,
    what="activity",
    order_by=("activity_date", "id"),
    date_column="activity_date",
    filters=("source", "activity_type"),
    heavy=("raw_data",),
    provenance=("import_id",),
    idempotency_keys=IDEMPOTENCY_KEYS,
)


class WearablesServicer(pb_grpc.WearablesServiceServicer):
    def __init__(self, database: Database) -> None:
        self.database = database

    GetWearableDaily = get(DAILY)
    ListWearableDaily = list_(DAILY)
    BatchUpsertWearableDaily = batch_upsert(DAILY)
    GetWearableSleep = get(SLEEP)
    ListWearableSleep = list_(SLEEP)
    BatchUpsertWearableSleep = batch_upsert(SLEEP)
    GetWearableActivity = get(ACTIVITIES)
    ListWearableActivity = list_(ACTIVITIES)
    UpdateWearableActivity = update(ACTIVITIES)
    DeleteWearableActivity = delete(ACTIVITIES)
    UndeleteWearableActivity = undelete(ACTIVITIES)

    async def CreateWearableActivity(
        self, request: pb.CreateWearableActivityRequest, context: Context
    ) -> pb.CreateWearableActivityResponse:
        """Stores what the person enters; an activity without a source's id gets one of its own."""
        row = {"source_activity_id": str(uuid7()), **ACTIVITIES.rows.values(request.wearable_activity)}
        async with self.database.transaction() as connection:

            async def work() -> pb.CreateWearableActivityResponse:
                await activities.refuse_known(connection, row)
                return pb.CreateWearableActivityResponse(wearable_activity=await ACTIVITIES.insert(connection, row))

            return await once(connection, IDEMPOTENCY_KEYS, request, pb.CreateWearableActivityResponse, work)

    async def BatchUpsertWearableActivity(
        self, request: pb.BatchUpsertWearableActivityRequest, context: Context
    ) -> pb.BatchUpsertWearableActivityResponse:
        """As the standard method, but an activity whose date has changed is moved, not doubled."""
        rows = _activity_rows(request.wearable_activities)
        async with self.database.transaction() as connection:

            async def work() -> pb.BatchUpsertWearableActivityResponse:
                counts = await activities.write(connection, current().subject, rows)
                return pb.BatchUpsertWearableActivityResponse(counts=_counts(counts))

            return await once(connection, IDEMPOTENCY_KEYS, request, pb.BatchUpsertWearableActivityResponse, work)

    async def ListDays(self, request: pb.ListDaysRequest, context: Context) -> pb.ListDaysResponse:
        """One row a day across sources (see days.py)."""
        return await list_days(self.database, request)

    async def WriteWearables(
        self, requests: AsyncIterator[pb.WriteWearablesRequest], context: Context
    ) -> pb.WriteWearablesResponse:
        """Stores each message whole; the next one is read and checked meanwhile."""
        totals = {"wearable_daily": Counts(0, 0, 0), "wearable_sleep": Counts(0, 0, 0)}
        totals["wearable_activities"] = Counts(0, 0, 0)
        pending: asyncio.Task[dict[str, Counts]] | None = None
        try:
            async for request in requests:
                daily = DAILY.rows.values_list(request.wearable_daily)
                sleep = SLEEP.rows.values_list(request.wearable_sleep)
                moving = _activity_rows(request.wearable_activities)
                if pending:
                    _add(totals, await pending)
                pending = asyncio.create_task(self._write(daily, sleep, moving))
            if pending:
                _add(totals, await pending)
        finally:
            # What was taken on is stored, whatever came after it.
            if pending and not pending.done():
                await asyncio.wait({pending})
        return pb.WriteWearablesResponse(**{name: _counts(counts) for name, counts in totals.items()})

    async def _write(
        self, daily: list[dict[str, Any]], sleep: list[dict[str, Any]], moving: list[dict[str, Any]]
    ) -> dict[str, Counts]:
        subject = current().subject
        written = {}
        async with self.database.transaction() as connection:
            for name, resource, rows in (("wearable_daily", DAILY, daily), ("wearable_sleep", SLEEP, sleep)):
                if rows and resource.upsert:
                    payload = resource.upsert.payload(subject, rows)
                    written[name] = await resource.upsert.write(connection, payload, len(rows))
            if moving:
                written["wearable_activities"] = await activities.write(connection, subject, moving)
        return written


def _activity_rows(messages: Any) -> list[dict[str, Any]]:
    return [{"source_activity_id": str(uuid7()), **row} for row in ACTIVITIES.rows.values_list(messages)]


def _counts(counts: Counts) -> pb.WriteCounts:
    return pb.WriteCounts(**counts._asdict())


def _add(totals: dict[str, Counts], written: dict[str, Counts]) -> None:
    for name, counts in written.items():
        totals[name] = Counts(*map(sum, zip(totals[name], counts, strict=True)))


async def make_partitions(database: Database, first_year: int, last_year: int) -> None:
    """Makes the yearly partitions that are missing; the database's own function refuses senseless years."""
    async with database.transaction() as connection:
        for table in (wearable_daily, wearable_sleep, wearable_activities):
            await connection.execute(sa.select(sa.func.make_partitions(table.name, first_year, last_year)))
