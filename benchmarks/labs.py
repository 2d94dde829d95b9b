"""A report of 60 markers entered, and a biomarker's trend over ten years, among ten million markers."""

import asyncio
import datetime as dt
import json
import time
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from benchmarks import load
from benchmarks.client import Connection, bearer, request
from benchmarks.figures import Figure, percentile
from benchmarks.people import person, sign_in
from benchmarks.stack import describe, port_of, running
from local.runner import Stack
from services.labs.biomarkers.catalogue import Marker, catalogue
from services.labs.trends.trend import TREND

PEOPLE = 12_500
# Two a year for ten years, with as many markers each: ten million in all.
PANELS, MARKERS = 20, 40
LAST_DAY = dt.date(2026, 6, 30)
BETWEEN_PANELS = 182
ENTERED = 60
RUNS = 3
WARM_UP, REPORTS = 10, 60
TRENDS = 500
ACTIVE = 50


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures; prints the plan of the trend's statement."""
    with running() as stack:
        _load(stack.databases["labs"].migrator)
        people = [person(number) for number in range(0, PEOPLE, PEOPLE // ACTIVE)]
        tokens = sign_in(stack.databases["identity"].migrator, stack.keys, people)
        trends = []
        for run in range(RUNS):
            target = f"/api/v1/users/me/biomarkers/{measured()[0].slug}/trend"
            plan = load.Plan(port_of(stack), target, tokens, 1, TRENDS, TRENDS, seed=run)
            trends.append(percentile(load.run(plan).milliseconds, 50))
        entered = [asyncio.run(_enter(port_of(stack), tokens[run])) for run in range(RUNS)]
        statement = [_explained(stack, user_id) for user_id in people[-RUNS:]]
        return describe(stack), [
            Figure(f"a report of {ENTERED} markers entered, p50", "ms", entered, "less", target=15),
            Figure("a trend over ten years, one client, p50", "ms", trends, "less", target=5),
            Figure(
                f"the trend's statement on {PEOPLE * PANELS * MARKERS / 1e6:.0f} million markers",
                "ms",
                statement,
                "less",
            ),
        ]


def measured() -> list[Marker]:
    """The dictionary's markers that are numbers."""
    return [marker for marker in catalogue().markers.values() if not marker.is_qualitative]


def _load(migrator_url: str) -> None:
    """Panel by panel, as people bring them, so that a person's markers lie on as many pages as they would.

    As the migrator, past row security, and without the audit log and the checks of references.
    """
    with psycopg.connect(migrator_url, autocommit=True) as database:
        database.execute("ALTER TABLE blood_panels DISABLE TRIGGER USER")
        database.execute("ALTER TABLE blood_markers DISABLE TRIGGER USER, DROP CONSTRAINT fk_blood_markers_panel")
        indexes = _drop_indexes(database)
        database.execute("CREATE TEMPORARY TABLE people (p integer, id uuid)")
        database.execute("CREATE TEMPORARY TABLE markers (m integer, slug text, unit text)")
        with database.cursor() as cursor:
            with cursor.copy("COPY people FROM STDIN") as copy:
                for number in range(PEOPLE):
                    copy.write_row((number, person(number)))
            with cursor.copy("COPY markers FROM STDIN") as copy:
                for number, marker in enumerate(measured()[:MARKERS]):
                    copy.write_row((number, marker.slug, marker.canonical_unit))
        for panel in range(PANELS):
            day = LAST_DAY - dt.timedelta(days=BETWEEN_PANELS * (PANELS - panel))
            database.execute(
                "INSERT INTO blood_panels (id, user_id, collected_date, lab_name, panel_name)"
                " SELECT uuidv7(), id, %s, 'Laboratory ' || p %% 3, 'Check-up' FROM people",
                [day],
            )
            database.execute(
                "INSERT INTO blood_markers (id, user_id, panel_id, collected_date, biomarker, marker_key,"
                " decimal_comma, raw_name, value, unit, value_numeric, value_canonical, ref_range_low,"
                " ref_range_high, ref_range_text, range_source, in_range)"
                " SELECT uuidv7(), panels.user_id, panels.id, panels.collected_date, slug, slug, false, slug,"
                " v::text, unit, v, v, 70, 99, '70-99', 'report', v BETWEEN 70 AND 99"
                " FROM blood_panels AS panels JOIN people ON people.id = panels.user_id CROSS JOIN markers"
                " CROSS JOIN LATERAL"
                " (SELECT 60 + (p + m * 7 + extract(day FROM panels.collected_date)) %% 60 AS v) AS of_the_day"
                " WHERE panels.collected_date = %s ORDER BY panels.id, m",
                [day],
            )
        for definition in indexes:
            database.execute(definition)
        database.execute("ALTER TABLE blood_panels ENABLE TRIGGER USER")
        database.execute("ALTER TABLE blood_markers ENABLE TRIGGER USER")
        database.execute(
            "ALTER TABLE blood_markers ADD CONSTRAINT fk_blood_markers_panel"
            " FOREIGN KEY (user_id, panel_id, collected_date)"
            " REFERENCES blood_panels (user_id, id, collected_date) ON UPDATE CASCADE ON DELETE CASCADE NOT VALID"
        )
        database.execute("VACUUM (ANALYZE) blood_markers")
        database.execute("VACUUM (ANALYZE) blood_panels")


def _drop_indexes(database: psycopg.Connection[Any]) -> list[bytes]:
    """Drops the markers' indexes but the primary key, and answers what makes them: built at the end they take less."""
    found = database.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'blood_markers' AND indexname NOT LIKE 'pk%'"
    ).fetchall()
    for name, _ in found:
        database.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    return [definition.encode() for _, definition in found]


async def _enter(port: int, token: str) -> float:
    """Milliseconds for a report, each of another day."""
    connection = await Connection.open(port)
    milliseconds = []
    for number in range(WARM_UP + REPORTS):
        day = dt.date(2010, 1, 1) + dt.timedelta(days=number)
        content = request("POST", "/api/v1/users/me/blood-panels", bearer(token), _report(day))
        started = time.perf_counter()
        reply = await connection.exchange(content)
        milliseconds.append((time.perf_counter() - started) * 1000)
        if len(reply.json()["markers"]) != ENTERED:
            raise RuntimeError(f"{reply.body[:300]!r} does not hold {ENTERED} markers")
    connection.close()
    return percentile(milliseconds[WARM_UP:], 50)


def _report(day: dt.date) -> dict[str, Any]:
    markers = [
        {
            "raw_name": marker.display_name,
            "value": str(90 + day.day),
            "unit": marker.canonical_unit,
            "ref_range_text": "70-120",
            "flag": "H",
        }
        for marker in measured()[:ENTERED]
    ]
    header = {"collected_date": day.isoformat(), "lab_name": "Quest Diagnostics", "panel_name": "Check-up"}
    return {"blood_panel": header, "markers": markers}


def _explained(stack: Stack, user_id: UUID) -> float:
    """Milliseconds of the trend's statement as the service runs it, row security included."""
    parameters = {
        "user_id": user_id,
        "biomarker": measured()[0].slug,
        "start_date": "-infinity",
        "end_date": "infinity",
        **TREND.constants,
    }
    # Written by ourselves, from our own tables.
    statement: LiteralString = TREND.sql
    with psycopg.connect(stack.databases["labs"].app) as database:
        database.execute("SELECT set_config('app.subject_id', %s, true)", [str(user_id)])
        database.execute(statement, parameters)
        lines = [line for (line,) in database.execute(f"EXPLAIN (ANALYZE, BUFFERS) {statement}", parameters)]
        (plan,) = database.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).fetchone() or ([],)
    print(*lines, sep="\n", flush=True)
    found = json.loads(plan) if isinstance(plan, str) else plan
    return float(found[0]["Execution Time"])
