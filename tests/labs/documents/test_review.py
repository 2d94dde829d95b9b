"""The review of what was read: what is found, what is doubtful, and what a person makes of it."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.labs.documents.review import DERIVED, judge_values
from services.labs.matching import alias_key
from tests.harness import Running, failure, person, reason
from tests.labs.conftest import As
from tests.labs.documents.printed import GERMAN, LABCORP_ROWS, QUEST, lines, table
from tests.labs.documents.uploaded import add, correct, got, read, upload, values_of
from vitalis.labs.v1 import document_values_pb2 as pb

UNREADABLE = b"%PDF-1.7 and nothing else"


def value(name: str, printed: str, unit: str | None = None, **more: Any) -> dict[str, Any]:
    empty = dict.fromkeys(
        ("sub_panel", "specimen", "loinc_code", "ref_range_text", "flag", "confidence", "deleted_at", *DERIVED)
    )
    return {**empty, "raw_name": name, "value": printed, "unit": unit, **more}


def doubts(*values: dict[str, Any]) -> list[list[str]]:
    return [found["doubts"] for found in judge_values(values, {})]


@pytest.mark.parametrize(
    ("one", "doubtful"),
    [
        (value("Glucose", "5.5", "mmol/L"), []),
        (value("Glucose", "5.5", "furlongs"), ["name_unsure", "unit_unknown"]),
        (value("Glucose", "5.5"), ["name_unsure", "unit_unknown"]),
        (value("x", "5.5", "furlongs", biomarker="glucose", match_method="person"), ["unit_unknown"]),
        (value("Glucose", "5500", "mmol/L"), ["implausible"]),
        (value("Glucose", "-5.5", "mmol/L"), ["implausible"]),
        (value("Glucose", "0.0055", "mmol/L"), ["implausible"]),
        (value("Glucose", "see note", "mmol/L"), ["no_result"]),
        (value("Glucose", "plenty", "mmol/L"), ["not_a_number"]),
        (value("Zork level", "5.5", "mmol/L"), ["name_unknown"]),
        (value("Glucose", "5.5", "mmol/L", flag="rather high"), ["flag_unknown"]),
        (value("Glucose", "5.5", "mmol/L", confidence=0.4), ["low_confidence"]),
        (value("Glucosse", "5.5", "mmol/L"), ["name_unsure"]),
        (value("Glucose", "5.5", "mmol/L", doubts=["not_in_text"]), ["not_in_text"]),
        (value("whatever", "5.5", "mmol/L", biomarker="glucose", match_method="person"), []),
        (value("ANA Titer", "1:160"), []),
        (value("ANA Titer", "speckled"), ["not_a_number"]),
    ],
)
def test_what_is_doubtful_is_named(one: dict[str, Any], doubtful: list[str]) -> None:
    assert doubts(one) == [doubtful]


def test_the_same_marker_twice_is_doubtful_until_one_is_dropped() -> None:
    twice = value("Glucose", "5.5", "mmol/L"), value("Glukose", "99", "mg/dL")
    assert doubts(*twice) == [["duplicate"], ["duplicate"]]
    assert doubts(twice[0], twice[1] | {"deleted_at": "now"}) == [[], []]
    assert doubts(value("Zork", "1"), value("ZORK", "2")) == [["name_unknown", "duplicate"]] * 2
    assert doubts(value("Zork", "1", specimen="serum"), value("Zork", "2", specimen="urine")) == [["name_unknown"]] * 2
    # Serum and urine are two markers.
    assert doubts(value("Creatinine", "0.9", "mg/dL"), value("Creatinine, Urine", "90", "mg/dL")) == [[], []]


def test_decimal_commas_hold_for_the_whole_report() -> None:
    german = judge_values([value("Glukose", "5,4", "mmol/l"), value("Ferritin", "1,250", "ug/l")], {})
    assert [float(found["value_numeric"]) for found in german] == [5.4, 1.25]
    english = judge_values([value("Glucose", "5.4", "mmol/l"), value("Ferritin", "1,250", "ug/l")], {})
    assert [float(found["value_numeric"]) for found in english] == [5.4, 1250]


def test_a_persons_own_name_for_a_marker_is_known() -> None:
    (found,) = judge_values([value("Zork level", "5.5", "mmol/L")], {alias_key("Zork level"): "glucose"})
    assert (found["biomarker"], found["match_method"]) == ("glucose", "own_alias")


@given(st.lists(st.tuples(st.text(min_size=1, max_size=200), st.text(min_size=1, max_size=200), st.text(max_size=60))))
def test_whatever_was_read_is_judged(read_values: list[tuple[str, str, str]]) -> None:
    values = [value(name, printed, unit or None) for name, printed, unit in read_values]
    judged = judge_values(values, {})
    assert [set(found) for found in judged] == [set(DERIVED)] * len(values)
    # Judged again, it is the same: nothing depends on what was found before.
    again = judge_values([one | found for one, found in zip(values, judged, strict=True)], {})
    assert again == judged


async def test_values_stand_where_they_were_found(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, table(tmp_path / "x.pdf", LABCORP_ROWS, break_after=3).read_bytes())
    values = await values_of(ada, document.id)
    assert [(v.raw_name, v.value, v.unit, v.biomarker, v.page) for v in values[:2]] == [
        ("Ferritin", "12", "ng/mL", "ferritin", 1),
        ("Estradiol", "<5.0", "pg/mL", "estradiol", 1),
    ]
    assert (values[1].comparator, values[1].value_numeric, values[0].flag) == ("<", 5.0, "Low")
    assert values[-1].page == 2
    assert [v.position for v in values] == list(range(len(values)))
    for one in values:
        x0, top, x1, bottom = one.box
        assert 0 <= x0 < x1 <= 612
        assert 0 <= top < bottom <= 792
        assert 0.5 < one.confidence <= 1


async def test_a_german_report_is_converted(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, lines(tmp_path / "x.pdf", GERMAN).read_bytes())
    glucose, *_ = await values_of(ada, document.id)
    assert (glucose.value, glucose.value_numeric, glucose.canonical_unit) == ("5,4", 5.4, "mg/dL")
    assert 97.2 < glucose.value_canonical < 97.4


async def test_a_person_corrects_drops_and_adds(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, lines(tmp_path / "x.pdf", QUEST).read_bytes())
    total, hdl, _ = await values_of(ada, document.id)
    corrected = await correct(ada, total, value="5.97", unit="mmol/L")
    assert (corrected.source, corrected.HasField("confidence"), list(corrected.doubts)) == ("corrected", False, [])
    assert 230 < corrected.value_canonical < 232
    said = await correct(ada, hdl, biomarker="ldl_cholesterol")
    assert (said.biomarker, said.match_method, said.HasField("match_confidence")) == (
        "ldl_cholesterol",
        "person",
        False,
    )
    found = await correct(ada, hdl, biomarker="")
    assert (found.biomarker, found.match_method) == ("hdl_cholesterol", hdl.match_method)
    renamed = await correct(ada, hdl, raw_name="HDL, whatever they call it")
    assert renamed.HasField("biomarker") is False

    added = await add(ada, document.id, raw_name="TSH", value="1.9", unit="mIU/L")
    assert (added.source, added.position, list(added.doubts)) == ("added", 3, ["duplicate"])
    (tsh,) = [one for one in await values_of(ada, document.id) if one.raw_name == "TSH" and one.source == "read"]
    assert list(tsh.doubts) == ["duplicate"]
    await ada.document_values("DeleteDocumentValue", id=tsh.id, etag=tsh.etag)
    assert list((await values_of(ada, document.id))[-1].doubts) == []
    assert len(await values_of(ada, document.id, show_deleted=True)) == 4
    assert await reason(ada.document_values("DeleteDocumentValue", id=tsh.id)) == "NOT_FOUND"
    back = await ada.document_values("UndeleteDocumentValue", id=tsh.id)
    assert list(back.document_value.doubts) == ["duplicate"]
    one = await ada.document_values("GetDocumentValue", id=tsh.id)
    assert one.document_value == back.document_value


async def test_what_was_corrected_in_the_meantime_is_not_overwritten(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, lines(tmp_path / "x.pdf", QUEST).read_bytes())
    total, *_ = await values_of(ada, document.id)
    await correct(ada, total, value="230")
    stale = {"id": total.id, "document_value": pb.DocumentValue(value="229", etag=total.etag)}
    assert await reason(ada.document_values("UpdateDocumentValue", **stale)) == "ETAG_MISMATCH"
    stale_drop = ada.document_values("DeleteDocumentValue", id=total.id, etag=total.etag)
    assert await reason(stale_drop) == "ETAG_MISMATCH"


async def test_a_document_that_failed_takes_values_by_hand(labs: Running, ada: As) -> None:
    document = await read(labs, ada, UNREADABLE)
    assert document.parse_status == "failed"
    await add(ada, document.id, raw_name="Glucose", value="5.5", unit="mmol/L")
    after = await got(ada, document.id)
    assert (after.parse_status, after.error_message) == ("needs_review", document.error_message)


async def test_what_is_not_in_review_does_not_change(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, lines(tmp_path / "x.pdf", QUEST).read_bytes())
    one, *_ = await values_of(ada, document.id)
    with psycopg.connect(labs.database.migrator_url) as owner:
        owner.execute("UPDATE documents SET parse_status = 'parsing'")
    for rpc, asked in (
        ("CreateDocumentValue", {"id": document.id, "document_value": pb.DocumentValue(raw_name="a", value="1")}),
        ("UpdateDocumentValue", {"id": one.id, "document_value": pb.DocumentValue(value="1")}),
        ("DeleteDocumentValue", {"id": one.id}),
        ("UndeleteDocumentValue", {"id": one.id}),
    ):
        assert await reason(ada.document_values(rpc, **asked)) == "DOCUMENT_NOT_IN_REVIEW"
    assert (await values_of(ada, document.id))[0] == one


async def test_somebody_elses_values_are_not_found(labs: Running, ada: As, tmp_path: Path) -> None:
    document = await read(labs, ada, lines(tmp_path / "x.pdf", QUEST).read_bytes())
    one, *_ = await values_of(ada, document.id)
    eve = As(labs, person())
    for rpc, asked in (
        ("GetDocumentValues", {"id": document.id}),
        ("CreateDocumentValue", {"id": document.id, "document_value": pb.DocumentValue(raw_name="a", value="1")}),
        ("GetDocumentValue", {"id": one.id}),
        ("UpdateDocumentValue", {"id": one.id, "document_value": pb.DocumentValue(value="1")}),
        ("DeleteDocumentValue", {"id": one.id}),
        ("UndeleteDocumentValue", {"id": one.id}),
    ):
        assert await reason(eve.document_values(rpc, **asked)) == "NOT_FOUND"
    assert (await values_of(ada, document.id))[0] == one


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"raw_name": ""}, "document_value.raw_name"),
        ({"raw_name": "x" * 201}, "document_value.raw_name"),
        ({"value": ""}, "document_value.value"),
        ({"value": "x" * 201}, "document_value.value"),
        ({"unit": "x" * 61}, "document_value.unit"),
        ({"ref_range_text": "x" * 201}, "document_value.ref_range_text"),
        ({"flag": "x" * 41}, "document_value.flag"),
        ({"biomarker": "no_such_marker"}, "document_value.biomarker"),
        ({"biomarker": "No Slug"}, "document_value.biomarker"),
    ],
)
async def test_what_breaks_a_rule_is_refused_by_name(labs: Running, ada: As, wrong: dict[str, str], field: str) -> None:
    document = await upload(ada, UNREADABLE)
    refused = await failure(add(ada, document.id, **{"raw_name": "Glucose", "value": "5.5", **wrong}))
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("INVALID_FIELD", [field])


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ("source = 'guessed'", "source"),
        ("confidence = 2", "confidence"),
        ("match_confidence = -1", "match_confidence"),
        ("box = '{1,2,3}'", "box"),
        ("raw_name = ''", "raw_name"),
        ("value = repeat('x', 201)", "value"),
    ],
)
async def test_the_table_refuses_it_too(labs: Running, ada: As, change: str, broken: str) -> None:
    document = await read(labs, ada, UNREADABLE)
    await add(ada, document.id, raw_name="Glucose", value="5.5", unit="mmol/L")
    with psycopg.connect(labs.database.migrator_url) as owner:
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            owner.execute(f"UPDATE document_values SET {change}")
    assert refused.value.diag.constraint_name == f"ck_document_values_{broken}"
