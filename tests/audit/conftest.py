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
    """One database: `run` as the app about somebody, `trail` and `all_rows` as its owner sees them."""

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


@pytest.fixture
def tracking(clone_database: Callable[[str], ServiceDatabase]) -> Sql:
    return Sql(clone_database("tracking"))


@pytest.fixture
def identity(clone_database: Callable[[str], ServiceDatabase]) -> Sql:
    return Sql(clone_database("identity"))


@pytest.fixture
def ada() -> UUID:
    return uuid4()
