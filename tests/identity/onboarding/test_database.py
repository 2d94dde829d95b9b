"""What the database itself refuses, and whose rows are whose; exported and erased with their person."""

from collections.abc import Callable

import psycopg
import pytest

from tests.databases import ServiceDatabase
from tests.harness import drain, person, service
from tests.identity.conftest import Identity
from tests.identity.onboarding.people import somebody
from tests.people import insert_person
from vitalis.common.v1 import person_data_pb2, person_data_pb2_grpc

STATE = "INSERT INTO onboarding_states (id, user_id, {}) VALUES (gen_random_uuid(), %(user_id)s, {})"


@pytest.fixture
def database(clone_database: Callable[[str], ServiceDatabase]) -> ServiceDatabase:
    return clone_database("identity")


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("current_step", "-1", "current_step"),
        ("current_step", "12", "current_step"),
        ("completed_steps", "'{12}'", "completed_steps"),
        ("completed_steps", "'{-1}'", "completed_steps"),
        ("flow_version", "'newest'", "flow_version"),
        ("flow_version", "'1.0.0'", "flow_version"),
        ("last_activity_at", "now() - interval '1 second'", "last_activity_at"),
        ("completed_at", "now() - interval '1 second'", "completed_at"),
        ("device_type", "'fridge'", "device_type"),
        ("session_id", "repeat('x', 256)", "session_id"),
        ("user_agent", "repeat('x', 1001)", "user_agent"),
    ],
)
def test_a_state_that_is_none(database: ServiceDatabase, column: str, value: str, constraint: str) -> None:
    user_id = insert_person(database, "ada@example.com")
    with psycopg.connect(database.migrator_url) as owner:
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            owner.execute(STATE.format(column, value).encode(), {"user_id": user_id})
    assert caught.value.diag.constraint_name == f"ck_onboarding_states_{constraint}"


def test_one_onboarding_a_person_who_is_there(database: ServiceDatabase) -> None:
    user_id = insert_person(database, "ada@example.com")
    with psycopg.connect(database.migrator_url) as owner:
        statement = STATE.format("current_step", "0").encode()
        owner.execute(statement, {"user_id": user_id})
        with pytest.raises(psycopg.errors.UniqueViolation):
            owner.execute(statement, {"user_id": user_id})
        owner.rollback()
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            owner.execute(statement, {"user_id": person().subject})


@pytest.mark.parametrize("values", ["12, now(), now()", "-1, now(), now()", "1, now(), now() - interval '1 second'"])
def test_a_step_event_that_is_none(database: ServiceDatabase, values: str) -> None:
    user_id = insert_person(database, "ada@example.com")
    statement = (
        "INSERT INTO onboarding_step_events"
        " (user_id, onboarding_id, flow_version, step_name, step, started_at, completed_at)"
        f" VALUES (%s, gen_random_uuid(), '1.0', 'goals', {values})"
    )
    with psycopg.connect(database.migrator_url) as owner, pytest.raises(psycopg.errors.CheckViolation):
        owner.execute(statement.encode(), [user_id])


def test_a_hand_over_that_is_none(database: ServiceDatabase) -> None:
    user_id = insert_person(database, "ada@example.com")
    statement = (
        "INSERT INTO onboarding_hand_overs (id, user_id, answers, flow_version, completed_at)"
        " VALUES (gen_random_uuid(), %s, '', 'newest', now())"
    )
    with psycopg.connect(database.migrator_url) as owner:
        with pytest.raises(psycopg.errors.CheckViolation, match="ck_onboarding_hand_overs_flow_version"):
            owner.execute(statement.encode(), [user_id])


async def test_rows_are_their_owners_alone(identity: Identity) -> None:
    ada = await somebody(identity)
    await ada.save("welcome")
    bob = await somebody(identity, "bob@example.com")
    with psycopg.connect(identity.database.app_url) as app:
        for subject, seen in ((ada.user_id, 1), (bob.user_id, 0)):
            app.execute("SELECT set_config('app.subject_id', %s, true)", [subject])
            assert app.execute("SELECT count(*) FROM onboarding_states").fetchone() == (seen,)
            assert app.execute("SELECT count(*) FROM onboarding_step_events").fetchone() == (2 * seen,)
            with app.transaction():
                assert app.execute("UPDATE onboarding_states SET current_step = 3").rowcount == seen
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(STATE.format("current_step", "0").encode(), {"user_id": ada.user_id})
        app.rollback()
        app.execute("SELECT set_config('app.subject_id', %s, true)", [ada.user_id])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("DELETE FROM onboarding_states")


async def test_an_export_tells_the_answers_and_an_erasure_leaves_none(identity: Identity) -> None:
    ada = await somebody(identity)
    await ada.save_until("health_profile")
    stub = person_data_pb2_grpc.PersonDataServiceStub(identity.running.channel)
    metadata = identity.running.metadata(service(ada.user_id))
    request = person_data_pb2.ExportPersonDataRequest(user_id=ada.user_id)
    exported = [part async for part in stub.ExportPersonData(request, metadata=metadata)]
    text = "".join(row for part in exported for row in part.rows.rows)
    assert "the neighbours" in text
    await ada.finish()
    exported = [part async for part in stub.ExportPersonData(request, metadata=metadata)]
    # What waits for tracking is told too.
    assert [part.rows.rows for part in exported if "the neighbours" in "".join(part.rows.rows)]
    erase = person_data_pb2.ErasePersonDataRequest(user_id=ada.user_id)
    await stub.ErasePersonData(erase, metadata=metadata)
    await drain(identity.running)
    with psycopg.connect(identity.database.migrator_url) as owner:
        for table in ("onboarding_states", "onboarding_step_events", "onboarding_hand_overs"):
            assert owner.execute(f"SELECT count(*) FROM {table}".encode()).fetchone() == (0,)
