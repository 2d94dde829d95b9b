"""Changes of one panel at once wait for each other; none of them waits for what waits for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest

from tests.harness import Running
from tests.labs.conftest import As
from tests.labs.documents.uploaded import upload, values_of
from tests.labs.panels.asking import GLUCOSE, update_marker
from vitalis.labs.v1 import panels_pb2 as pb
from vitalis.labs.v1 import visits_pb2


async def _update(ada: As, marker: pb.BloodMarker) -> None:
    await update_marker(ada, marker, value="98")


async def _undelete(ada: As, marker: pb.BloodMarker) -> None:
    await ada.panels("UndeleteBloodMarker", id=marker.id)


@pytest.mark.parametrize("change", [_update, _undelete])
async def test_whoever_waits_for_a_panel_holds_none_of_its_markers(
    labs: Running, ada: As, change: Callable[[As, pb.BloodMarker], Coroutine[Any, Any, None]]
) -> None:
    (marker,) = (await ada.enter("2026-11-18", GLUCOSE)).markers
    with psycopg.connect(labs.database.migrator_url) as other:
        other.execute("SELECT FROM blood_panels FOR UPDATE")
        changing = asyncio.create_task(change(ada, marker))
        await labs.database.has_waiting()
        # As the other does who goes on to the panel's markers; fails if it would have to wait.
        other.execute("SELECT FROM blood_markers FOR UPDATE NOWAIT")
    await changing


async def test_what_only_reads_waits_for_nobody(labs: Running, ada: As) -> None:
    """What was ordered at a visit, and a document's values, are read while somebody changes them."""
    panel = (await ada.enter("2026-11-18", GLUCOSE)).blood_panel
    visit = await ada.visits(
        "CreateDoctorVisit",
        visits_pb2.CreateDoctorVisitRequest(
            user_id=ada.id, doctor_visit=visits_pb2.DoctorVisit(visit_date="2026-11-18")
        ),
    )
    of_visit = {"user_id": ada.id, "id": visit.doctor_visit.id}
    await ada.visits("SetDoctorVisitPanels", visits_pb2.SetDoctorVisitPanelsRequest(**of_visit, panel_ids=[panel.id]))
    document = await upload(ada, b"%PDF-1.7")
    with psycopg.connect(labs.database.migrator_url) as other:
        other.execute("SELECT FROM doctor_visits, blood_panels, documents FOR UPDATE")
        read = await ada.visits("GetDoctorVisitPanels", visits_pb2.GetDoctorVisitPanelsRequest(**of_visit))
        values = await values_of(ada, document.id)
    assert ([found.id for found in read.blood_panels], values) == ([panel.id], [])
