"""Tracking in this process."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.kit.caller import Caller
from services.tracking.__main__ import SERVICE
from services.tracking.settings import TrackingSettings
from tests.databases import ServiceDatabase
from tests.harness import Running, make_trust, running, write_keyset
from vitalis.tracking.v1 import imports_pb2_grpc, wearables_pb2_grpc, wellbeing_pb2_grpc


@pytest.fixture
def tracking_settings(
    tmp_path: Path, clone_database: Callable[[str], ServiceDatabase]
) -> tuple[TrackingSettings, ServiceDatabase]:
    database = clone_database("tracking")
    trust = make_trust(tmp_path)
    return TrackingSettings(
        listen="127.0.0.1:0",
        database_url=SecretStr(database.app_url),
        caller_key_file=trust.caller_key_file,
        trusted_callers_file=trust.trusted_callers_file,
        vault_keyset_file=write_keyset(tmp_path / "vault.json"),
        object_store_url=f"file://{tmp_path}/objects",
        scratch_directory=tmp_path,
        upload_max_bytes=64 * 2**20,
        grace_seconds=0,
    ), database


@pytest.fixture
async def tracking(
    tmp_path: Path, tracking_settings: tuple[TrackingSettings, ServiceDatabase]
) -> AsyncIterator[Running]:
    settings, database = tracking_settings
    trust = make_trust(tmp_path)
    async with running(SERVICE, settings, database, trust) as service:
        yield service


class As:
    """The stubs of tracking, calling as one person: `await As(tracking, ada).wearables("ListDays", request)`."""

    def __init__(self, tracking: Running, caller: Caller) -> None:
        self._metadata = tracking.metadata(caller)
        self._wearables = wearables_pb2_grpc.WearablesServiceStub(tracking.channel)
        self._imports = imports_pb2_grpc.ImportsServiceStub(tracking.channel)
        self._wellbeing = wellbeing_pb2_grpc.WellbeingServiceStub(tracking.channel)
        self.id = caller.subject

    def wearables(self, rpc: str, request: Any) -> Any:
        return getattr(self._wearables, rpc)(request, metadata=self._metadata, timeout=30)

    def wellbeing(self, rpc: str, request: Any) -> Any:
        return getattr(self._wellbeing, rpc)(request, metadata=self._metadata, timeout=30)

    def imports(self, rpc: str, request: Any) -> Any:
        return getattr(self._imports, rpc)(request, metadata=self._metadata, timeout=60)
