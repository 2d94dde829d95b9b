"""Panels as FHIR: valid by a validator, free of the person, and the same panels when they are imported again."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from fhir.resources.R4B.bundle import Bundle
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import assume, given
from hypothesis import strategies as st

from services.labs.biomarkers.catalogue import Marker, catalogue
from services.labs.interchange import fhir
from services.labs.interchange.fhir_resources import entries
from services.labs.interchange.prepare import Account, Options, Panel, prepare
from services.labs.panels.judge import Person
from services.labs.panels.reading import read_markers
from services.labs.values import NoResult, read_result
from tests.harness import Running, person
from tests.labs.conftest import As
from tests.labs.interchange.importing import counts, imported, markers, panels
from vitalis.labs.v1 import interchange_pb2 as pb
from vitalis.labs.v1 import panels_pb2

TODAY = date(2026, 6, 1)
OPTIONS = Options(ZoneInfo("UTC"), None, TODAY)
HEADER: dict[str, Any] = {
    "id": UUID(int=1),
    "user_id": UUID(int=2),
    "collected_date": date(2026, 1, 2),
    "collected_at": None,
    "reported_at": None,
    "lab_name": None,
    "lab_provider": None,
    "panel_name": None,
    "specimen_id": None,
    "lab_comment": None,
}
SAME = (
    *("raw_name", "specimen", "sub_panel", "comparator", "value_numeric", "value_text", "unit", "ref_range_text"),
    *("flag", "biomarker", "value_canonical", "ref_range_low", "ref_range_high", "in_range", "lab_comment"),
)


def has_idle_unit(marker: dict[str, Any]) -> bool:
    """Whether there is a unit beside words: FHIR has it in quantities alone."""
    return "unit" in marker and read_result(marker["value"]).number is None


async def exported(who: As, **bounds: str) -> dict[str, Any]:
    pieces = who.exports("ExportLabsFhir", pb.ExportLabsFhirRequest(user_id=who.id, **bounds))
    content = b"".join([piece.file.data async for piece in pieces])
    bundle: dict[str, Any] = json.loads(content)
    Bundle.model_validate(bundle)
    return bundle


def rows_of(entered: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = read_markers(entered, Person(), {})
    comments = [marker.get("lab_comment") for marker in entered]
    return [
        {"id": UUID(int=10 + number), **row, "lab_comment": comment}
        for number, (row, comment) in enumerate(zip(rows, comments, strict=True))
    ]


def back(header: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[Panel, list[dict[str, Any]]]:
    """What an import makes of a panel's export."""
    bundle = orjson.dumps({"resourceType": "Bundle", "type": "collection", "entry": list(entries(header, rows))})
    Bundle.model_validate_json(bundle)
    account = Account()
    (panel,) = prepare(fhir.read(bundle), OPTIONS, {}, account)
    assert not account.rejections
    rows = read_markers(panel.markers, Person(), {})
    return panel, [row | {"lab_comment": said["lab_comment"]} for row, said in zip(rows, panel.markers, strict=True)]


words = st.text(st.characters(categories=["L", "Nd"], include_characters=" -/%"), min_size=1, max_size=40).map(
    lambda text: " ".join(text.split())
)
named = words.filter(bool)


def is_result(text: str) -> bool:
    try:
        read_result(text)
    except NoResult:
        return False
    return True


comments = st.lists(named, min_size=1, max_size=3).map("\n".join)
numbers = st.builds("{}{}".format, st.sampled_from(["", "<", "<=", ">", ">= "]), st.decimals(0, 10**6, places=3))
entered_markers = st.fixed_dictionaries(
    {
        "raw_name": st.one_of(
            st.sampled_from(["Glucose", "HDL CHOL", "eGFR", "Hgb A1C", "Nitrite", "ANA Titer"]), named
        ),
        "value": st.one_of(
            numbers, st.sampled_from(["Negative", "Trace", "1+", "5.5 (H)", "1:160", "<1:80"]), named.filter(is_result)
        ),
    },
    optional={
        "unit": st.sampled_from(["mg/dL", "mmol/L", "%", "THOUS/MCL", "blorps", "U/L"]),
        "specimen": st.sampled_from(["serum", "Urine", "whole blood"]),
        "sub_panel": named,
        "ref_range_text": st.sampled_from(
            ["70-99", "<5.0", ">=60", "Not Estab.", "Negative", "3.4 - 10.8 mg/dL", "<1:80"]
        ),
        "flag": st.sampled_from(["H", "L", "A", "HH", "critical low"]),
        "lab_comment": comments,
    },
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
maybe_named = st.one_of(st.none(), named)
headers = st.fixed_dictionaries(
    dict.fromkeys(("lab_name", "lab_provider", "panel_name", "specimen_id"), maybe_named)
    | {"lab_comment": st.one_of(st.none(), comments)}
    | {"reported_at": st.one_of(st.none(), moments), "collected_at": st.one_of(st.none(), moments)}
)


@given(headers, st.lists(entered_markers, min_size=1, max_size=6), st.integers(-12, 14))
def test_a_panel_comes_back_as_it_went(header: dict[str, Any], entered: list[dict[str, Any]], hours: int) -> None:
    whole = {**HEADER, **header}
    if instant := header["collected_at"]:
        whole["collected_date"] = (instant + timedelta(hours=hours)).date()
    # How commas are read is the whole report's to say, and is no part of this.
    rows = rows_of([{**marker, "decimal_comma": False} for marker in entered if not has_idle_unit(marker)])
    assume(rows)
    panel, again = back(whole, rows)
    assert {name: panel.header[name] for name in header} == header
    assert panel.header["collected_date"] == whole["collected_date"]
    assert [[row[name] for name in SAME] for row in again] == [[row[name] for name in SAME] for row in rows]


@pytest.mark.parametrize("marker", catalogue().markers.values(), ids=lambda marker: marker.slug)
def test_each_marker_s_code_and_unit_lead_back_to_it(marker: Marker) -> None:
    value, unit = ("Negative", None) if marker.is_qualitative else ("1.5", marker.canonical_unit)
    told = {"biomarker": marker.slug, "raw_name": marker.display_name, "value": value, "unit": unit}
    rows = rows_of([{**told, "specimen": None}])
    (observation,) = [entry["resource"] for entry in entries(HEADER, rows)][1:]
    codes = [coding["code"] for coding in observation["code"].get("coding", ())]
    assert not codes or catalogue().by_loinc[codes[0]] is marker
    _, (again,) = back(HEADER, rows)
    assert again["biomarker"] == marker.slug or not codes
    assert again["value_canonical"] == rows[0]["value_canonical"] or not codes


async def test_what_goes_out_is_valid_and_comes_back_the_same(labs: Running, ada: As) -> None:
    glucose = {"raw_name": "Glucose", "value": "5.50", "unit": "mmol/L", "ref_range_text": "3.9-5.5", "flag": "H"}
    nitrite = {"raw_name": "Nitrite", "value": "Negative", "specimen": "Urine", "ref_range_text": "Negative"}
    unknown = {"raw_name": "Quuxin", "value": "<0.1", "unit": "blorps", "sub_panel": "Oddities"}
    await ada.enter(
        "2026-03-04",
        *(glucose, nitrite, unknown),
        lab_name="North Lab",
        lab_provider="Dr. Miriam Vogel",
        panel_name="Metabolic panel",
        specimen_id="S-17",
        collected_at=Timestamp(seconds=1_772_670_600),
        reported_at=Timestamp(seconds=1_772_700_000),
        sex="female",
        age_years=36,
        notes="after a night shift",
    )
    await ada.enter("2026-01-02", {"raw_name": "LDL", "value": "100", "unit": "mg/dL"})
    await ada.enter("2025-01-02")
    bundle = await exported(ada)
    text = json.dumps(bundle)
    assert not any(secret in text for secret in ("night shift", "female", '"Patient/', "birthDate"))
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert (kinds.count("DiagnosticReport"), kinds.count("Observation")) == (3, 4)
    by_name = {entry["resource"]["code"].get("text"): entry["resource"] for entry in bundle["entry"]}
    assert by_name["Glucose"]["valueQuantity"]["code"] == "mmol/L"
    assert re.search(r'"value":\s*5\.50?\b', text)
    assert by_name["Metabolic panel"]["effectiveDateTime"] == "2026-03-04T23:30:00-01:00"
    bob = As(labs, person())
    done = await imported(labs, bob, text)
    assert counts(done.result) == (4, 0, 0, 0, 0)
    left_out = {"id", "user_id", "panel_id", "created_at", "updated_at", "etag", "loinc_code", "value"}

    def told(found: list[panels_pb2.BloodMarker]) -> list[dict[str, Any]]:
        fields = [{f.name: v for f, v in marker.ListFields() if f.name not in left_out} for marker in found]
        ours = [{name: v for name, v in each.items() if not name.startswith(("source_", "import_"))} for each in fields]
        return sorted(ours, key=lambda each: str(each["raw_name"]))

    def headers_of(found: list[panels_pb2.BloodPanel]) -> list[tuple[Any, ...]]:
        names = ("collected_date", "lab_name", "lab_provider", "panel_name", "specimen_id", "collected_at")
        return [tuple(getattr(panel, name) for name in (*names, "reported_at")) for panel in found]

    # Verdicts by the dictionary may ask for what does not go out.
    assert told(await markers(bob)) == told(await markers(ada))
    assert headers_of(await panels(bob)) == headers_of((await panels(ada))[:2])
    again = await imported(labs, ada, text)
    assert counts(again.result) == (0, 0, 4, 0, 0)


async def test_many_panels_are_streamed_in_pieces(labs: Running, ada: As) -> None:
    rows = "".join(
        f"{TODAY - timedelta(days=day)},Lab {day},Marker {number},{number},mg/dL\n"
        for day in range(60)
        for number in range(12)
    )
    done = await imported(labs, ada, "Date,Lab,Test,Result,Unit\n" + rows)
    assert done.result.records_stored == 720
    pieces = ada.exports("ExportLabsFhir", pb.ExportLabsFhirRequest(user_id=ada.id))
    sizes = [len(piece.file.data) async for piece in pieces]
    assert len(sizes) > 1
    assert max(sizes) < 2**20
    bundle = await exported(ada)
    assert len(bundle["entry"]) == 780
    again = await imported(labs, ada, json.dumps(bundle))
    assert counts(again.result) == (0, 0, 720, 0, 0)


async def test_a_part_of_the_days_and_nothing_at_all(labs: Running, ada: As) -> None:
    assert await exported(ada) == {"resourceType": "Bundle", "type": "collection"}
    for day in ("2026-01-01", "2026-01-02", "2026-01-03"):
        await ada.enter(day, {"raw_name": "Glucose", "value": "99", "unit": "mg/dL"})
    (gone,) = [panel for panel in await panels(ada) if panel.collected_date == "2026-01-03"]
    await ada.panels("DeleteBloodPanel", id=gone.id)
    bundle = await exported(ada, start_date="2026-01-02", end_date="2026-01-03")
    assert [entry["resource"]["effectiveDateTime"] for entry in bundle["entry"]] == ["2026-01-02"] * 2
    assert await exported(As(labs, person())) == {"resourceType": "Bundle", "type": "collection"}
