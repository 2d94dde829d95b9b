"""Rows and messages: what is written comes back, and what does not match does not start."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf import struct_pb2, timestamp_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.caller import calling, service_caller
from services.kit.contract import ContractError, ranges_of
from services.kit.database import Database, new_metadata, owned, uuid7
from services.kit.errors import ServiceError
from services.kit.resources import Resource
from services.kit.rows import RowMapping
from services.tracking.wearables import DAILY, SLEEP
from tests.databases import ServiceDatabase
from vitalis.tracking.v1 import wearables_pb2 as pb

# Whole numbers and quarters are kept by every NUMERIC of the tables.
numbers = {
    "int32": st.integers,
    "double": lambda low, high: st.integers(int(low) * 2, int(high) * 2).map(lambda n: n / 2),
}
instants = st.builds(
    lambda seconds, micros: timestamp_pb2.Timestamp(seconds=seconds, nanos=micros * 1000),
    st.integers(0, 4_000_000_000),
    st.integers(0, 999_999),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31).map(float)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


def struct(value: dict[str, Any]) -> struct_pb2.Struct:
    built = struct_pb2.Struct()
    built.update(value)
    return built


def messages(kind: Any, **fixed: Any) -> st.SearchStrategy[Any]:
    """Messages with any of their numbers, raw data and an instant."""
    fields = {field.name: field for field in kind.DESCRIPTOR.fields}
    drawn: dict[str, st.SearchStrategy[Any]] = {}
    for name, (low, high) in ranges_of(kind.DESCRIPTOR).items():
        is_whole = fields[name].cpp_type == fields[name].CPPTYPE_INT32
        drawn[name] = numbers["int32" if is_whole else "double"](int(low), int(high))
    drawn["raw_data"] = st.dictionaries(st.text("abc", min_size=1), json_values, max_size=3).map(struct)
    drawn["source_as_of"] = instants
    return st.fixed_dictionaries({}, optional=drawn).map(lambda values: kind(**fixed, **values))


@pytest.fixture
async def pool(clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Database]:
    database = Database(clone_database("tracking").app_url, 2)
    await database.open()
    yield database
    await database.close()


async def there_and_back(pool: Database, resource: Resource, message: Any) -> Any:
    """The message as it is read after it was upserted."""
    user_id = str(uuid7())
    assert resource.upsert
    with calling(service_caller("tracking", user_id)):
        payload = resource.upsert.payload(user_id, [resource.rows.values(message)])
        async with pool.transaction() as connection:
            assert await resource.upsert.write(connection, payload, 1) == (1, 0, 0)
            assert await resource.upsert.write(connection, payload, 1) == (0, 0, 1)
            (row_id,) = (await connection.execute(sa.select(resource.table.c.id))).one()
        return await resource.read(pool, str(row_id))


hypothesis = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@hypothesis
@given(message=messages(pb.WearableDaily, date="2026-03-29", source="garmin"))
async def test_a_day_comes_back_as_it_was_sent(pool: Database, message: pb.WearableDaily) -> None:
    stored = await there_and_back(pool, DAILY, message)
    assert DAILY.rows.values(stored) == DAILY.rows.values(message)


@hypothesis
@given(
    message=messages(pb.WearableSleep, sleep_date="2026-03-29", source="oura"),
    stages=st.lists(st.tuples(instants, st.sampled_from(["deep", "rem", "light", "awake"])), max_size=5),
)
async def test_a_night_comes_back_as_it_was_sent(pool: Database, message: pb.WearableSleep, stages: Any) -> None:
    for instant, stage in stages:
        message.hypnogram.add(t=instant, stage=stage)
    stored = await there_and_back(pool, SLEEP, message)
    assert SLEEP.rows.values(stored) == SLEEP.rows.values(message)
    assert stored.hypnogram == message.hypnogram


def test_a_column_and_a_field_that_do_not_match_do_not_start() -> None:
    table = sa.Table("days", new_metadata(), *owned(), sa.Column("date", sa.Date), sa.Column("pulse", sa.Integer))
    with pytest.raises(
        ContractError, match=r"days and vitalis\.tracking\.v1\.WearableDaily do not match: .*pulse.*steps"
    ):
        RowMapping(pb.WearableDaily, table)


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(2**62, 0), (-(2**62), 0), (253402300800, 0), (0, -1), (0, 10**9)], ids=range(5)
)
def test_an_instant_that_no_calendar_has_is_refused_by_its_field(seconds: int, nanos: int) -> None:
    instant = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos)
    for message, field in (
        (pb.WearableSleep(sleep_start=instant), "sleep_start"),
        (pb.WearableSleep(hypnogram=[pb.HypnogramSegment(t=instant, stage="deep")]), "hypnogram"),
    ):
        with pytest.raises(ServiceError) as caught:
            SLEEP.rows.values(message)
        assert [violation.field for violation in caught.value.violations] == [field]
