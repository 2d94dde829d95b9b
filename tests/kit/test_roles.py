"""Databases and roles on a server that an administrator gives us."""

from collections.abc import Iterator

import psycopg
import pytest

from local.postgres import temporary_server
from services.kit.roles import ensure_service_database, main, service_url

PASSWORDS = {"spare_app": "p@ss/word %", "spare_migrator": "other:word"}


@pytest.fixture
def server() -> Iterator[str]:
    """A server of the test's own, because roles are the whole server's."""
    with temporary_server() as admin_url:
        yield admin_url


def user_of(url: str) -> object:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT current_user, current_database()").fetchone()


def test_setting_up_twice_changes_only_the_passwords(server: str) -> None:
    first = ensure_service_database(server, "spare", PASSWORDS)
    second = ensure_service_database(server, "spare", {**PASSWORDS, "spare_app": "new"})
    assert first[1] == second[1]
    assert user_of(second[0]) == ("spare_app", "vitalis_spare")
    assert user_of(second[1]) == ("spare_migrator", "vitalis_spare")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(first[0])


def test_an_administrator_need_not_be_a_superuser(server: str) -> None:
    with psycopg.connect(server) as superuser:
        superuser.execute("CREATE ROLE administrator LOGIN CREATEDB CREATEROLE BYPASSRLS PASSWORD 'secret'")
    administrator = service_url(server, "postgres", "administrator", "secret")
    for _ in range(2):
        app, migrator = ensure_service_database(administrator, "spare", PASSWORDS)
    assert user_of(app) == ("spare_app", "vitalis_spare")
    assert user_of(migrator) == ("spare_migrator", "vitalis_spare")


def test_the_command_names_what_is_missing(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VITALIS_ADMIN_DATABASE_URL", raising=False)
    monkeypatch.setenv("SPARE_APP_PASSWORD", "one")
    with pytest.raises(SystemExit):
        main(["spare"])
    assert "VITALIS_ADMIN_DATABASE_URL, SPARE_MIGRATOR_PASSWORD" in capsys.readouterr().err
    monkeypatch.setenv("VITALIS_ADMIN_DATABASE_URL", server)
    monkeypatch.setenv("SPARE_MIGRATOR_PASSWORD", "two")
    main(["spare"])
    assert capsys.readouterr().out == "vitalis_spare: ready, with the roles spare_app and spare_migrator\n"
