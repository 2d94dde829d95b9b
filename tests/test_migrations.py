"""Every service's migrations: there and back again, and agreeing with the tables in the code."""

import psycopg
import pytest

from services.kit import migrate
from tests.databases import SERVICES, DatabaseServer

LEFT = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'alembic%'
UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname NOT LIKE '%alembic%'
"""


@pytest.mark.parametrize("service", SERVICES)
def test_migrations_go_up_down_and_up_again(service: str, postgres_server: DatabaseServer) -> None:
    with postgres_server.empty(service) as database:
        migrate.upgrade(database.migrator_url, service)
        migrate.downgrade(database.migrator_url, service)
        with psycopg.connect(database.migrator_url) as connection:
            assert connection.execute(LEFT).fetchall() == []
        migrate.upgrade(database.migrator_url, service)
        migrate.check(database.migrator_url, service)


@pytest.mark.parametrize("service", SERVICES)
def test_computed_columns_are_stored(service: str, postgres_server: DatabaseServer) -> None:
    # Before PostgreSQL 18 there are no others, and 15 is the oldest that is supported.
    with postgres_server.clone(service) as database, psycopg.connect(database.migrator_url) as connection:
        virtual = connection.execute(
            "SELECT attrelid::regclass, attname FROM pg_attribute"
            " WHERE attgenerated NOT IN ('', 's') AND NOT attisdropped"
        )
        assert virtual.fetchall() == []
