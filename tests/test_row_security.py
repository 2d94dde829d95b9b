"""What PostgreSQL itself guarantees of every service's tables.

The tables are found in its catalog, so that new ones are covered by themselves.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from services.kit.roles import app_role
from tests.databases import SERVICES, DatabaseServer, ServiceDatabase

OURS = "relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
OWNED = f"""
SELECT c.oid, c.relname AS name, c.relispartition AS partition FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'user_id' AND NOT a.attisdropped
WHERE {OURS}
"""
# Hashes of random tokens: nobody can name one that they were not given.
RANDOM_KEYS = {
    "uq_account_invitations_token_sha256",
    "uq_challenges_token_sha256",
    "uq_grants_token_sha256",
    "uq_refresh_tokens_token_sha256",
    "uq_verification_tokens_token_sha256",
}
# Policies for reading alone, which show somebody more than their own rows.
READERS = """
SELECT polrelid::regclass || ' ' || polname || ' ' || pg_get_expr(polqual, polrelid) AS name
FROM pg_policy WHERE polcmd = 'r'
"""
OWN = """( SELECT (NULLIF(current_setting('app.subject_id'::text, true), ''::text))::uuid AS "nullif")"""
# Somebody's account elsewhere, and whoever writes it has just logged in there.
PROVED_KEYS = {"uq_oauth_identities_provider_provider_user_id"}
SEEN_BY_OTHERS = {
    # Whoever was given something sees the grant, besides whose it is; and can do nothing about it.
    f"grants grantee (grantee_id = {OWN})",
    # Members see their account, whose owner alone changes it.
    f"accounts member (id = ( SELECT users.account_id\n   FROM users\n  WHERE (users.id = {OWN})))",
}


# The same for everybody, with nothing in them that says who wrote it.
NOBODYS = {"shared_biomarker_aliases"}


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def database(service: str, postgres_server: DatabaseServer) -> Iterator[ServiceDatabase]:
    with postgres_server.clone(service) as clone:
        yield clone


@pytest.fixture
def catalog(database: ServiceDatabase) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    with psycopg.connect(database.migrator_url, row_factory=dict_row) as connection:
        yield connection


def names(catalog: psycopg.Connection[dict[str, Any]], query: str, *parameters: object) -> list[str]:
    return sorted(row["name"] for row in catalog.execute(query.encode(), parameters or None))


def test_row_security_is_on_and_forced_for_every_table_with_user_id(
    catalog: psycopg.Connection[dict[str, Any]],
) -> None:
    assert names(catalog, OWNED)
    assert names(catalog, f"{OWNED} AND NOT (c.relrowsecurity AND c.relforcerowsecurity)") == []


def test_what_the_app_reaches_is_protected_or_nobodys(
    service: str, catalog: psycopg.Connection[dict[str, Any]]
) -> None:
    open_tables = f"""
        SELECT relname AS name FROM pg_class WHERE {OURS} AND NOT (relrowsecurity AND relforcerowsecurity)
        AND has_table_privilege(%s, oid, 'SELECT, INSERT, UPDATE, DELETE') AND relname NOT LIKE 'procrastinate%%'
    """
    assert set(names(catalog, open_tables, app_role(service))) <= NOBODYS


def test_every_policy_holds_for_reading_and_writing(catalog: psycopg.Connection[dict[str, Any]]) -> None:
    assert set(names(catalog, READERS)) <= SEEN_BY_OTHERS
    of_subject = "NOT LIKE '%user_id = ( SELECT (NULLIF(current_setting(''app.subject_id''::text, true)%'"
    unprotected = f"""
        {OWNED} AND (
            NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polcmd = '*' AND p.polpermissive)
            OR EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd <> 'r' AND (
                coalesce(pg_get_expr(p.polqual, c.oid), '') {of_subject}
                OR coalesce(pg_get_expr(p.polwithcheck, c.oid), '') {of_subject}))
        )
    """
    assert names(catalog, unprotected) == []


def test_the_app_owns_nothing_and_cannot_get_around_row_security(
    service: str, catalog: psycopg.Connection[dict[str, Any]]
) -> None:
    role = app_role(service)
    powers = "rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication"
    assert (
        names(
            catalog, f"SELECT rolname AS name FROM pg_roles WHERE ({powers}) AND pg_has_role(%s, oid, 'MEMBER')", role
        )
        == []
    )
    owned = """
        SELECT d.classid::regclass || ' ' || d.objid AS name FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
        WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND pg_has_role(%s, r.oid, 'MEMBER')
        AND d.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    """
    assert names(catalog, owned, role) == []
    creates = (
        "SELECT nspname AS name FROM pg_namespace WHERE has_schema_privilege(%s, oid, 'CREATE') AND nspname !~ '^pg_'"
    )
    assert names(catalog, creates, role) == []


def test_the_app_reaches_no_partition_but_through_its_parent(
    service: str, catalog: psycopg.Connection[dict[str, Any]]
) -> None:
    reached = (
        f"SELECT relname AS name FROM pg_class WHERE {OURS} AND relispartition AND has_table_privilege(%s, oid, %s)"
    )
    for verb in ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE"):
        assert names(catalog, reached, app_role(service), verb) == []


def test_functions_that_run_as_their_owner_have_a_fixed_search_path(
    catalog: psycopg.Connection[dict[str, Any]],
) -> None:
    loose = """
        SELECT proname AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
        AND NOT coalesce(proconfig, '{}')::text LIKE '%search_path=%'
    """
    assert names(catalog, loose) == []


def test_no_trigger_of_the_apps_making_runs_as_the_owner(
    service: str, catalog: psycopg.Connection[dict[str, Any]]
) -> None:
    """The app may make temporary tables, and would say with their rows what a trigger's function does to real ones."""
    usable = """
        SELECT proname AS name FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef
        AND prorettype = 'trigger'::regtype AND has_function_privilege(%s, oid, 'EXECUTE')
    """
    assert names(catalog, usable, app_role(service)) == []


def test_unique_keys_start_with_user_id(catalog: psycopg.Connection[dict[str, Any]]) -> None:
    """A unique key without it would tell one person that another's row exists; a random `id` tells nothing."""
    telling = f"""
        SELECT i.indexrelid::regclass::text AS name FROM ({OWNED}) owned JOIN pg_index i ON i.indrelid = owned.oid
        JOIN LATERAL (
            SELECT array_agg(a.attname::text ORDER BY k.position) AS columns
            FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k(number, position)
            LEFT JOIN pg_attribute a ON a.attrelid = owned.oid AND a.attnum = k.number
        ) keys ON true
        WHERE i.indisunique AND NOT (keys.columns[1] = 'user_id' OR (i.indisprimary AND keys.columns[1] = 'id'))
    """
    assert set(names(catalog, telling)) <= RANDOM_KEYS | PROVED_KEYS


def test_partitions_reach_two_years_ahead(catalog: psycopg.Connection[dict[str, Any]]) -> None:
    short = f"""
        SELECT relname AS name FROM pg_class c WHERE {OURS} AND relkind = 'p'
        AND to_regclass(format('%I_%s', relname, extract(year FROM now())::integer + 2)) IS NULL
        AND to_regclass(relname || to_char(now() + interval '2 years', '_YYYY"q"Q')) IS NULL
        AND pg_get_partkeydef(c.oid) LIKE 'RANGE%'
    """
    assert names(catalog, short) == []


def test_nobody_reads_or_writes_another_persons_rows(service: str, postgres_server: DatabaseServer) -> None:
    with (
        postgres_server.clone(service) as database,
        psycopg.connect(database.migrator_url, row_factory=dict_row) as catalog,
    ):
        for table in names(catalog, f"{OWNED} AND NOT c.relispartition"):
            refuse_everything_of_others(database, catalog, table)


def refuse_everything_of_others(
    database: ServiceDatabase, catalog: psycopg.Connection[dict[str, Any]], table: str
) -> None:
    anna, bert = uuid4(), uuid4()
    for person in (anna, bert):
        insert_as_owner(catalog, table, person)
    catalog.commit()
    name = sql.Identifier(table)
    with psycopg.connect(database.app_url) as app:
        allowed = granted(app, table)
        act_for(app, anna)
        assert "SELECT" not in allowed or people_in(app, name) == {anna}, table
        if "UPDATE" in allowed:
            touched = app.execute(sql.SQL("UPDATE {} SET user_id = user_id").format(name)).rowcount
            assert touched == 1, table
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(sql.SQL("UPDATE {} SET user_id = %s").format(name), [bert])
            app.rollback()
            act_for(app, anna)
        if "DELETE" in allowed:
            assert app.execute(sql.SQL("DELETE FROM {}").format(name)).rowcount == 1, table
            app.rollback()
        if "INSERT" in allowed:
            act_for(app, bert)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                copy_row(app, catalog, table, anna)
            app.rollback()
        act_for(app, None)
        assert "SELECT" not in allowed or people_in(app, name) == set(), table
    # The audit log has besides the rows of all who were made for other tables.
    others = people_in(catalog, name) - {anna, bert}
    assert not others or table == "audit_log", table


def act_for(connection: psycopg.Connection[Any], person: UUID | None) -> None:
    connection.execute("SELECT set_config('app.subject_id', %s, true)", [str(person or "")])


def granted(connection: psycopg.Connection[Any], table: str) -> set[str]:
    verbs = ("SELECT", "INSERT", "UPDATE", "DELETE")
    query = "SELECT verb FROM unnest(%s::text[]) verb WHERE has_table_privilege(%s, verb)"
    return {verb for (verb,) in connection.execute(query, [list(verbs), table])}


def people_in(connection: psycopg.Connection[Any], table: sql.Identifier) -> set[UUID]:
    cursor = connection.cursor(row_factory=dict_row)
    return {row["user_id"] for row in cursor.execute(sql.SQL("SELECT user_id FROM {}").format(table))}


def insert_as_owner(connection: psycopg.Connection[dict[str, Any]], table: str, person: UUID) -> None:
    """A row of `person` with made-up values; its rules are not this test's subject, so they are lifted here."""
    lift_rules(connection, table)
    values = {**sample_row(connection, table), "user_id": person}
    insert(connection, table, values)


def copy_row(
    connection: psycopg.Connection[Any], catalog: psycopg.Connection[dict[str, Any]], table: str, person: UUID
) -> None:
    insert(connection, table, {**sample_row(catalog, table), "user_id": person})


def insert(connection: psycopg.Connection[Any], table: str, values: dict[str, Any]) -> None:
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder(name) for name in values),
        ),
        values,
    )


def lift_rules(connection: psycopg.Connection[dict[str, Any]], table: str) -> None:
    rules = connection.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype IN ('c', 'f') AND conislocal",
        [table],
    )
    for rule in rules.fetchall():
        connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT {}").format(sql.Identifier(table), sql.Identifier(rule["conname"]))
        )


def sample_row(connection: psycopg.Connection[dict[str, Any]], table: str) -> dict[str, Any]:
    """A value for every column that must have one, by its type."""
    columns = connection.execute(
        """
        SELECT attname AS name, format_type(atttypid, NULL) AS type FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attnotnull AND NOT atthasdef
        AND attidentity = '' AND attgenerated = ''
        """,
        [table],
    )
    return {column["name"]: SAMPLES[column["type"]]() for column in columns.fetchall()}


SAMPLES: dict[str, Any] = {
    "uuid": uuid4,
    "text": lambda: uuid4().hex,
    "character varying": lambda: uuid4().hex,
    "date": lambda: "2024-02-29",
    "time without time zone": lambda: "12:00",
    "timestamp with time zone": lambda: "2024-02-29T12:00:00Z",
    "smallint": lambda: 1,
    "integer": lambda: 1,
    "bigint": lambda: 1,
    "numeric": lambda: 1,
    "double precision": lambda: 1.0,
    "boolean": lambda: True,
    "jsonb": lambda: "{}",
    "bytea": lambda: uuid4().bytes,
    "text[]": list,
}
