"""A panel, a scan and a test name a document of their own person, or none."""

import asyncio
from pathlib import Path

import psycopg
import pytest

from services.kit.database import uuid7
from tests.harness import Running, failure, person, reason
from tests.labs.conftest import As
from tests.labs.documents.printed import QUEST, lines
from tests.labs.documents.uploaded import confirm, read, upload
from vitalis.labs.v1 import body_composition_pb2, epigenetics_pb2, panels_pb2

UNREADABLE = b"%PDF-1.7 and nothing else"
TSH = {"raw_name": "TSH", "value": "1.9", "unit": "mIU/L"}


async def document_of(who: As, panel_id: str) -> str:
    return str((await who.panels("GetBloodPanel", id=panel_id)).blood_panel.document_id)


async def test_a_panel_names_a_document_of_its_person(ada: As) -> None:
    document = await upload(ada, UNREADABLE)
    entered = (await ada.enter("2026-11-18", TSH, document_id=document.id)).blood_panel
    assert entered.document_id == document.id
    other = await upload(ada, UNREADABLE + b" more")
    named = panels_pb2.BloodPanel(document_id=other.id)
    await ada.panels("UpdateBloodPanel", id=entered.id, blood_panel=named, update_mask={"paths": ["document_id"]})
    assert await document_of(ada, entered.id) == other.id


@pytest.mark.parametrize("whose", ["nobody's", "somebody else's", "a deleted one"])
async def test_another_document_is_refused(labs: Running, ada: As, whose: str) -> None:
    eve = As(labs, person())
    document_id = str(uuid7())
    if whose == "somebody else's":
        document_id = (await upload(eve, UNREADABLE)).id
    elif whose == "a deleted one":
        document_id = (await upload(ada, UNREADABLE)).id
        await ada.documents("DeleteDocument", id=document_id)
    refused = await failure(ada.enter("2026-11-18", TSH, document_id=document_id))
    assert refused.reason.name == "DOCUMENT_UNKNOWN"
    assert [violation.field for violation in refused.violations] == ["blood_panel.document_id"]
    assert not (await ada.panels("ListBloodPanels")).blood_panels
    panel = (await ada.enter("2026-11-18", TSH)).blood_panel
    named = panels_pb2.BloodPanel(document_id=document_id)
    changed = ada.panels("UpdateBloodPanel", id=panel.id, blood_panel=named, update_mask={"paths": ["document_id"]})
    assert await reason(changed) == "DOCUMENT_UNKNOWN"
    assert await document_of(ada, panel.id) == ""


async def test_the_tables_refuse_it_too(labs: Running, ada: As) -> None:
    eve = As(labs, person())
    hers = (await upload(eve, UNREADABLE)).id
    await ada.enter("2026-11-18", TSH)
    scan = body_composition_pb2.DexaScan(scan_date="2026-01-15", total_body_fat_pct=24.5)
    await ada.body_composition(
        "CreateDexaScan", body_composition_pb2.CreateDexaScanRequest(user_id=ada.id, dexa_scan=scan)
    )
    test = epigenetics_pb2.EpigeneticTest(collected_at="2026-01-15", biological_age=38.5)
    await ada.epigenetics(
        "CreateEpigeneticTest", epigenetics_pb2.CreateEpigeneticTestRequest(user_id=ada.id, epigenetic_test=test)
    )
    with psycopg.connect(labs.database.migrator_url, autocommit=True) as owner:
        for table in ("blood_panels", "dexa_scans", "epigenetic_tests"):
            for document_id in (hers, str(uuid7())):
                with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused:
                    owner.execute(f"UPDATE {table} SET document_id = %s", [document_id])
                assert refused.value.diag.constraint_name == f"fk_{table}_document"


async def test_whatever_names_a_document_no_longer_does_when_it_goes(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, lines(tmp_path / "quest.pdf", QUEST).read_bytes())
    made = await confirm(ada, document.id)
    # One that was entered by hand names it, and one that is deleted.
    by_hand = (await ada.enter("2026-11-18", TSH, document_id=document.id)).blood_panel
    gone = (await ada.enter("2026-11-17", TSH, document_id=document.id)).blood_panel
    await ada.panels("DeleteBloodPanel", id=gone.id)
    await ada.documents("DeleteDocument", id=document.id)
    await ada.panels("UndeleteBloodPanel", id=gone.id)
    for panel_id in (made.linked_record_id, by_hand.id, gone.id):
        assert await document_of(ada, panel_id) == ""


async def test_named_and_deleted_at_once_it_is_named_by_none(ada: As) -> None:
    for number in range(3):
        document = await upload(ada, UNREADABLE + b" %d" % number)
        panel = (await ada.enter(f"2026-11-1{number}", TSH)).blood_panel
        named = panels_pb2.BloodPanel(document_id=document.id)
        naming = ada.panels("UpdateBloodPanel", id=panel.id, blood_panel=named, update_mask={"paths": ["document_id"]})
        deleting = ada.documents("DeleteDocument", id=document.id)
        answers = await asyncio.gather(naming, deleting, return_exceptions=True)
        assert not isinstance(answers[1], BaseException)
        assert await document_of(ada, panel.id) == ""
