"""From a portal's file to panels and out again over HTTP, through all of the processes."""

import json
from typing import Any

from tests.e2e.vitalis import Person

FILE = "Date,Lab,Test,Result,Unit\n2026-03-04 08:00,North Lab,Glucose,99,mg/dL\n2026-03-04 08:00,North Lab,Quuxin,1,U\n"


def imported(who: Person, content: str) -> dict[str, Any]:
    zone = {"time_zone": "Europe/Vienna"}
    queued = who.post("lab-imports", params=zone, files={"file": ("results", content)}).json()
    with who.http.stream("GET", f"/api/v1/users/me/lab-imports/{queued['id']}:watch") as answer:
        *_, last = (json.loads(line) for line in answer.iter_lines())
    assert last["status"] == "succeeded"
    ended: dict[str, Any] = last
    return ended


def test_a_file_goes_in_and_comes_out_as_fhir(ada: Person) -> None:
    done = imported(ada, FILE)
    assert (done["format"], done["file_name"], done["result"]["records_stored"]) == ("csv", "results", 2)
    (panel,) = ada.get("blood-panels").json()["blood_panels"]
    assert (panel["collected_at"], panel["import_id"]) == ("2026-03-04T07:00:00Z", done["id"])

    exported = ada.get("blood-panels:exportFhir")
    assert exported.headers["content-type"] == "application/fhir+json"
    assert len(exported.json()["entry"]) == 3
    again = imported(ada, exported.text)
    assert (again["format"], again["result"]["records_unchanged"]) == ("fhir", 2)

    taken_back = ada.post(f"lab-imports/{done['id']}:rollBack", json={}).json()
    assert (taken_back["status"], ada.get("blood-panels").json()["blood_panels"]) == ("rolled_back", [])
