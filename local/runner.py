"""Everything of Vitalis on one machine, as one thing that starts and stops: `Stack`.

`make up`, the demo, the benchmarks and the end-to-end tests all use it.
"""

import json
import os
import queue
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health_pb2

from local.directory import DataDirectory, LocalError, default_directory, private_directory
from local.keys import ACCESS_TOKEN_KEY, TRUSTED_CALLERS, caller_key_file, ensure_keys, vault_keyset_file
from local.postgres import HOST, SUPERUSER, Postgres, free_port
from local.process import Child, Program, Watchdog
from services.kit import migrate
from services.kit.roles import app_role, ensure_service_database, migrator_role
from services.labs.biomarkers import store as biomarkers

SERVICES = ("identity", "tracking", "labs")
WORKERS = SERVICES
GATEWAY = "gateway"
POSTGRES = "postgres"
GATEWAY_PORT = 8080
SERVICE_PORTS = {"identity": 7101, "tracking": 7102, "labs": 7103}
METRICS_PORTS = {
    GATEWAY: 9100,
    "identity": 9101,
    "tracking": 9102,
    "tracking-worker": 9103,
    "identity-worker": 9104,
    "labs": 9105,
    "labs-worker": 9106,
}
# On a laptop it takes four; this is for a machine that is busy with something else.
START_SECONDS = 120.0
PROBE_SECONDS = 2.0
ADMIN_URL = "VITALIS_ADMIN_DATABASE_URL"


@dataclass(frozen=True)
class Urls:
    """The two `postgresql://` URLs of a service's database."""

    app: str
    migrator: str


def _discard(name: str, line: str) -> None:
    """No log: the last lines of a process that dies are in the error all the same."""


class Stack:
    """PostgreSQL, the services, their workers and the gateway, as separate processes.

    A context manager: on entry everything answers, on exit everything has
    stopped. `url` is the gateway's. `children` are the processes by name, for
    tests that kill or restart one.
    """

    def __init__(
        self,
        data_directory: Path | None = None,
        *,
        port: int = GATEWAY_PORT,
        settings: Mapping[str, str] | None = None,
        postgres_settings: Mapping[str, str] | None = None,
        show: Callable[[str, str], None] = _discard,
    ) -> None:
        """`port` is the gateway's; 0 takes free ones everywhere. `settings` go to every process's environment."""
        self.directory = DataDirectory(data_directory or default_directory())
        self.children: dict[str, Child] = {}
        self.databases: dict[str, Urls] = {}
        self._show = show
        self._settings = dict(settings or {})
        self._postgres_settings = postgres_settings
        self._gateway_port = port
        self._any_port = port == 0
        self._ports: dict[str, int] = {}
        self._deaths: queue.SimpleQueue[Child] = queue.SimpleQueue()
        self._watchdog: Watchdog | None = None
        self.stopping = False

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._ports[GATEWAY]}"

    def target(self, service: str) -> str:
        """The gRPC target of a service."""
        return f"{HOST}:{self._ports[service]}"

    def metrics_url(self, name: str) -> str:
        return f"http://{HOST}:{self._ports[f'{name} metrics']}/metrics"

    @property
    def mailbox(self) -> Path:
        """Where mail lies as files, unless IDENTITY_SMTP_URL names a server."""
        return self.directory.path / "mail"

    @property
    def keys(self) -> Path:
        return self.directory.path / "keys"

    def __enter__(self) -> Self:
        try:
            self.prepare()
            self._start_processes()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def prepare(self) -> None:
        """PostgreSQL with migrated databases, and the keys. `stop` undoes what was started."""
        self.directory.acquire()
        self._watchdog = Watchdog()
        self._choose_ports()
        ensure_keys(self.keys, GATEWAY, SERVICES)
        admin_url = os.environ.get(ADMIN_URL) or self._start_postgres()
        for service in SERVICES:
            passwords = {role: self.directory.password(role) for role in (app_role(service), migrator_role(service))}
            self.databases[service] = Urls(*ensure_service_database(admin_url, service, passwords))
            self._show("migrate", f"{service} database")
            migrate.upgrade(self.databases[service].migrator, service)
        biomarkers.refresh(self.databases["labs"].migrator)

    def make_admin(self, email: str) -> int:
        """Makes somebody an administrator, once prepared; the exit code of identity's command."""
        url = {"IDENTITY_MIGRATOR_DATABASE_URL": self.databases["identity"].migrator}
        command = [*_module("services.identity", "make-admin"), email]
        return subprocess.run(command, env={**os.environ, **url}, check=False).returncode

    def start(self, program: Program) -> Child:
        """Starts one more program among the children; `restart` and `wait` know it from then on."""
        assert self._watchdog
        child = Child(program, self._watchdog, self._show, self._deaths.put)
        self.children[program.name] = child
        return child

    def kill(self, name: str) -> None:
        """Ends a process as a crash of the machine would, without any word to it."""
        self.children[name].kill()

    def restart(self, name: str, *, wait: bool = True) -> None:
        """Starts a process again, on the same ports, stopping it first if it runs."""
        child = self.children[name]
        child.stop()
        self.start(child.program)
        if wait:
            self._wait_for(name)

    def wait(self) -> None:
        """Returns never; raises LocalError when a process ends without being asked."""
        while True:
            try:
                dead = self._deaths.get(timeout=1.0)
            except queue.Empty:
                continue
            raise LocalError(_obituary(dead))

    def stop(self) -> None:
        """Stops the gateway, then the services and workers, then PostgreSQL; safe to repeat."""
        if self.stopping:
            return
        self.stopping = True
        workers = [f"{service}-worker" for service in WORKERS]
        others = [name for name in self.children if name not in (GATEWAY, *SERVICES, *workers, POSTGRES)]
        for group in (others, [GATEWAY], SERVICES, workers, [POSTGRES]):
            running = [self.children[name] for name in group if name in self.children]
            for child in running:
                child.ask_to_stop()
            for child in running:
                child.stop()
        self._close()

    def abandon(self) -> None:
        """Kills everything at once."""
        self.stopping = True
        for child in list(self.children.values()):
            child.kill()
        self._close()

    def _close(self) -> None:
        if self._watchdog:
            self._watchdog.close()
        self.directory.release()

    def _choose_ports(self) -> None:
        if self._any_port:
            self._ports[GATEWAY] = free_port()
        elif is_free(self._gateway_port):
            self._ports[GATEWAY] = self._gateway_port
        else:
            raise LocalError(
                f"port {self._gateway_port} is in use: stop what listens there, or choose another with --port"
            )
        # Nobody but these processes knows the other ports, so any will do where the usual one is taken.
        metrics = {f"{name} metrics": port for name, port in METRICS_PORTS.items()}
        for name, port in (SERVICE_PORTS | metrics).items():
            self._ports[name] = free_port() if self._any_port or not is_free(port) else port

    def _start_postgres(self) -> str:
        server = Postgres(self.directory.path, self.directory.password(SUPERUSER), self._postgres_settings)
        server.initialise()
        self._postgres = server
        server.wait_until_ready(self.start(server.program()))
        return server.admin_url

    def _start_processes(self) -> None:
        # The gateway fetches identity's keys when it starts, so it is the last.
        *behind, gateway = self._programs()
        for group in (behind, [gateway]):
            for program in group:
                self.start(program)
            for program in group:
                self._wait_for(program.name)

    def _programs(self) -> list[Program]:
        programs = []
        for service in SERVICES:
            environment = self._environment(service, service)
            programs.append(Program(service, _module(f"services.{service}", "serve"), environment))
        for service in WORKERS:
            name = f"{service}-worker"
            programs.append(Program(name, _module(f"services.{service}", "worker"), self._environment(service, name)))
        programs.append(Program(GATEWAY, _module("gateway"), self._environment(GATEWAY, GATEWAY)))
        return programs

    def _environment(self, prefix: str, name: str) -> dict[str, str]:
        """The settings of one process. What the environment says of formats and stores wins; addresses do not."""
        upper = prefix.upper()
        usual = {f"{upper}_LOG_FORMAT": "console"}
        fixed = {
            "PYTHONUNBUFFERED": "1",
            f"{upper}_LISTEN": self.target(prefix),
            f"{upper}_METRICS_LISTEN": f"{HOST}:{self._ports[f'{name} metrics']}",
            f"{upper}_CALLER_KEY_FILE": str(caller_key_file(self.keys, prefix)),
        }
        if prefix == GATEWAY:
            fixed["GATEWAY_SERVICES"] = json.dumps({service: self.target(service) for service in SERVICES})
        else:
            fixed[f"{upper}_SERVICES"] = json.dumps(
                {service: self.target(service) for service in SERVICES if service != prefix}
            )
            fixed[f"{upper}_DATABASE_URL"] = self.databases[prefix].app
            fixed[f"{upper}_TRUSTED_CALLERS_FILE"] = str(self.keys / TRUSTED_CALLERS)
            fixed[f"{upper}_VAULT_KEYSET_FILE"] = str(vault_keyset_file(self.keys, prefix))
        if prefix == "identity":
            fixed["IDENTITY_SIGNING_KEY_FILES"] = str(self.keys / ACCESS_TOKEN_KEY)
            usual["IDENTITY_PUBLIC_URL"] = self.url
            # Passkeys are made for a name: no browser makes one for an address.
            usual["IDENTITY_ORIGINS"] = f"http://localhost:{self._ports[GATEWAY]}"
            usual["IDENTITY_OBJECT_STORE_URL"] = private_directory(self.directory.path / "exports").as_uri()
            fixed["IDENTITY_MAILBOX"] = str(private_directory(self.mailbox))
        if prefix == "tracking":
            usual["TRACKING_OBJECT_STORE_URL"] = private_directory(self.directory.path / "objects").as_uri()
        if prefix == "labs":
            usual["LABS_OBJECT_STORE_URL"] = private_directory(self.directory.path / "documents").as_uri()
        given = {key: value for key, value in os.environ.items() if key in usual}
        return usual | given | self._settings | fixed

    def _wait_for(self, name: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._answers(name):
            child = self.children[name]
            if child.exit_code is not None:
                time.sleep(0.2)
                raise LocalError(_obituary(child))
            if not self._deaths.empty():
                raise LocalError(_obituary(self._deaths.get()))
            if time.monotonic() > deadline:
                raise LocalError(f"{name} does not answer after {START_SECONDS:.0f} s:\n" + "\n".join(child.tail))
            time.sleep(0.05)

    def _answers(self, name: str) -> bool:
        if name == POSTGRES:
            return self._postgres.ready()
        if name == GATEWAY:
            return http_ok(f"{self.url}/readyz")
        if name in SERVICES:
            return serving(self.target(name))
        if name in METRICS_PORTS:
            return http_ok(self.metrics_url(name))
        return True


def _module(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


def _obituary(child: Child) -> str:
    code = child.exit_code
    how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
    return f"{child.name} {how}; its last lines:\n" + "\n".join(f"  {line}" for line in child.tail)


def is_free(port: int) -> bool:
    """Whether this machine would let us listen on the port."""
    with socket.socket() as probe:
        # As servers do: a port in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def http_ok(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PROBE_SECONDS) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def serving(target: str) -> bool:
    """Whether a gRPC server says of itself that it serves."""
    with grpc.insecure_channel(target) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            reply = check(health_pb2.HealthCheckRequest(), timeout=PROBE_SECONDS)
        except grpc.RpcError:
            return False
    return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)
