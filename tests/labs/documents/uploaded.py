"""Documents uploaded and read through the stub."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from google.api import httpbody_pb2

from tests.harness import Running, drain
from tests.labs.conftest import As
from vitalis.labs.v1 import document_values_pb2 as values_pb
from vitalis.labs.v1 import documents_pb2 as pb
from vitalis.labs.v1 import panels_pb2

CHUNK = 50_000


async def chunks(
    user_id: str, data: bytes, *, complete: bool = True, **given: Any
) -> AsyncIterator[pb.CreateDocumentRequest]:
    yield pb.CreateDocumentRequest(user_id=user_id, **{"file_name": "report.pdf", **given})
    for start in range(0, len(data), CHUNK):
        yield pb.CreateDocumentRequest(file=httpbody_pb2.HttpBody(data=data[start : start + CHUNK]))
    if complete:
        yield pb.CreateDocumentRequest()


async def upload(who: As, data: bytes, **given: Any) -> pb.Document:
    answer: pb.CreateDocumentResponse = await who.upload(chunks(who.id, data, **given))
    return answer.document


async def read(labs: Running, who: As, data: bytes, **given: Any) -> pb.Document:
    """The document as it is once the worker has done what there was to do."""
    uploaded = await upload(who, data, **given)
    await drain(labs)
    return await got(who, uploaded.id)


async def got(who: As, document_id: str) -> pb.Document:
    answer: pb.GetDocumentResponse = await who.documents("GetDocument", id=document_id)
    return answer.document


async def values_of(who: As, document_id: str, *, show_deleted: bool = False) -> list[values_pb.DocumentValue]:
    answer = await who.document_values("GetDocumentValues", id=document_id, show_deleted=show_deleted)
    return list(answer.document_values)


async def correct(who: As, stored: values_pb.DocumentValue, **changed: Any) -> values_pb.DocumentValue:
    answer: values_pb.UpdateDocumentValueResponse = await who.document_values(
        "UpdateDocumentValue",
        id=stored.id,
        document_value=values_pb.DocumentValue(**changed),
        update_mask={"paths": list(changed)},
    )
    return answer.document_value


async def add(who: As, document_id: str, **given: Any) -> values_pb.DocumentValue:
    answer: values_pb.CreateDocumentValueResponse = await who.document_values(
        "CreateDocumentValue", id=document_id, document_value=values_pb.DocumentValue(**given)
    )
    return answer.document_value


async def set_header(who: As, document_id: str, **header: Any) -> pb.Document:
    answer: pb.UpdateDocumentResponse = await who.documents(
        "UpdateDocument", id=document_id, document=pb.Document(report_header=pb.ReportHeader(**header))
    )
    return answer.document


async def confirm(who: As, document_id: str, **given: Any) -> pb.Document:
    answer: pb.ConfirmDocumentResponse = await who.documents("ConfirmDocument", id=document_id, **given)
    return answer.document


async def markers_of(who: As, panel_id: str) -> list[panels_pb2.BloodMarker]:
    answer: panels_pb2.ListBloodMarkersResponse = await who.panels(
        "ListBloodMarkers", panel_id=panel_id, page_size=1000
    )
    return list(answer.blood_markers)


def stored_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "documents").rglob("*") if path.is_file()]
