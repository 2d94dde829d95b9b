"""Labs in this process."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from services.kit.caller import Caller
from tests.databases import ServiceDatabase
from tests.harness import Running, make_trust, person
from tests.services import serving
from vitalis.labs.v1 import (
    biomarker_aliases_pb2_grpc,
    biomarkers_pb2_grpc,
    body_composition_pb2_grpc,
    document_values_pb2,
    document_values_pb2_grpc,
    documents_pb2,
    documents_pb2_grpc,
    epigenetics_pb2_grpc,
    interchange_pb2_grpc,
    matching_pb2_grpc,
    panels_pb2,
    panels_pb2_grpc,
    trends_pb2,
    trends_pb2_grpc,
    visits_pb2_grpc,
)

Told = Mapping[str, Any]


class As:
    """The stubs of labs, calling as one person: `await As(labs, ada).visits("GetDoctorVisit", request)`."""

    def __init__(self, labs: Running, caller: Caller) -> None:
        self._metadata = labs.metadata(caller)
        self._aliases = biomarker_aliases_pb2_grpc.BiomarkerAliasesServiceStub(labs.channel)
        self._biomarkers = biomarkers_pb2_grpc.BiomarkersServiceStub(labs.channel)
        self._visits = visits_pb2_grpc.VisitsServiceStub(labs.channel)
        self._body_composition = body_composition_pb2_grpc.BodyCompositionServiceStub(labs.channel)
        self._epigenetics = epigenetics_pb2_grpc.EpigeneticsServiceStub(labs.channel)
        self._matching = matching_pb2_grpc.MatchingServiceStub(labs.channel)
        self._panels = panels_pb2_grpc.PanelsServiceStub(labs.channel)
        self._trends = trends_pb2_grpc.TrendsServiceStub(labs.channel)
        self._documents = documents_pb2_grpc.DocumentsServiceStub(labs.channel)
        self._document_values = document_values_pb2_grpc.DocumentValuesServiceStub(labs.channel)
        self._exports = interchange_pb2_grpc.LabExportsServiceStub(labs.channel)
        self._imports = interchange_pb2_grpc.LabImportsServiceStub(labs.channel)
        self.id = caller.subject

    def aliases(self, rpc: str, request: Any) -> Any:
        return getattr(self._aliases, rpc)(request, metadata=self._metadata, timeout=30)

    def biomarkers(self, rpc: str, request: Any) -> Any:
        return getattr(self._biomarkers, rpc)(request, metadata=self._metadata, timeout=30)

    def visits(self, rpc: str, request: Any) -> Any:
        return getattr(self._visits, rpc)(request, metadata=self._metadata, timeout=30)

    def body_composition(self, rpc: str, request: Any) -> Any:
        return getattr(self._body_composition, rpc)(request, metadata=self._metadata, timeout=30)

    def epigenetics(self, rpc: str, request: Any) -> Any:
        return getattr(self._epigenetics, rpc)(request, metadata=self._metadata, timeout=30)

    def matching(self, rpc: str, request: Any) -> Any:
        return getattr(self._matching, rpc)(request, metadata=self._metadata, timeout=30)

    def imports(self, rpc: str, request: Any) -> Any:
        return getattr(self._imports, rpc)(request, metadata=self._metadata, timeout=60)

    def exports(self, rpc: str, request: Any) -> Any:
        return getattr(self._exports, rpc)(request, metadata=self._metadata, timeout=60)

    def panels(self, rpc: str, **given: Any) -> Any:
        request = getattr(panels_pb2, f"{rpc}Request")(user_id=self.id, **given)
        return getattr(self._panels, rpc)(request, metadata=self._metadata, timeout=30)

    def trends(self, rpc: str, **given: Any) -> Any:
        request = getattr(trends_pb2, f"{rpc}Request")(user_id=self.id, **given)
        return getattr(self._trends, rpc)(request, metadata=self._metadata, timeout=30)

    async def enter(
        self, date: str, *markers: Told, override: bool = False, request_id: str = "", **header: Any
    ) -> panels_pb2.CreateBloodPanelResponse:
        """A panel of that day with these markers, a name and a value each at the least."""
        answer: panels_pb2.CreateBloodPanelResponse = await self.panels(
            "CreateBloodPanel",
            blood_panel=panels_pb2.BloodPanel(collected_date=date, **header),
            markers=[panels_pb2.BloodMarker(**marker) for marker in markers],
            override=override,
            request_id=request_id,
        )
        return answer

    def documents(self, rpc: str, **given: Any) -> Any:
        request = getattr(documents_pb2, f"{rpc}Request")(user_id=self.id, **given)
        return getattr(self._documents, rpc)(request, metadata=self._metadata, timeout=30)

    def upload(self, requests: Any) -> Any:
        return self._documents.CreateDocument(requests, metadata=self._metadata, timeout=30)

    def document_values(self, rpc: str, **given: Any) -> Any:
        request = getattr(document_values_pb2, f"{rpc}Request")(user_id=self.id, **given)
        return getattr(self._document_values, rpc)(request, metadata=self._metadata, timeout=30)


@pytest.fixture
async def labs(tmp_path: Path, clone_database: Callable[[str], ServiceDatabase]) -> AsyncIterator[Running]:
    async with serving("labs", tmp_path, clone_database("labs"), make_trust(tmp_path)) as service:
        yield service


@pytest.fixture
def ada(labs: Running) -> As:
    """Somebody, with every scope."""
    return As(labs, person())
