"""Who is erased is taken out of the log, and the log stays."""

from uuid import UUID, uuid4

import psycopg
import pytest

from tests.audit.conftest import Sql, days, import_of

SERVICE = {"actor_id": "service:identity", "role": "service"}


def test_a_person_who_is_erased_is_in_no_row_any_more_and_the_rows_stay(tracking: Sql, ada: UUID) -> None:
    client, coach = uuid4(), uuid4()
    import_of(tracking, ada, address="192.0.2.7", user_agent="ada's phone")
    import_of(tracking, ada, actor_id=str(coach), address="192.0.2.8")
    import_of(tracking, client, actor_id=str(ada), address="192.0.2.7", user_agent="ada's phone")
    days(tracking, ada, 3)
    before = tracking.own("SELECT count(*) FROM audit_log")[0]["count"]
    (client_before,) = tracking.trail(client)
    assert tracking.run(ada, "SELECT anonymise_audit()", **SERVICE) == [{"anonymise_audit": 3}]
    rows = tracking.own("SELECT * FROM audit_log")
    assert len(rows) == before
    assert str(ada) not in str(rows)
    assert "192.0.2" not in str(rows)
    assert "phone" not in str(rows)
    assert sum(row["user_id"] is None for row in rows) == 3
    # What she did to another's data is still in that person's trail, with its values.
    (client_after,) = tracking.trail(client)
    assert client_after["new_values"] == client_before["new_values"]
    assert client_after["action_by"] == "erased"
    assert tracking.run(ada, "SELECT anonymise_audit()", **SERVICE) == [{"anonymise_audit": 0}]


@pytest.mark.parametrize(
    "settings",
    [
        {"actor_id": "", "role": ""},
        {"role": "user"},
        {"role": "admin"},
        {"role": "service"},
        {"actor_id": "service:identity", "role": "admin"},
        {**SERVICE, "subject_id": ""},
    ],
)
def test_nobody_but_a_service_strips_the_log_and_only_about_its_subject(
    tracking: Sql, ada: UUID, settings: dict[str, str]
) -> None:
    import_of(tracking, ada)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tracking.run(ada, "SELECT anonymise_audit()", **settings)
    tracking.run(uuid4(), "SELECT anonymise_audit()", **SERVICE)
    assert tracking.trail(ada)[0]["new_values"] is not None


def test_who_removes_several_people_takes_them_all_out(tracking: Sql, ada: UUID) -> None:
    """For functions of the tables' owner; the app has no part in it."""
    bert, client = uuid4(), uuid4()
    for person in (ada, bert, client):
        import_of(tracking, person)
    import_of(tracking, client, actor_id=str(bert))
    forget = f"SELECT audit_forget(ARRAY['{ada}', '{bert}']::uuid[])"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tracking.run(ada, forget, **SERVICE)
    assert tracking.own(forget) == [{"audit_forget": 2}]
    assert not {str(ada), str(bert)} & {
        str(value) for row in tracking.own("SELECT * FROM audit_log") for value in row.values()
    }
    assert [row["action_by"] for row in tracking.trail(client)] == [str(client), "erased"]
