"""A service made for testing what kit does around every RPC."""

import importlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import SecretStr

from services.kit.settings import ServiceSettings
from tests.databases import ServiceDatabase
from tests.harness import Running, Trust, make_trust, running
from tests.kit.support import PROTOS, Probe, compile_protos, importable, probe_service


@pytest.fixture(scope="session")
def probe_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ModuleType, ModuleType]]:
    """`probes_pb2` and `probes_pb2_grpc`."""
    directory = tmp_path_factory.mktemp("probe")
    compile_protos(PROTOS, directory)
    with importable(directory):
        package = "vitalis.probe.v1"
        yield importlib.import_module(f"{package}.probes_pb2"), importlib.import_module(f"{package}.probes_pb2_grpc")


@pytest.fixture
def trust(tmp_path: Path) -> Trust:
    return make_trust(tmp_path)


@pytest.fixture
def database(clone_database: Callable[[str], ServiceDatabase]) -> ServiceDatabase:
    return clone_database("tracking")


@pytest.fixture
def settings(trust: Trust, database: ServiceDatabase) -> ServiceSettings:
    return ServiceSettings(
        listen="127.0.0.1:0",
        database_url=SecretStr(database.app_url),
        caller_key_file=trust.caller_key_file,
        trusted_callers_file=trust.trusted_callers_file,
        grace_seconds=0,
    )


@pytest.fixture
async def probe(
    probe_modules: tuple[ModuleType, ModuleType], settings: ServiceSettings, database: ServiceDatabase, trust: Trust
) -> AsyncIterator[Probe]:
    service: Running
    async with running(probe_service(*probe_modules), settings, database, trust) as service:
        yield Probe(service, *probe_modules)
