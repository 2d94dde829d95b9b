"""Visits to doctors through the stub: what is kept, in which order, and that nobody else can read the notes."""

from typing import Any

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from services.kit.caller import calling
from services.kit.vault import destroy_keys
from tests.harness import Running, failure, person, reason
from tests.labs.conftest import As
from vitalis.labs.v1 import visits_pb2 as pb

NOTES = "Blood pressure 142/91; ramipril 5 mg"


async def create(who: As, request_id: str = "", **fields: Any) -> pb.DoctorVisit:
    visit = pb.DoctorVisit(**{"visit_date": "2026-11-19", **fields})
    answer = await who.visits(
        "CreateDoctorVisit", pb.CreateDoctorVisitRequest(user_id=who.id, doctor_visit=visit, request_id=request_id)
    )
    return answer.doctor_visit


async def read(who: As, visit_id: str) -> pb.DoctorVisit:
    answer = await who.visits("GetDoctorVisit", pb.GetDoctorVisitRequest(user_id=who.id, id=visit_id))
    return answer.doctor_visit


async def update(who: As, visit_id: str, *paths: str, **fields: Any) -> pb.DoctorVisit:
    request = pb.UpdateDoctorVisitRequest(
        user_id=who.id, id=visit_id, doctor_visit=pb.DoctorVisit(**fields), update_mask=FieldMask(paths=paths)
    )
    return (await who.visits("UpdateDoctorVisit", request)).doctor_visit


async def listed(who: As, **given: Any) -> pb.ListDoctorVisitsResponse:
    return await who.visits("ListDoctorVisits", pb.ListDoctorVisitsRequest(user_id=who.id, **given))


async def test_a_visit_is_kept_as_it_was_told(ada: As) -> None:
    told = {
        "visit_date": "2026-11-19",
        "provider_name": "Dr. Miriam Vogel",
        "specialty": "Cardiology",
        "notes": NOTES,
        "follow_up_date": "2027-02-19",
    }
    visit = await create(ada, **told)
    assert {name: getattr(visit, name) for name in told} == told
    assert (visit.user_id, await read(ada, visit.id)) == (ada.id, visit)


async def test_notes_are_ciphertext_in_the_database_and_gone_with_their_key(labs: Running, ada: As) -> None:
    visit = await create(ada, "note-1", notes=NOTES)
    with psycopg.connect(labs.database.migrator_url) as owner:
        for table in ("doctor_visits", "audit_log", "idempotency_keys"):
            rows = owner.execute(f"SELECT to_jsonb(t)::text FROM {table} AS t").fetchall()
            assert rows
            assert not any("ramipril" in row or b"ramipril".hex() in row for (row,) in rows)
    with calling(person(ada.id)):
        async with labs.pool.transaction() as connection:
            await destroy_keys(connection)
    assert await reason(read(ada, visit.id)) == "INTERNAL"


async def test_lists_are_the_newest_first_without_notes_page_by_page(ada: As) -> None:
    for day, specialty in ((3, "Cardiology"), (1, "Dermatology"), (2, "Cardiology"), (2, "Cardiology")):
        await create(ada, visit_date=f"2026-11-0{day}", specialty=specialty, notes=NOTES)
    first = await listed(ada, page_size=3)
    rest = await listed(ada, page_size=3, page_token=first.next_page_token)
    dates = [visit.visit_date[-2:] for page in (first, rest) for visit in page.doctor_visits]
    assert (dates, rest.next_page_token) == (["03", "02", "02", "01"], "")
    assert not any(visit.HasField("notes") for visit in first.doctor_visits)
    skin = await listed(ada, specialty="Dermatology")
    assert [visit.visit_date for visit in skin.doctor_visits] == ["2026-11-01"]
    within = await listed(ada, start_date="2026-11-02", end_date="2026-11-02")
    assert len(within.doctor_visits) == 2
    other = pb.ListDoctorVisitsRequest(user_id=ada.id, page_token=first.next_page_token, specialty="Cardiology")
    assert await reason(ada.visits("ListDoctorVisits", other)) == "INVALID_PAGE_TOKEN"


async def test_an_update_changes_what_its_mask_says_once(ada: As) -> None:
    visit = await create(ada, specialty="Cardiology", notes=NOTES)
    changed = await update(ada, visit.id, "notes", "follow_up_date", follow_up_date="2026-12-01", etag=visit.etag)
    assert (changed.specialty, changed.follow_up_date) == ("Cardiology", "2026-12-01")
    assert not changed.HasField("notes")
    assert await reason(update(ada, visit.id, notes="late", etag=visit.etag)) == "ETAG_MISMATCH"
    assert await read(ada, visit.id) == changed


async def test_a_deleted_visit_is_out_of_sight_and_comes_back(ada: As) -> None:
    visit = await create(ada, notes=NOTES)
    stale = pb.DeleteDoctorVisitRequest(user_id=ada.id, id=visit.id, etag="0")
    assert await reason(ada.visits("DeleteDoctorVisit", stale)) == "ETAG_MISMATCH"
    await ada.visits("DeleteDoctorVisit", pb.DeleteDoctorVisitRequest(user_id=ada.id, id=visit.id, etag=visit.etag))
    assert (await listed(ada)).doctor_visits == []
    assert len((await listed(ada, show_deleted=True)).doctor_visits) == 1
    assert await reason(update(ada, visit.id, notes="again")) == "NOT_FOUND"
    again = pb.DeleteDoctorVisitRequest(user_id=ada.id, id=visit.id)
    assert await reason(ada.visits("DeleteDoctorVisit", again)) == "NOT_FOUND"
    request = pb.UndeleteDoctorVisitRequest(user_id=ada.id, id=visit.id)
    back = (await ada.visits("UndeleteDoctorVisit", request)).doctor_visit
    assert (back.notes, back.HasField("deleted_at")) == (NOTES, False)


async def test_what_is_nobodys_is_not_found(labs: Running, ada: As) -> None:
    visit = await create(ada)
    eve = As(labs, person())
    assert await reason(read(eve, visit.id)) == "NOT_FOUND"
    undelete = pb.UndeleteDoctorVisitRequest(user_id=eve.id, id=visit.id)
    assert await reason(eve.visits("UndeleteDoctorVisit", undelete)) == "NOT_FOUND"


async def test_a_repeated_request_stores_one_visit(ada: As) -> None:
    first = await create(ada, "visit-1", notes=NOTES)
    assert await create(ada, "visit-1", notes=NOTES) == first
    assert await reason(create(ada, "visit-1", notes="another")) == "REQUEST_ID_REUSED"
    assert len((await listed(ada)).doctor_visits) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"visit_date": ""}, "doctor_visit.visit_date"),
        ({"visit_date": "2026-02-30"}, "doctor_visit.visit_date"),
        ({"follow_up_date": "2026-11-18"}, "doctor_visit"),
        ({"provider_name": "x" * 201}, "doctor_visit.provider_name"),
        ({"specialty": "x" * 101}, "doctor_visit.specialty"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(ada: As, fields: dict[str, str], field: str) -> None:
    refused = await failure(create(ada, **fields))
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("INVALID_FIELD", [field])


async def test_a_follow_up_is_compared_with_the_day_that_is_stored(ada: As) -> None:
    visit = await create(ada)
    refused = await failure(update(ada, visit.id, follow_up_date="2026-11-18"))
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("INVALID_FIELD", ["follow_up_date"])


@pytest.mark.parametrize(
    ("column", "value"),
    [("follow_up_date", "2026-11-18"), ("provider_name", "x" * 201), ("specialty", "x" * 101)],
)
async def test_the_table_refuses_it_too(labs: Running, ada: As, column: str, value: str) -> None:
    visit = await create(ada)
    with psycopg.connect(labs.database.migrator_url) as owner, pytest.raises(psycopg.errors.CheckViolation) as broken:
        owner.execute(f"UPDATE doctor_visits SET {column} = %s WHERE id = %s", [value, visit.id])
    assert broken.value.diag.constraint_name == f"ck_doctor_visits_{column}"


async def test_panels_are_ordered_at_a_visit(labs: Running, ada: As) -> None:
    visit = await create(ada)
    panels = [(await ada.enter(f"2026-11-0{day}", notes=NOTES)).blood_panel.id for day in (1, 2, 3)]

    async def ordered(who: As, *panel_ids: str) -> list[str]:
        request = pb.SetDoctorVisitPanelsRequest(user_id=who.id, id=visit.id, panel_ids=panel_ids)
        return [panel.id for panel in (await who.visits("SetDoctorVisitPanels", request)).blood_panels]

    async def shown() -> list[str]:
        request = pb.GetDoctorVisitPanelsRequest(user_id=ada.id, id=visit.id)
        return [panel.id for panel in (await ada.visits("GetDoctorVisitPanels", request)).blood_panels]

    assert await ordered(ada, *panels[:2]) == [panels[1], panels[0]]
    assert await ordered(ada, *panels[1:]) == [panels[2], panels[1]] == await shown()
    await ada.panels("DeleteBloodPanel", id=panels[2])
    assert await shown() == [panels[1]]
    eve = As(labs, person())
    foreign = (await eve.enter("2026-11-01")).blood_panel.id
    for unknown in (foreign, panels[2]):
        refused = await failure(ordered(ada, panels[0], unknown))
        assert (refused.reason.name, [v.field for v in refused.violations]) == ("PANEL_UNKNOWN", ["panel_ids[1]"])
    assert await reason(ordered(eve, foreign)) == "NOT_FOUND"
    assert await ordered(ada) == [] == await shown()
