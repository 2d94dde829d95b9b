"""The audit log's quarters: made ahead, and made by whoever needs one that is missing."""

import threading
from uuid import UUID, uuid4

import psycopg
import pytest

from services.kit.database import Database
from services.kit.jobs import Jobs
from tests.audit.conftest import Sql, days, import_of


def partitions(sql: Sql) -> list[str]:
    rows = sql.own(
        "SELECT relname FROM pg_class WHERE relname ~ '^audit_log_[0-9]{4}q[1-4]$' AND relispartition ORDER BY 1"
    )
    return [row["relname"] for row in rows]


def test_quarters_reach_from_now_to_two_years_ahead(tracking: Sql) -> None:
    rows = tracking.own(
        "SELECT 'audit_log_' || to_char(now() AT TIME ZONE 'UTC' + n * interval '3 months', 'YYYY\"q\"Q') AS name"
        " FROM generate_series(0, 8) n"
    )
    assert partitions(tracking) == [row["name"] for row in rows]
    assert tracking.run("", "SELECT make_audit_quarters(current_date, current_date + 731)") == [
        {"make_audit_quarters": 0}
    ]


def test_a_quarter_begins_and_ends_in_utc_wherever_the_server_is(tracking: Sql) -> None:
    tracking.own("SET timezone = 'Pacific/Kiritimati'; SELECT make_audit_quarters(current_date, current_date + 1100)")
    with psycopg.connect(tracking.database.migrator_url) as owner:
        owner.execute("SET timezone = 'UTC'")
        bounds = owner.execute(
            "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = %s", [partitions(tracking)[-1]]
        ).fetchone()
    assert bounds is not None
    assert bounds[0].count("01 00:00:00+00'") == 2


def test_a_write_makes_the_quarter_that_is_missing(tracking: Sql, ada: UUID) -> None:
    made_ahead = partitions(tracking)
    for name in made_ahead:
        tracking.own(f"DROP TABLE {name}")
    days(tracking, ada, 5)
    import_of(tracking, ada)
    assert partitions(tracking) == made_ahead[:1]
    assert [row["action"] for row in tracking.trail(ada)] == ["BATCH", "INSERT"]
    # It is as protected as those that were made ahead.
    assert tracking.run(uuid4(), "SELECT * FROM audit_log") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tracking.run(ada, f"SELECT * FROM {made_ahead[0]}")


def test_two_writes_at_once_make_the_missing_quarter_once(tracking: Sql) -> None:
    for name in partitions(tracking):
        tracking.own(f"DROP TABLE {name}")
    people = [uuid4() for _ in range(4)]
    threads = [threading.Thread(target=import_of, args=(tracking, person)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(tracking.trail(person)) for person in people] == [1, 1, 1, 1]
    assert len(partitions(tracking)) == 1


@pytest.mark.parametrize(
    "period",
    [
        "NULL, current_date",
        "current_date, current_date - 1",
        "current_date - 400, current_date",
        "current_date, date '9999-12-31'",
    ],
)
def test_the_app_makes_no_senseless_quarters(tracking: Sql, period: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        tracking.run("", f"SELECT make_audit_quarters({period})")


async def test_the_worker_makes_what_is_missing_ahead(tracking: Sql) -> None:
    made_ahead = partitions(tracking)
    for name in made_ahead[2:]:
        tracking.own(f"DROP TABLE {name}")
    database = Database(tracking.database.app_url, 2)
    await database.open()
    await Jobs("tracking", database).make_audit_partitions()
    await database.close()
    assert partitions(tracking) == made_ahead
