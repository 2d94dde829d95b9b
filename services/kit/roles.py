"""A service's database and its two roles, made by whoever administers the PostgreSQL server.

`<service>_migrator` owns the database and bypasses row security; `<service>_app`
owns nothing and is what the service connects as. Migrations grant to the group
`vitalis_app`, so that no revision needs the name of a login role; what keeps
services apart is that each login may connect to its own database only.

    python -m services.kit.roles tracking identity

reads VITALIS_ADMIN_DATABASE_URL and the passwords <SERVICE>_APP_PASSWORD and
<SERVICE>_MIGRATOR_PASSWORD from the environment.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

APP_GROUP = "vitalis_app"
LOWEST_VERSION = 150000
# One server-wide number: two set-ups at once would both try to create the group.
SETUP_LOCK = 0x7669_7461


def database_name(service: str) -> str:
    return f"vitalis_{service}"


def app_role(service: str) -> str:
    return f"{service}_app"


def migrator_role(service: str) -> str:
    return f"{service}_migrator"


def service_url(admin_url: str, database: str, role: str, password: str) -> str:
    """`admin_url` with another database and login; host, port and parameters stay."""
    parts = urlsplit(admin_url)
    host = parts.netloc.rpartition("@")[2]
    login = f"{quote(role, safe='')}:{quote(password, safe='')}"
    return urlunsplit(("postgresql", f"{login}@{host}", f"/{quote(database, safe='')}", parts.query, ""))


def ensure_service_database(
    admin_url: str, service: str, passwords: Mapping[str, str], database: str = ""
) -> tuple[str, str]:
    """Creates what is missing and sets the passwords; safe to repeat.

    `passwords` maps role names (`tracking_app`, `tracking_migrator`) to
    passwords; `database` is `vitalis_<service>` unless it is given. Returns the
    `postgresql://` URLs of the app and of the migrator. Raises RuntimeError for a server older than PostgreSQL 15.
    """
    app, migrator = app_role(service), migrator_role(service)
    database = database or database_name(service)
    with psycopg.connect(admin_url, autocommit=True) as admin:
        if admin.info.server_version < LOWEST_VERSION:
            raise RuntimeError("PostgreSQL 15 or later is needed")
        admin.execute("SELECT pg_advisory_lock(%s)", [SETUP_LOCK])
        ensure_group(admin)
        _ensure_login(admin, migrator, passwords[migrator], "BYPASSRLS")
        _ensure_login(admin, app, passwords[app], "NOBYPASSRLS")
        admin.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(APP_GROUP), sql.Identifier(app)))
        _may_act_for(admin, migrator)
        if not _exists(admin, "SELECT FROM pg_database WHERE datname = %s", database):
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                    sql.Identifier(database), sql.Identifier(migrator)
                )
            )
        close_database(admin, database, service)
    app_url = service_url(admin_url, database, app, passwords[app])
    migrator_url = service_url(admin_url, database, migrator, passwords[migrator])
    with psycopg.connect(migrator_url) as owner:
        close_schema(owner)
    return app_url, migrator_url


def ensure_group(admin: psycopg.Connection[Any]) -> None:
    """The role without login that migrations grant to."""
    if not _exists(admin, "SELECT FROM pg_roles WHERE rolname = %s", APP_GROUP):
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(APP_GROUP)))


def close_database(admin: psycopg.Connection[Any], database: str, service: str) -> None:
    """Only the service's own logins may connect; the app may use temporary tables."""
    name, role = sql.Identifier(database), sql.Identifier(app_role(service))
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    admin.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(name, role))


def close_schema(owner: psycopg.Connection[Any]) -> None:
    """Nothing in the schema is anybody's unless a migration grants it."""
    owner.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    owner.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(sql.Identifier(APP_GROUP)))
    owner.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")


def _ensure_login(admin: psycopg.Connection[Any], role: str, password: str, bypass: str) -> None:
    name = sql.Identifier(role)
    if not _exists(admin, "SELECT FROM pg_roles WHERE rolname = %s", role):
        admin.execute(sql.SQL("CREATE ROLE {}").format(name))
    # Hashed here, so that the password is in no statement that the server may log.
    verifier = admin.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    admin.execute(
        sql.SQL("ALTER ROLE {} LOGIN NOCREATEDB NOCREATEROLE {} PASSWORD {}").format(
            name, sql.SQL(bypass), sql.Literal(verifier)
        )
    )


def _may_act_for(admin: psycopg.Connection[Any], role: str) -> None:
    """An administrator who is no superuser must be a member of the role that shall own the database."""
    row = admin.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if row and not row[0]:
        admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))


def _exists(connection: psycopg.Connection[Any], query: str, name: str) -> bool:
    return connection.execute(query.encode(), [name]).fetchone() is not None


def main(services: list[str]) -> None:
    url = os.environ.get("VITALIS_ADMIN_DATABASE_URL", "")
    names = {
        role: f"{role.upper()}_PASSWORD" for service in services for role in (app_role(service), migrator_role(service))
    }
    missing = [name for name in names.values() if not os.environ.get(name)]
    if not url:
        missing.insert(0, "VITALIS_ADMIN_DATABASE_URL")
    if missing or not services:
        print(
            "usage: python -m services.kit.roles SERVICE…; missing: " + (", ".join(missing) or "SERVICE"),
            file=sys.stderr,
        )
        raise SystemExit(2)
    for service in services:
        ensure_service_database(url, service, {role: os.environ[name] for role, name in names.items()})
        print(f"{database_name(service)}: ready, with the roles {app_role(service)} and {migrator_role(service)}")


if __name__ == "__main__":
    main(sys.argv[1:])
