"""Each constraint of panels and markers, broken once at the API and once in SQL."""

from typing import Any

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.harness import Running, failure
from tests.labs.conftest import As
from tests.labs.panels.asking import GLUCOSE


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ({"collected_at": Timestamp(seconds=1_790_000_000)}, "collected_at"),
        ({"sex": "other"}, "blood_panel.sex"),
        ({"age_years": 151}, "blood_panel.age_years"),
        ({"cycle_phase": "spring"}, "blood_panel.cycle_phase"),
        ({"lab_name": "x" * 201}, "blood_panel.lab_name"),
        ({"lab_provider": "x" * 201}, "blood_panel.lab_provider"),
        ({"panel_name": "x" * 201}, "blood_panel.panel_name"),
        ({"specimen_id": "x" * 101}, "blood_panel.specimen_id"),
    ],
)
async def test_a_header_that_breaks_a_rule_is_refused_by_name(ada: As, header: dict[str, Any], field: str) -> None:
    refused = await failure(ada.enter("2026-11-18", GLUCOSE, **header))
    assert (refused.reason.name, [v.field for v in refused.violations]) == ("INVALID_FIELD", [field])


@pytest.mark.parametrize(
    ("table", "column", "value", "constraint"),
    [
        ("blood_panels", "collected_at", "2026-01-01", "collected_at"),
        ("blood_panels", "sex", "other", "sex"),
        ("blood_panels", "age_years", 151, "age_years"),
        ("blood_panels", "cycle_phase", "spring", "cycle_phase"),
        *(
            ("blood_panels", name, "x" * 201, name)
            for name in ("lab_name", "lab_provider", "panel_name", "specimen_id")
        ),
        ("blood_markers", "value_text", "both", "value"),
        ("blood_markers", "value_numeric", "NaN", "value_numeric"),
        ("blood_markers", "value_numeric", "Infinity", "value_numeric"),
        ("blood_markers", "value_canonical", "NaN", "value_canonical"),
        ("blood_markers", "comparator", "~", "comparator"),
        ("blood_markers", "flag", "?", "flag"),
        ("blood_markers", "own_flag", "HH", "own_flag"),
        ("blood_markers", "range_source", "guess", "range_source"),
        ("blood_markers", "parse_confidence", 1.5, "parse_confidence"),
        ("blood_markers", "ref_range_high", 1, "ref_range"),
        ("blood_markers", "raw_name", "", "raw_name"),
    ],
)
async def test_the_tables_refuse_it_too(
    labs: Running, ada: As, table: str, column: str, value: Any, constraint: str
) -> None:
    await ada.enter("2026-11-18", {**GLUCOSE, "ref_range_text": "70-99"})
    with psycopg.connect(labs.database.migrator_url) as owner, pytest.raises(psycopg.errors.CheckViolation) as broken:
        owner.execute(f"UPDATE {table} SET {column} = %s", [value])
    assert broken.value.diag.constraint_name == f"ck_{table}_{constraint}"
