"""A batch upsert of daily rows over gRPC, beside PostgreSQL's own COPY of the same rows."""

import asyncio
import datetime as dt
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import psycopg

from benchmarks.figures import Figure, Peer
from benchmarks.stack import describe, running
from local.keys import caller_key_file
from local.runner import Stack
from services.kit.caller import CallerSigner, load_private_key, service_caller
from services.kit.database import uuid7
from vitalis.tracking.v1 import wearables_pb2 as pb

PATH = "/vitalis.tracking.v1.WearablesService/WriteWearables"
# The services that may write are those with a caller's key; on this machine identity is one.
CALLER = "identity"
RUNS = 3
PEOPLE = 10
DAYS = 1_000
SOURCES = ("apple_health", "garmin", "oura", "withings")
ROWS = PEOPLE * DAYS * len(SOURCES)
AT_ONCE = 4
FIRST_DAY = dt.date(2023, 9, 1)
AS_OF = dt.datetime(2026, 6, 30, 12, tzinfo=dt.UTC)
TABLE = "benchmark_copy"
PEER = "COPY"

Row = dict[str, Any]
Streams = list[tuple[str, list[bytes]]]


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    with running() as stack:
        url = stack.databases["tracking"].migrator
        _make_table(url)
        seconds: dict[str, list[float]] = {}
        for run in range(RUNS):
            for name, spent in asyncio.run(_run(stack, run)).items():
                seconds.setdefault(name, []).append(spent)
            seconds.setdefault("copy", []).append(_copy(url, run))
        machine = describe(stack)
    per_second = {name: [ROWS / spent for spent in runs] for name, runs in seconds.items()}
    peer = Peer(PEER, per_second["copy"])
    unit = "rows/s"
    return machine, [
        Figure(f"new rows, {AT_ONCE} streams at once", unit, per_second["new"], target=15_000, peer=peer),
        Figure("new rows, one stream after another", unit, per_second["new, one by one"], peer=peer),
        Figure(f"changed rows, {AT_ONCE} streams at once", unit, per_second["changed"]),
        Figure(f"unchanged rows, {AT_ONCE} streams at once", unit, per_second["unchanged"]),
    ]


async def _run(stack: Stack, run: int) -> dict[str, float]:
    """Seconds of each kind of write."""
    signer = CallerSigner(CALLER, load_private_key(caller_key_file(stack.keys, CALLER)))
    some, others = [uuid.uuid4() for _ in range(PEOPLE)], [uuid.uuid4() for _ in range(PEOPLE)]
    first, second = _streams(some, run), _streams(some, run + 1)
    alone = _streams(others, run)
    async with grpc.aio.insecure_channel(stack.target("tracking")) as channel:
        write: Any = channel.stream_unary(PATH, response_deserializer=pb.WriteWearablesResponse.FromString)

        async def timed(streams: Streams, at_once: int, outcome: str) -> float:
            room = asyncio.Semaphore(at_once)

            async def send(person: str, messages: list[bytes]) -> int:
                async with room:
                    metadata = signer.metadata(service_caller(CALLER, person, "benchmark"), "tracking")
                    response = await write(_each(messages), timeout=300, metadata=metadata)
                return int(getattr(response.wearable_daily, outcome))

            started = time.perf_counter()
            counts = await asyncio.gather(*(send(*stream) for stream in streams))
            spent = time.perf_counter() - started
            if sum(counts) != ROWS:
                raise RuntimeError(f"{sum(counts)} of {ROWS} rows were {outcome}")
            return spent

        return {
            "new": await timed(first, AT_ONCE, "stored"),
            "changed": await timed(second, AT_ONCE, "updated"),
            "unchanged": await timed(second, AT_ONCE, "unchanged"),
            "new, one by one": await timed(alone, 1, "stored"),
        }


async def _each(messages: Iterable[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


def _streams(people: list[uuid.UUID], variant: int) -> Streams:
    """Each person's messages, a source's thousand days in each, made ahead of the measurement."""
    streams = []
    for number, person in enumerate(people):
        messages = []
        for source in SOURCES:
            daily = [_message(_row(number, day, source, variant)) for day in range(DAYS)]
            messages.append(pb.WriteWearablesRequest(user_id=str(person), wearable_daily=daily).SerializeToString())
        streams.append((str(person), messages))
    return streams


def _message(row: Row) -> pb.WearableDaily:
    values = {name: value for name, value in row.items() if name not in ("date", "raw_data", "source_as_of")}
    message = pb.WearableDaily(date=str(row["date"]), **values)
    message.raw_data.update(row["raw_data"])
    message.source_as_of.FromDatetime(row["source_as_of"])
    return message


def _row(person: int, day: int, source: str, variant: int) -> Row:
    """A daily row with every column that a device can fill."""
    n = person + day + variant
    return {
        "date": FIRST_DAY + dt.timedelta(day),
        "source": source,
        "resting_hr_bpm": 48 + n % 25,
        "max_hr_bpm": 120 + n % 70,
        "hrv_rmssd_ms": 20 + n % 600 / 10,
        "hrv_sdnn_ms": 25 + n % 700 / 10,
        "steps": 2000 + n * 97 % 15000,
        "active_calories_kcal": 200 + n * 13 % 800,
        "total_calories_kcal": 1800 + n * 17 % 1500,
        "active_minutes": n * 3 % 120,
        "moderate_intensity_minutes": n * 5 % 80,
        "vigorous_intensity_minutes": n * 7 % 40,
        "distance_m": 1500 + n * 89 % 12000,
        "floors_climbed": n % 30,
        "spo2_avg_pct": 94 + n % 50 / 10,
        "spo2_min_pct": 88 + n % 50 / 10,
        "respiratory_rate_avg": 12 + n % 60 / 10,
        "stress_avg": n % 100,
        "body_battery_start": 50 + n % 50,
        "body_battery_end": n % 50,
        "readiness_score": 40 + n % 60,
        "recovery_score": 30 + n % 70,
        "skin_temp_deviation_c": n % 160 / 100 - 0.8,
        "vo2_max_ml_kg_min": 35 + n % 200 / 10,
        "raw_data": {"device": "watch", "restingHeartRate": 48 + n % 25, "stepCount": 2000 + n * 97 % 15000},
        "source_as_of": AS_OF,
    }


def _make_table(url: str) -> None:
    """A table like wearable_daily: the same columns, checks, indexes and partitions, and no row yet."""
    with psycopg.connect(url) as database:
        database.execute(f"CREATE TABLE {TABLE} (LIKE wearable_daily INCLUDING ALL) PARTITION BY RANGE (date)")
        database.execute(
            f"SELECT make_partitions('{TABLE}', min(year), max(year)) FROM ("
            " SELECT right(inhrelid::regclass::text, 4)::integer AS year"
            " FROM pg_inherits WHERE inhparent = 'wearable_daily'::regclass) AS years".encode()
        )


def _copy(url: str, run: int) -> float:
    """Seconds that COPY takes for the rows of `_run`, a transaction for each person."""
    people = [
        (uuid.uuid4(), [_row(number, day, source, run) for source in SOURCES for day in range(DAYS)])
        for number in range(PEOPLE)
    ]
    names = ["id", "user_id", *_row(0, 0, SOURCES[0], 0)]
    spent = 0.0
    with psycopg.connect(url, autocommit=True) as database, database.cursor() as cursor:
        for person, rows in people:
            tuples = [(uuid7(), person, *({**row, "raw_data": json.dumps(row["raw_data"])}).values()) for row in rows]
            started = time.perf_counter()
            with cursor.copy(f"COPY {TABLE} ({', '.join(names)}) FROM STDIN".encode()) as copy:
                for values in tuples:
                    copy.write_row(values)
            spent += time.perf_counter() - started
    return spent
