"""Scans and visits: the SDK, and `vitalis labs scans`, `tests` and `visits`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.client.server import Server
from tests.client.server.base import OWNER_ID
from vitalis_client import Vitalis
from vitalis_client.cli import app
from vitalis_client.cli.clinic import CAUTIONS
from vitalis_client.contract.models import EpigeneticTest

Run = Callable[..., Result]


@pytest.fixture
def run(server: Server, api: Vitalis, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `vitalis labs …` as somebody who is logged in and prefers kilograms."""
    monkeypatch.setenv("VITALIS_URL", server.url)
    server.settings.weight_unit, server.settings.height_unit = "kg", "cm"
    return lambda *arguments, **typed: CliRunner().invoke(app, ["labs", *arguments], **typed)


def test_a_scan_is_added_in_the_units_of_the_person(run: Run, server: Server) -> None:
    assert "vitalis labs scans add scan_date=2026-11-19" in run("scans").stderr
    arms = 'regions=[{"region": "arms", "lean_lbs": 10}]'
    done = run("scans", "add", "scan_date=2026-11-19", "total_fat_lbs=18", "height_in=178", "provider=BodySpec", arms)
    assert done.exit_code == 0, done.stderr
    (scan,) = server.scans
    assert (scan.scan_date, scan.total_fat_lbs, scan.height_in) == ("2026-11-19", 39.68, 70.1)
    assert "Total fat  18 kg" in done.stdout
    assert "[0] region arms; lean 4.54 kg" in done.stdout
    assert "FMI 5.5 kg/m2 = total_fat / height^2 (Kelly 2009)" in done.stdout
    assert "ALMI: needs regions.arms.lean_lbs" in done.stdout
    assert "Fat kg" in run("scans").stdout
    assert json.loads(run("scans", "--json").stdout)[0]["total_fat_lbs"] == 39.68
    assert run("scans", "show", scan.id).stdout == done.stdout


def test_a_scan_comes_out_of_a_file_too(run: Run, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "scan.json"
    path.write_text('{"scan_date": "2026-11-19", "provider": "BodySpec"}')
    assert run("scans", "add", "--file", str(path), "provider=DexaFit").exit_code == 0
    assert (server.scans[0].scan_date, server.scans[0].provider) == ("2026-11-19", "DexaFit")
    assert run("scans", "add", "--file", "-", input='{"scan_date": "2026-11-20"}').exit_code == 0
    assert server.scans[0].scan_date == "2026-11-20"
    for wrong in ("[1]", "{", ""):
        path.write_text(wrong)
        assert run("scans", "add", "--file", str(path)).exit_code == 2
    assert run("scans", "add", "--file", str(tmp_path / "gone.json")).exit_code == 2
    assert run("scans", "add").exit_code == 2
    assert run("scans", "add", "shoe_size=41").exit_code == 2
    path.write_text('{"shoe_size": 41}')
    assert run("scans", "add", "--file", str(path)).exit_code == 1
    assert len(server.scans) == 2


def test_a_scan_is_changed_taken_out_and_brought_back(run: Run, server: Server) -> None:
    run("scans", "add", "scan_date=2026-11-19", "provider=BodySpec", "total_fat_lbs=18")
    (scan,) = server.scans
    assert run("scans", "set", scan.id, "provider=", "total_body_fat_pct=22.4").exit_code == 0
    assert (scan.provider, scan.total_body_fat_pct, scan.total_fat_lbs) == ("", 22.4, 39.68)
    assert run("scans", "set", scan.id).exit_code == 2
    assert f"vitalis labs scans restore {scan.id}" in run("scans", "remove", scan.id).stderr
    assert "there is no scan yet" in run("scans").stderr
    assert json.loads(run("scans", "restore", scan.id, "--json").stdout)["id"] == scan.id
    assert scan.id in run("scans").stdout


def test_scans_are_compared(run: Run, server: Server) -> None:
    assert "there is no scan yet" in run("scans", "compare").stderr
    run("scans", "add", "scan_date=2025-11-19")
    assert "there is no earlier scan" in run("scans", "compare").stderr
    run("scans", "add", "scan_date=2026-11-19")
    shown = run("scans", "compare")
    assert shown.stdout.startswith("2025-11-19 to 2026-11-19, 365 days\n")
    assert [line.split() for line in shown.stdout.splitlines()[2:]] == [
        ["Total", "fat", "18.6", "kg", "18.14", "kg", "-2.4"],
        ["Spine", "t", "score", "-1", "-0.5"],
    ]
    assert shown.stderr == CAUTIONS["different_provider"] + "\n"
    newer, older = (scan.id for scan in server.scans)
    assert json.loads(run("scans", "compare", newer, older, "--json").stdout)["days"] == 365


def test_a_scan_is_stored_with_its_report(run: Run, server: Server, tmp_path: Path) -> None:
    report = tmp_path / "scan.pdf"
    report.write_bytes(b"%PDF-1.7\n")
    done = run("scans", "import", str(report), "scan_date=2026-11-19")
    assert done.exit_code == 0, done.stderr
    (document,) = server.documents.values()
    assert (document.document_type, document.linked_record_id) == ("dexa", server.scans[0].id)
    assert server.scans[0].id in run("review", document.id).stderr


def test_a_report_of_a_scan_says_what_takes_its_values(run: Run, server: Server, api: Vitalis, tmp_path: Path) -> None:
    report = tmp_path / "scan.pdf"
    report.write_bytes(b"%PDF-1.7\n")
    document = api.labs.upload_document(report, document_type="dexa")
    refused = run("review", document.id)
    assert refused.exit_code == 2
    assert f"vitalis labs scans import {document.id} FIELD=VALUE..." in refused.stderr
    assert run("scans", "import", document.id, "scan_date=2026-11-19").exit_code == 0
    assert server.scans[0].scan_date == "2026-11-19"


def test_a_visit_has_the_panels_that_were_ordered(run: Run, server: Server) -> None:
    assert "there is no visit yet" in run("visits").stderr
    done = run("visits", "add", "visit_date=2026-11-19", "provider_name=Dr. Vogel", "specialty=Cardiology")
    assert done.exit_code == 0, done.stderr
    (visit,) = server.visits
    assert (visit.provider_name, visit.specialty) == ("Dr. Vogel", "Cardiology")
    assert "Dr. Vogel" in run("visits").stdout
    assert f"vitalis labs visits panels {visit.id} PANEL" in run("visits", "panels", visit.id).stderr
    panel = "01990000-0000-7000-8000-500000000000"
    assert panel in run("visits", "panels", visit.id, panel).stdout
    assert json.loads(run("visits", "panels", visit.id, "--json").stdout)[0]["id"] == panel


def test_of_somebody_who_shares(run: Run, server: Server) -> None:
    run("scans", "add", "scan_date=2026-11-19")
    del server.subjects[:]
    for arguments in (("scans",), ("scans", "show", server.scans[0].id), ("scans", "compare"), ("visits",)):
        assert run(*arguments, "--person", OWNER_ID, "--json").exit_code == 0
    assert set(server.subjects) == {OWNER_ID}


def test_a_test_without_the_data_of_its_provider_can_be_read() -> None:
    about = {"created_at": "2026-11-20T12:00:00Z", "updated_at": "2026-11-20T12:00:00Z"}
    assert EpigeneticTest.model_validate(about).raw_data is None
