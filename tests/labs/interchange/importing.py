"""Files into labs through the stub, with the job run as the worker does."""

from collections.abc import AsyncIterator
from typing import Any

from google.api import httpbody_pb2
from google.protobuf.field_mask_pb2 import FieldMask

from tests.harness import Running, drain
from tests.labs.conftest import As
from vitalis.labs.v1 import interchange_pb2 as pb
from vitalis.labs.v1 import panels_pb2

CHUNK = 50_000
HEADER = "Date,Lab,Test,Result,Unit,Range,Specimen\n"
MORNING = "2025-03-04,North Lab,Glucose,5.5,mmol/L,3.9-5.5,serum\n2025-03-04,North Lab,LDL Chol Calc,100,mg dl,<130,\n"
SODIUM = "2951-2^Sodium^LN||140|mmol/L|136-145|"


async def chunks(
    user_id: str, data: bytes, *, complete: bool = True, **options: Any
) -> AsyncIterator[pb.CreateLabImportRequest]:
    yield pb.CreateLabImportRequest(user_id=user_id, file_name="results", **options)
    for start in range(0, len(data), CHUNK):
        yield pb.CreateLabImportRequest(file=httpbody_pb2.HttpBody(data=data[start : start + CHUNK]))
    if complete:
        yield pb.CreateLabImportRequest()


async def upload(who: As, data: bytes | str, **options: Any) -> pb.LabImport:
    content = data.encode() if isinstance(data, str) else data
    answer: pb.CreateLabImportResponse = await who.imports("CreateLabImport", chunks(who.id, content, **options))
    return answer.lab_import


async def read(who: As, import_id: str) -> pb.LabImport:
    answer = await who.imports("GetLabImport", pb.GetLabImportRequest(user_id=who.id, id=import_id))
    lab_import: pb.LabImport = answer.lab_import
    return lab_import


async def imported(labs: Running, who: As, data: bytes | str, **options: Any) -> pb.LabImport:
    """The import of a file, when it has ended."""
    queued = await upload(who, data, **options)
    await drain(labs)
    return await read(who, queued.id)


async def rolled_back(who: As, import_id: str) -> pb.LabImport:
    answer = await who.imports("RollBackLabImport", pb.RollBackLabImportRequest(user_id=who.id, id=import_id))
    lab_import: pb.LabImport = answer.lab_import
    return lab_import


async def markers(who: As) -> list[panels_pb2.BloodMarker]:
    return list((await who.panels("ListBloodMarkers", page_size=1000)).blood_markers)


async def panels(who: As) -> list[panels_pb2.BloodPanel]:
    return list((await who.panels("ListBloodPanels", page_size=1000)).blood_panels)


def counts(result: pb.LabImportResult) -> tuple[int, int, int, int, int]:
    """Stored, updated, unchanged, kept and rejected, which with what was withdrawn are all that was read."""
    parts = (
        *(result.records_stored, result.records_updated, result.records_unchanged),
        *(result.records_kept, result.records_rejected),
    )
    assert sum(parts) + result.records_withdrawn == result.records_read
    assert result.records_rejected == sum(result.rejected_by_reason.values())
    return parts


def oru(*results: str, reported: str = "202503051200", collected: str = "20250304080000") -> str:
    lines = [
        rf"MSH|^~\&|LIS|North Lab|APP|ME|{reported}||ORU^R01|7|P|2.5.1",
        f"OBR|1||A-1|24323-8^Metabolic panel^LN|||{collected}",
        *(f"OBX|{number}|NM|{result}|||F" for number, result in enumerate(results, start=1)),
    ]
    return "\r".join(lines)


def glucose(value: str) -> str:
    return f"2345-7^Glucose^LN||{value}|mg/dL|70-99|"


async def values(who: As) -> dict[str, str]:
    return {marker.biomarker or marker.raw_name: marker.value for marker in await markers(who)}


async def correct(who: As, marker: panels_pb2.BloodMarker, value: str) -> None:
    changed = panels_pb2.BloodMarker(value=value)
    await who.panels("UpdateBloodMarker", id=marker.id, blood_marker=changed, update_mask=FieldMask(paths=["value"]))
