"""People with rows in a database, and their access tokens, without a log-in for each."""

import uuid
from collections.abc import Sequence
from pathlib import Path

import psycopg

from local.keys import ACCESS_TOKEN_KEY
from services.identity.tokens import AccessTokens

LAST_DAY = "2026-06-30"
DAYS = 365
# Reproducible ids, so that rows that were loaded in an earlier run belong to the same people.
NAMESPACE = uuid.UUID("0192f0c1-0000-7000-8000-000000000000")
# One value for each column that a device may fill, from the person's number p and the day's d.
VALUES = {
    "resting_hr_bpm": "48 + (p + d) % 25",
    "max_hr_bpm": "120 + (p * 7 + d) % 70",
    "hrv_rmssd_ms": "20 + (p * 3 + d) % 600 / 10.0",
    "hrv_sdnn_ms": "25 + (p * 5 + d) % 700 / 10.0",
    "steps": "2000 + (p * 31 + d * 97) % 15000",
    "active_calories_kcal": "200 + (p + d * 13) % 800",
    "total_calories_kcal": "1800 + (p + d * 17) % 1500",
    "active_minutes": "(p + d * 3) % 120",
    "moderate_intensity_minutes": "(p + d * 5) % 80",
    "vigorous_intensity_minutes": "(p + d * 7) % 40",
    "distance_m": "1500 + (p * 29 + d * 89) % 12000",
    "floors_climbed": "(p + d) % 30",
    "spo2_avg_pct": "94 + (p + d) % 50 / 10.0",
    "spo2_min_pct": "88 + (p + d) % 50 / 10.0",
    "respiratory_rate_avg": "12 + (p + d) % 60 / 10.0",
    "stress_avg": "(p + d) % 100",
    "body_battery_start": "50 + (p + d) % 50",
    "body_battery_end": "(p + d) % 50",
    "readiness_score": "40 + (p + d) % 60",
    "recovery_score": "30 + (p + d) % 70",
    "skin_temp_deviation_c": "-0.8 + (p + d) % 160 / 100.0",
    "vo2_max_ml_kg_min": "35 + (p + d) % 200 / 10.0",
    "source_as_of": "date '{last_day}' - d + interval '23 hours'",
}


def person(number: int) -> uuid.UUID:
    """The id of a loaded person, 0 to the number of people less one."""
    return uuid.uuid5(NAMESPACE, str(number))


def load_year(migrator_url: str, count: int) -> None:
    """A year of daily rows for each of `count` people, unless they are there already.

    Day by day, as devices send them, so that a person's rows lie on as many
    pages of the table as they would. As the migrator, past row security.
    """
    with psycopg.connect(migrator_url, autocommit=True) as database:
        rows = database.execute("SELECT count(*) FROM wearable_daily").fetchone()
        if rows == (count * DAYS,):
            return
        database.execute("TRUNCATE wearable_daily")
        database.execute("CREATE TEMPORARY TABLE people (p integer, id uuid)")
        with database.cursor() as cursor, cursor.copy("COPY people FROM STDIN") as copy:
            for number in range(count):
                copy.write_row((number, person(number)))
        names = ", ".join(VALUES)
        values = ", ".join(VALUES.values()).format(last_day=LAST_DAY)
        database.execute(
            f"INSERT INTO wearable_daily (id, user_id, date, source, {names})"
            f" SELECT uuidv7(), people.id, date '{LAST_DAY}' - d, 'garmin', {values}"
            f" FROM generate_series({DAYS - 1}, 0, -1) AS d, people".encode()
        )
        database.execute("VACUUM (ANALYZE) wearable_daily")


def sign_in(migrator_url: str, keys: Path, people: Sequence[uuid.UUID]) -> list[str]:
    """An access token for each person, who has a session of their own id, in identity's database."""
    with psycopg.connect(migrator_url) as database:
        database.execute("CREATE TEMPORARY TABLE people (id uuid) ON COMMIT DROP")
        with database.cursor() as cursor, cursor.copy("COPY people FROM STDIN") as copy:
            for user_id in people:
                copy.write_row((user_id,))
        database.execute(
            "INSERT INTO users (id, email, display_name, account_id, email_verified_at)"
            " SELECT id, id || '@example.com', 'Somebody', id, now() FROM people ON CONFLICT DO NOTHING"
        )
        database.execute("INSERT INTO accounts (id, owner_id) SELECT id, id FROM people ON CONFLICT DO NOTHING")
        database.execute(
            "INSERT INTO sessions (id, user_id, expires_at)"
            " SELECT id, id, now() + interval '1 day' FROM people"
            " ON CONFLICT (id) DO UPDATE SET expires_at = excluded.expires_at"
        )
    return access_tokens(keys, people)


def access_tokens(keys: Path, people: Sequence[uuid.UUID]) -> list[str]:
    """A token for each person, signed as identity signs them, for a session that has their id."""
    issuer = AccessTokens.from_files([keys / ACCESS_TOKEN_KEY])
    return [issuer.issue(user_id, user_id, "user").token for user_id in people]
