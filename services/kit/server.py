"""Builds and runs a service's gRPC server: interceptor, health, reflection, drain."""

import asyncio
import sys

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.kit.access import AccessLog
from services.kit.caller import CallerVerifier, watch_trusted
from services.kit.contract import ContractError, generated_base, service_of
from services.kit.database import Database
from services.kit.interceptor import Interceptor
from services.kit.parts import Parts
from services.kit.personal import ENCRYPTED
from services.kit.privacy import PersonData, PersonDataServicer
from services.kit.settings import ServiceSettings
from services.kit.tls import server_credentials
from services.kit.trail import AuditLogServicer

log = structlog.get_logger()
HEALTH_INTERVAL_SECONDS = 2.0
MAX_CONNECTION_AGE_MS = 5 * 60_000
# An upload or a watch may outlive its connection's age by this much.
MAX_CALL_MS = 60 * 60_000


class Server:
    """A gRPC server that has a database; true to its health."""

    def __init__(self, name: str, settings: ServiceSettings, database: Database, parts: Parts) -> None:
        if not database.has_vault and (columns := encrypted_columns(parts)):
            raise ContractError(f"{', '.join(columns)}: an encrypted column needs the setting vault_keyset_file")
        servicers = [*parts.servicers, *common_servicers(name, database, parts)]
        services = [service_of(type(servicer)) for servicer in servicers]
        verifier = CallerVerifier(name, watch_trusted(settings.trusted_callers_file))
        self._settings = settings
        self._database = database
        self._health = health.aio.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[Interceptor(services, verifier, settings.default_deadline_seconds, AccessLog(database))],
            options=[
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", settings.max_message_bytes),
                ("grpc.max_connection_age_ms", MAX_CONNECTION_AGE_MS),
                ("grpc.max_connection_age_grace_ms", MAX_CALL_MS),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ],
        )
        for servicer in servicers:
            register(servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [service.full_name for service in services]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server)
        self._names = ["", *names]
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listens; the port. Raises SystemExit with a clear message if the port is taken."""
        credentials = server_credentials(self._settings)
        listen = self._settings.listen
        try:
            port = (
                self._server.add_secure_port(listen, credentials)
                if credentials
                else self._server.add_insecure_port(listen)
            )
        except RuntimeError:
            raise SystemExit(f"cannot listen on {listen}: the port is in use") from None
        await self._check()
        await self._server.start()
        self._watch = asyncio.create_task(self._watch_database())
        return port

    async def stop(self) -> None:
        """Says so in its health, lets calls in flight finish, and stops."""
        if self._watch:
            self._watch.cancel()
        await self._health.enter_graceful_shutdown()
        await self._server.stop(self._settings.grace_seconds)

    async def _watch_database(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_INTERVAL_SECONDS)
            await self._check()

    async def _check(self) -> None:
        try:
            await self._database.ping()
            status: int = health_pb2.HealthCheckResponse.SERVING
        except Exception as error:
            log.warning("database unreachable", kind=type(error).__name__)
            status = health_pb2.HealthCheckResponse.NOT_SERVING
        for name in self._names:
            await self._health.set(name, status)


def register(servicer: object, server: grpc.aio.Server) -> None:
    """Makes the server answer the RPCs of the service that a servicer implements."""
    base = generated_base(type(servicer))
    getattr(sys.modules[base.__module__], f"add_{base.__name__}_to_server")(servicer, server)


def encrypted_columns(parts: Parts) -> list[str]:
    """The service's columns that need a vault."""
    tables = parts.personal.metadata.tables.values() if parts.personal else ()
    return [str(column) for table in tables for column in table.c if ENCRYPTED in column.info]


def common_servicers(name: str, database: Database, parts: Parts) -> list[object]:
    """What every service serves besides its own (`vitalis.common.v1`)."""
    servicers: list[object] = [AuditLogServicer(name, database)]
    if parts.personal:
        data = PersonData(database, parts.personal, has_queue=parts.jobs is not None)
        servicers.append(PersonDataServicer(data))
    return servicers
