"""Preliminary, corrected and withdrawn results, in one file and in several."""

import json
from typing import Any

import pytest

from tests.harness import Running
from tests.labs.conftest import As
from tests.labs.interchange.importing import (
    SODIUM,
    correct,
    counts,
    imported,
    markers,
    oru,
    panels,
    rolled_back,
    values,
)
from vitalis.labs.v1 import interchange_pb2 as pb

MORNING, NOON, EVENING = "202503050800", "202503051200", "202503052000"


def result(value: str, status: str = "F") -> str:
    return f"2345-7^Glucose^LN||{value}|mg/dL|70-99||||{status}"


def message(*results: str, reported: str = NOON) -> str:
    """As `oru`, with the status in each result."""
    return oru(*results, reported=reported).replace("|||F\r", "\r").removesuffix("|||F")


def fhir(*statuses: tuple[str, int | None], issued: str = "2025-03-05T12:00:00Z") -> str:
    """Observations of one glucose, one for each status and value."""
    lines: list[dict[str, Any]] = [
        {
            "resourceType": "Observation",
            "id": f"g{number}",
            "status": status,
            "issued": issued,
            "effectiveDateTime": "2025-03-04T08:00:00Z",
            "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7", "display": "Glucose"}]},
            **({} if value is None else {"valueQuantity": {"value": value, "unit": "mg/dL"}}),
        }
        for number, (status, value) in enumerate(statuses)
    ]
    return "\n".join(map(json.dumps, lines))


@pytest.mark.parametrize(
    "results",
    [
        [("90", "P"), ("95", "F")],
        [("95", "F"), ("90", "P")],
        [("90", "F"), ("95", "C")],
        [("95", "C"), ("80", "P"), ("90", "F")],
    ],
    ids=lambda results: "".join(status for _, status in results),
)
async def test_the_furthest_result_of_a_report_counts(labs: Running, ada: As, results: list[tuple[str, str]]) -> None:
    done = await imported(labs, ada, message(*(result(*each) for each in results)))
    assert counts(done.result) == (1, 0, 0, 0, len(results) - 1)
    assert await values(ada) == {"glucose": "95"}
    assert not done.result.doubts


@pytest.mark.parametrize("status", ["amended", "corrected"])
async def test_fhir_says_corrected_otherwise(labs: Running, ada: As, status: str) -> None:
    done = await imported(labs, ada, fhir(("final", 90), (status, 95), ("preliminary", 80)))
    assert (counts(done.result), await values(ada)) == ((1, 0, 0, 0, 2), {"glucose": "95"})


async def test_a_final_result_in_a_later_file(labs: Running, ada: As) -> None:
    first = await imported(labs, ada, message(result("90", "P"), reported=MORNING))
    assert dict(first.result.doubts_by_kind) == {"preliminary": 1}
    second = await imported(labs, ada, message(result("92", "P")))
    assert counts(second.result) == (0, 1, 0, 0, 0)
    last = await imported(labs, ada, message(result("95"), reported=EVENING))
    assert (counts(last.result), dict(last.result.doubts_by_kind)) == ((0, 1, 0, 0, 0), {})
    for older in (message(result("90", "P"), reported=MORNING), message(result("92", "P"), reported=EVENING)):
        assert counts((await imported(labs, ada, older)).result) == (0, 0, 0, 1, 0)
    assert await values(ada) == {"glucose": "95"}


@pytest.mark.parametrize("status", ["D", "W"])
async def test_what_the_laboratory_takes_back_goes(labs: Running, ada: As, status: str) -> None:
    file = message(result("90"), SODIUM + "|||F", reported=MORNING)
    await imported(labs, ada, file)
    gone = await imported(labs, ada, message(result("", status)))
    assert (counts(gone.result), gone.result.records_withdrawn) == ((0, 0, 0, 0, 0), 1)
    assert await values(ada) == {"sodium": "140"}
    # The older report again brings nothing back, and neither does the same once more.
    assert counts((await imported(labs, ada, file)).result) == (0, 0, 1, 1, 0)
    again = await imported(labs, ada, message(result("", status)))
    assert dict(again.result.rejected_by_reason) == {"not_readable": 1}
    assert await values(ada) == {"sodium": "140"}
    await rolled_back(ada, gone.id)
    assert await values(ada) == {"glucose": "90", "sodium": "140"}


async def test_another_result_may_follow_what_was_taken_back(labs: Running, ada: As) -> None:
    await imported(labs, ada, message(result("90"), reported=MORNING))
    await imported(labs, ada, message(result("", "D")))
    done = await imported(labs, ada, message(result("95"), reported=EVENING))
    assert (counts(done.result), await values(ada)) == ((1, 0, 0, 0, 0), {"glucose": "95"})


async def test_in_one_file_what_is_taken_back_was_never_there(labs: Running, ada: As) -> None:
    file = "\r".join([message(result("90"), reported=MORNING), message(result("", "D"))])
    done = await imported(labs, ada, file)
    assert (counts(done.result), done.result.records_withdrawn) == ((1, 0, 0, 0, 0), 1)
    assert await markers(ada) == []
    await rolled_back(ada, done.id)
    assert await panels(ada) == []


async def test_entered_in_error_beside_the_right_one(labs: Running, ada: As) -> None:
    file = fhir(("entered-in-error", 950), ("final", 95))
    for expected in ((1, 0, 0, 0, 1), (0, 0, 1, 0, 1)):
        done = await imported(labs, ada, file)
        assert (counts(done.result), await values(ada)) == (expected, {"glucose": "95"})


async def test_what_was_never_there_is_not_taken_back(labs: Running, ada: As) -> None:
    done = await imported(labs, ada, fhir(("entered-in-error", None)))
    assert [(one.place, one.message) for one in done.result.rejections] == [
        ("Observation g0", "the result was entered in error")
    ]
    assert await panels(ada) == []


async def test_what_a_person_corrected_is_not_taken_back(labs: Running, ada: As) -> None:
    await imported(labs, ada, fhir(("final", 95)))
    (marker,) = await markers(ada)
    await correct(ada, marker, "94")
    done = await imported(labs, ada, fhir(("entered-in-error", 95), issued="2025-03-06T12:00:00Z"))
    assert (counts(done.result), await values(ada)) == ((0, 0, 0, 1, 0), {"glucose": "94"})


async def test_a_report_in_error_takes_all_of_it_back(labs: Running, ada: As) -> None:
    def bundle(status: str) -> str:
        observations = [json.loads(line) for line in fhir(("final", 95)).splitlines()]
        report = {
            "resourceType": "DiagnosticReport",
            "status": status,
            "code": {"text": "Metabolic panel"},
            "effectiveDateTime": "2025-03-04T08:00:00Z",
            "result": [{"reference": "Observation/g0"}],
        }
        entries = [{"resource": one} for one in (*observations, report)]
        return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})

    await imported(labs, ada, bundle("final"))
    done = await imported(labs, ada, bundle("entered-in-error"))
    assert (counts(done.result), done.result.records_withdrawn) == ((0, 0, 0, 0, 0), 1)
    assert await markers(ada) == []


@pytest.mark.parametrize("status", ["registered", "cancelled"])
async def test_what_is_no_result_changes_none(labs: Running, ada: As, status: str) -> None:
    await imported(labs, ada, fhir(("final", 95)))
    done: pb.LabImport = await imported(labs, ada, fhir((status, None)))
    assert (counts(done.result), await values(ada)) == ((0, 0, 0, 0, 1), {"glucose": "95"})
