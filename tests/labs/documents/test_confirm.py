"""Confirming: only then there is a panel, a scan or a test, whole, once, and linked to its document."""

import asyncio
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from services.kit.caller import calling
from services.kit.privacy import PersonData
from tests.harness import Running, drain, failure, person, reason, service
from tests.labs.conftest import As
from tests.labs.documents.printed import GERMAN, LABCORP_ROWS, MYCHART, QUEST, lines, table
from tests.labs.documents.uploaded import (
    add,
    confirm,
    correct,
    got,
    markers_of,
    read,
    set_header,
    stored_files,
    upload,
    values_of,
)
from vitalis.labs.v1 import body_composition_pb2, epigenetics_pb2
from vitalis.labs.v1 import documents_pb2 as pb

UNREADABLE = b"%PDF-1.7 and nothing else"


async def panel_count(who: As) -> int:
    return len((await who.panels("ListBloodPanels")).blood_panels)


@pytest.fixture
def quest(tmp_path: Path) -> bytes:
    return lines(tmp_path / "quest.pdf", QUEST).read_bytes()


async def test_a_report_becomes_a_panel_when_it_is_confirmed(labs: Running, ada: As, quest: bytes) -> None:
    document = await read(labs, ada, quest)
    assert await panel_count(ada) == 0
    total, hdl, tsh = await values_of(ada, document.id)
    await correct(ada, total, value="213")
    await ada.document_values("DeleteDocumentValue", id=hdl.id)
    await add(ada, document.id, raw_name="Zork level", value="12", unit="zorks")
    done = await confirm(ada, document.id)
    assert (done.parse_status, done.confirmed_by, done.linked_record_type) == ("confirmed", ada.id, "blood_panel")
    panel = (await ada.panels("GetBloodPanel", id=done.linked_record_id)).blood_panel
    assert (panel.document_id, panel.lab_name, panel.collected_date) == (document.id, "Quest Diagnostics", "2023-12-31")
    markers = {marker.raw_name: marker for marker in await markers_of(ada, panel.id)}
    assert {name: (m.value, m.biomarker) for name, m in markers.items()} == {
        "CHOLESTEROL, TOTAL": ("213", "cholesterol_total"),
        "TSH": ("1.84", tsh.biomarker),
        "Zork level": ("12", ""),
    }
    assert markers["TSH"].parse_confidence == tsh.confidence
    assert not markers["CHOLESTEROL, TOTAL"].HasField("parse_confidence")
    assert markers["CHOLESTEROL, TOTAL"].flag == "H"


async def test_confirming_twice_is_one_panel(labs: Running, ada: As, quest: bytes) -> None:
    document = await read(labs, ada, quest)
    both = await asyncio.gather(*(confirm(ada, document.id, etag=document.etag) for _ in range(2)))
    assert both[0] == both[1] == await confirm(ada, document.id)
    assert await panel_count(ada) == 1
    header = pb.Document(report_header=pb.ReportHeader(collected_date="2024-01-01"))
    refused = await failure(ada.documents("UpdateDocument", id=document.id, document=header))
    assert refused.reason.name == "DOCUMENT_NOT_IN_REVIEW"
    late = add(ada, document.id, raw_name="TSH", value="1")
    assert await reason(late) == "DOCUMENT_NOT_IN_REVIEW"


async def test_what_was_reviewed_is_what_is_confirmed(labs: Running, ada: As, quest: bytes) -> None:
    document = await read(labs, ada, quest)
    await set_header(ada, document.id, collected_date="2024-01-01")
    assert await reason(confirm(ada, document.id, etag=document.etag)) == "ETAG_MISMATCH"
    assert await panel_count(ada) == 0


async def test_all_that_is_missing_is_named_at_once_and_nothing_is_stored(
    labs: Running, ada: As, tmp_path: Path
) -> None:
    # 05/06/2023 could be two days, so none was read.
    printed = ("Laboratory: Anywhere", "Collected: 05/06/2023", "Glucose 5.5 mmol/L 3.9-5.5", "TSH 1.2 mIU/L 0.4-4.0")
    document = await read(labs, ada, lines(tmp_path / "x.pdf", printed).read_bytes())
    await add(ada, document.id, raw_name="Glukose", value="99", unit="mg/dL")
    await add(ada, document.id, raw_name="Ferritin", value="see note")
    await add(ada, document.id, raw_name="Iron", value="12", unit="furlongs", biomarker="ferritin")
    refused = await failure(confirm(ada, document.id))
    assert refused.reason.name == "DOCUMENT_INCOMPLETE"
    assert [violation.field for violation in refused.violations] == [
        "document.report_header.collected_date",
        "document_values[3].value",
        "document_values[4].unit",
    ]
    for value in (await values_of(ada, document.id))[3:]:
        await ada.document_values("DeleteDocumentValue", id=value.id)
    await set_header(ada, document.id, collected_date="2023-06-05", lab_name="Anywhere", sex="female", age_years=40)
    refused = await failure(confirm(ada, document.id))
    assert [violation.field for violation in refused.violations] == ["document_values[2]"]
    assert await panel_count(ada) == 0
    await ada.document_values("DeleteDocumentValue", id=(await values_of(ada, document.id))[2].id)
    done = await confirm(ada, document.id)
    panel = (await ada.panels("GetBloodPanel", id=done.linked_record_id)).blood_panel
    assert (panel.collected_date, panel.sex, panel.age_years) == ("2023-06-05", "female", 40)


async def test_a_document_without_values_is_nothing_to_confirm(labs: Running, ada: As) -> None:
    waiting = await upload(ada, UNREADABLE)
    assert await reason(confirm(ada, waiting.id)) == "DOCUMENT_NOT_IN_REVIEW"
    await drain(labs)
    refused = await failure(confirm(ada, waiting.id))
    assert [violation.field for violation in refused.violations] == [
        "document.report_header.collected_date",
        "document_values",
    ]


async def test_the_same_panel_from_elsewhere_takes_it_only_when_confirmed(labs: Running, ada: As, quest: bytes) -> None:
    there = await ada.enter(
        "2023-12-31", {"raw_name": "TSH", "value": "9", "unit": "mIU/L"}, lab_name="Quest Diagnostics"
    )
    document = await read(labs, ada, quest)
    assert await reason(confirm(ada, document.id)) == "PANEL_REPEATED"
    assert (await got(ada, document.id)).parse_status == "needs_review"
    done = await confirm(ada, document.id, override=True)
    assert done.linked_record_id == there.blood_panel.id
    tsh = [marker.value for marker in await markers_of(ada, done.linked_record_id) if marker.raw_name == "TSH"]
    assert (tsh, await panel_count(ada)) == (["1.84"], 1)


@pytest.mark.parametrize(
    ("printed", "count", "layout"), [(MYCHART, 3, "mychart"), (GERMAN, 3, "table")], ids=["mychart", "german"]
)
async def test_each_layout_comes_out_whole(
    labs: Running, ada: As, tmp_path: Path, printed: tuple[str, ...], count: int, layout: str
) -> None:
    document = await read(labs, ada, lines(tmp_path / "x.pdf", printed).read_bytes())
    assert document.layout == layout
    done = await confirm(ada, document.id)
    markers = await markers_of(ada, done.linked_record_id)
    assert len(markers) == count
    assert all(marker.biomarker for marker in markers)


async def test_a_table_over_two_pages_comes_out_whole(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, table(tmp_path / "x.pdf", LABCORP_ROWS, break_after=3).read_bytes())
    done = await confirm(ada, document.id)
    assert len(await markers_of(ada, done.linked_record_id)) == len(LABCORP_ROWS)


async def test_a_scan_is_what_was_entered_from_its_document(labs: Running, ada: As) -> None:
    document = await read(labs, ada, UNREADABLE, document_type="dexa")
    refused = await failure(confirm(ada, document.id))
    assert [violation.field for violation in refused.violations] == ["dexa_scan"]
    scan = body_composition_pb2.DexaScan(
        scan_date="2026-01-15",
        total_body_fat_pct=24.5,
        regions=[body_composition_pb2.DexaRegion(region="arms", fat_lbs=4)],
    )
    done = await confirm(ada, document.id, dexa_scan=scan)
    assert done.linked_record_type == "dexa_scan"
    request = body_composition_pb2.GetDexaScanRequest(user_id=ada.id, id=done.linked_record_id)
    stored = (await ada.body_composition("GetDexaScan", request)).dexa_scan
    assert (stored.document_id, stored.total_body_fat_pct, stored.regions[0].region) == (document.id, 24.5, "arms")


async def test_an_epigenetic_test_is_what_was_entered_from_its_document(labs: Running, ada: As) -> None:
    document = await read(labs, ada, UNREADABLE, document_type="epigenetics")
    test = epigenetics_pb2.EpigeneticTest(collected_at="2026-01-15", biological_age=38.5)
    done = await confirm(ada, document.id, epigenetic_test=test)
    request = epigenetics_pb2.GetEpigeneticTestRequest(user_id=ada.id, id=done.linked_record_id)
    stored = (await ada.epigenetics("GetEpigeneticTest", request)).epigenetic_test
    assert (stored.document_id, stored.biological_age) == (document.id, 38.5)


@pytest.mark.parametrize("document_type", ["blood_work", "dexa", "other"])
async def test_a_record_of_another_kind_is_not_lost_in_silence(labs: Running, ada: As, document_type: str) -> None:
    document = await read(labs, ada, UNREADABLE, document_type=document_type)
    test = epigenetics_pb2.EpigeneticTest(collected_at="2026-01-15", biological_age=38.5)
    refused = await failure(confirm(ada, document.id, epigenetic_test=test))
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("INVALID_FIELD", ["epigenetic_test"])
    assert (await got(ada, document.id)).parse_status == document.parse_status


async def test_another_document_is_put_on_file(labs: Running, ada: As, quest: bytes) -> None:
    document = await read(labs, ada, quest, document_type="other")
    assert await values_of(ada, document.id) == []
    done = await confirm(ada, document.id)
    assert (done.parse_status, done.HasField("linked_record_id")) == ("confirmed", False)


async def test_what_was_confirmed_stays_when_its_document_goes(
    labs: Running, ada: As, quest: bytes, tmp_path: Path
) -> None:
    done = await confirm(ada, (await read(labs, ada, quest)).id)
    await ada.documents("DeleteDocument", id=done.id)
    await drain(labs)
    panel = (await ada.panels("GetBloodPanel", id=done.linked_record_id)).blood_panel
    assert not panel.HasField("document_id")
    assert len(await markers_of(ada, panel.id)) == 3
    assert stored_files(tmp_path) == []


async def test_a_document_is_exported_with_its_file_and_erased_with_it(
    labs: Running, ada: As, quest: bytes, tmp_path: Path
) -> None:
    done = await confirm(ada, (await read(labs, ada, quest)).id)
    assert labs.parts.personal
    data = PersonData(labs.pool, labs.parts.personal, has_queue=True)
    rows, files = "", b""
    with calling(person(ada.id)):
        async for part in data.export():
            rows += "".join(part.rows.rows)
            files += part.data
    assert files == quest
    assert "CHOLESTEROL, TOTAL 231" in rows
    assert done.linked_record_id in rows
    with calling(service(ada.id)):
        erased = await data.erase()
    assert (erased.rows["documents"], erased.rows["document_values"], erased.files) == (1, 3, 1)
    assert stored_files(tmp_path) == []
    with psycopg.connect(labs.database.migrator_url) as owner:
        assert owner.execute("SELECT count(*) FROM documents").fetchone() == (0,)


async def test_whoever_confirms_for_somebody_is_named(labs: Running, ada: As, quest: bytes) -> None:
    document = await read(labs, ada, quest)
    carer = replace(person("", "user", "labs.write"), subject=ada.id, grant_id="grant-1")
    done = await confirm(As(labs, carer), document.id)
    assert done.confirmed_by == carer.actor
