"""`python -m services.identity rotate-keys`, and starting with a keyset that must not be used."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from pydantic_settings import BaseSettings

from services.identity.settings import IdentitySettings
from services.kit.caller import service_caller
from services.kit.database import Database, uuid7
from services.kit.keyset import main as keyset_command
from services.kit.keyset import read
from services.kit.vault import Vault
from tests.databases import ServiceDatabase

Settings = tuple[IdentitySettings, ServiceDatabase]


def identity(settings: BaseSettings, database: ServiceDatabase, *command: str) -> subprocess.CompletedProcess[str]:
    """The process, with these settings in its environment."""
    environment = dict(os.environ)
    for name, value in settings.model_dump(exclude_defaults=True).items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        environment[f"IDENTITY_{name.upper()}"] = text
    environment["IDENTITY_DATABASE_URL"] = database.app_url
    arguments = [sys.executable, "-m", "services.identity", *command]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_the_command_wraps_all_keys_with_the_primary_one(settings: Settings) -> None:
    given, database = settings
    file = given.vault_keyset_file
    pool = Database(database.app_url, 2, Vault(file))
    await pool.open()
    for _ in range(3):
        async with pool.transaction(service_caller("identity", str(uuid7()))) as connection:
            await pool.vault.key(connection)
    await pool.close()
    done = identity(given, database, "rotate-keys")
    assert (done.returncode, done.stdout) == (0, "identity: 0 data keys are wrapped anew\n"), done.stderr

    old = read(file).primary_key_id
    keyset_command(["add", str(file)])
    (new,) = {key.key_id for key in read(file).key} - {old}
    keyset_command(["promote", str(new), str(file)])
    done = identity(given, database, "rotate-keys")
    assert (done.returncode, done.stdout) == (0, "identity: 3 data keys are wrapped anew\n"), done.stderr
    with psycopg.connect(database.migrator_url) as owner:
        assert owner.execute("SELECT DISTINCT master_key_id FROM data_keys").fetchall() == [(new,)]
        owner.execute("UPDATE data_keys SET master_key_id = 1, wrapped_key = ''")
    done = identity(given, database, "rotate-keys")
    assert done.returncode == 1
    assert "identity: 3 data keys are wrapped by a master key that the keyset does not have" in done.stderr


@pytest.mark.parametrize("command", ["serve", "worker", "rotate-keys"])
def test_a_keyset_that_others_can_read_stops_the_start(settings: Settings, command: str) -> None:
    given, database = settings
    Path(given.vault_keyset_file).chmod(0o644)
    refused = identity(given, database, command)
    assert refused.returncode == 1
    assert f"identity: the keyset {given.vault_keyset_file} can be read by others (mode 0644)" in refused.stderr
    assert "Traceback" not in refused.stderr
