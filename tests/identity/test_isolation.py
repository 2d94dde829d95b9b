"""What the database itself keeps apart, whatever the code does."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.kit import migrate
from tests.databases import ServiceDatabase
from tests.identity.conftest import Identity

TABLES = {"users": "id", "sessions": "user_id", "refresh_tokens": "user_id"}


@pytest.fixture
async def people(identity: Identity) -> tuple[str, str]:
    """Ada and Eve, each with a session that was refreshed once."""
    ids = []
    for name in ("ada", "eve"):
        answer = await identity.register(email=f"{name}@example.com")
        await identity.refresh(answer.tokens.refresh_token)
        ids.append(answer.user.id)
    return ids[0], ids[1]


@pytest.fixture
def app(identity: Identity) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(identity.database.app_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def owner(identity: Identity) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(identity.database.migrator_url, autocommit=True) as connection:
        yield connection


def become(app: psycopg.Connection[Any], user_id: str) -> None:
    app.execute("SELECT set_config('app.subject_id', %s, false)", [user_id])


@pytest.mark.parametrize("table", TABLES)
def test_rows_are_seen_and_changed_by_their_owner_only(
    people: tuple[str, str], app: psycopg.Connection[Any], table: str
) -> None:
    column = TABLES[table]
    ada, eve = people
    for subject in ("", None):
        if subject is not None:
            become(app, subject)
        assert app.execute(f"SELECT FROM {table}".encode()).fetchall() == []
    become(app, eve)
    assert {str(row[0]) for row in app.execute(f"SELECT {column} FROM {table}".encode())} == {eve}
    assert app.execute(f"UPDATE {table} SET created_at = now() WHERE {column} = %s".encode(), [ada]).rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute(f"DELETE FROM {table}".encode())


def test_a_row_cannot_be_made_or_given_to_somebody_else(people: tuple[str, str], app: psycopg.Connection[Any]) -> None:
    ada, eve = people
    become(app, eve)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("INSERT INTO sessions (id, user_id, expires_at) VALUES (gen_random_uuid(), %s, now())", [ada])
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("UPDATE sessions SET user_id = %s", [ada])


def test_a_token_cannot_belong_to_somebody_elses_session(
    people: tuple[str, str], owner: psycopg.Connection[Any]
) -> None:
    ada, eve = people
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        owner.execute(
            "INSERT INTO refresh_tokens (id, user_id, session_id, token_sha256, expires_at)"
            " SELECT gen_random_uuid(), %s, id, decode(repeat('00', 32), 'hex'), now()"
            " FROM sessions WHERE user_id = %s",
            [eve, ada],
        )


def test_every_table_forces_row_security(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
        " AND relrowsecurity AND relforcerowsecurity"
    )
    assert {name for (name,) in rows} >= set(TABLES)


def test_functions_that_see_everything_are_narrow(owner: psycopg.Connection[Any]) -> None:
    rows = owner.execute(
        "SELECT proname, proconfig, proowner::regrole::text, has_function_privilege('public', oid, 'EXECUTE')"
        " FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace ORDER BY proname"
    ).fetchall()
    assert {"find_credentials", "find_refresh_token"} <= {name for name, *_ in rows}
    for name, config, owner_role, public in rows:
        assert "search_path=pg_catalog, pg_temp" in config, name
        assert (owner_role, public) == ("identity_migrator", False), name


async def test_the_look_ups_answer_one_exact_key(identity: Identity, app: psycopg.Connection[Any]) -> None:
    answer = await identity.register()
    for email, found in (("ada@example.com", 1), ("ADA@example.com", 0), ("%", 0), (None, 0)):
        assert len(app.execute("SELECT * FROM find_credentials(%s)", [email]).fetchall()) == found
    assert app.execute("SELECT * FROM find_refresh_token(%s)", [answer.tokens.refresh_token.encode()]).fetchall() == []


def test_a_table_of_the_callers_does_not_stand_in_for_the_real_one(
    people: tuple[str, str], app: psycopg.Connection[Any]
) -> None:
    app.execute("CREATE TEMPORARY TABLE users (id uuid, email text, password_hash text, deleted_at timestamptz)")
    app.execute("INSERT INTO users VALUES (gen_random_uuid(), 'mallory@example.com', 'x', NULL)")
    assert app.execute("SELECT FROM find_credentials('mallory@example.com')").fetchall() == []
    assert len(app.execute("SELECT FROM find_credentials('ada@example.com')").fetchall()) == 1


def test_tables_and_migrations_agree_and_can_be_taken_back(identity: Identity) -> None:
    database: ServiceDatabase = identity.database
    migrate.check(database.migrator_url, "identity")
    migrate.downgrade(database.migrator_url, "identity")
    with psycopg.connect(database.migrator_url) as connection:
        left = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        ).fetchall()
    assert left == [("alembic_version",)]
    migrate.upgrade(database.migrator_url, "identity")
