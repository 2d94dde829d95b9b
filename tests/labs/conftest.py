"""Labs in this process."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from services.kit.caller import Caller
from tests.databases import ServiceDatabase
from tests.harness import Running, make_trust, person
from tests.services import serving
from vitalis.labs.v1 import visits_pb2_grpc


class As:
    """The stubs of labs, calling as one person: `await As(labs, ada).visits("GetDoctorVisit", request)`."""

    def __init__(self, labs: Running, caller: Caller) -> None:
        self._metadata = labs.metadata(caller)
        self._visits = visits_pb2_grpc.VisitsServiceStub(labs.channel)
        self.id = caller.subject

    def visits(self, rpc: str, request: Any) -> Any:
        return getattr(self._visits, rpc)(request, metadata=self._metadata, timeout=30)


@pytest.fixture
async def labs(tmp_path: Path, clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Running]:
    async with serving("labs", tmp_path, clone_database("labs"), make_trust(tmp_path)) as service:
        yield service


@pytest.fixture
def ada(labs: Running) -> As:
    """Somebody, with every scope."""
    return As(labs, person())
