"""Writing an import's rows and taking them back, on a real PostgreSQL."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.caller import calling, service_caller
from services.kit.database import Database, uuid7
from services.tracking.imports.tables import import_changes, imports
from services.tracking.imports.write import TABLES, TARGETS, RowCounts, roll_back
from tests.harness import Running

Rows = dict[str, list[dict[str, Any]]]
DAY = date(2026, 1, 1)
VOLATILE = ("updated_at", "created_at")

days = st.dictionaries(st.integers(0, 4), st.integers(0, 3), max_size=5)
# A workout's id to the day that a file says it was on, and its length.
workouts = st.dictionaries(st.integers(0, 2), st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=3)
files = st.lists(st.tuples(days, days, workouts), min_size=1, max_size=4)


def rows_of(file: tuple[Any, Any, Any], as_of: datetime) -> Rows:
    common = {"source": "apple_health", "source_as_of": as_of}
    daily, sleep, activities = file
    return {
        "wearable_daily": [{**common, "date": DAY + timedelta(d), "steps": n} for d, n in daily.items()],
        "wearable_sleep": [
            {**common, "sleep_date": DAY + timedelta(d), "total_sleep_minutes": n, "hypnogram": [{"t": str(as_of)}] * n}
            for d, n in sleep.items()
        ],
        "wearable_activities": [
            {
                **common,
                "activity_date": DAY + timedelta(200 * d),
                "source_activity_id": f"workout {w}",
                "activity_type": "running",
                "distance_m": length,
            }
            for w, (d, length) in activities.items()
        ],
    }


async def write(database: Database, user_id: str, rows: Rows) -> tuple[str, dict[str, RowCounts]]:
    import_id = str(uuid7())
    async with database.transaction() as connection:
        values = {"id": import_id, "user_id": user_id, "source": "apple_health"}
        await connection.execute(sa.insert(imports).values(**values, file_size_bytes=1, file_sha256=""))
        return import_id, {
            table: await TARGETS[table].write(connection, user_id, import_id, batch)
            for table, batch in rows.items()
            if batch
        }


async def take_back(database: Database, user_id: str, import_id: str) -> None:
    async with database.transaction() as connection:
        await roll_back(connection, user_id, import_id)


async def state(database: Database) -> dict[str, list[dict[str, Any]]]:
    """Every row of the current subject."""
    found = {}
    async with database.transaction() as connection:
        for table in TABLES:
            result = await connection.execute(sa.select(table).order_by(table.c.user_id, table.c.id))
            found[table.name] = [
                {name: value for name, value in row.items() if name not in VOLATILE} for row in result.mappings()
            ]
    return found


async def copies(database: Database) -> int:
    async with database.transaction() as connection:
        return (await connection.execute(sa.select(sa.func.count()).select_from(import_changes))).scalar_one()


hypothesis = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@hypothesis
@given(contents=files)
async def test_taking_imports_back_last_first_restores_each_state(tracking: Running, contents: list[Any]) -> None:
    user_id = str(uuid7())
    with calling(service_caller("tracking", user_id)):
        states, ids = [await state(tracking.pool)], []
        for number, content in enumerate(contents):
            rows = rows_of(content, datetime(2026, 6, 1 + number, tzinfo=UTC))
            import_id, _ = await write(tracking.pool, user_id, rows)
            ids.append(import_id)
            states.append(await state(tracking.pool))
        for import_id, before in zip(reversed(ids), reversed(states[:-1]), strict=True):
            await take_back(tracking.pool, user_id, import_id)
            assert await state(tracking.pool) == before
        assert await copies(tracking.pool) == 0


@hypothesis
@given(contents=files, data=st.data())
async def test_taking_all_imports_back_in_any_order_leaves_nothing(
    tracking: Running, contents: list[Any], data: st.DataObject
) -> None:
    user_id = str(uuid7())
    with calling(service_caller("tracking", user_id)):
        ids = []
        for number, content in enumerate(contents):
            rows = rows_of(content, datetime(2026, 6, 1 + number, tzinfo=UTC))
            ids.append((await write(tracking.pool, user_id, rows))[0])
        for import_id in data.draw(st.permutations(ids)):
            await take_back(tracking.pool, user_id, import_id)
            await take_back(tracking.pool, user_id, import_id)
        assert not any((await state(tracking.pool)).values())
        assert await copies(tracking.pool) == 0


@hypothesis
@given(content=st.tuples(days, days, workouts))
async def test_the_same_file_twice_adds_nothing(tracking: Running, content: Any) -> None:
    user_id = str(uuid7())
    with calling(service_caller("tracking", user_id)):
        rows = rows_of(content, datetime(2026, 6, 1, tzinfo=UTC))
        _, first = await write(tracking.pool, user_id, rows)
        before = await state(tracking.pool)
        _, second = await write(tracking.pool, user_id, rows)
        assert await state(tracking.pool) == before
        for table, batch in rows.items():
            if batch:
                assert first[table] == RowCounts(len(batch), 0, 0, 0)
                assert second[table] == RowCounts(0, 0, len(batch), 0)


@hypothesis
@given(older=st.tuples(days, days, workouts), newer=st.tuples(days, days, workouts))
async def test_an_older_export_never_overwrites_a_newer_one(tracking: Running, older: Any, newer: Any) -> None:
    user_id = str(uuid7())
    with calling(service_caller("tracking", user_id)):
        newer_rows = rows_of(newer, datetime(2026, 6, 2, tzinfo=UTC))
        await write(tracking.pool, user_id, newer_rows)
        before = await state(tracking.pool)
        older_rows = rows_of(older, datetime(2026, 6, 1, tzinfo=UTC))
        _, counts = await write(tracking.pool, user_id, older_rows)
        after = await state(tracking.pool)
        for table, rows in before.items():
            assert [row for row in after[table] if row in rows] == rows
        for table, batch in older_rows.items():
            if batch:
                assert sum(counts[table]) == len(batch)
                assert counts[table].updated == 0


async def test_what_a_person_changed_since_stays(tracking: Running) -> None:
    user_id = str(uuid7())
    with calling(service_caller("tracking", user_id)):
        rows = rows_of(({0: 1, 1: 2}, {}, {}), datetime(2026, 6, 1, tzinfo=UTC))
        import_id, _ = await write(tracking.pool, user_id, rows)
        mine = {"date": DAY, "source": "apple_health", "steps": 77}
        upsert = TARGETS["wearable_daily"].upsert
        async with tracking.pool.transaction() as connection:
            await upsert.write(connection, upsert.payload(user_id, [mine]), 1)
        await take_back(tracking.pool, user_id, import_id)
        (left,) = (await state(tracking.pool))["wearable_daily"]
        assert (left["date"], left["steps"]) == (DAY, 77)
