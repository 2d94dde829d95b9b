"""What PostgreSQL itself writes into the audit log and refuses to do with it, whatever the app asks."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from tests.audit.conftest import DAY, IMPORT, Sql, days, import_of, sign_up


def test_a_row_says_who_did_what_for_whom_and_from_where(tracking: Sql, ada: UUID) -> None:
    coach = uuid4()
    import_id = import_of(
        tracking, ada, actor_id=str(coach), role="coach", request_id="r-1", grant_id="g-1",
        address="192.0.2.7", user_agent="curl/8",
    )  # fmt: skip
    (row,) = tracking.trail(ada)
    said = {name: row[name] for name in ("action_by", "actor_role", "request_id", "grant_id", "ip_address")}
    assert said == {
        "action_by": str(coach), "actor_role": "coach", "request_id": "r-1", "grant_id": "g-1",
        "ip_address": "192.0.2.7",
    }  # fmt: skip
    assert (row["user_agent"], row["table_name"], row["record_id"], row["action"]) == (
        "curl/8", "imports", str(import_id), "INSERT",
    )  # fmt: skip
    assert row["old_values"] is None
    assert row["new_values"]["file_name"] == "export.zip"
    assert abs((datetime.now(UTC) - row["created_at"]).total_seconds()) < 60


def test_a_change_is_its_columns_before_and_after(tracking: Sql, ada: UUID) -> None:
    import_id = import_of(tracking, ada)
    tracking.run(
        ada, "UPDATE imports SET status = 'cancelled', progress_pct = 7, updated_at = now() WHERE id = %s", import_id
    )
    change = tracking.trail(ada)[1]
    assert (change["old_values"], change["new_values"]) == ({"status": "queued"}, {"status": "cancelled"})


def test_noise_alone_is_not_written(tracking: Sql, ada: UUID) -> None:
    import_id = import_of(tracking, ada)
    tracking.run(
        ada, "UPDATE imports SET progress_pct = 7, records_read = 9, updated_at = now() WHERE id = %s", import_id
    )
    tracking.run(ada, "UPDATE imports SET status = status WHERE id = %s", import_id)
    assert len(tracking.trail(ada)) == 1


def test_a_deleted_row_is_kept_as_it_was(identity: Sql, ada: UUID) -> None:
    sign_up(identity, ada)
    identity.own("DELETE FROM users WHERE id = %s", ada)
    deleted = identity.trail(ada)[-1]
    assert deleted["action"] == "DELETE"
    assert deleted["old_values"]["email"] == "ada@example.com"
    assert deleted["new_values"] is None
    # Nobody said who: then it is whoever was connected.
    assert deleted["action_by"] == "database:identity_migrator"


def test_secrets_never_appear(identity: Sql, ada: UUID) -> None:
    sign_up(identity, ada)
    identity.run(ada, "UPDATE users SET password_hash = '$argon2id$another' WHERE id = %s", ada)
    identity.own("DELETE FROM users WHERE id = %s", ada)
    trail = identity.trail(ada)
    assert "argon2id" not in str(trail)
    change = next(row for row in trail if row["action"] == "UPDATE")
    assert change["old_values"] == change["new_values"] == {"password_hash": "[changed]"}


def test_columns_called_as_secrets_are_secret_without_being_named(identity: Sql, ada: UUID) -> None:
    """A later migration that forgets to name them gives nothing away."""
    names = ("access_token", "totp_secret", "old_password", "recovery_hash", "token_sha256")
    identity.own("ALTER TABLE users " + ", ".join(f"ADD {name} text DEFAULT 'before'" for name in names))
    sign_up(identity, ada)
    identity.run(ada, "UPDATE users SET " + ", ".join(f"{name} = 'after'" for name in names) + " WHERE id = %s", ada)
    identity.own("DELETE FROM users WHERE id = %s", ada)
    trail = identity.trail(ada)
    assert "before" not in str(trail)
    assert "after" not in str(trail)
    assert any(row["new_values"] == dict.fromkeys(names, "[changed]") for row in trail)


def test_ciphertext_stays_ciphertext(identity: Sql, ada: UUID) -> None:
    sign_up(identity, ada)
    identity.run(ada, "UPDATE users SET date_of_birth = %s WHERE id = %s", b"\x01\xff", ada)
    assert identity.trail(ada)[-1]["new_values"] == {"date_of_birth": "\\x01ff"}


@pytest.mark.parametrize("statement", ["INSERT", "MERGE", "WITH"])
def test_every_way_of_writing_leaves_its_row(tracking: Sql, ada: UUID, statement: str) -> None:
    columns = "(id, user_id, source, file_size_bytes, file_sha256)"
    insert = f"INSERT INTO imports {columns} "
    values = f"VALUES (gen_random_uuid(), '{ada}'::uuid, 'apple_health', 1, 'ab')"
    tracking.run(
        ada,
        {
            "INSERT": f"{insert} {values} ON CONFLICT DO NOTHING",
            "MERGE": "MERGE INTO imports USING (VALUES (1)) v ON false"
            f" WHEN NOT MATCHED THEN INSERT {columns} {values}",
            "WITH": f"WITH stored AS ({insert} {values} RETURNING id) SELECT FROM stored",
        }[statement],
    )
    assert [row["action"] for row in tracking.trail(ada)] == ["INSERT"]


def test_copy_leaves_its_rows_too(tracking: Sql, ada: UUID) -> None:
    with psycopg.connect(tracking.database.migrator_url) as owner, owner.cursor() as cursor:
        with cursor.copy("COPY imports (id, user_id, source, file_size_bytes, file_sha256) FROM STDIN") as copy:
            for _ in range(2):
                copy.write_row((uuid4(), ada, "apple_health", 1, "ab"))
    assert [row["action"] for row in tracking.trail(ada)] == ["INSERT", "INSERT"]


def test_what_is_taken_back_leaves_no_row(tracking: Sql, ada: UUID) -> None:
    with tracking.connect(ada) as app:
        app.execute(IMPORT.encode(), [uuid4(), ada, ""])
        app.rollback()
    assert tracking.trail(ada) == []


def test_a_batch_is_one_row_with_its_number_period_and_import(tracking: Sql, ada: UUID) -> None:
    import_id = uuid4()
    days(tracking, ada, 10, import_id)
    (row,) = tracking.trail(ada)
    assert (row["action"], row["table_name"], row["record_id"]) == ("BATCH", "wearable_daily", None)
    assert row["new_values"] == {
        "operation": "INSERT", "rows": 10, "first_date": "2025-12-30", "last_date": "2026-01-08",
        "import_id": str(import_id),
    }  # fmt: skip


def test_changed_and_deleted_series_say_which_import_they_were_of(tracking: Sql, ada: UUID) -> None:
    first, second = uuid4(), uuid4()
    days(tracking, ada, 3, first)
    tracking.run(ada, "UPDATE wearable_daily SET steps = 9, import_id = %s", second)
    tracking.run(ada, "DELETE FROM wearable_daily")
    _, changed, deleted = tracking.trail(ada)
    assert changed["old_values"] == {"import_ids": [str(first)]}
    assert (changed["new_values"]["operation"], changed["new_values"]["import_id"]) == ("UPDATE", str(second))
    assert (deleted["new_values"]["operation"], deleted["new_values"]["rows"]) == ("DELETE", 3)
    assert deleted["new_values"]["import_id"] == str(second)


def test_a_statement_that_touches_nothing_of_a_series_leaves_no_row(tracking: Sql, ada: UUID) -> None:
    tracking.run(ada, "UPDATE wearable_daily SET steps = 1")
    assert tracking.trail(ada) == []


def test_one_row_that_a_person_enters_is_written_whole(tracking: Sql, ada: UUID) -> None:
    day = uuid4()
    tracking.run(ada, DAY, day, ada, "2026-01-01", 5, None)
    tracking.run(ada, "UPDATE wearable_daily SET steps = 6, updated_at = now() WHERE id = %s", day)
    tracking.run(ada, "UPDATE wearable_daily SET updated_at = now() WHERE id = %s", day)
    tracking.run(ada, "DELETE FROM wearable_daily WHERE id = %s", day)
    trail = tracking.trail(ada)
    assert [(row["action"], row["record_id"]) for row in trail] == [
        (action, str(day)) for action in ("INSERT", "UPDATE", "DELETE")
    ]
    assert (trail[0]["new_values"]["steps"], trail[2]["old_values"]["steps"]) == (5, 6)
    assert (trail[1]["old_values"], trail[1]["new_values"]) == ({"steps": 5}, {"steps": 6})


def test_one_row_of_a_service_is_a_batch(tracking: Sql, ada: UUID) -> None:
    days(tracking, ada, 1, actor_id="service:tracking", role="service")
    assert [row["action"] for row in tracking.trail(ada)] == ["BATCH"]


def test_a_row_that_moves_to_another_partition_is_one_change(tracking: Sql, ada: UUID) -> None:
    tracking.run(ada, DAY, uuid4(), ada, "2025-12-31", 5, None)
    tracking.run(ada, "UPDATE wearable_daily SET date = '2026-01-01'")
    assert [(row["action"], row["new_values"].get("date")) for row in tracking.trail(ada)] == [
        ("INSERT", "2025-12-31"),
        ("UPDATE", "2026-01-01"),
    ]


def test_rows_of_several_people_go_into_their_own_trails(tracking: Sql, ada: UUID) -> None:
    """Only who is not held to row security writes such a statement: a migration."""
    bert = uuid4()
    days(tracking, ada, 2)
    days(tracking, bert, 3)
    tracking.own("UPDATE wearable_daily SET steps = 1")
    for person, count in ((ada, 2), (bert, 3)):
        row = tracking.trail(person)[-1]
        assert (row["new_values"]["rows"], row["action_by"]) == (count, "database:tracking_migrator")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_log (audit_id, user_id, action_by, action) VALUES (gen_random_uuid(), %(ada)s, 'x', 'READ')",
        "UPDATE audit_log SET action_by = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "DROP TABLE audit_log",
        "ALTER TABLE audit_log DISABLE TRIGGER ALL",
        "ALTER TABLE audit_log DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE audit_log DETACH PARTITION {partition}",
        "CREATE RULE forget AS ON INSERT TO audit_log DO INSTEAD NOTHING",
        "SELECT * FROM {partition}",
        "INSERT INTO {partition} SELECT * FROM audit_log",
        "DELETE FROM {partition}",
        "DROP TABLE {partition}",
        "ALTER TABLE imports DISABLE TRIGGER audit",
        "DROP TRIGGER audit ON imports",
        "DROP FUNCTION audit_row() CASCADE",
        "SET session_replication_role = replica",
        "SELECT audit_append(%(ada)s, 'imports', NULL, 'DELETE', NULL, NULL)",
        "CREATE TEMP TABLE f (); CREATE TRIGGER f AFTER INSERT ON f FOR EACH ROW EXECUTE FUNCTION audit_row('x')",
    ],
)
def test_the_app_neither_changes_the_log_nor_gets_around_it(tracking: Sql, ada: UUID, statement: str) -> None:
    import_of(tracking, ada)
    before = tracking.trail(ada)
    partition = f"audit_log_{before[0]['created_at']:%Y}q{(before[0]['created_at'].month + 2) // 3}"
    text = statement.format(partition=partition).replace("%(ada)s", f"'{ada}'")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tracking.run(ada, text)
    assert tracking.trail(ada) == before


def test_nobody_reads_anothers_trail(tracking: Sql, ada: UUID) -> None:
    import_of(tracking, ada)
    count = "SELECT count(*) FROM audit_log"
    assert tracking.run(ada, count) == [{"count": 1}]
    assert tracking.run(uuid4(), count) == [{"count": 0}]
    assert tracking.run("", count) == [{"count": 0}]


def test_an_event_is_in_the_trail_of_the_subject_else_of_the_actor(tracking: Sql, ada: UUID) -> None:
    coach = uuid4()
    event = "SELECT record_audit('READ', %s, NULL, NULL)"
    tracking.run(ada, event, Jsonb({"rpc": "x"}), actor_id=str(coach), grant_id="g")
    tracking.run("", event, None, actor_id=str(coach))
    (about_ada,), (about_nobody,) = tracking.trail(ada), tracking.trail(coach)
    assert (about_ada["action"], about_ada["action_by"], about_ada["grant_id"]) == ("READ", str(coach), "g")
    assert about_ada["new_values"] == {"rpc": "x"}
    assert (about_nobody["action"], about_nobody["new_values"]) == ("READ", None)


@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "DELETE", "BATCH", "read", "", "X", "A;B", "A" * 41, None])
def test_an_event_does_not_pass_for_a_change(tracking: Sql, ada: UUID, event: str | None) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        tracking.run(ada, "SELECT record_audit(%s, NULL, 'imports', NULL)", event)


def test_what_a_client_sends_is_kept_short(tracking: Sql, ada: UUID) -> None:
    import_of(tracking, ada, user_agent="a" * 9000, address="b" * 9000, request_id="c" * 9000)
    (row,) = tracking.trail(ada)
    assert [len(row[name]) for name in ("user_agent", "ip_address", "request_id")] == [512, 64, 128]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 1) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("x"), inner),
    max_leaves=4,
)

ROWS = st.fixed_dictionaries(dict.fromkeys(("a", "b", "noise", "token"), JSON))


@pytest.fixture(scope="module")
def owner(postgres_server: Any) -> Iterator[psycopg.Connection[Any]]:
    with postgres_server.clone("tracking") as database, psycopg.connect(database.migrator_url) as connection:
        yield connection


@given(
    before=ROWS,
    after=ROWS,
)
def test_a_change_holds_what_differs_and_nothing_else(
    owner: psycopg.Connection[Any], before: dict[str, Any], after: dict[str, Any]
) -> None:
    row = owner.execute(
        "SELECT * FROM audit_values(%s, %s, 'user_id', '{}', '{noise}')", [Jsonb(before), Jsonb(after)]
    ).fetchone()
    different = [name for name in ("a", "b", "token") if json.dumps(before[name]) != json.dumps(after[name])]
    expected = tuple(
        {name: "[changed]" if name == "token" else values[name] for name in different} or None
        for values in (before, after)
    )
    assert row == expected
