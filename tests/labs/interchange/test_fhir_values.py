"""What FHIR says of a value, a range and a flag, and which Observations are results."""

import json
from typing import Any

import pytest

from services.labs.interchange import fhir
from services.labs.reports import Rejected, Report, Result
from services.labs.values import read_range

MMOL = {"unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}


def observation(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **more}


def read(*resources: dict[str, Any]) -> list[Report]:
    return list(fhir.read("\n".join(map(json.dumps, resources)).encode()))


def results(*resources: dict[str, Any]) -> list[Result]:
    return [result for report in read(*resources) for result in report.results]


def rejected(*resources: dict[str, Any]) -> list[Rejected]:
    return [fault for report in read(*resources) for fault in report.rejected]


def quantity(value: float, comparator: str = "", **unit: str) -> dict[str, Any]:
    return {"value": value, **({"comparator": comparator} if comparator else {}), **unit}


@pytest.mark.parametrize(
    ("part", "value", "unit"),
    [
        ({"valueQuantity": quantity(5.4, "<", **MMOL)}, "<5.4", "mmol/L"),
        ({"valueQuantity": quantity(5.4, ">=", **MMOL)}, ">=5.4", "mmol/L"),
        ({"valueRange": {"low": quantity(2, **MMOL), "high": quantity(5, **MMOL)}}, "2-5", "mmol/L"),
        ({"valueRange": {"low": quantity(2, **MMOL)}}, ">=2", "mmol/L"),
        ({"valueRange": {"high": quantity(5, **MMOL)}}, "<=5", "mmol/L"),
        ({"valueRatio": {"numerator": quantity(1), "denominator": quantity(128)}}, "1:128", ""),
        ({"valueRatio": {"numerator": quantity(1, "<"), "denominator": quantity(8)}}, "<1:8", ""),
        (
            {"valueRatio": {"numerator": quantity(30, unit="mg"), "denominator": quantity(1, unit="g")}},
            "30",
            "mg/g",
        ),
    ],
)
def test_values_and_their_units(part: dict[str, Any], value: str, unit: str) -> None:
    (result,) = results(observation(**part))
    assert (result.value, result.unit) == (value, unit)


@pytest.mark.parametrize(
    ("said", "unit"),
    [
        ({"unit": "mmol/l", "code": "mmol/L", "system": "http://unitsofmeasure.org"}, "mmol/l"),
        ({"unit": "THOUS/MCL", "code": "10*3/uL"}, "THOUS/MCL"),
        ({"unit": "millimoles in a litre", "code": "mmol/L"}, "mmol/L"),
        ({"code": "mmol/L"}, "mmol/L"),
        ({"unit": "blorps", "code": "blorps"}, "blorps"),
        ({"unit": "mg/dL", "code": "258797006", "system": "http://snomed.info/sct"}, "mg/dL"),
        # Nothing says which of the two holds, so it is none that is known.
        ({"unit": "mg/dL", "code": "mmol/L"}, "mg/dL (mmol/L)"),
    ],
)
def test_a_unit_as_text_and_as_code(said: dict[str, str], unit: str) -> None:
    (result,) = results(observation(valueQuantity=quantity(5, **said)))
    assert result.unit == unit


def limits(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"low": quantity(low, **MMOL), "high": quantity(high, **MMOL), **more}


FEMALE, MALE = ({"appliesTo": [{"text": sex}]} for sex in ("female", "male"))
TYPES = [{"type": {"coding": [{"code": code}]}} for code in ("normal", "treatment")]


@pytest.mark.parametrize(
    ("ranges", "printed"),
    [
        ([limits(3, 5)], "3-5"),
        ([{"low": quantity(3, **MMOL)}], ">=3"),
        ([{"high": quantity(5, **MMOL)}], "<=5"),
        ([{"high": quantity(99, unit="mg/dL")}], "<=99 mg/dL"),
        ([{"text": "Not Estab."}], "Not Estab."),
        ([limits(3, 5, text="3.0 - 5.0")], "3.0 - 5.0"),
        ([{"high": quantity(80), "text": "<1:80"}], "<1:80"),
        ([limits(3, 5, text="as usual for adults")], "3-5"),
        ([limits(3, 5, **TYPES[0]), limits(6, 9, **TYPES[1])], "3-5"),
        ([limits(3, 5, **FEMALE)], "3-5"),
        ([limits(3, 5, **FEMALE), limits(4, 6, **MALE)], "female: 3-5; male: 4-6"),
        (
            [limits(3, 5, age={"low": quantity(18), "high": quantity(65)}), limits(4, 6, age={"low": quantity(65)})],
            "age 18-65: 3-5; age >=65: 4-6",
        ),
        ([limits(3, 5, **FEMALE), limits(3, 5, **MALE)], "3-5"),
    ],
)
def test_reference_ranges(ranges: list[dict[str, Any]], printed: str) -> None:
    (result,) = results(observation(valueQuantity=quantity(5, **MMOL), referenceRange=ranges))
    assert result.reference_range == printed
    # What depends on who it is judges nothing.
    bounds = read_range(printed)
    assert (bounds.low is None and bounds.high is None) == (": " in printed or printed in ("Not Estab.", "<1:80"))


@pytest.mark.parametrize(
    ("concepts", "flag"),
    [
        ([{"coding": [{"code": "H"}]}], "H"),
        ([{"coding": [{"code": "N"}]}, {"coding": [{"code": "LL"}]}], "LL"),
        ([{"coding": [{"code": "HU"}]}], "H"),
        ([{"text": "High"}], "High"),
        ([{"coding": [{"code": "x1", "display": "abnormal"}]}], "abnormal"),
        ([{"coding": [{"code": "N"}]}], ""),
    ],
)
def test_interpretations(concepts: list[dict[str, Any]], flag: str) -> None:
    (result,) = results(observation(valueQuantity=quantity(5), interpretation=concepts))
    assert result.flag == flag


def test_what_is_absent_is_told() -> None:
    absent = observation(dataAbsentReason={"coding": [{"code": "not-performed"}]})
    assert rejected(absent) == [Rejected("Observation 1", "there is no value")]


@pytest.mark.parametrize("category", ["vital-signs", "social-history", "survey", "imaging"])
def test_what_no_laboratory_found_is_no_result(category: str) -> None:
    other = observation(valueQuantity=quantity(5), category=[{"coding": [{"code": category}]}])
    assert [(fault.kind, fault.reason) for fault in rejected(other)] == [
        ("no_lab_result", "it is no laboratory result")
    ]
    both = {**other, "category": [*other["category"], {"coding": [{"code": "laboratory"}]}]}
    assert len(results(both)) == 1


def test_observations_that_one_groups_are_its_report() -> None:
    group = observation(
        id="cbc",
        code={"text": "CBC"},
        effectiveDateTime="2024-01-02",
        performer=[{"display": "West Lab"}],
        note=[{"text": "smear reviewed"}],
        hasMember=[{"reference": f"Observation/{name}"} for name in ("b", "inner", "a", "gone")],
    )
    inner = observation(id="inner", code={"text": "Differential"}, hasMember=[{"reference": "Observation/c"}])
    named = [observation(id=name, code={"text": name}, valueQuantity=quantity(1)) for name in "abc"]
    (report,) = read(inner, *named, group)
    assert (report.panel_name, report.lab_name, report.note) == ("CBC", "West Lab", "smear reviewed")
    assert [result.name for result in report.results] == ["b", "c", "a"]
    assert [fault.reason for fault in report.rejected] == ["it points at an Observation that the file does not have"]


def test_observations_that_group_each_other_end() -> None:
    ring = [observation(id=one, hasMember=[{"reference": f"Observation/{other}"}]) for one, other in ("ab", "ba")]
    assert {fault.reason for fault in rejected(*ring)} == {"there is no value"}


def test_what_is_contained_refers_to_what_is_contained_beside_it() -> None:
    inner = observation(id="a", valueQuantity=quantity(1), specimen={"reference": "#s"})
    specimen = {"resourceType": "Specimen", "id": "s", "type": {"text": "Urine"}}
    report = {"resourceType": "DiagnosticReport", "contained": [inner, specimen], "result": [{"reference": "#a"}]}
    assert [result.specimen for result in results(report)] == ["Urine"]


def test_a_report_finds_its_results_in_whatever_order() -> None:
    values = [observation(id=name, code={"text": name}, valueQuantity=quantity(1)) for name in "abc"]
    report = {"resourceType": "DiagnosticReport", "result": [{"reference": f"Observation/{name}"} for name in "cab"]}
    for resources in ([report, *values], [*values, report], [values[0], report, *values[1:]]):
        (found,) = read(*resources)
        assert [result.name for result in found.results] == ["c", "a", "b"]


def test_when_observations_alone_were_reported() -> None:
    issued = ["2024-01-02T10:00:00Z", "2024-01-03T10:00:00+02:00", "2024-01-01"]
    lines = [observation(valueQuantity=quantity(1), effectiveDateTime="2024-01-01", issued=when) for when in issued]
    (report,) = read(*lines)
    assert report.reported is not None
    assert report.reported.isoformat() == issued[1]
