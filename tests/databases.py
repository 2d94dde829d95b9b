"""Databases for tests: one server a run, one migrated template a service, one clone a test."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from local.postgres import temporary_server
from services.kit import migrate
from services.kit.roles import app_role, close_database, ensure_service_database, migrator_role, service_url

ROOT = Path(__file__).resolve().parents[1]
SERVICES = sorted(path.parents[1].name for path in ROOT.glob("services/*/migrations/env.py"))
TEMPLATE_LOCK = 0x7465_7374


@dataclass(frozen=True)
class ServiceDatabase:
    """A database of one service, at its latest revision; `postgresql://` URLs of its two roles."""

    app_url: str
    migrator_url: str

    async def has_waiting(self, sessions: int = 1) -> None:
        """Returns once that many sessions wait for a lock that another one holds. Raises TimeoutError in the end."""
        waiting = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
        )
        async with asyncio.timeout(30):
            with psycopg.connect(self.migrator_url, autocommit=True) as owner:
                while owner.execute(waiting).fetchall()[0][0] < sessions:
                    await asyncio.sleep(0.01)


@dataclass(frozen=True)
class DatabaseServer:
    """The server of a test run. `run` keeps runs on one server apart, `password` is every role's."""

    admin_url: str
    run: str
    password: str
    _templates: set[str] = field(default_factory=set, compare=False)

    @contextmanager
    def clone(self, service: str) -> Iterator[ServiceDatabase]:
        """A migrated database of its own, dropped afterwards whoever is connected."""
        with self._new(service, self.template(service)) as database:
            yield database

    @contextmanager
    def empty(self, service: str) -> Iterator[ServiceDatabase]:
        """A database with the service's roles and nothing in it."""
        with self._new(service, "") as database:
            yield database

    @contextmanager
    def _new(self, service: str, template: str) -> Iterator[ServiceDatabase]:
        name = f"{self.run}_{service}_{secrets.token_hex(4)}"
        if template:
            with psycopg.connect(self.admin_url, autocommit=True) as admin:
                admin.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY").format(
                        sql.Identifier(name), sql.Identifier(template), sql.Identifier(migrator_role(service))
                    )
                )
                close_database(admin, name, service)
            database = ServiceDatabase(
                service_url(self.admin_url, name, app_role(service), self.password),
                service_url(self.admin_url, name, migrator_role(service), self.password),
            )
        else:
            database = self._ensure(service, name)
        try:
            yield database
        finally:
            self.drop(name)

    def template(self, service: str) -> str:
        """The name of the service's migrated template; the first who asks makes it."""
        name = f"{self.run}_{service}"
        if name in self._templates:
            return name
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
            if admin.execute("SELECT FROM pg_database WHERE datname = %s AND datistemplate", [name]).fetchone() is None:
                self.drop(name)
                migrate.upgrade(self._ensure(service, name).migrator_url, service)
                admin.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true").format(sql.Identifier(name)))
        self._templates.add(name)
        return name

    def drop(self, name: str) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def drop_all(self) -> None:
        """Drops what the run has left, its templates too."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            names = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [f"{self.run}\\_%"])
            for (name,) in names.fetchall():
                admin.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(name)))
                self.drop(name)

    def _ensure(self, service: str, name: str) -> ServiceDatabase:
        passwords = {app_role(service): self.password, migrator_role(service): self.password}
        return ServiceDatabase(*ensure_service_database(self.admin_url, service, passwords, name))


def new_run(admin_url: str) -> DatabaseServer:
    return DatabaseServer(admin_url, f"test_{secrets.token_hex(4)}", secrets.token_urlsafe(24))


@contextmanager
def external_server(admin_url: str) -> Iterator[DatabaseServer]:
    """A server that is there for tests: the passwords of the services' roles are changed on it."""
    server = new_run(admin_url)
    try:
        yield server
    finally:
        server.drop_all()


@contextmanager
def embedded_server() -> Iterator[DatabaseServer]:
    """A server in a directory of its own, gone afterwards."""
    with temporary_server() as admin_url:
        yield new_run(admin_url)
