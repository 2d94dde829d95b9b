"""Units converted and names matched, through the stub."""

import pytest

from tests.harness import Running, failure, reason
from tests.labs.conftest import As
from vitalis.labs.v1 import matching_pb2 as pb
from vitalis.labs.v1 import matching_pb2_grpc


async def convert(who: As, slug: str, value: float, from_unit: str, to_unit: str = "") -> pb.ConvertUnitResponse:
    return await who.matching(
        "ConvertUnit", pb.ConvertUnitRequest(biomarker=slug, value=value, from_unit=from_unit, to_unit=to_unit)
    )


async def test_a_value_is_converted(ada: As) -> None:
    glucose = await convert(ada, "glucose", 5.5, "mmol/l", "MG/DL")
    assert (glucose.value, glucose.unit, glucose.from_unit) == (99.0858, "mg/dL", "mmol/L")
    canonical = await convert(ada, "hba1c", 42, "mmol/mol")
    assert (round(canonical.value, 1), canonical.unit) == (6.0, "%")
    assert (await convert(ada, "glucose", 0, "mmol/L")).value == 0
    assert (await convert(ada, "glucose", 0.1, "mg/dL", "mg/dL")).value == 0.1


async def test_anybody_may_convert(labs: Running) -> None:
    stub = matching_pb2_grpc.MatchingServiceStub(labs.channel)
    request = pb.ConvertUnitRequest(biomarker="glucose", value=1, from_unit="g/L")
    assert (await stub.ConvertUnit(request, timeout=30, metadata=labs.metadata())).value == 100


async def test_what_is_no_conversion_names_the_units_that_are(ada: As) -> None:
    refused = await failure(convert(ada, "glucose", 1, "U/L", "nonsense"))
    assert refused.reason.name == "UNIT_NOT_ACCEPTED"
    accepted = "glucose is measured in mg/dL, g/L, mmol/L"
    assert [(v.field, v.description) for v in refused.violations] == [("from_unit", accepted), ("to_unit", accepted)]
    assert "nonsense" not in refused.message
    assert await reason(convert(ada, "no_such_marker", 1, "mg/dL")) == "INVALID_FIELD"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e13])
async def test_what_is_no_value_is_refused(ada: As, value: float) -> None:
    assert await reason(convert(ada, "glucose", value, "mg/dL")) == "INVALID_FIELD"


async def test_a_value_must_be_sent(ada: As) -> None:
    assert await reason(ada.matching("ConvertUnit", pb.ConvertUnitRequest(biomarker="glucose"))) == "INVALID_FIELD"


async def test_rows_of_a_report_are_matched_in_their_order(ada: As) -> None:
    rows = [
        pb.ReportRow(name="GLUCOSE, SERUM", unit="mg/dL"),
        pb.ReportRow(name="Qwxyz"),
        pb.ReportRow(name="anything", loinc="2160-0", unit="mg/dL"),
        pb.ReportRow(name="Sodium", unit="U/L"),
    ]
    answer = await ada.matching("MatchMarkers", pb.MatchMarkersRequest(user_id=ada.id, rows=rows))
    assert [match.slug for match in answer.matches] == ["glucose", "", "creatinine", ""]
    glucose, unknown, creatinine, sodium = answer.matches
    assert glucose.confidence >= 0.8
    assert (unknown.confidence, unknown.method, list(unknown.candidates)) == (0, "", [])
    assert creatinine.method == "loinc"
    assert {(found.slug, found.confidence) for found in sodium.candidates} >= {("sodium", 0.5)}


async def test_a_thousand_rows_at_the_most(ada: As) -> None:
    for count, expected in ((0, "INVALID_FIELD"), (1001, "INVALID_FIELD")):
        request = pb.MatchMarkersRequest(user_id=ada.id, rows=[pb.ReportRow(name="Glucose")] * count)
        assert await reason(ada.matching("MatchMarkers", request)) == expected
    request = pb.MatchMarkersRequest(user_id=ada.id, rows=[pb.ReportRow(name="Sodium", unit="mmol/L")] * 1000)
    assert {match.slug for match in (await ada.matching("MatchMarkers", request)).matches} == {"sodium"}
