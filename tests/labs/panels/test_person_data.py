"""What labs exports of a person's panels is what its API shows, and what it erases is gone."""

import json
from typing import Any

from tests.harness import Running, person, service
from tests.isolation.resources import everything_about
from tests.labs.conftest import As
from vitalis.common.v1 import person_data_pb2 as pb
from vitalis.common.v1 import person_data_pb2_grpc
from vitalis.labs.v1 import visits_pb2


async def test_panels_markers_and_visits_leave_in_clear_and_are_erased(labs: Running, ada: As) -> None:
    told = {"raw_name": "Glucose", "value": "5,5", "unit": "mmol/L"}
    panel = (await ada.enter("2026-11-18", told, notes="Taken after a night shift", lab_name="Quest")).blood_panel
    visit = visits_pb2.DoctorVisit(visit_date="2026-11-19", notes="Come again")
    request = visits_pb2.CreateDoctorVisitRequest(user_id=ada.id, doctor_visit=visit)
    visit = (await ada.visits("CreateDoctorVisit", request)).doctor_visit
    ordered = visits_pb2.SetDoctorVisitPanelsRequest(user_id=ada.id, id=visit.id, panel_ids=[panel.id])
    await ada.visits("SetDoctorVisitPanels", ordered)
    eve = As(labs, person())
    await eve.enter("2026-11-18", told)
    others = everything_about(labs.database, eve.id)

    stub = person_data_pb2_grpc.PersonDataServiceStub(labs.channel)
    metadata = labs.metadata(service(ada.id))
    tables: dict[str, list[dict[str, Any]]] = {}
    name = ""
    async for part in stub.ExportPersonData(pb.ExportPersonDataRequest(user_id=ada.id), metadata=metadata, timeout=60):
        if part.WhichOneof("part") == "table":
            name = part.table.name
            tables[name] = []
        else:
            tables[name] += map(json.loads, part.rows.rows)
    ((stored,), (marker,)) = tables["blood_panels"], tables["blood_markers"]
    assert (stored["id"], stored["notes"]) == (panel.id, "Taken after a night shift")
    assert (marker["panel_id"], marker["value"], marker["biomarker"]) == (panel.id, "5,5", "glucose")
    assert [row["notes"] for row in tables["doctor_visits"]] == ["Come again"]
    assert [row["panel_id"] for row in tables["doctor_visit_panels"]] == [panel.id]

    erased = await stub.ErasePersonData(pb.ErasePersonDataRequest(user_id=ada.id), metadata=metadata, timeout=60)
    gone = {table.name: table.rows for table in erased.tables}
    assert gone["blood_markers"] == gone["blood_panels"] == gone["doctor_visits"] == 1
    assert everything_about(labs.database, ada.id) == []
    assert everything_about(labs.database, eve.id) == others
