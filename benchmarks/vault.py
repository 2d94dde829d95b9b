"""What encryption costs: a value, and reading and writing rows with an encrypted column beside the same in clear."""

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from google.protobuf import descriptor_pb2, descriptor_pool, timestamp_pb2
from google.protobuf.message_factory import GetMessageClass

from benchmarks.figures import Figure, Peer, machine, percentile, postgres_version
from local.directory import write_private
from local.postgres import temporary_server
from services.kit import keyset, migrate
from services.kit.caller import calling, service_caller
from services.kit.database import Database, new_metadata, owned, uuid7
from services.kit.resources import Resource
from services.kit.roles import APP_GROUP, app_role, ensure_service_database, migrator_role
from services.kit.vault import GENERAL, Vault

SERVICE = "identity"
PASSWORD = "benchmark"
TEXT = "I slept badly, and thought of what there is to do. " * 4
ROWS = 30
VALUES = 20_000
CALLS = 1_000
RUNS = 3
PEER = "the column in clear"
STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
OPTIONAL = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL


def measure() -> tuple[str, list[Figure]]:
    """The machine and the figures."""
    with tempfile.TemporaryDirectory(prefix="vitalis-bench-") as scratch, temporary_server() as admin_url:
        file = Path(scratch) / "vault.json"
        write_private(file, keyset.as_json(keyset.new_keyset()))
        passwords = dict.fromkeys((app_role(SERVICE), migrator_role(SERVICE)), PASSWORD)
        app_url, migrator_url = ensure_service_database(admin_url, SERVICE, passwords)
        migrate.upgrade(migrator_url, SERVICE)
        clear, sealed = _resource("clear_notes", sa.Text), _resource("sealed_notes", sa.LargeBinary, ("note",))
        _make_tables(migrator_url, clear, sealed)
        figures = asyncio.run(_measure(app_url, Vault(file), clear, sealed))
        return machine(postgres_version(admin_url)), figures


async def _measure(url: str, vault: Vault, clear: Resource, sealed: Resource) -> list[Figure]:
    database = Database(url, 1, vault)
    await database.open()
    person = service_caller(SERVICE, str(uuid7()))
    request = _messages()["List"]()
    times: dict[str, list[float]] = {}

    async def beside(kind: str, call: Callable[[Resource], Awaitable[Any]]) -> None:
        """Turn and turn about, so that both have the same share of what else the machine does."""
        milliseconds: dict[str, list[float]] = {"clear": [], "sealed": []}
        for _ in range(CALLS):
            for name, resource in (("clear", clear), ("sealed", sealed)):
                started = time.perf_counter()
                await call(resource)
                milliseconds[name].append((time.perf_counter() - started) * 1000)
        for name, spent in milliseconds.items():
            times.setdefault(f"{kind} {name}", []).append(percentile(spent, 50))

    with calling(person):
        async with database.transaction() as connection:
            key = await vault.key(connection)
        for resource in (clear, sealed):
            for _ in range(ROWS):
                await _write(database, resource)
        for _ in range(RUNS):
            await beside("read", lambda resource: resource.page(database, request))
            await beside("write", lambda resource: _write(database, resource))
            stored = key.encrypt("t", "c", "1", TEXT)
            times.setdefault("encrypt", []).append(_microseconds(lambda: key.encrypt("t", "c", "1", TEXT)))
            times.setdefault("decrypt", []).append(_microseconds(lambda: key.decrypt("t", "c", "1", stored)))  # noqa: B023
            wrapped = vault.rewrap(person.subject, GENERAL, await _wrapped(database))["wrapped_key"]
            times.setdefault("unwrap", []).append(
                _microseconds(lambda: vault.open(person.subject, GENERAL, wrapped))  # noqa: B023
            )
    await database.close()
    return [
        Figure(f"encrypt {len(TEXT)} characters", "µs", times["encrypt"], better="less"),
        Figure(f"decrypt {len(TEXT)} characters", "µs", times["decrypt"], better="less"),
        Figure("unwrap a data key", "µs", times["unwrap"], better="less"),
        _beside(f"read {ROWS} rows with an encrypted column, p50", times, "read"),
        _beside("write a row with an encrypted column, p50", times, "write"),
    ]


def _beside(what: str, times: dict[str, list[float]], kind: str) -> Figure:
    return Figure(what, "ms", times[f"{kind} sealed"], better="less", peer=Peer(PEER, times[f"{kind} clear"]))


def _microseconds(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    for _ in range(VALUES):
        call()
    return (time.perf_counter() - started) / VALUES * 1e6


async def _wrapped(database: Database) -> bytes:
    async with database.transaction() as connection:
        wrapped: bytes = (await connection.execute(sa.text("SELECT wrapped_key FROM data_keys"))).scalar_one()
    return wrapped


async def _write(database: Database, resource: Resource) -> None:
    async with database.transaction() as connection:
        await resource.insert(connection, {"note": TEXT})


def _messages() -> dict[str, Any]:
    """A message with a text, and the request of its list."""
    name = "benchmarks/vault.proto"
    pool = descriptor_pool.Default()
    try:
        file = pool.FindFileByName(name)
    except KeyError:
        instant = f".{timestamp_pb2.Timestamp.DESCRIPTOR.full_name}"
        proto = descriptor_pb2.FileDescriptorProto(
            name=name, package="benchmarks", syntax="proto3", dependency=[timestamp_pb2.DESCRIPTOR.name]
        )
        note, request = proto.message_type.add(name="Note"), proto.message_type.add(name="List")
        for number, field in enumerate(("id", "user_id", "note"), 1):
            note.field.add(name=field, number=number, type=STRING, label=OPTIONAL)
        for number, field in enumerate(("created_at", "updated_at"), 4):
            note.field.add(name=field, number=number, type=11, type_name=instant, label=OPTIONAL)
        request.field.add(name="page_size", number=1, type=5, label=OPTIONAL)
        request.field.add(name="page_token", number=2, type=STRING, label=OPTIONAL)
        pool.Add(proto)
        file = pool.FindFileByName(name)
    return {kind: GetMessageClass(message) for kind, message in file.message_types_by_name.items()}


def _resource(table: str, kind: Any, encrypted: tuple[str, ...] = ()) -> Resource:
    columns = (*owned(), sa.Column("note", kind), sa.PrimaryKeyConstraint("user_id", "id"))
    rows = sa.Table(table, new_metadata(), *columns)
    return Resource(_messages()["Note"], rows, what="note", order_by=("id",), encrypted=encrypted)


def _make_tables(url: str, *resources: Resource) -> None:
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:", 1))
    for resource in resources:
        resource.table.create(engine)
    engine.dispose()
    with psycopg.connect(url) as owner:
        for resource in resources:
            name = resource.table.name
            owner.execute(f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY".encode())
            owner.execute(f"CREATE POLICY owner ON {name} USING (user_id = {migrate.SUBJECT})".encode())
            owner.execute(f"GRANT SELECT, INSERT ON {name} TO {APP_GROUP}".encode())
