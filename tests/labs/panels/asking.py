"""What tests of panels ask for, in short."""

from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from tests.labs.conftest import As
from vitalis.labs.v1 import panels_pb2 as pb

GLUCOSE = {"raw_name": "Glucose", "value": "99", "unit": "mg/dL"}


async def update_marker(who: As, marker: pb.BloodMarker, *paths: str, **fields: Any) -> pb.BloodMarker:
    answer = await who.panels(
        "UpdateBloodMarker", id=marker.id, blood_marker=pb.BloodMarker(**fields), update_mask=FieldMask(paths=paths)
    )
    return answer.blood_marker


async def update_panel(who: As, panel: pb.BloodPanel, *paths: str, **fields: Any) -> pb.BloodPanel:
    answer = await who.panels(
        "UpdateBloodPanel", id=panel.id, blood_panel=pb.BloodPanel(**fields), update_mask=FieldMask(paths=paths)
    )
    return answer.blood_panel


async def markers_of(who: As, **given: Any) -> list[pb.BloodMarker]:
    return list((await who.panels("ListBloodMarkers", **given)).blood_markers)
