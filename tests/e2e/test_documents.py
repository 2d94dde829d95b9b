"""From a report on paper to a panel over HTTP, through all of the processes."""

import json
from datetime import date
from pathlib import Path

from examples.lab_report import RESULTS, write_report
from tests.e2e.vitalis import Person


def test_a_printed_report_becomes_a_panel(ada: Person, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    write_report(path, date(2026, 11, 2))
    content = path.read_bytes()
    uploaded = ada.post("documents", files={"file": ("my report.pdf", content, "text/plain")}).json()
    assert (uploaded["original_filename"], uploaded["mime_type"]) == ("my report.pdf", "application/pdf")
    with ada.http.stream("GET", f"/api/v1/users/me/documents/{uploaded['id']}:watch") as answer:
        *_, last = (json.loads(line) for line in answer.iter_lines())
    assert last["parse_status"] == "needs_review"

    values = ada.get(f"documents/{uploaded['id']}/values").json()["document_values"]
    assert [value["raw_name"] for value in values] == [printed.name for printed in RESULTS]
    confirmed = ada.post(f"documents/{uploaded['id']}:confirm", json={}).json()
    panel = ada.get(f"blood-panels/{confirmed['linked_record_id']}").json()
    assert (panel["document_id"], panel["collected_date"]) == (uploaded["id"], "2026-11-02")
    markers = ada.get("blood-markers", panel_id=panel["id"]).json()["blood_markers"]
    assert {marker["raw_name"]: marker["value"] for marker in markers} == {one.name: one.value for one in RESULTS}

    downloaded = ada.get(f"documents/{uploaded['id']}:download")
    assert (downloaded.headers["content-type"], downloaded.content) == ("application/pdf", content)


def test_what_is_no_document_is_refused_with_its_reason(ada: Person) -> None:
    refused = ada.post("documents", content=b"PK\x03\x04 a zip that is called report.pdf")
    assert refused.status_code == 415
    assert "FILE_TYPE_REFUSED" in refused.text
