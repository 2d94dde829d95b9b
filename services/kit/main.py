"""`python -m services.<name> serve | worker | migrate | rotate-keys`, the same for every service."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import psycopg_pool
import structlog
import uvloop

from services.kit import telemetry
from services.kit.database import Database, UnsafeRole
from services.kit.parts import Parts, Service, Settings
from services.kit.settings import MigrateSettings, ServiceSettings, load

if TYPE_CHECKING:
    from services.kit.vault import Vault

log = structlog.get_logger()


def main(service: Service[Settings]) -> None:
    """Runs the command that the process was started with."""
    commands = {"serve": _serve, "worker": _worker, "rotate-keys": _rotate_keys}
    match sys.argv[1:]:
        case ["migrate", *revision] if len(revision) < 2:
            # Alembic is needed for this alone, and the worker counts its memory.
            from services.kit.migrate import upgrade

            settings = load(MigrateSettings, f"{service.name.upper()}_")
            upgrade(settings.migrator_database_url.get_secret_value(), service.name, *revision)
        case [command] if command in commands:
            uvloop.run(_run(service, command, commands[command]))
        case [command, *arguments] if command in service.commands:
            service.commands[command](arguments)
        case _:
            own = "".join(f" | {command} …" for command in service.commands)
            usage = f"serve | worker | rotate-keys | migrate [revision]{own}"
            sys.exit(f"usage: python -m services.{service.name} {usage}")


async def _run(service: Service[Settings], command: str, action: Callable[..., Awaitable[None]]) -> None:
    settings = load(service.settings, f"{service.name.upper()}_")
    telemetry.start(settings, service.name if command == "serve" else f"{service.name}-{command}")
    vault = _vault(service.name, settings)
    database = Database(settings.database_url.get_secret_value(), settings.database_pool_size, vault)
    try:
        await _open(service.name, database)
        parts = service.build(settings, database)
        try:
            await action(service.name, settings, database, parts)
        finally:
            for channel in parts.channels:
                await channel.close()
    finally:
        await database.close()


async def _open(name: str, database: Database) -> None:
    """Opens the pool; ends the process if the database cannot be used."""
    try:
        await database.open()
    except psycopg_pool.PoolTimeout:
        sys.exit(f"{name}: the database cannot be reached")
    except UnsafeRole as error:
        sys.exit(f"{name}: {error}")


def _vault(name: str, settings: ServiceSettings) -> Vault | None:
    """The vault of a service that has a keyset; ends the process if it cannot be used."""
    if settings.vault_keyset_file is None:
        return None
    # Not at the top: a worker without encrypted columns has no use for it, and counts its memory.
    from services.kit.keyset import KeysetError
    from services.kit.vault import Vault

    try:
        return Vault(settings.vault_keyset_file, settings.vault_kms_uri)
    except KeysetError as error:
        sys.exit(f"{name}: {error}")


async def _serve(name: str, settings: ServiceSettings, database: Database, parts: Parts) -> None:
    # Not at the top: a worker has no use for the server and its validator.
    from services.kit.server import Server

    if parts.jobs:
        await parts.jobs.open()
    server = Server(name, settings, database, parts)
    await server.start()
    log.info("serving", listen=settings.listen)
    await until_signalled()
    log.info("draining")
    await server.stop()


async def _worker(name: str, settings: ServiceSettings, database: Database, parts: Parts) -> None:
    if not parts.jobs:
        sys.exit(f"{name} has no jobs")
    await parts.jobs.open()
    work = asyncio.create_task(
        parts.jobs.work(settings.worker_concurrency, settings.grace_seconds, settings.worker_stalled_seconds)
    )
    signalled = asyncio.create_task(until_signalled())
    log.info("working", concurrency=settings.worker_concurrency)
    await asyncio.wait({work, signalled}, return_when=asyncio.FIRST_COMPLETED)
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _rotate_keys(name: str, settings: ServiceSettings, database: Database, parts: Parts) -> None:
    if not database.has_vault:
        sys.exit(f"{name} encrypts nothing: it has no vault_keyset_file")
    from services.kit.rotation import rotate_keys

    rewrapped, failed = await rotate_keys(database, name)
    print(f"{name}: {rewrapped} data keys are wrapped anew")
    if failed:
        sys.exit(f"{name}: {failed} data keys are wrapped by a master key that the keyset does not have")


async def until_signalled() -> None:
    """Returns at the first SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
