"""Results that come again, corrected, withdrawn or taken back, beside what people entered."""

from collections import Counter

import psycopg
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from tests.harness import Running, person, reason
from tests.labs.conftest import As
from tests.labs.interchange.importing import (
    HEADER,
    MORNING,
    SODIUM,
    correct,
    counts,
    glucose,
    imported,
    markers,
    oru,
    panels,
    rolled_back,
    values,
)
from vitalis.labs.v1 import interchange_pb2 as pb
from vitalis.labs.v1 import panels_pb2


async def test_the_same_file_twice_adds_nothing(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, HEADER + MORNING)
    before = await markers(ada)
    again = await imported(labs, ada, HEADER + MORNING)
    assert counts(again.result) == (0, 0, 2, 0, 0)
    assert again.result.panels_stored == 0
    assert await markers(ada) == before
    assert {marker.import_id for marker in before} == {first.id}


async def test_an_overlapping_file_adds_what_is_new_and_updates_what_changed(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, oru(glucose("95")))
    assert counts(first.result) == (1, 0, 0, 0, 0)
    second = await imported(labs, ada, oru(glucose("59"), SODIUM, reported="202503061200"))
    assert counts(second.result) == (1, 1, 0, 0, 0)
    assert await values(ada) == {"glucose": "59", "sodium": "140"}
    (panel,) = await panels(ada)
    assert (panel.source_system, panel.source_id, panel.import_id) == ("LIS", "A-1", second.id)


async def test_what_the_laboratory_reported_earlier_changes_nothing(labs: Running, ada: As) -> None:
    await imported(labs, ada, oru(glucose("59"), reported="202503061200"))
    older = await imported(labs, ada, oru(glucose("95"), reported="202503051200"))
    assert counts(older.result) == (0, 0, 0, 1, 0)
    assert await values(ada) == {"glucose": "59"}


async def test_a_correction_later_in_one_file(labs: Running, ada: As) -> None:
    file = "\r".join([oru(glucose("95")), oru(glucose("59"), reported="202503061200")])
    done = await imported(labs, ada, file)
    assert counts(done.result) == (1, 1, 0, 0, 0)
    assert await values(ada) == {"glucose": "59"}
    await rolled_back(ada, done.id)
    assert await panels(ada) == []


async def test_one_result_twice_in_one_panel_is_one(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, oru(glucose("95"), glucose("95"), glucose("180")))
    assert counts(done.result) == (1, 0, 1, 0, 1)
    assert await values(ada) == {"glucose": "95"}


async def test_what_a_person_corrected_or_entered_stays(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, HEADER + MORNING)
    by_name = {marker.biomarker: marker for marker in await markers(ada)}
    await correct(ada, by_name["glucose"], "5.1")
    (panel,) = await panels(ada)
    mine = panels_pb2.BloodMarker(raw_name="Sodium", value="139", unit="mmol/L")
    await ada.panels("AddBloodMarkers", id=panel.id, markers=[mine])
    again = await imported(labs, ada, HEADER + MORNING + "2025-03-04,North Lab,Sodium,141,mmol/L,,\n")
    assert counts(again.result) == (0, 0, 1, 2, 0)
    assert await values(ada) == {"glucose": "5.1", "ldl_cholesterol": "100", "sodium": "139"}
    await rolled_back(ada, again.id)
    await rolled_back(ada, first.id)
    assert await values(ada) == {"glucose": "5.1", "sodium": "139"}


async def test_what_a_person_overrides_is_theirs(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, HEADER + MORNING)
    (panel,) = await panels(ada)
    mine = [
        panels_pb2.BloodMarker(raw_name="Glucose", value="5.0", unit="mmol/L"),
        panels_pb2.BloodMarker(raw_name="LDL Chol Calc", value="100", unit="mg dl"),
    ]
    await ada.panels("AddBloodMarkers", id=panel.id, markers=mine, override=True)
    await rolled_back(ada, done.id)
    assert await values(ada) == {"glucose": "5.0"}


async def test_judging_again_leaves_a_marker_the_import_s(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, HEADER + MORNING)
    (panel,) = await panels(ada)
    header = panels_pb2.BloodPanel(sex="female")
    await ada.panels("UpdateBloodPanel", id=panel.id, blood_panel=header, update_mask=FieldMask(paths=["sex"]))
    assert {marker.import_id for marker in await markers(ada)} == {done.id}


async def test_a_rolled_back_import_has_never_been(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, oru(glucose("95"), SODIUM))
    before = (await values(ada), [panel.reported_at for panel in await panels(ada)])
    second = await imported(labs, ada, oru(glucose("59"), "2823-3^Potassium^LN||4.2|mmol/L||", reported="202503061200"))
    third = await imported(labs, ada, HEADER + MORNING)
    assert (await rolled_back(ada, second.id)).status == "rolled_back"
    await rolled_back(ada, third.id)
    assert (await values(ada), [panel.reported_at for panel in await panels(ada)]) == before
    await rolled_back(ada, first.id)
    assert (await rolled_back(ada, first.id)).status == "rolled_back"
    assert (await markers(ada), await panels(ada)) == ([], [])


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_imports_of_one_panel_roll_back_in_any_order(labs: Running, ada: As, order: tuple[int, int]) -> None:
    both = [
        await imported(labs, ada, oru(glucose("95"))),
        await imported(labs, ada, oru(glucose("59"), SODIUM, reported="202503061200")),
    ]
    first, last = (both[number] for number in order)
    await rolled_back(ada, first.id)
    assert await values(ada) == ({"glucose": "59", "sodium": "140"} if order == (0, 1) else {"glucose": "95"})
    await rolled_back(ada, last.id)
    assert (await markers(ada), await panels(ada)) == ([], [])


async def test_a_panel_that_another_import_added_to_outlives_the_first(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, oru(glucose("95")))
    second = await imported(labs, ada, oru(SODIUM))
    await rolled_back(ada, first.id)
    assert await values(ada) == {"sodium": "140"}
    await rolled_back(ada, second.id)
    assert await panels(ada) == []


async def test_an_import_is_one_row_of_the_audit_trail_for_each_panel(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, HEADER + MORNING)
    await rolled_back(ada, done.id)
    with psycopg.connect(labs.database.migrator_url) as owner:
        rows = owner.execute(
            "SELECT table_name, action, new_values FROM audit_log WHERE user_id = %s", [ada.id]
        ).fetchall()
    told = Counter((table, action) for table, action, _ in rows)
    assert told[("blood_markers", "BATCH")] == told[("blood_panels", "BATCH")] == told[("lab_imports", "INSERT")] == 1
    assert (told[("blood_markers", "DELETE")], told[("blood_panels", "DELETE")]) == (2, 1)
    (batch,) = [values for table, action, values in rows if (table, action) == ("blood_markers", "BATCH")]
    assert (batch["rows"], batch["import_id"]) == (2, done.id)


async def test_somebody_else_s_panels_are_out_of_reach(labs: Running, ada: As) -> None:
    bob = As(labs, person())
    theirs = await imported(labs, ada, oru(glucose("95")))
    await imported(labs, bob, oru(glucose("59"), reported="202503061200"))
    assert (await values(ada), await values(bob)) == ({"glucose": "95"}, {"glucose": "59"})
    roll_back = pb.RollBackLabImportRequest(user_id=bob.id, id=theirs.id)
    assert await reason(bob.imports("RollBackLabImport", roll_back)) == "NOT_FOUND"
