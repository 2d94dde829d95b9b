"""Every table with somebody's rows is audited, or stands here with the reason why not."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.databases import SERVICES, DatabaseServer

EXEMPT = {
    "challenges": "one half of a log-in, forgotten after five minutes; the session that comes of it is audited",
    "audit_log": "the log itself",
    "deletion_requests": "its steps are events; the row forgets its person, and a log of that would not",
    "data_keys": "a copy of a key in the log would outlive the key, whose end is what erases its person",
    "idempotency_keys": "answers to repeats, kept for a day; what they answered for is audited where it is stored",
    "import_changes": "what an import's roll-back restores: copies of rows whose changes are audited themselves",
    "lab_import_changes": "the same of a file of laboratory results",
    "onboarding_hand_overs": "what waits for tracking, where it is audited once it is there",
    "onboarding_step_events": "when a step was first shown and done, for the funnel; what was saved is audited",
    "password_history": "hashes of earlier passwords; that a password changed is audited with its person",
    "refresh_tokens": "replaced every few minutes by whoever is logged in; their session is audited",
}
OWNED = """
SELECT c.relname AS name, c.relkind = 'p' AS partitioned,
  (SELECT array_agg(t.tgname::text ORDER BY t.tgname) FROM pg_trigger t
    JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname IN ('audit_row', 'audit_series')
    WHERE t.tgrelid = c.oid AND t.tgenabled = 'O') AS triggers
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND (c.relname IN ('users', 'accounts') OR EXISTS (
    SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id' AND NOT a.attisdropped))
"""


@pytest.fixture(scope="module", params=SERVICES)
def owner(request: pytest.FixtureRequest, postgres_server: DatabaseServer) -> Iterator[psycopg.Connection[Any]]:
    with postgres_server.clone(request.param) as clone, psycopg.connect(clone.migrator_url) as connection:
        yield connection


def test_every_table_with_somebodys_rows_is_audited_or_exempt_for_a_reason(owner: psycopg.Connection[Any]) -> None:
    audited = {name: triggers or [] for name, _, triggers in owner.execute(OWNED).fetchall()}
    whole = ({"audit"}, {"audit", "audit_insert"}, {"audit_insert", "audit_update", "audit_delete"})
    assert [name for name, triggers in audited.items() if name not in EXEMPT and set(triggers) not in whole] == []
    assert [name for name, triggers in audited.items() if name in EXEMPT and triggers] == []


def test_what_a_trigger_was_told_of_a_table_is_there(owner: psycopg.Connection[Any]) -> None:
    """A column that was renamed or dropped since would be found by nobody but the next person who writes."""
    rows = owner.execute(
        "SELECT t.tgrelid::regclass::text, encode(t.tgargs, 'escape') FROM pg_trigger t"
        " JOIN pg_proc p ON p.oid = t.tgfoid AND p.proname IN ('audit_row', 'audit_series') WHERE t.tgparentid = 0"
    ).fetchall()
    assert rows
    for table, encoded in rows:
        name, owner_column, *lists = encoded.split("\\000")
        columns = {
            column
            for (column,) in owner.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                [table],
            )
        }
        told = {owner_column, *(column for text in lists for column in text.split(",") if column)}
        assert name == table
        assert told - columns <= {"updated_at"}
