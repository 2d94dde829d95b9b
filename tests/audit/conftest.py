"""Databases of the services, spoken to as the app role does, and what their audit logs say."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.databases import ServiceDatabase

Rows = list[dict[str, Any]]


class Sql:
    """One database: `run` speaks to it as the app about somebody, `own` and `trail` as the owner of its tables."""

    def __init__(self, database: ServiceDatabase) -> None:
        self.database = database

    def connect(self, subject: UUID | str = "", **settings: str) -> psycopg.Connection[dict[str, Any]]:
        """The app in a transaction with these settings `app.…`; the actor is the subject unless given."""
        connection = psycopg.connect(self.database.app_url, row_factory=dict_row)
        act(connection, {"subject_id": str(subject), "actor_id": str(subject), "role": "user", **settings})
        return connection

    def run(self, subject: UUID | str, statement: str, *parameters: object, **settings: str) -> Rows:
        with self.connect(subject, **settings) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def own(self, statement: str, *parameters: object) -> Rows:
        """As the migrator, who owns the tables."""
        with psycopg.connect(self.database.migrator_url, row_factory=dict_row) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

    def trail(self, subject: UUID) -> Rows:
        return self.own("SELECT * FROM audit_log WHERE user_id = %s ORDER BY created_at, audit_id", subject)


def act(connection: psycopg.Connection[Any], settings: Mapping[str, str]) -> None:
    for name, value in settings.items():
        connection.execute("SELECT set_config(%s, %s, true)", [f"app.{name}", value])


IMPORT = (
    "INSERT INTO imports (id, user_id, source, file_name, file_size_bytes, file_sha256)"
    " VALUES (%s, %s, 'apple_health', %s, 1, 'ab')"
)
DAY = "INSERT INTO wearable_daily (id, user_id, date, source, steps, import_id) VALUES (%s, %s, %s, 'garmin', %s, %s)"


def import_of(sql: Sql, person: UUID, **settings: str) -> UUID:
    import_id = uuid4()
    sql.run(person, IMPORT, import_id, person, "export.zip", **settings)
    return import_id


def sign_up(identity: Sql, person: UUID) -> None:
    with identity.connect(person) as app:
        app.execute(
            "INSERT INTO users (id, email, password_hash, display_name, account_id)"
            " VALUES (%(id)s, 'ada@example.com', '$argon2id$of-ada', 'Ada', %(id)s)",
            {"id": person},
        )
        app.execute("INSERT INTO accounts (id, owner_id) VALUES (%(id)s, %(id)s)", {"id": person})


def days(sql: Sql, person: UUID, count: int, import_id: UUID | None = None, **settings: str) -> None:
    sql.run(
        person,
        "INSERT INTO wearable_daily (id, user_id, date, source, steps, import_id)"
        " SELECT gen_random_uuid(), %s, date '2025-12-30' + n, 'garmin', n, %s FROM generate_series(0, %s) n",
        person, import_id, count - 1, **settings,
    )  # fmt: skip


@pytest.fixture
def tracking(clone_database: Callable[[str], ServiceDatabase]) -> Sql:
    return Sql(clone_database("tracking"))


@pytest.fixture
def identity(clone_database: Callable[[str], ServiceDatabase]) -> Sql:
    return Sql(clone_database("identity"))


@pytest.fixture
def ada() -> UUID:
    return uuid4()
